/* SPDX-License-Identifier: Apache-2.0 */
/* isolad - the daemon's main(): settings, the object, its loop. See isolad(8). */
#include "isola/step.h"

#include "isolad.h"

#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>

/* One arena instead of one a thread, and small freed pieces go back: an idle
 * isolad should weigh what it needs. */
static void tune_malloc(void)
{
	(void)mallopt(M_ARENA_MAX, 1);
	(void)mallopt(M_TRIM_THRESHOLD, 128 * 1024);
	(void)mallopt(M_MMAP_THRESHOLD, 128 * 1024);
}

int main(int argc, char **argv)
{
	struct err e = ERR_INIT;
	struct config config;
	enum config_action action;
	if (config_load(&config, argc, argv, &action, &e) < 0) {
		(void)fprintf(stderr, "isolad: %s\n", e.text);
		return 2;
	}
	if (action == CONFIG_EXIT) {
		config_fini(&config);
		return 0;
	}
	tune_malloc();
	step_init();
	log_init("isolad", config.log_level);
	struct isolad d;
	int rc = isolad_init(&d, argc, argv, &config, &e);
	if (rc == 0)
		rc = isolad_run(&d, &e);
	if (rc < 0)
		log_error(NULL, "%s", e.text);
	isolad_fini(&d);
	return rc < 0 ? 1 : 0;
}

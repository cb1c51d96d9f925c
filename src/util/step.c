/* SPDX-License-Identifier: Apache-2.0 */
/* step - see isola/step.h. */
#include "isola/step.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char *die_at;

void step_init(void)
{
	die_at = getenv("ISOLA_DIE_AT");
}

void step_reached(const char *name)
{
	if (die_at && !strcmp(die_at, name))
		(void)kill(getpid(), SIGKILL);
}

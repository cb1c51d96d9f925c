/* SPDX-License-Identifier: Apache-2.0 */
/* fuzz_dockerfile - a Dockerfile, its instructions applied to a configuration, and the
 * same bytes as a .dockerignore. */
#include "image/change.h"
#include "isola/dockerfile.h"
#include "isola/fd.h"
#include "isola/ignore.h"
#include "isola/json.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void apply(const struct dockerfile *d)
{
	cleanup_json json_object *config = json_object_new_object();
	for (size_t i = 0; i < d->n && i < 50; i++) {
		const struct step *s = &d->steps[i];
		const struct words_scope scope = { .env = json_get(config, "Env"),
						   .escape = d->escape };
		struct err err = ERR_INIT;
		cleanup_json json_object *cmd = change_command(config, s->args);
		if (change_instruction(config, s->name, s->args, &scope, &err) < 0 && !*err.text)
			abort();
	}
}

static void ignoring(const char *text, size_t size)
{
	cleanup_ignore struct ignore *ignore = NULL;
	struct err err = ERR_INIT;
	if (ignore_parse(text, size, &ignore, &err) < 0)
		return;
	(void)ignore_matches(ignore, "a/b/c.txt");
	(void)ignore_matches(ignore, "node_modules/x");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	cleanup_dockerfile struct dockerfile d = { 0 };
	struct err err = ERR_INIT;
	if (size > 65536)
		return 0;
	if (dockerfile_parse((const char *)data, size, "Dockerfile", &d, &err) == 0)
		apply(&d);
	else if (!*err.text)
		abort();
	ignoring((const char *)data, size);
	return 0;
}

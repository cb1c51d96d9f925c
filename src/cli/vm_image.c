/* SPDX-License-Identifier: Apache-2.0 */
/* vm_image - see vm_image.h. Runs in vmctl. */
#include "vm_image.h"

#include "create_flags.h"
#include "ctr_kind.h"
#include "verbs.h"

#include "isola/fd.h"
#include "isola/json.h"

#include <errno.h>
#include <string.h>

#define FLAGS(...)                                                                                 \
	(const struct flag *const[])                                                               \
	{                                                                                          \
		__VA_ARGS__, NULL                                                                  \
	}

const struct verb vm_image_verbs[] = {
	{ "run", NULL, "IMAGE [COMMAND] [ARG...]", "run an image in a microVM", NULL,
	  FLAGS(flags_run, flags_create, flags_create_pull, flags_resources), 1, -1, true,
	  verb_run },
	{ "create", NULL, "IMAGE [COMMAND] [ARG...]", "create a microVM of an image", NULL,
	  FLAGS(flags_create, flags_create_pull, flags_resources), 1, -1, true, verb_create },
	{ .name = NULL },
};

static json_object *body_of(struct cli *cli, struct args *args, struct err *err)
{
	(void)cli;
	const char *wall = args_str(args, "isolation", "vm");
	if (strcmp(wall, "vm") != 0) {
		(void)err_set(err, EINVAL, "--isolation %s: vmctl runs microVMs; ctrctl does that",
			      wall);
		return NULL;
	}
	json_object *body = create_body(args, err);
	if (body)
		json_add_str(json_get(body, "HostConfig"), "Isolation", "vm");
	return body;
}

struct kind vm_image_kind(void)
{
	struct kind kind = ctr_kind();
	kind.create_body = body_of;
	return kind;
}

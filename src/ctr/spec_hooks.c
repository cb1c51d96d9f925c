/* SPDX-License-Identifier: Apache-2.0 */
/* spec_hooks - "hooks" of config.json (config.md "POSIX-platform Hooks"). */
#include "spec_parts.h"

#include <errno.h>

#define HOOKS_MAX 256

const char *const ctr_hook_names[CTR_HOOK_KINDS] = {
	[CTR_HOOK_PRESTART] = "prestart",
	[CTR_HOOK_CREATE_RUNTIME] = "createRuntime",
	[CTR_HOOK_CREATE_CONTAINER] = "createContainer",
	[CTR_HOOK_START_CONTAINER] = "startContainer",
	[CTR_HOOK_POSTSTART] = "poststart",
	[CTR_HOOK_POSTSTOP] = "poststop",
};

static int read_hook(struct spec_cx *cx, const struct at *at, json_object *o, void *ret)
{
	struct ctr_hook *h = ret;
	size_t n_args = 0;
	int64_t timeout = 0;
	int rc = spec_need_str(cx, at, o, "path", &h->path);
	if (rc < 0 || (rc = spec_check_path(cx, at, "path", h->path)) < 0 ||
	    (rc = spec_strv(cx, at, o, "args", &h->args, &n_args)) < 0 ||
	    (rc = spec_strv(cx, at, o, "env", &h->env, NULL)) < 0 ||
	    (rc = spec_int(cx, at, o, "timeout", 1, 24 * 3600, &timeout)) < 0)
		return rc;
	h->timeout_s = (int)timeout;
	if (n_args)
		return 0;
	h->args = spec_new(cx, 2, sizeof(*h->args));
	if (!h->args)
		return -ENOMEM;
	h->args[0] = (char *)(uintptr_t)h->path;
	return 0;
}

int spec_parse_hooks(struct spec_cx *cx, json_object *doc, struct ctr_spec *spec)
{
	json_object *o = NULL;
	int rc = spec_obj(cx, NULL, doc, "hooks", &o);
	const struct at at = { .name = "hooks" };
	for (int i = 0; rc > 0 && i < CTR_HOOK_KINDS; i++) {
		rc = spec_items(cx, &at, o, ctr_hook_names[i], HOOKS_MAX, sizeof(struct ctr_hook),
				read_hook, &spec->hooks[i].items, &spec->hooks[i].n);
		if (rc == 0)
			rc = 1;
	}
	return rc < 0 ? rc : 0;
}

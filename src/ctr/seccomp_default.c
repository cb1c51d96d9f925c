/* SPDX-License-Identifier: Apache-2.0 */
/* seccomp_default - the default profile as a linux.seccomp object for a given
 * set of capabilities. Used by isolad, which writes it into config.json, and by
 * `isola-oci spec`. */
#include "isola/ctr.h"

#include "isola/json.h"

#include "seccomp_profile.h"

#include <errno.h>
#include <string.h>

static const char *const op_names[] = {
	[PROFILE_EQ] = "SCMP_CMP_EQ",
	[PROFILE_LT] = "SCMP_CMP_LT",
	[PROFILE_MASKED_EQ] = "SCMP_CMP_MASKED_EQ",
};

static bool has_cap(json_object *caps, const char *cap)
{
	for (size_t i = 0; i < json_len(caps); i++)
		if (!strcmp(json_item_str(caps, i), cap))
			return true;
	return false;
}

static bool applies(const struct profile_group *g, json_object *caps)
{
	return g->need == PROFILE_ALWAYS || has_cap(caps, g->cap) == (g->need == PROFILE_WITH);
}

static int add_names(json_object *names, const char *text)
{
	for (const char *p = text; *p; p += strspn(p, " ")) {
		size_t n = strcspn(p, " ");
		json_object *name = json_object_new_string_len(p, (int)n);
		if (!name || json_object_array_add(names, name) < 0) {
			json_object_put(name);
			return -ENOMEM;
		}
		p += n;
	}
	return 0;
}

static json_object *new_entry(const struct profile_group *g)
{
	json_object *o = json_object_new_object();
	json_add(o, "names", json_object_new_array());
	json_add_str(o, "action", g->error ? "SCMP_ACT_ERRNO" : "SCMP_ACT_ALLOW");
	if (g->error)
		json_add_i64(o, "errnoRet", g->error);
	if (!g->arg)
		return o;
	json_object *arg = json_object_new_object(), *args = json_object_new_array();
	json_add_i64(arg, "index", g->arg->index);
	json_add_i64(arg, "value", (int64_t)g->arg->value);
	if (g->arg->op == PROFILE_MASKED_EQ)
		json_add_i64(arg, "valueTwo", (int64_t)g->arg->value_two);
	json_add_str(arg, "op", op_names[g->arg->op]);
	if (json_object_array_add(args, arg) < 0)
		json_object_put(arg);
	json_add(o, "args", args);
	return o;
}

/* All that is allowed without a condition goes into one entry: the document is
 * parsed at each start. */
static int add_group(json_object *entries, json_object *plain, const struct profile_group *g)
{
	if (!g->error && !g->arg)
		return add_names(plain, g->names);
	json_object *o = new_entry(g);
	if (!o || json_object_array_add(entries, o) < 0) {
		json_object_put(o);
		return -ENOMEM;
	}
	return add_names(json_get(o, "names"), g->names);
}

json_object *ctr_seccomp_default(json_object *caps, struct err *err)
{
	static const struct profile_group plain_group = { "" };
	if (caps && !json_object_is_type(caps, json_type_array)) {
		(void)err_set(err, EINVAL, "capabilities must be an array of names");
		return NULL;
	}
	cleanup_json json_object *profile = json_object_new_object();
	json_object *entries = json_object_new_array(), *machines = json_object_new_array();
	json_object *plain = new_entry(&plain_group);
	json_add_str(profile, "defaultAction", "SCMP_ACT_ERRNO");
	json_add_i64(profile, "defaultErrnoRet", EPERM);
	json_add(profile, "architectures", machines);
	json_add(profile, "syscalls", entries);
	int rc = json_object_array_add(entries, plain) < 0 ? -ENOMEM : 0;
	for (size_t i = 0; profile_machines[i] && rc == 0; i++)
		rc = json_object_array_add(machines, json_object_new_string(profile_machines[i]));
	for (size_t i = 0; i < profile_n_groups && rc == 0; i++)
		if (applies(&profile_groups[i], caps))
			rc = add_group(entries, json_get(plain, "names"), &profile_groups[i]);
	if (rc < 0) {
		(void)err_set(err, ENOMEM, "out of memory");
		return NULL;
	}
	return json_object_get(profile);
}

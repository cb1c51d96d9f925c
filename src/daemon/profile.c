/* SPDX-License-Identifier: Apache-2.0 */
/* profile - see profile.h. Pure but for uname(2); in isolad. Docker's format is
 * OCI's (runtime-spec, config-linux.md "Seccomp") plus conditions on each rule:
 * includes/excludes by architecture, capability and kernel version. */
#include "profile.h"

#include "capset.h"
#include "fields.h"
#include "isola/caps.h"
#include "isola/fd.h"
#include "isola/json.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/utsname.h>

#define PROFILE_BYTES_MAX (1024 * 1024)

/* Names that Docker's conditions and libseccomp use for one machine. */
static const struct {
	const char *machine, *go_name, *scmp;
} arches[] = {
	{ "x86_64", "amd64", "SCMP_ARCH_X86_64" },
	{ "aarch64", "arm64", "SCMP_ARCH_AARCH64" },
	{ "riscv64", "riscv64", "SCMP_ARCH_RISCV64" },
	{ "ppc64le", "ppc64le", "SCMP_ARCH_PPC64LE" },
	{ "s390x", "s390x", "SCMP_ARCH_S390X" },
};

static const char *const actions[] = {
	"SCMP_ACT_KILL",  "SCMP_ACT_KILL_PROCESS", "SCMP_ACT_KILL_THREAD", "SCMP_ACT_TRAP",
	"SCMP_ACT_ERRNO", "SCMP_ACT_TRACE",        "SCMP_ACT_ALLOW",       "SCMP_ACT_LOG",
};

static const char *const operators[] = {
	"SCMP_CMP_NE", "SCMP_CMP_LT", "SCMP_CMP_LE",        "SCMP_CMP_EQ",
	"SCMP_CMP_GE", "SCMP_CMP_GT", "SCMP_CMP_MASKED_EQ",
};

/* What the conversion runs on. */
struct target {
	uint64_t caps;
	const char *go_name, *scmp;
	unsigned int kernel[2];
};

static bool is_one_of(const char *name, const char *const *names, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		if (!strcmp(names[i], name))
			return true;
	}
	return false;
}

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

static int check_action(void *arg, const struct field *row, json_object *v, json_object **ret,
			struct err *err)
{
	(void)arg;
	(void)row;
	if (!is_one_of(json_object_get_string(v), actions, COUNT(actions)))
		return err_set(err, EINVAL, "unknown action '%.64s'", json_object_get_string(v));
	*ret = json_object_get(v);
	return 0;
}

static int check_operator(void *arg, const struct field *row, json_object *v, json_object **ret,
			  struct err *err)
{
	(void)arg;
	(void)row;
	if (!is_one_of(json_object_get_string(v), operators, COUNT(operators)))
		return err_set(err, EINVAL, "unknown operator '%.64s'", json_object_get_string(v));
	*ret = json_object_get(v);
	return 0;
}

static int check_kernel(void *arg, const struct field *row, json_object *v, json_object **ret,
			struct err *err)
{
	(void)arg;
	(void)row;
	unsigned int major, minor;
	char rest;
	if (sscanf(json_object_get_string(v), "%4u.%4u%c", &major, &minor, &rest) != 2)
		return err_set(err, EINVAL, "'%.32s' is not like 4.8", json_object_get_string(v));
	*ret = json_object_get(v);
	return 0;
}

/* Profiles carry notes to their readers. */
static int check_comment(void *arg, const struct field *row, json_object *v, json_object **ret,
			 struct err *err)
{
	(void)arg;
	(void)row;
	(void)v;
	(void)ret;
	(void)err;
	return 0;
}

static const struct field arg_rows[] = {
	{ "index", NULL, FIELD_INT, DEFAULT_0, .min = 0, .max = 5 },
	{ "value", NULL, FIELD_INT, DEFAULT_0 },
	{ "valueTwo", NULL, FIELD_INT, DEFAULT_0 },
	{ "op", NULL, FIELD_STR, DEFAULT_EMPTY, .only_null = true, .check = check_operator },
};

static const struct field condition_rows[] = {
	{ "caps", NULL, FIELD_STRS, DEFAULT_ARRAY },
	{ "arches", NULL, FIELD_STRS, DEFAULT_ARRAY },
	{ "minKernel", NULL, FIELD_STR, DEFAULT_ABSENT, .check = check_kernel },
};

static int check_condition(void *arg, const struct field *row, json_object *v, json_object **ret,
			   struct err *err)
{
	(void)arg;
	(void)row;
	return fields_check(condition_rows, COUNT(condition_rows), "", v, NULL, ret, err);
}

static int check_args(void *arg, const struct field *row, json_object *v, json_object **ret,
		      struct err *err)
{
	(void)arg;
	(void)row;
	cleanup_json json_object *out = json_object_new_array();
	for (size_t i = 0; i < json_len(v); i++) {
		json_object *item = NULL;
		int rc = fields_check(arg_rows, COUNT(arg_rows), "",
				      json_object_array_get_idx(v, i), NULL, &item, err);
		if (rc < 0)
			return rc;
		(void)json_object_array_add(out, item);
	}
	*ret = take_ptr(out);
	return 0;
}

static const struct field rule_rows[] = {
	{ "name", NULL, FIELD_STR, DEFAULT_ABSENT },
	{ "names", NULL, FIELD_STRS, DEFAULT_ABSENT },
	{ "action", NULL, FIELD_STR, DEFAULT_EMPTY, .only_null = true, .check = check_action },
	{ "errnoRet", NULL, FIELD_INT, DEFAULT_ABSENT, .only_null = true, .min = 0, .max = 4095 },
	{ "args", NULL, FIELD_OBJS, DEFAULT_ABSENT, .check = check_args },
	{ "comment", NULL, FIELD_STR, DEFAULT_ABSENT, .check = check_comment },
	{ "includes", NULL, FIELD_OBJ, DEFAULT_ABSENT, .check = check_condition },
	{ "excludes", NULL, FIELD_OBJ, DEFAULT_ABSENT, .check = check_condition },
};

static int check_rules(void *arg, const struct field *row, json_object *v, json_object **ret,
		       struct err *err)
{
	(void)arg;
	(void)row;
	cleanup_json json_object *out = json_object_new_array();
	for (size_t i = 0; i < json_len(v); i++) {
		json_object *rule = NULL;
		int rc = fields_check(rule_rows, COUNT(rule_rows), "",
				      json_object_array_get_idx(v, i), NULL, &rule, err);
		if (rc >= 0)
			(void)json_object_array_add(out, rule);
		if (rc >= 0 && !json_get(rule, "name") == !json_get(rule, "names"))
			rc = err_set(err, EINVAL, "exactly one of name and names is needed");
		if (rc >= 0 && !*json_str_or(rule, "action", ""))
			rc = err_set(err, EINVAL, "action is missing");
		if (rc < 0) {
			(void)err_prefix(err, "[%zu]", i);
			return rc;
		}
	}
	*ret = take_ptr(out);
	return 0;
}

static const struct field profile_rows[] = {
	{ "defaultAction", NULL, FIELD_STR, DEFAULT_EMPTY, .only_null = true,
	  .check = check_action },
	{ "defaultErrnoRet", NULL, FIELD_INT, DEFAULT_ABSENT, .only_null = true, .min = 0,
	  .max = 4095 },
	{ "architectures", NULL, FIELD_STRS, DEFAULT_ABSENT },
	{ "archMap", NULL, FIELD_OBJS, DEFAULT_ABSENT },
	{ "flags", NULL, FIELD_STRS, DEFAULT_ABSENT },
	{ "listenerPath", NULL, FIELD_STR, DEFAULT_ABSENT, .refuse = "yet" },
	{ "listenerMetadata", NULL, FIELD_STR, DEFAULT_ABSENT, .refuse = "yet" },
	{ "comment", NULL, FIELD_STR, DEFAULT_ABSENT, .check = check_comment },
	{ "syscalls", NULL, FIELD_OBJS, DEFAULT_ABSENT, .check = check_rules },
};

static int parse(const char *text, json_object **ret, struct err *err)
{
	size_t size = strlen(text);
	if (size > PROFILE_BYTES_MAX)
		return err_set(err, EINVAL, "the seccomp profile is larger than %d bytes",
			       PROFILE_BYTES_MAX);
	cleanup_json json_object *doc = NULL, *profile = NULL;
	int rc = json_parse(text, size, "seccomp profile", &doc, err);
	if (rc < 0)
		return rc;
	rc = fields_check(profile_rows, COUNT(profile_rows), "", doc, NULL, &profile, err);
	if (rc >= 0 && !*json_str_or(profile, "defaultAction", ""))
		rc = err_set(err, EINVAL, "defaultAction is missing");
	if (rc >= 0 && json_len(json_get(profile, "architectures")) &&
	    json_len(json_get(profile, "archMap")))
		rc = err_set(err, EINVAL, "architectures and archMap exclude each other");
	if (rc < 0) {
		(void)err_prefix(err, "seccomp");
		return rc;
	}
	*ret = take_ptr(profile);
	return 0;
}

int profile_check(const char *text, struct err *err)
{
	cleanup_json json_object *profile = NULL;
	return parse(text, &profile, err);
}

/* ---- conversion ---- */

static void target_init(struct target *t, uint64_t caps)
{
	struct utsname u = { 0 };
	(void)uname(&u);
	*t = (struct target){ .caps = caps, .go_name = u.machine, .scmp = "" };
	(void)sscanf(u.release, "%u.%u", &t->kernel[0], &t->kernel[1]);
	for (size_t i = 0; i < COUNT(arches); i++) {
		if (!strcmp(arches[i].machine, u.machine)) {
			t->go_name = arches[i].go_name;
			t->scmp = arches[i].scmp;
			return;
		}
	}
	t->go_name = "";
}

static bool has_string(json_object *a, const char *text)
{
	for (size_t i = 0; i < json_len(a); i++) {
		if (!strcmp(json_item_str(a, i), text))
			return true;
	}
	return false;
}

static size_t count_caps(json_object *names, uint64_t caps)
{
	size_t n = 0;
	for (size_t i = 0; i < json_len(names); i++) {
		int cap = caps_parse(json_item_str(names, i));
		n += cap >= 0 && (caps >> cap & 1);
	}
	return n;
}

static bool is_kernel_at_least(const struct target *t, const char *version)
{
	unsigned int major = 0, minor = 0;
	(void)sscanf(version, "%u.%u", &major, &minor);
	return t->kernel[0] > major || (t->kernel[0] == major && t->kernel[1] >= minor);
}

static bool applies(const struct target *t, json_object *rule)
{
	json_object *in = json_get(rule, "includes"), *ex = json_get(rule, "excludes");
	json_object *in_arches = json_get(in, "arches"), *in_caps = json_get(in, "caps");
	const char *in_kernel = json_str_or(in, "minKernel", NULL);
	const char *ex_kernel = json_str_or(ex, "minKernel", NULL);
	if (json_len(in_arches) && !has_string(in_arches, t->go_name))
		return false;
	if (count_caps(in_caps, t->caps) < json_len(in_caps))
		return false;
	if (in_kernel && !is_kernel_at_least(t, in_kernel))
		return false;
	if (has_string(json_get(ex, "arches"), t->go_name))
		return false;
	if (count_caps(json_get(ex, "caps"), t->caps))
		return false;
	return !ex_kernel || !is_kernel_at_least(t, ex_kernel);
}

static void copy(json_object *out, json_object *in, const char *key)
{
	json_object *v = json_get(in, key);
	if (v)
		json_add(out, key, json_object_get(v));
}

static json_object *convert_rule(json_object *rule)
{
	json_object *out = json_object_new_object();
	json_object *name = json_get(rule, "name");
	if (name) {
		json_object *names = json_object_new_array_ext(1);
		(void)json_object_array_add(names, json_object_get(name));
		json_add(out, "names", names);
	}
	static const char *const keys[] = { "names", "action", "errnoRet", "args" };
	for (size_t i = 0; i < COUNT(keys); i++)
		copy(out, rule, keys[i]);
	return out;
}

/* The row of archMap for this machine: it and its sub-architectures. */
static json_object *convert_arches(const struct target *t, json_object *map)
{
	json_object *out = json_object_new_array();
	for (size_t i = 0; i < json_len(map); i++) {
		json_object *row = json_object_array_get_idx(map, i);
		if (strcmp(json_str_or(row, "architecture", ""), t->scmp) != 0)
			continue;
		(void)json_object_array_add(out, json_object_new_string(t->scmp));
		json_object *sub = json_get(row, "subArchitectures");
		for (size_t k = 0; k < json_len(sub); k++)
			(void)json_object_array_add(
				out, json_object_get(json_object_array_get_idx(sub, k)));
	}
	return out;
}

int profile_convert(const char *text, uint64_t caps, json_object **ret, struct err *err)
{
	cleanup_json json_object *profile = NULL, *out = json_object_new_object();
	int rc = parse(text, &profile, err);
	if (rc < 0)
		return rc;
	struct target t;
	target_init(&t, caps);
	copy(out, profile, "defaultAction");
	copy(out, profile, "defaultErrnoRet");
	copy(out, profile, "flags");
	copy(out, profile, "architectures");
	if (json_get(profile, "archMap"))
		json_add(out, "architectures", convert_arches(&t, json_get(profile, "archMap")));
	json_object *rules = json_get(profile, "syscalls"), *syscalls = json_object_new_array();
	json_add(out, "syscalls", syscalls);
	for (size_t i = 0; i < json_len(rules); i++) {
		json_object *rule = json_object_array_get_idx(rules, i);
		if (applies(&t, rule))
			(void)json_object_array_add(syscalls, convert_rule(rule));
	}
	*ret = take_ptr(out);
	return 0;
}

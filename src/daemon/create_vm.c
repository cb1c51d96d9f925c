/* SPDX-License-Identifier: Apache-2.0 */
/* create_vm - a VmConfig (docs/openapi.json) made whole: its parts by their rows, and
 * defaults. Pure; in isolad. Every error names the field, down to
 * "Disks[1].Rate.Ops.Size". */
#include "create_vm.h"

#include "isola/fd.h"
#include "isola/json.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define KIB 1024ll
#define MIB (1024 * KIB)
#define GIB (1024 * MIB)

#define MEMORY_DEFAULT (128 * MIB)
#define DISKS_MAX      18
#define OTHERS_MAX     8 /* of each other kind of device */

/* ---- rates ---- */

static int check_bucket(json_object *rate, const char *key, const char *prefix, struct err *err)
{
	json_object *in = json_get(rate, key), *out = NULL;
	char inner[160];
	if (!in)
		return 0;
	(void)snprintf(inner, sizeof(inner), "%s%s.", prefix, key);
	int rc = create_vm_fields("Bucket", inner, in, NULL, &out, err);
	if (rc < 0)
		return rc;
	const char *missing = !json_i64_or(out, "Size", 0)       ? "Size"
			      : !json_i64_or(out, "RefillMs", 0) ? "RefillMs"
								 : NULL;
	json_add(rate, key, out);
	return missing ? err_set(err, EINVAL, "%s%s is missing", inner, missing) : 0;
}

/* Replaces item[key], if it is there, by what the rows make of it. */
int create_vm_rate(json_object *item, const char *key, const char *prefix, struct err *err)
{
	json_object *in = json_get(item, key), *out = NULL;
	char inner[128];
	if (!in)
		return 0;
	(void)snprintf(inner, sizeof(inner), "%s%s.", prefix, key);
	int rc = create_vm_fields("Rate", inner, in, NULL, &out, err);
	if (rc < 0)
		return rc;
	json_add(item, key, out);
	rc = check_bucket(out, "Bandwidth", inner, err);
	return rc < 0 ? rc : check_bucket(out, "Ops", inner, err);
}

/* ---- what a part's fields must agree on, and their defaults ---- */

static void default_str(json_object *o, const char *key, const char *value)
{
	if (!*json_str_or(o, key, ""))
		json_add_str(o, key, value);
}

static void default_i64(json_object *o, const char *key, int64_t value)
{
	if (!json_i64_or(o, key, 0))
		json_add_i64(o, key, value);
}

/* "vda" ... "vdz", or "net0" ... */
static void default_id(json_object *o, const char *stem, size_t i)
{
	char id[32];
	if (!strcmp(stem, "vd"))
		(void)snprintf(id, sizeof(id), "vd%c", (char)('a' + i));
	else
		(void)snprintf(id, sizeof(id), "%s%zu", stem, i);
	default_str(o, "Id", id);
}

/* Exactly one of two fields. */
static int one_of(json_object *o, const char *a, const char *b, const char *prefix, struct err *err)
{
	bool has_a = *json_str_or(o, a, ""), has_b = *json_str_or(o, b, "");
	if (has_a != has_b)
		return 0;
	return err_set(err, EINVAL,
		       has_a ? "%s%s and %s%s exclude each other" : "%s%s or %s%s is missing",
		       prefix, a, prefix, b);
}

static int complete_cpus(json_object *o, size_t i, const char *prefix, struct err *err)
{
	(void)i;
	default_i64(o, "Count", 1);
	default_i64(o, "ThreadsPerCore", 1);
	if (!json_get(o, "Template"))
		json_add_str(o, "Template", "host");
	int64_t n = json_i64_or(o, "Count", 1), threads = json_i64_or(o, "ThreadsPerCore", 1);
	int64_t cores = json_i64_or(o, "CoresPerSocket", 0);
	if (n % (threads * (cores ? cores : 1)))
		return err_set(err, EINVAL,
			       "%sCount: %lld is no multiple of ThreadsPerCore times "
			       "CoresPerSocket (%lld)",
			       prefix, (long long)n, (long long)(threads * (cores ? cores : 1)));
	if (json_len(json_get(o, "Affinity")) > (size_t)n)
		return err_set(err, EINVAL, "%sAffinity has more rows than there are vCPUs (%lld)",
			       prefix, (long long)n);
	return 0;
}

static int complete_memory(json_object *o, size_t i, const char *prefix, struct err *err)
{
	(void)i;
	default_i64(o, "Size", MEMORY_DEFAULT);
	default_str(o, "HugePages", "none");
	const char *pages = json_str_or(o, "HugePages", "");
	int64_t size = json_i64_or(o, "Size", 0);
	int64_t page = !strcmp(pages, "1G") ? GIB : !strcmp(pages, "2M") ? 2 * MIB : 4 * KIB;
	if (size % page)
		return err_set(err, EINVAL, "%sSize: %lld is no multiple of %lld, a page's size",
			       prefix, (long long)size, (long long)page);
	if (page > 4 * KIB && (json_bool_or(o, "Thp", false) || json_bool_or(o, "Merge", false)))
		return err_set(err, EINVAL, "%sThp and %sMerge do not go with %sHugePages", prefix,
			       prefix, prefix);
	return 0;
}

static int complete_disk(json_object *o, size_t i, const char *prefix, struct err *err)
{
	int rc = one_of(o, "Path", "Data", prefix, err);
	if (rc < 0)
		return rc;
	default_id(o, "vd", i);
	default_str(o, "Format", "raw");
	default_str(o, "Cache", "writeback");
	default_str(o, "Engine", "auto");
	default_i64(o, "Queues", 1);
	if (json_get(o, "Data"))
		json_add_bool(o, "ReadOnly", true);
	if (json_get(o, "Data") && !strcmp(json_str_or(o, "Cache", ""), "none"))
		return err_set(err, EINVAL, "%sCache: none does not go with %sData", prefix,
			       prefix);
	return create_vm_rate(o, "Rate", prefix, err);
}

static int complete_net(json_object *o, size_t i, const char *prefix, struct err *err)
{
	bool passt = json_bool_or(o, "Passt", false), tap = *json_str_or(o, "Tap", "");
	if (passt && (tap || *json_str_or(o, "Socket", "")))
		return err_set(err, EINVAL, "%sPasst goes with neither %sTap nor %sSocket", prefix,
			       prefix, prefix);
	int rc = passt ? 0 : one_of(o, "Tap", "Socket", prefix, err);
	if (rc < 0)
		return rc;
	default_id(o, "net", i);
	default_i64(o, "Queues", 1);
	if (!tap && json_i64_or(o, "Queues", 1) > 1)
		return err_set(err, EINVAL, "%sQueues: a socket has one", prefix);
	rc = create_vm_rate(o, "RateRx", prefix, err);
	return rc < 0 ? rc : create_vm_rate(o, "RateTx", prefix, err);
}

/* A folder, a volume, or what serves it already. */
static int check_share_source(json_object *o, const char *prefix, struct err *err)
{
	static const char *const keys[] = { "Path", "Volume", "Socket" };
	const char *found = NULL;
	for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
		if (!*json_str_or(o, keys[i], ""))
			continue;
		if (found)
			return err_set(err, EINVAL, "%s%s and %s%s exclude each other", prefix,
				       found, prefix, keys[i]);
		found = keys[i];
	}
	return found ? 0
		     : err_set(err, EINVAL, "%sPath, %sVolume or %sSocket is missing", prefix,
			       prefix, prefix);
}

static int complete_share(json_object *o, size_t i, const char *prefix, struct err *err)
{
	(void)i;
	if (!*json_str_or(o, "Tag", ""))
		return err_set(err, EINVAL, "%sTag is missing", prefix);
	default_i64(o, "Queues", 1);
	if (*json_str_or(o, "Socket", "") && json_bool_or(o, "ReadOnly", false))
		return err_set(err, EINVAL, "%sReadOnly is for whoever serves %sSocket to say",
			       prefix, prefix);
	return check_share_source(o, prefix, err);
}

static int complete_pmem(json_object *o, size_t i, const char *prefix, struct err *err)
{
	default_id(o, "pmem", i);
	if (!*json_str_or(o, "Path", ""))
		return err_set(err, EINVAL, "%sPath is missing", prefix);
	if (!json_bool_or(o, "ReadOnly", true))
		return err_set(err, EINVAL,
			       "%sReadOnly: pmem is for images that nobody writes; use a disk",
			       prefix);
	return 0;
}

static int complete_console(json_object *o, size_t i, const char *prefix, struct err *err)
{
	(void)prefix;
	(void)err;
	default_id(o, "console", i);
	return 0;
}

static int complete_vsock(json_object *o, size_t i, const char *prefix, struct err *err)
{
	(void)i;
	(void)prefix;
	(void)err;
	default_i64(o, "Cid", 3);
	return 0;
}

static int complete_rng(json_object *o, size_t i, const char *prefix, struct err *err)
{
	(void)i;
	return create_vm_rate(o, "Rate", prefix, err);
}

static int complete_watchdog(json_object *o, size_t i, const char *prefix, struct err *err)
{
	(void)i;
	(void)prefix;
	(void)err;
	default_str(o, "Action", "reset");
	return 0;
}

/* @complete gets what the rows made of it; @prefix ends with a dot. */
static const struct part {
	const char *key;
	size_t max; /* items of an array; 0: one object */
	int (*complete)(json_object *o, size_t i, const char *prefix, struct err *err);
} parts[] = {
	{ "Cpus", 0, complete_cpus },
	{ "Memory", 0, complete_memory },
	{ "Disks", DISKS_MAX, complete_disk },
	{ "Nets", OTHERS_MAX, complete_net },
	{ "Shares", OTHERS_MAX, complete_share },
	{ "Pmem", OTHERS_MAX, complete_pmem },
	{ "Consoles", OTHERS_MAX, complete_console },
	{ "Vsock", 0, complete_vsock },
	{ "Balloon", 0, NULL },
	{ "Rng", 0, complete_rng },
	{ "Watchdog", 0, complete_watchdog },
	{ "Limits", 0, NULL },
};
#define N_PARTS (sizeof(parts) / sizeof(parts[0]))

static int check_item(struct create *c, const struct part *part, json_object *in, size_t i,
		      json_object **ret, struct err *err)
{
	char prefix[64];
	cleanup_json json_object *out = NULL;
	if (part->max)
		(void)snprintf(prefix, sizeof(prefix), "%s[%zu].", part->key, i);
	else
		(void)snprintf(prefix, sizeof(prefix), "%s.", part->key);
	int rc = create_vm_fields(part->key, prefix, in, c, &out, err);
	if (rc >= 0 && part->complete)
		rc = part->complete(out, i, prefix, err);
	if (rc < 0)
		return rc;
	*ret = take_ptr(out);
	return 0;
}

static int check_array(struct create *c, const struct part *part, json_object *in,
		       json_object **ret, struct err *err)
{
	if (json_len(in) > part->max)
		return err_set(err, EINVAL, "%s: at most %zu", part->key, part->max);
	cleanup_json json_object *list = json_object_new_array();
	for (size_t i = 0; i < json_len(in); i++) {
		json_object *item = NULL;
		int rc = check_item(c, part, json_object_array_get_idx(in, i), i, &item, err);
		if (rc < 0)
			return rc;
		if (!list || json_object_array_add(list, item) < 0) {
			json_object_put(item);
			return err_set(err, ENOMEM, "out of memory");
		}
	}
	*ret = take_ptr(list);
	return 0;
}

/* Replaces each part by what its rows make of it. */
static int check_parts(struct create *c, json_object *config, struct err *err)
{
	for (size_t i = 0; i < N_PARTS; i++) {
		json_object *in = json_get(config, parts[i].key), *out = NULL;
		if (!in || json_object_is_type(in, json_type_boolean))
			continue;
		int rc = parts[i].max ? check_array(c, &parts[i], in, &out, err)
				      : check_item(c, &parts[i], in, 0, &out, err);
		if (rc < 0)
			return rc;
		json_add(config, parts[i].key, out);
	}
	return 0;
}

int create_vm_limits(struct create *c, json_object *in, json_object **ret, struct err *err)
{
	return create_vm_fields("Limits", "Limits.", in, c, ret, err);
}

int create_vm_normalise(const struct create_env *env, json_object *body, json_object *warnings,
			json_object **ret, struct err *err)
{
	struct create c = { .env = env, .warnings = warnings };
	cleanup_json json_object *config = NULL;
	if (!json_object_is_type(body, json_type_object))
		return err_set(err, EINVAL, "the body must be a JSON object");
	int rc = create_vm_fields("", "", body, &c, &config, err);
	if (rc >= 0)
		rc = check_parts(&c, config, err);
	if (rc < 0)
		return rc;
	default_str(config, "Seccomp", "kill");
	default_str(config, "NetworkMode", "none");
	default_i64(config, "NetworkQueues", 1);
	create_complete_restart(config);
	rc = create_complete_log_config(&c, config, err);
	if (rc >= 0)
		rc = create_vm_agree(config, err);
	if (rc < 0)
		return rc;
	*ret = take_ptr(config);
	return 0;
}

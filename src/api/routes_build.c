/* SPDX-License-Identifier: Apache-2.0 */
/* routes_build - POST /build of the classic builder: the query becomes what the build
 * job is told and what containers of RUN are limited by; the context goes the way of
 * image archives (upload.c). Docker Engine API 1.47, "Build an image". isolad, loop
 * thread. */
#include "routes.h"

#include "isola/json.h"

#include <errno.h>
#include <string.h>

/* ---- what the job is told ---- */

static bool is_absent(const char *text)
{
	return !text || !*text || !strcmp(text, "null") || !strcmp(text, "[]") ||
	       !strcmp(text, "{}");
}

/* A parameter that is a JSON object or array; *@ret stays NULL when it is absent. */
static int json_parameter(const struct exchange *x, const char *key, enum json_type type,
			  json_object **ret, struct err *err)
{
	const char *text = query_get(&x->query, key);
	cleanup_json json_object *o = NULL;
	if (is_absent(text))
		return 0;
	int rc = json_parse(text, strlen(text), key, &o, err);
	if (rc == 0 && !json_object_is_type(o, type))
		rc = err_set(err, EINVAL, "%s must be a JSON %s", key,
			     type == json_type_object ? "object" : "array");
	if (rc == 0)
		*ret = json_object_get(o);
	return rc;
}

/* Of strings, or null where @nulls. */
static int check_members(json_object *o, const char *key, bool nulls, struct err *err)
{
	if (!o)
		return 0;
	json_object_object_foreach (o, name, value)
		if (!json_object_is_type(value, json_type_string) && !(nulls && !value))
			return err_set(err, EINVAL, "%s: %.100s must be a string", key, name);
	return 0;
}

static int add_maps(const struct exchange *x, json_object *spec, struct err *err)
{
	json_object *args = NULL, *labels = NULL;
	int rc = json_parameter(x, "buildargs", json_type_object, &args, err);
	json_add(spec, "args", args);
	if (rc == 0)
		rc = check_members(args, "buildargs", true, err);
	if (rc == 0)
		rc = json_parameter(x, "labels", json_type_object, &labels, err);
	json_add(spec, "labels", labels);
	return rc < 0 ? rc : check_members(labels, "labels", false, err);
}

/* What a builder might do and this one does not. */
static int check_refused(const struct exchange *x, struct err *err)
{
	static const struct {
		const char *key, *flag;
	} rows[] = {
		{ "remote", "a remote context (URL)" }, { "outputs", "--output" },
		{ "cachefrom", "--cache-from" },        { "securityopt", "--security-opt" },
		{ "session", "a BuildKit session" },
	};
	const char *version = query_get(&x->query, "version");
	if (version && *version && strcmp(version, "1") != 0)
		return err_set(err, EOPNOTSUPP,
			       "BuildKit is not supported: build with DOCKER_BUILDKIT=0");
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		if (!is_absent(query_get(&x->query, rows[i].key)))
			return err_set(err, EOPNOTSUPP, "%s is not supported (parameter %s)",
				       rows[i].flag, rows[i].key);
	return 0;
}

static int make_spec(const struct exchange *x, json_object *spec, struct err *err)
{
	static const struct {
		const char *key, *name;
		bool fallback;
	} flags[] = {
		{ "nocache", "no_cache", false }, { "pull", "pull", false },
		{ "q", "quiet", false },          { "rm", "rm", true },
		{ "forcerm", "force_rm", false },
	};
	const char *file = query_get(&x->query, "dockerfile");
	const char *target = query_get(&x->query, "target");
	const char *platform = query_get(&x->query, "platform");
	int rc = check_refused(x, err);
	for (size_t i = 0; i < sizeof(flags) / sizeof(flags[0]); i++)
		json_add_bool(spec, flags[i].name,
			      request_bool(x, flags[i].key, flags[i].fallback));
	json_add_str(spec, "dockerfile", file && *file ? file : "Dockerfile");
	if (target && *target)
		json_add_str(spec, "target", target);
	if (platform && *platform)
		json_add_str(spec, "platform", platform);
	if (rc == 0)
		rc = add_maps(x, spec, err);
	json_add(spec, "tags", query_list(x, "t"));
	return rc;
}

/* ---- what limits a RUN ---- */

static int add_limits(const struct exchange *x, json_object *host, struct err *err)
{
	static const struct {
		const char *key, *name;
	} numbers[] = {
		{ "memory", "Memory" },	      { "memswap", "MemorySwap" },
		{ "cpushares", "CpuShares" }, { "cpuperiod", "CpuPeriod" },
		{ "cpuquota", "CpuQuota" },   { "shmsize", "ShmSize" },
	}, texts[] = {
		{ "cpusetcpus", "CpusetCpus" },
		{ "cpusetmems", "CpusetMems" },
		{ "cgroupparent", "CgroupParent" },
	};
	for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) {
		int64_t v = 0;
		int rc = request_i64(x, numbers[i].key, -1, INT64_MAX, 0, &v, err);
		if (rc < 0)
			return rc;
		if (v)
			json_add_i64(host, numbers[i].name, v);
	}
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		const char *text = query_get(&x->query, texts[i].key);
		if (text && *text)
			json_add_str(host, texts[i].name, text);
	}
	return 0;
}

static int make_host_config(const struct exchange *x, json_object *host, struct err *err)
{
	static const char *const lists[][2] = { { "ulimits", "Ulimits" },
						{ "extrahosts", "ExtraHosts" } };
	const char *network = query_get(&x->query, "networkmode");
	const char *isolation = query_get(&x->query, "isolation");
	json_object *log = json_object_new_object();
	json_add_str(log, "Type", "none");
	json_add(host, "LogConfig", log);
	if (network && *network && strcmp(network, "default") != 0)
		json_add_str(host, "NetworkMode", network);
	if (isolation && *isolation && strcmp(isolation, "default") != 0)
		json_add_str(host, "Isolation", isolation);
	int rc = add_limits(x, host, err);
	for (size_t i = 0; rc == 0 && i < 2; i++) {
		json_object *list = NULL;
		rc = json_parameter(x, lists[i][0], json_type_array, &list, err);
		if (list)
			json_add(host, lists[i][1], list);
	}
	return rc;
}

void images_build(struct exchange *x)
{
	struct err err = ERR_INIT;
	cleanup_json json_object *spec = json_object_new_object();
	cleanup_json json_object *host = json_object_new_object();
	int rc = spec && host ? make_spec(x, spec, &err) : err_set(&err, ENOMEM, "out of memory");
	if (rc == 0)
		rc = make_host_config(x, host, &err);
	const struct image_build build = { .spec = spec,
					   .host_config = host,
					   .auth = x->registry_auth.text };
	if (rc < 0)
		reply_err(x, &err);
	else
		upload_build(x, &build);
}

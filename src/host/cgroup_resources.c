/* SPDX-License-Identifier: Apache-2.0 */
/* cgroup_resources - linux.resources of the runtime-spec as files of cgroup v2
 * (config-linux.md "Control groups"; cgroup-v2.rst). Pure: no host is touched.
 * Conversions from v1 follow runc, so that a limit means the same everywhere. */
#include "cgroup_limits.h"

#include "isola/cgroup.h"
#include "isola/json.h"

#include "cgroup_file.h"
#include "cgroup_reader.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PERIOD_MIN 1000 /* us, as the kernel */
#define PERIOD_MAX 1000000

#define CPU_WEIGHT_USUAL 100 /* the kernel's default */

uint64_t limits_cpu_weight(uint64_t shares)
{
	if (shares == 0)
		return 0;
	if (shares <= 2)
		return 1;
	if (shares >= 262144)
		return 10000;
	/* Meets least, default (1024 -> 100) and greatest of both. */
	double l = log2((double)shares);
	return (uint64_t)ceil(pow(10, (l * l + 125 * l) / 612.0 - 7.0 / 34.0));
}

/* ---- memory ------------------------------------------------------------ */

/* v1 counted memory and swap together. @ret: -1 = unlimited, -2 = leave. */
static int convert_swap(struct reader *r, int64_t limit, int64_t swap, int64_t *ret)
{
	*ret = -2;
	if (swap == 0) /* unlimited memory without a word on swap means both, as in v1 */
		*ret = limit == -1 ? -1 : -2;
	else if (swap == -1 || limit == -1)
		*ret = swap;
	else if (limit == 0)
		return reader_bad(r,
				  "memory.swap: needs memory.limit, as it counts memory and swap");
	else if (swap < limit)
		return reader_bad(r,
				  "memory.swap: must not be below memory.limit, as it counts both");
	else
		*ret = swap - limit;
	return 0;
}

/* What v1 had and v2 has not; "unlimited" and "off" are no demands. */
static int refuse_memory_v1(struct reader *r, json_object *o)
{
	static const char *const sizes[] = { "kernel", "kernelTCP" };
	for (size_t i = 0; i < 2; i++) {
		int64_t n = 0;
		if (reader_number(r, o, "memory", sizes[i], -1, INT64_MAX, &n) < 0)
			return -EINVAL;
		if (n > 0)
			return reader_cannot(r, i ? "memory.kernelTCP" : "memory.kernel",
					     "cgroup v2 counts kernel memory in the memory limit");
	}
	int64_t swappiness = 0;
	int rc = reader_number(r, o, "memory", "swappiness", -1, 100, &swappiness);
	if (rc < 0)
		return rc;
	if (rc > 0 && swappiness >= 0)
		return reader_cannot(r, "memory.swappiness", "cgroup v2 has none for a cgroup");
	bool off = false, hierarchy = true;
	if (reader_bool(r, o, "memory", "disableOOMKiller", &off) < 0 ||
	    reader_bool(r, o, "memory", "useHierarchy", &hierarchy) < 0)
		return -EINVAL;
	if (off)
		return reader_cannot(r, "memory.disableOOMKiller", "cgroup v2 cannot do that");
	if (!hierarchy)
		return reader_cannot(r, "memory.useHierarchy", "cgroup v2 is always hierarchical");
	return 0;
}

static int read_memory(struct reader *r, json_object *o)
{
	int64_t limit = 0, swap = 0, low = 0, swap_only = -2;
	bool check = false;
	if (reader_number(r, o, "memory", "limit", -1, INT64_MAX, &limit) < 0 ||
	    reader_number(r, o, "memory", "swap", -1, INT64_MAX, &swap) < 0 ||
	    reader_number(r, o, "memory", "reservation", -1, INT64_MAX, &low) < 0 ||
	    reader_bool(r, o, "memory", "checkBeforeUpdate", &check) < 0 ||
	    convert_swap(r, limit, swap, &swap_only) < 0)
		return -EINVAL;
	int rc = refuse_memory_v1(r, o);
	if (rc == 0 && swap_only != -2) {
		/* Without swap accounting 0 and max hold anyway. */
		rc = reader_add_number(r, swap_only < 0 ? LIMIT_NONE : LIMIT_PLAIN,
				       "memory.swap.max", "swap limit", swap_only);
		if (rc == 0 && swap_only <= 0)
			r->limits->items[r->limits->n - 1].optional = true;
	}
	if (rc == 0 && limit)
		rc = reader_add_number(r, limit < 0 ? LIMIT_NONE : LIMIT_PLAIN, "memory.max",
				       "memory limit", limit);
	if (rc == 0 && low) /* v1: no soft limit; v2: nothing is protected */
		rc = reader_add_number(r, low < 0 ? LIMIT_NONE : LIMIT_PLAIN, "memory.low",
				       "memory reservation", low < 0 ? 0 : low);
	if (check && limit > 0)
		r->limits->check_usage = limit;
	return rc;
}

/* ---- cpu, cpuset, pids -------------------------------------------------- */

/* "0-3,7": digits, ranges, commas. */
static bool is_cpu_list(const char *s)
{
	for (;;) {
		size_t n = strspn(s, "0123456789");
		s += n;
		if (n == 0 || n > 6)
			return false;
		if (*s == '-') {
			n = strspn(++s, "0123456789");
			s += n;
			if (n == 0 || n > 6)
				return false;
		}
		if (!*s)
			return true;
		if (*s++ != ',')
			return false;
	}
}

static int read_cpuset(struct reader *r, json_object *o, const char *key, const char *file,
		       const char *name)
{
	const char *text = NULL;
	struct err err = ERR_INIT;
	int rc = json_get_str(o, key, &text, &err);
	if (rc < 0)
		return reader_bad(r, "cpu.%s: must be a string", key);
	if (rc == 0 || !*text)
		return 0;
	if (!is_cpu_list(text) || strlen(text) >= RESOURCES_VALUE_MAX)
		return reader_bad(r, "cpu.%s: \"%.60s\" is no list like \"0-3,7\"", key, text);
	char what[96];
	(void)snprintf(what, sizeof(what), "%s %.60s", name, text);
	return reader_add(r, LIMIT_PLAIN, file, text, what) ? 0 : -ENOMEM;
}

/* An absent part of cpu.max stays as it is; the kernel takes a quota alone. */
static int add_cpu_max(struct reader *r, int64_t quota, int64_t period)
{
	char value[64], what[96];
	if (quota > 0 && quota < PERIOD_MIN)
		return reader_bad(r, "cpu.quota: must be at least %d us, or -1", PERIOD_MIN);
	if (period && (period < PERIOD_MIN || period > PERIOD_MAX))
		return reader_bad(r, "cpu.period: must be %d to %d us", PERIOD_MIN, PERIOD_MAX);
	if (quota == 0) {
		(void)snprintf(value, sizeof(value), "%" PRId64, period);
		(void)snprintf(what, sizeof(what), "CPU period %" PRId64 " us", period);
		return reader_add(r, LIMIT_PERIOD, "cpu.max", value, what) ? 0 : -ENOMEM;
	}
	int n = quota > 0 ? snprintf(value, sizeof(value), "%" PRId64, quota)
			  : snprintf(value, sizeof(value), "max");
	if (period)
		(void)snprintf(value + n, sizeof(value) - (size_t)n, " %" PRId64, period);
	(void)snprintf(what, sizeof(what), "CPU quota %s", value);
	return reader_add(r, quota > 0 ? LIMIT_PLAIN : LIMIT_NONE, "cpu.max", value, what)
		       ? 0
		       : -ENOMEM;
}

static int read_cpu_max(struct reader *r, json_object *o)
{
	int64_t quota = 0, period = 0, burst = -1;
	if (reader_number(r, o, "cpu", "quota", -1, INT64_MAX / 1000, &quota) < 0 ||
	    reader_number(r, o, "cpu", "period", 0, INT64_MAX / 1000, &period) < 0 ||
	    reader_number(r, o, "cpu", "burst", 0, INT64_MAX / 1000, &burst) < 0)
		return -EINVAL;
	if (quota > 0 && burst > quota)
		return reader_bad(r, "cpu.burst: must not be above cpu.quota");
	int rc = 0;
	if (burst >= 0)
		rc = reader_add_number(r, burst ? LIMIT_BURST : LIMIT_NONE, "cpu.max.burst",
				       "CPU burst", burst);
	if (rc == 0 && (quota || period))
		rc = add_cpu_max(r, quota, period);
	return rc;
}

static int read_cpu(struct reader *r, json_object *o)
{
	int64_t shares = 0, idle = -1, rt = 0;
	static const char *const realtime[] = { "realtimeRuntime", "realtimePeriod" };
	for (size_t i = 0; i < 2; i++) {
		if (reader_number(r, o, "cpu", realtime[i], INT64_MIN, INT64_MAX, &rt) < 0)
			return -EINVAL;
		if (rt)
			return reader_cannot(r, i ? "cpu.realtimePeriod" : "cpu.realtimeRuntime",
					     "cgroup v2 has no real-time limits");
	}
	if (reader_number(r, o, "cpu", "shares", 0, INT64_MAX, &shares) < 0 ||
	    reader_number(r, o, "cpu", "idle", 0, 1, &idle) < 0)
		return -EINVAL;
	if (idle == 1 && shares)
		return reader_bad(r, "cpu.idle: 1 and cpu.shares exclude each other");
	int rc = 0;
	if (idle >= 0)
		rc = reader_add_number(r, idle ? LIMIT_PLAIN : LIMIT_NONE, "cpu.idle",
				       "CPU idle class", idle);
	/* containerd asks for the usual weight of everybody. */
	int64_t weight = shares ? (int64_t)limits_cpu_weight((uint64_t)shares) : 0;
	if (rc == 0 && weight)
		rc = reader_add_number(r, weight == CPU_WEIGHT_USUAL ? LIMIT_NONE : LIMIT_PLAIN,
				       "cpu.weight", "CPU weight", weight);
	if (rc < 0 || (rc = read_cpu_max(r, o)) < 0 ||
	    (rc = read_cpuset(r, o, "cpus", "cpuset.cpus", "CPU set")) < 0)
		return rc;
	return read_cpuset(r, o, "mems", "cpuset.mems", "memory node set");
}

static int read_pids(struct reader *r, json_object *o)
{
	int64_t limit = 0;
	int rc = reader_number(r, o, "pids", "limit", -1, INT64_MAX, &limit);
	if (rc <= 0)
		return rc;
	/* Podman and others write 0 for "no limit", as runc and crun take it. */
	return reader_add_number(r, limit <= 0 ? LIMIT_NONE : LIMIT_PLAIN, "pids.max",
				 "process limit", limit <= 0 ? -1 : limit);
}

static int refuse_network(struct reader *r, json_object *o)
{
	int64_t class = 0;
	if (reader_number(r, o, "network", "classID", 0, UINT32_MAX, &class) < 0)
		return -EINVAL;
	if (class)
		return reader_cannot(r, "network.classID", "cgroup v2 has no net_cls");
	if (json_len(json_get(o, "priorities")))
		return reader_cannot(r, "network.priorities", "cgroup v2 has no net_prio");
	return 0;
}

/* ---- all --------------------------------------------------------------- */

static const struct {
	const char *key;
	enum json_type type;
	int (*read)(struct reader *r, json_object *o);
} sections[] = {
	{ "memory", json_type_object, read_memory },
	{ "cpu", json_type_object, read_cpu },
	{ "pids", json_type_object, read_pids },
	{ "blockIO", json_type_object, reader_block_io },
	{ "hugepageLimits", json_type_array, reader_huge_pages },
	{ "rdma", json_type_object, reader_rdma },
	{ "network", json_type_object, refuse_network },
	{ "unified", json_type_object, reader_unified }, /* last: it has the last word */
};

static int section_of(struct reader *r, json_object *o, const char *key, enum json_type type,
		      json_object **ret)
{
	json_object *v = json_get(o, key);
	if (!v)
		return 0;
	if (!json_object_is_type(v, type))
		return reader_bad(r, "%s: must be an %s", key,
				  type == json_type_object ? "object" : "array");
	*ret = v;
	return 1;
}

int limits_parse(json_object *resources, struct limits *ret, struct err *err)
{
	struct reader r = { .limits = ret, .err = err };
	if (!json_object_is_type(resources, json_type_object))
		return err_set(err, EINVAL, "resources: must be an object");
	for (size_t i = 0; i < sizeof(sections) / sizeof(sections[0]); i++) {
		json_object *o = NULL;
		int rc = section_of(&r, resources, sections[i].key, sections[i].type, &o);
		if (rc > 0)
			rc = sections[i].read(&r, o);
		if (rc < 0)
			return rc;
	}
	return 0;
}

void limits_fini(struct limits *limits)
{
	for (size_t i = 0; i < limits->n; i++) {
		free(limits->items[i].value);
		free(limits->items[i].alt_value);
	}
	free(limits->items);
	*limits = (struct limits)LIMITS_INIT;
}

int cgroup_resources_check(json_object *resources, struct err *err)
{
	struct limits limits = LIMITS_INIT;
	int rc = limits_parse(resources, &limits, err);
	limits_fini(&limits);
	return rc;
}

void cgroup_wanted(json_object *resources, char ret[CGROUP_WANT_BYTES])
{
	struct limits limits = LIMITS_INIT;
	size_t len = 0;
	*ret = '\0';
	if (resources)
		(void)limits_parse(resources, &limits, NULL);
	for (size_t i = 0; i < limits.n; i++) {
		const char *name = limits.items[i].controller;
		size_t n = strlen(name);
		if (n && !cgroup_has_word(ret, name, n) && len + n + 2 < CGROUP_WANT_BYTES)
			len += (size_t)snprintf(ret + len, CGROUP_WANT_BYTES - len, "%s%s",
						len ? " " : "", name);
	}
	limits_fini(&limits);
}

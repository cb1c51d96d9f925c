/* SPDX-License-Identifier: Apache-2.0 */
/* create_limits - resource limits of a HostConfig: ranges, grammar, whether
 * this host's cgroup v2 can enforce them, and how they agree with one another.
 * Pure, in isolad. A limit that cannot be enforced is refused here, where the
 * user can still read it (cgroup-v2.rst; Docker's Resources). */
#include "create_priv.h"
#include "place.h"

#include "isola/fd.h"
#include "isola/json.h"

#include <ctype.h>
#include <errno.h>
#include <limits.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MEMORY_MIN (64 * 1024)

/* What people would type for @bytes. */
static const char *format_size(int64_t bytes, char *buf, size_t size)
{
	static const char units[] = "bkmgt";
	unsigned int u = 0;
	while (bytes && bytes % 1024 == 0 && units[u + 1]) {
		bytes /= 1024;
		u++;
	}
	(void)snprintf(buf, size, "%lld%c", (long long)bytes, units[u]);
	return buf;
}

static int require(const struct create *c, const char *controller, const char *value,
		   struct err *err)
{
	if (place_has(c->env->controllers, controller))
		return 0;
	return err_set(err, EOPNOTSUPP,
		       "cannot enforce %.64s: this host's cgroup v2 has no %s controller (see "
		       "docs/hosts.md)",
		       value, controller);
}

static int require_number(const struct create *c, const struct field *row, json_object *v,
			  struct err *err)
{
	return require(c, row->tag, json_object_get_string(v), err);
}

/* @value is what a person would type. */
static int require_soon(const struct create *c, const struct field *row, const char *value,
			struct err *err)
{
	return c->limits_later ? 0 : require(c, row->tag, value, err);
}

int create_limit(void *arg, const struct field *row, json_object *v, json_object **ret,
		 struct err *err)
{
	int rc = require_number(arg, row, v, err);
	if (rc >= 0)
		*ret = json_object_get(v);
	return rc;
}

/* ---- memory ---- */

int create_memory(void *arg, const struct field *row, json_object *v, json_object **ret,
		  struct err *err)
{
	int64_t bytes = json_object_get_int64(v);
	char text[32];
	if (bytes < MEMORY_MIN)
		return err_set(err, EINVAL, "%lld bytes is below the minimum of %d KiB",
			       (long long)bytes, MEMORY_MIN / 1024);
	(void)format_size(bytes, text, sizeof(text));
	/* MemoryReservation is no guest's. */
	bool later = !strcmp(row->name, "Memory");
	int rc = later ? require_soon(arg, row, text, err) : require(arg, row->tag, text, err);
	if (rc >= 0)
		*ret = json_object_get(v);
	return rc;
}

int create_swap(void *arg, const struct field *row, json_object *v, json_object **ret,
		struct err *err)
{
	int64_t bytes = json_object_get_int64(v);
	char text[32];
	if (bytes < -1)
		return err_set(err, EINVAL, "%lld is neither a size nor -1 (no limit)",
			       (long long)bytes);
	int rc =
		bytes < 0 ? 0 : require_soon(arg, row, format_size(bytes, text, sizeof(text)), err);
	if (rc >= 0)
		*ret = json_object_get(v);
	return rc;
}

int create_swappiness(void *arg, const struct field *row, json_object *v, json_object **ret,
		      struct err *err)
{
	(void)arg;
	(void)row;
	(void)ret;
	if (json_object_get_int64(v) == -1)
		return 0;
	return err_set(err, EOPNOTSUPP, "cgroup v2 has no swappiness of its own; only -1 is taken");
}

/* ---- cpu ---- */

static const char *format_cpus(int64_t nano, char *buf, size_t size)
{
	(void)snprintf(buf, size, "%lld.%02lld", (long long)(nano / 1000000000),
		       (long long)(nano % 1000000000 / 10000000));
	return buf;
}

int create_nano_cpus(void *arg, const struct field *row, json_object *v, json_object **ret,
		     struct err *err)
{
	struct create *c = arg;
	unsigned int cpus = c->env->cpus();
	int64_t nano = json_object_get_int64(v), most = (int64_t)cpus * 1000000000;
	if (nano < 10000000 || nano > most)
		return err_set(err, EINVAL,
			       "range of CPUs is from 0.01 to %u.00, as there are only %u CPUs "
			       "available",
			       cpus, cpus);
	char text[32];
	int rc = require_soon(c, row, format_cpus(nano, text, sizeof(text)), err);
	if (rc >= 0)
		*ret = json_object_get(v);
	return rc;
}

/* Negative: no limit, as Docker has it. */
int create_quota(void *arg, const struct field *row, json_object *v, json_object **ret,
		 struct err *err)
{
	int64_t quota = json_object_get_int64(v);
	if (quota < 0)
		return 0;
	if (quota < 1000)
		return err_set(err, EINVAL, "CPU cfs quota can not be less than 1ms (i.e. 1000)");
	return create_limit(arg, row, v, ret, err);
}

/* One "a" or "a-b" of a cpuset list; the end of it, or NULL. */
static const char *parse_span(const char *p, unsigned long *ret_last)
{
	char *end;
	if (!isdigit((unsigned char)*p))
		return NULL;
	unsigned long first = strtoul(p, &end, 10), last = first;
	if (*end == '-') {
		if (!isdigit((unsigned char)end[1]))
			return NULL;
		last = strtoul(end + 1, &end, 10);
	}
	if (last < first || last >= CPU_SETSIZE || (*end && *end != ','))
		return NULL;
	*ret_last = last;
	return end;
}

/* Highest number of a list like "0-3,7" (cpuset(7), List format), or -1. */
static long last_of_list(const char *list)
{
	unsigned long most = 0;
	for (const char *p = list;;) {
		unsigned long last;
		p = parse_span(p, &last);
		if (!p)
			return -1;
		if (last > most)
			most = last;
		if (!*p)
			return (long)most;
		p++;
	}
}

int create_cpuset(void *arg, const struct field *row, json_object *v, json_object **ret,
		  struct err *err)
{
	struct create *c = arg;
	const char *list = json_object_get_string(v);
	long last = last_of_list(list);
	if (last < 0)
		return err_set(err, EINVAL, "'%.64s' is no list like 0-2,4", list);
	int rc = require(c, "cpuset", list, err);
	if (rc < 0)
		return rc;
	unsigned int cpus = strcmp(row->name, "CpusetCpus") ? UINT_MAX : c->env->cpus();
	if ((unsigned long)last >= cpus)
		return err_set(err, EINVAL,
			       "Requested CPUs are not available - requested %.64s, available: "
			       "0-%u",
			       list, cpus - 1);
	*ret = json_object_get(v);
	return 0;
}

/* ---- pids, block I/O ---- */

int create_pids(void *arg, const struct field *row, json_object *v, json_object **ret,
		struct err *err)
{
	int64_t limit = json_object_get_int64(v);
	if (limit < 0) {
		*ret = json_object_new_int64(-1);
		return *ret ? 0 : err_set(err, ENOMEM, "out of memory");
	}
	int rc = require_soon(arg, row, json_object_get_string(v), err);
	if (rc >= 0)
		*ret = json_object_get(v);
	return rc;
}

static const char *format_number(int64_t value, char *buf, size_t size)
{
	(void)snprintf(buf, size, "%lld", (long long)value);
	return buf;
}

/* Items {"Path","Weight"|"Rate"}; the device is looked up when it starts. */
static int check_device_items(const struct create *c, const struct field *row, json_object *v,
			      const char *key, int64_t min, int64_t max, struct err *err)
{
	for (size_t i = 0; i < json_len(v); i++) {
		json_object *item = json_object_array_get_idx(v, i);
		const char *path = NULL;
		int64_t value = 0;
		int rc = json_get_str(item, "Path", &path, err);
		if (rc >= 0)
			rc = json_get_i64(item, key, &value, err);
		if (rc >= 0 && (!path || *path != '/'))
			rc = err_set(err, EINVAL, "[%zu].Path must be an absolute path", i);
		if (rc >= 0 && (value < min || value > max))
			rc = err_set(err, EINVAL, "[%zu].%s: %lld is not between %lld and %lld", i,
				     key, (long long)value, (long long)min, (long long)max);
		if (rc >= 0)
			rc = require(c, row->tag, path, err);
		if (rc < 0)
			return rc;
	}
	return 0;
}

int create_weight_devices(void *arg, const struct field *row, json_object *v, json_object **ret,
			  struct err *err)
{
	int rc = check_device_items(arg, row, v, "Weight", 10, 1000, err);
	if (rc >= 0)
		*ret = json_object_get(v);
	return rc;
}

int create_throttle(void *arg, const struct field *row, json_object *v, json_object **ret,
		    struct err *err)
{
	int rc = check_device_items(arg, row, v, "Rate", 1, INT64_MAX, err);
	if (rc >= 0)
		*ret = json_object_get(v);
	return rc;
}

/* ---- rlimits ---- */

/* getrlimit(2), as "ulimit" names them in Docker. */
static const char *const ulimit_names[] = {
	"as",   "core",   "cpu",   "data", "fsize",  "locks",  "memlock",    "msgqueue",
	"nice", "nofile", "nproc", "rss",  "rtprio", "rttime", "sigpending", "stack",
};

static bool is_ulimit(const char *name)
{
	for (size_t i = 0; i < sizeof(ulimit_names) / sizeof(ulimit_names[0]); i++) {
		if (!strcmp(ulimit_names[i], name))
			return true;
	}
	return false;
}

/* -1 stands for "unlimited", so as unsigned it is the largest. */
static int check_ulimit(json_object *item, struct err *err)
{
	static const struct field rows[] = {
		{ "Name", NULL, FIELD_STR, DEFAULT_EMPTY },
		{ "Soft", NULL, FIELD_INT, DEFAULT_0, .min = -1, .max = INT64_MAX },
		{ "Hard", NULL, FIELD_INT, DEFAULT_0, .min = -1, .max = INT64_MAX },
	};
	cleanup_json json_object *limit = NULL;
	int rc = fields_check(rows, 3, "", item, NULL, &limit, err);
	if (rc < 0)
		return rc;
	const char *name = json_str_or(limit, "Name", "");
	if (!is_ulimit(name))
		return err_set(err, EINVAL, "invalid ulimit type: '%.32s'", name);
	int64_t soft = json_i64_or(limit, "Soft", 0), hard = json_i64_or(limit, "Hard", 0);
	if ((uint64_t)soft > (uint64_t)hard)
		return err_set(err, EINVAL,
			       "%s: the soft limit must be less than or equal to the hard limit: "
			       "%lld > %lld",
			       name, (long long)soft, (long long)hard);
	return 0;
}

int create_ulimits(void *arg, const struct field *row, json_object *v, json_object **ret,
		   struct err *err)
{
	(void)arg;
	(void)row;
	for (size_t i = 0; i < json_len(v); i++) {
		int rc = check_ulimit(json_object_array_get_idx(v, i), err);
		if (rc < 0) {
			(void)err_prefix(err, "[%zu]", i);
			return rc;
		}
	}
	*ret = json_object_get(v);
	return 0;
}

/* ---- by the guest in the host's place ---- */

/* What isolad can have a guest's kernel enforce. @warning: what is left without a limit when
 * the host lacks the controller; NULL: nothing is, or another row says it. */
static const struct guest_limit {
	const char *field, *flag, *controller;
	const char *(*format)(int64_t value, char *buf, size_t size);
	const char *warning;
} guest_limits[] = {
	{ "Memory", "--memory", "memory", format_size,
	  "the container's memory, and what RAM there is; what isola-vmm and virtiofsd need beside "
	  "has no limit" },
	/* A guest has no swap: its memory is all. */
	{ "MemorySwap", "--memory-swap", "memory", format_size, NULL },
	{ "NanoCpus", "--cpus", "cpu", format_cpus,
	  "it has so many CPUs; the time that isola-vmm and virtiofsd take beside has no limit" },
	{ "PidsLimit", "--pids-limit", "pids", format_number, NULL },
};

static bool guest_enforces(const struct guest_limit *l, int64_t value)
{
	return l->format != format_cpus || value % 1000000000 == 0;
}

/* No more than a CPU's fraction is beyond a guest. */
static int refuse_limit(const struct create *c, const struct guest_limit *l, const char *prefix,
			const char *value, bool is_vm, struct err *err)
{
	int rc = require(c, l->controller, value, err);
	if (is_vm)
		rc = err_set(err, EOPNOTSUPP,
			     "cannot enforce %s: this host's cgroup v2 has no %s controller, and "
			     "without it a microVM has whole CPUs only (see docs/hosts.md)",
			     value, l->controller);
	(void)err_prefix(err, "%s%s (%s)", prefix, l->field, l->flag);
	return rc;
}

int create_limits_enforced(const struct create *c, const char *prefix, json_object *limits,
			   bool is_vm, struct err *err)
{
	for (size_t i = 0; i < sizeof(guest_limits) / sizeof(guest_limits[0]); i++) {
		const struct guest_limit *l = &guest_limits[i];
		int64_t value = json_i64_or(limits, l->field, 0);
		char text[32];
		if (value <= 0 || place_has(c->env->controllers, l->controller))
			continue;
		(void)l->format(value, text, sizeof(text));
		if (!is_vm || !guest_enforces(l, value))
			return refuse_limit(c, l, prefix, text, is_vm, err);
		if (l->warning)
			create_warn(
				c->warnings,
				"%s %s is enforced by the guest alone, as this host's cgroup v2 "
				"has no %s controller: %s",
				l->flag, text, l->controller, l->warning);
	}
	return 0;
}

/* ---- all together ---- */

static int memory_agrees(json_object *h, struct err *err)
{
	int64_t memory = json_i64_or(h, "Memory", 0), swap = json_i64_or(h, "MemorySwap", 0);
	int64_t reserve = json_i64_or(h, "MemoryReservation", 0);
	if (swap > 0 && !memory)
		return err_set(err, EINVAL,
			       "HostConfig.MemorySwap (--memory-swap): You should always set the "
			       "Memory limit when using Memoryswap limit, see usage");
	if (swap > 0 && swap < memory)
		return err_set(err, EINVAL,
			       "HostConfig.MemorySwap (--memory-swap): Minimum memoryswap limit "
			       "should be larger than memory limit, see usage");
	if (memory && reserve > memory)
		return err_set(err, EINVAL,
			       "HostConfig.MemoryReservation (--memory-reservation): Minimum "
			       "memory limit can not be less than memory reservation limit, see "
			       "usage");
	/* Docker: nobody said, so as much swap as memory. */
	if (memory && !swap && memory <= INT64_MAX / 2)
		json_add_i64(h, "MemorySwap", memory * 2);
	return 0;
}

int create_limits_agree(json_object *h, struct err *err)
{
	bool nano = json_i64_or(h, "NanoCpus", 0) > 0;
	static const char *const quota[] = { "CpuPeriod", "CpuQuota" };
	for (size_t i = 0; i < 2; i++) {
		if (nano && json_i64_or(h, quota[i], 0))
			return err_set(err, EINVAL,
				       "Conflicting options: Nano CPUs and %s cannot both be set",
				       i ? "CPU Quota" : "CPU Period");
	}
	return memory_agrees(h, err);
}

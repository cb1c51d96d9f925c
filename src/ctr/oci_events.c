/* SPDX-License-Identifier: Apache-2.0 */
/* oci_events - the verb events: usage in runc's JSON, and out-of-memory kills. */
#include "oci_state.h"

#include "isola/cgroup.h"
#include "isola/fd.h"
#include "isola/json.h"
#include "isola/num.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <time.h>

struct events_opts {
	const char *interval;
	bool stats;
};

static const struct oci_opt events_options[] = {
	{ "interval", 0, OCI_TEXT, offsetof(struct events_opts, interval), "DURATION",
	  "time between two samples (5s)" },
	{ "stats", 0, OCI_FLAG, offsetof(struct events_opts, stats), NULL,
	  "one sample, then exit" },
	{ NULL },
};

/* One number of struct cgroup_stat and where runc puts it. */
struct place {
	const char *group, *part, *key;
	size_t offset;
	uint64_t scale;
};

#define PLACE(group, part, key, field, scale)                                                      \
	{                                                                                          \
		group, part, key, offsetof(struct cgroup_stat, field), scale                       \
	}

static const struct place places[] = {
	PLACE("cpu", "usage", "total", cpu_usage_us, 1000),
	PLACE("cpu", "usage", "kernel", cpu_system_us, 1000),
	PLACE("cpu", "usage", "user", cpu_user_us, 1000),
	PLACE("cpu", "throttling", "periods", cpu_periods, 1),
	PLACE("cpu", "throttling", "throttledPeriods", cpu_throttled, 1),
	PLACE("cpu", "throttling", "throttledTime", cpu_throttled_us, 1000),
	PLACE("memory", "usage", "usage", memory_current, 1),
	PLACE("memory", "usage", "max", memory_peak, 1),
	PLACE("memory", "usage", "limit", memory_max, 1),
	PLACE("memory", "raw", "anon", memory_anon, 1),
	PLACE("memory", "raw", "file", memory_file, 1),
	PLACE("memory", "raw", "inactive_file", memory_inactive_file, 1),
	PLACE("pids", NULL, "current", pids_current, 1),
	PLACE("pids", NULL, "limit", pids_max, 1),
	PLACE("psi", "cpu", "some", psi_cpu_some_us, 1),
	PLACE("psi", "memory", "some", psi_memory_some_us, 1),
	PLACE("psi", "memory", "full", psi_memory_full_us, 1),
	PLACE("psi", "io", "some", psi_io_some_us, 1),
	PLACE("psi", "io", "full", psi_io_full_us, 1),
};

/* The object @key of @o, made where it is missing; @o itself without a key. */
static json_object *child_of(json_object *o, const char *key)
{
	if (!key)
		return o;
	json_object *child = json_get(o, key);
	if (!child) {
		child = json_object_new_object();
		json_add(o, key, child);
	}
	return child;
}

static void add_io(json_object *data, const char *key, uint64_t reads, uint64_t writes)
{
	static const char *const ops[] = { "Read", "Write" };
	const uint64_t values[] = { reads, writes };
	json_object *list = json_object_new_array();
	for (int i = 0; i < 2; i++) {
		if (values[i] == UINT64_MAX)
			continue;
		json_object *o = json_object_new_object();
		json_add_str(o, "op", ops[i]);
		json_add(o, "value", json_object_new_uint64(values[i]));
		(void)json_object_array_add(list, o);
	}
	json_add(child_of(data, "blkio"), key, list);
}

static json_object *stat_document(const struct cgroup_stat *s)
{
	json_object *data = json_object_new_object();
	for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
		const struct place *p = &places[i];
		uint64_t v = *(const uint64_t *)(const void *)((const char *)s + p->offset);
		if (v == UINT64_MAX)
			continue; /* the cgroup cannot tell */
		json_object *o = child_of(child_of(data, p->group), p->part);
		json_add(o, p->key, json_object_new_uint64(v * p->scale));
	}
	add_io(data, "ioServiceBytesRecursive", s->io_read_bytes, s->io_write_bytes);
	add_io(data, "ioServicedRecursive", s->io_read_ops, s->io_write_ops);
	return data;
}

static void print_event(const char *type, const char *id, json_object *data)
{
	cleanup_json json_object *o = json_object_new_object();
	json_add_str(o, "type", type);
	json_add_str(o, "id", id);
	if (data)
		json_add(o, "data", data);
	printf("%s\n", json_object_to_json_string_ext(o, JSON_C_TO_STRING_PLAIN));
	(void)fflush(stdout);
}

static int print_stats(const char *id, int cgroup, struct err *err)
{
	struct cgroup_stat stat;
	int rc = cgroup_stat_read(cgroup, &stat);
	if (rc < 0)
		return err_rc(err, rc, "cannot read the cgroup of %s", id);
	print_event("stats", id, stat_document(&stat));
	return 0;
}

static int64_t now_ms(void)
{
	struct timespec ts;
	(void)clock_gettime(CLOCK_MONOTONIC, &ts);
	return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

/* Samples every @interval_ms and tells of each out-of-memory kill, until the
 * container ends. */
static int watch(const struct oci_box *box, int cgroup, int64_t interval_ms, struct err *err)
{
	cleanup_fd int events = openat(cgroup, "memory.events", O_RDONLY | O_CLOEXEC);
	uint64_t kills = cgroup_oom_kills(cgroup);
	int64_t next = now_ms();
	for (;;) {
		if (now_ms() >= next) {
			int rc = print_stats(box->id, cgroup, err);
			if (rc < 0)
				return rc;
			next += interval_ms;
		}
		struct pollfd p[] = { { .fd = box->ctr.pidfd, .events = POLLIN },
				      { .fd = events, .events = POLLPRI } };
		int64_t wait_ms = next - now_ms();
		if (poll(p, 2, wait_ms < 0 ? 0 : (int)wait_ms) < 0 && errno != EINTR)
			return err_sys(err, "cannot wait for events");
		uint64_t more = cgroup_oom_kills(cgroup);
		if (more > kills)
			print_event("oom", box->id, NULL);
		kills = more;
		if (p[0].revents)
			return 0;
	}
}

static int run_events(struct oci *oci, void *opts, char **args, struct err *err)
{
	const struct events_opts *o = opts;
	int64_t interval_ns = 5000000000;
	if (o->interval && (num_parse_duration(o->interval, &interval_ns) < 0 ||
			    interval_ns < 1000000 || interval_ns / 1000000 > INT_MAX))
		return err_set(err, EINVAL, "--interval takes a time such as 5s, not \"%s\"",
			       o->interval);
	struct oci_box box = OCI_BOX_INIT;
	cleanup_fd int cgroup = -1;
	int rc = oci_box_open(oci, args[0], false, &box, err);
	if (rc == 0 && box.ctr.pidfd < 0)
		rc = err_set(err, ESRCH, "container not running: \"%s\"", args[0]);
	if (rc == 0 && !box.ctr.cgroup)
		rc = err_set(err, EOPNOTSUPP, "container \"%s\" has no cgroup", args[0]);
	if (rc == 0) {
		cgroup = cgroup_open(box.ctr.cgroup);
		rc = cgroup < 0 ? err_rc(err, cgroup, "cannot open cgroup %s", box.ctr.cgroup) : 0;
	}
	if (rc == 0)
		rc = o->stats ? print_stats(box.id, cgroup, err)
			      : watch(&box, cgroup, interval_ns / 1000000, err);
	oci_box_fini(&box);
	return rc;
}

const struct oci_verb oci_verbs_events[] = {
	{ .name = "events",
	  .args = "ID",
	  .min_args = 1,
	  .max_args = 1,
	  .help = "print usage and out-of-memory kills as JSON lines",
	  .examples = "  isola-oci events --stats web\n  isola-oci events --interval 1s web\n",
	  .opts = events_options,
	  .opts_size = sizeof(struct events_opts),
	  .run = run_events },
	{ NULL },
};

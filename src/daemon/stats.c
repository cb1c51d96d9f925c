/* SPDX-License-Identifier: Apache-2.0 */
/* stats - one sample of what an instance uses, as Docker's clients read it
 * (Docker Engine API, ContainerStats, with the keys of cgroup v2). What this
 * host's cgroup, or the guest that a container is in, cannot tell is absent or 0, and named
 * in "isola"."missing".
 * isolad, loop thread; reads a few kernel files. cgroup-v2.rst, psi.rst. */
#include "endpoint.h"
#include "guests.h"
#include "isolad.h"

#include "isola/cgroup.h"
#include "isola/fd.h"
#include "isola/json.h"
#include "isola/num.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sysinfo.h>
#include <unistd.h>

#define UNKNOWN UINT64_MAX

static void add_u64(json_object *o, const char *key, uint64_t value)
{
	json_add(o, key, json_object_new_uint64(value));
}

/* Adds the value if the cgroup could tell it. */
static void add_known(json_object *o, const char *key, uint64_t value)
{
	if (value != UNKNOWN)
		add_u64(o, key, value);
}

static uint64_t or_zero(uint64_t value)
{
	return value == UNKNOWN ? 0 : value;
}

/* Time that @cpus CPUs have spent, in any state, in nanoseconds: so much of all this host's
 * (proc(5), /proc/stat). */
static uint64_t system_cpu_ns(uint64_t cpus)
{
	char text[512];
	cleanup_fd int fd = open("/proc/stat", O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);
	if (n <= 0)
		return 0;
	text[n] = '\0';
	unsigned long long v[8] = { 0 }, sum = 0;
	(void)sscanf(text, "cpu %llu %llu %llu %llu %llu %llu %llu %llu", &v[0], &v[1], &v[2],
		     &v[3], &v[4], &v[5], &v[6], &v[7]);
	for (size_t i = 0; i < 8; i++)
		sum += v[i];
	long hertz = sysconf(_SC_CLK_TCK);
	sum *= 1000000000ull / (unsigned long long)(hertz > 0 ? hertz : 100);
	return sum / (uint64_t)get_nprocs() * cpus;
}

/* Docker's clients reckon CPU % as usage / system_cpu_usage * online_cpus, so with those of
 * the guest 100 % is one of its CPUs that is busy. @cpus: what there is for it. */
static json_object *make_cpu(const struct cgroup_stat *s, int64_t cpus)
{
	json_object *o = json_object_new_object(), *usage = json_object_new_object();
	json_object *throttling = json_object_new_object();
	add_u64(usage, "total_usage", or_zero(s->cpu_usage_us) * 1000);
	add_u64(usage, "usage_in_kernelmode", or_zero(s->cpu_system_us) * 1000);
	add_u64(usage, "usage_in_usermode", or_zero(s->cpu_user_us) * 1000);
	json_add(o, "cpu_usage", usage);
	add_u64(o, "system_cpu_usage", system_cpu_ns((uint64_t)cpus));
	json_add_i64(o, "online_cpus", cpus);
	add_u64(throttling, "periods", or_zero(s->cpu_periods));
	add_u64(throttling, "throttled_periods", or_zero(s->cpu_throttled));
	add_u64(throttling, "throttled_time", or_zero(s->cpu_throttled_us) * 1000);
	json_add(o, "throttling_data", throttling);
	return o;
}

static uint64_t host_memory(void)
{
	struct sysinfo si;
	return sysinfo(&si) < 0 ? 0 : (uint64_t)si.totalram * si.mem_unit;
}

/* @ram: what there is for it. */
static json_object *make_memory(const struct cgroup_stat *s, uint64_t ram)
{
	json_object *o = json_object_new_object(), *stats = json_object_new_object();
	if (s->memory_current == UNKNOWN) {
		json_object_put(stats);
		return o;
	}
	add_u64(o, "usage", s->memory_current);
	add_known(o, "max_usage", s->memory_peak);
	add_known(stats, "anon", s->memory_anon);
	add_known(stats, "file", s->memory_file);
	add_known(stats, "inactive_file", s->memory_inactive_file);
	json_add(o, "stats", stats);
	add_u64(o, "limit", s->memory_max < ram ? s->memory_max : ram);
	return o;
}

/* The sums over all devices, as device 0:0. */
static json_object *make_io(uint64_t read_value, uint64_t write_value)
{
	json_object *list = json_object_new_array();
	const struct {
		const char *op;
		uint64_t value;
	} rows[] = { { "read", read_value }, { "write", write_value } };
	for (size_t i = 0; i < 2 && rows[i].value != UNKNOWN; i++) {
		json_object *o = json_object_new_object();
		json_add_i64(o, "major", 0);
		json_add_i64(o, "minor", 0);
		json_add_str(o, "op", rows[i].op);
		add_u64(o, "value", rows[i].value);
		(void)json_object_array_add(list, o);
	}
	return list;
}

static json_object *make_blkio(const struct cgroup_stat *s)
{
	static const char *const v1_only[] = {
		"io_queue_recursive",  "io_service_time_recursive", "io_wait_time_recursive",
		"io_merged_recursive", "io_time_recursive",         "sectors_recursive"
	};
	json_object *o = json_object_new_object();
	json_add(o, "io_service_bytes_recursive", make_io(s->io_read_bytes, s->io_write_bytes));
	json_add(o, "io_serviced_recursive", make_io(s->io_read_ops, s->io_write_ops));
	for (size_t i = 0; i < sizeof(v1_only) / sizeof(v1_only[0]); i++)
		json_add(o, v1_only[i], NULL);
	return o;
}

static json_object *make_pids(const struct cgroup_stat *s)
{
	json_object *o = json_object_new_object();
	add_known(o, "current", s->pids_current);
	add_known(o, "limit", s->pids_max);
	return o;
}

/* What Docker does not show: pressure stall times since the start, and which
 * controllers are missing. */
static json_object *make_isola(const struct cgroup_stat *s)
{
	json_object *o = json_object_new_object(), *psi = json_object_new_object();
	json_object *missing = json_object_new_array();
	const struct {
		const char *name;
		uint64_t value;
	} stalls[] = {
		{ "cpu_some_us", s->psi_cpu_some_us },
		{ "memory_some_us", s->psi_memory_some_us },
		{ "memory_full_us", s->psi_memory_full_us },
		{ "io_some_us", s->psi_io_some_us },
		{ "io_full_us", s->psi_io_full_us },
	}, controllers[] = {
		{ "cpu", s->cpu_usage_us },
		{ "memory", s->memory_current },
		{ "pids", s->pids_current },
		{ "io", s->io_read_bytes },
	};
	for (size_t i = 0; i < sizeof(stalls) / sizeof(stalls[0]); i++)
		add_known(psi, stalls[i].name, stalls[i].value);
	for (size_t i = 0; i < sizeof(controllers) / sizeof(controllers[0]); i++) {
		if (controllers[i].value == UNKNOWN)
			(void)json_object_array_add(missing,
						    json_object_new_string(controllers[i].name));
	}
	json_add(o, "pressure", psi);
	json_add(o, "missing", missing);
	return o;
}

static void read_cgroup(struct instance *inst, struct cgroup_stat *ret)
{
	memset(ret, 0xff, sizeof(*ret)); /* all unknown */
	cleanup_free char *path = instance_cgroup(inst);
	cleanup_fd int fd = path ? cgroup_open(path) : -1;
	struct cgroup_stat s;
	if (fd >= 0 && cgroup_stat_read(fd, &s) >= 0)
		*ret = s;
}

/* ---- behind the VM wall ---- */

/* What the guest's kernel counts in the container's cgroup, in place of what the host's has
 * of the VM; input and output are the host's alone. */
static void take_guest(struct cgroup_stat *s, json_object *guest)
{
	const struct {
		const char *name;
		uint64_t *to;
	} rows[] = {
		{ "memory.current", &s->memory_current },
		{ "memory.peak", &s->memory_peak },
		{ "memory.max", &s->memory_max },
		{ "anon", &s->memory_anon },
		{ "file", &s->memory_file },
		{ "inactive_file", &s->memory_inactive_file },
		{ "usage_usec", &s->cpu_usage_us },
		{ "user_usec", &s->cpu_user_us },
		{ "system_usec", &s->cpu_system_us },
		{ "nr_periods", &s->cpu_periods },
		{ "nr_throttled", &s->cpu_throttled },
		{ "throttled_usec", &s->cpu_throttled_us },
		{ "pids.current", &s->pids_current },
		{ "pids.max", &s->pids_max },
	};
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		json_object *v = json_get(guest, rows[i].name);
		*rows[i].to = v ? json_object_get_uint64(v) : UNKNOWN;
	}
}

/* The whole VM, as the host's cgroup has it: guest, worker, virtiofsd. */
static json_object *make_host(const struct cgroup_stat *s)
{
	json_object *o = json_object_new_object();
	add_known(o, "cpu_usage", s->cpu_usage_us == UNKNOWN ? UNKNOWN : s->cpu_usage_us * 1000);
	add_known(o, "memory_usage", s->memory_current);
	add_known(o, "memory_limit", s->memory_max);
	add_known(o, "pids", s->pids_current);
	return o;
}

static json_object *nothing_before(void)
{
	json_object *o = json_object_new_object(), *usage = json_object_new_object();
	json_object *throttling = json_object_new_object();
	static const char *const usages[] = { "total_usage", "usage_in_kernelmode",
					      "usage_in_usermode" };
	static const char *const throttles[] = { "periods", "throttled_periods", "throttled_time" };
	for (size_t i = 0; i < 3; i++) {
		json_add_i64(usage, usages[i], 0);
		json_add_i64(throttling, throttles[i], 0);
	}
	json_add(o, "cpu_usage", usage);
	json_add(o, "throttling_data", throttling);
	return o;
}

/* The "cpu_stats" @before as they would be with the CPUs of @now: `update` may have changed
 * how many a guest has, and a difference counts only between alike. Owned. */
static json_object *make_before(json_object *before, json_object *now)
{
	int64_t had = json_i64_or(before, "online_cpus", 0);
	int64_t has = json_i64_or(now, "online_cpus", 0);
	if (!before)
		return nothing_before();
	if (had <= 0 || has <= 0 || had == has)
		return json_object_get(before);
	json_object *o = json_copy(before);
	uint64_t system = (uint64_t)json_i64_or(before, "system_cpu_usage", 0);
	add_u64(o, "system_cpu_usage", system / (uint64_t)had * (uint64_t)has);
	json_add_i64(o, "online_cpus", has);
	return o;
}

json_object *stats_sample(struct instance *inst, json_object *prev, json_object *guest,
			  struct err *err)
{
	struct cgroup_stat s;
	char now[40], name[260];
	json_object *o = json_object_new_object();
	if (!o) {
		(void)err_set(err, ENOMEM, "out of memory");
		return NULL;
	}
	bool running = instance_is_running(inst);
	uint64_t ram = host_memory();
	int64_t cpus = get_nprocs();
	int64_t read_ns = running ? num_now_ns() : 0;
	memset(&s, 0xff, sizeof(s));
	if (running)
		read_cgroup(inst, &s);
	json_object *host = running && guest ? make_host(&s) : NULL;
	if (host) {
		take_guest(&s, guest);
		ram = (uint64_t)guest_memory(inst->host_config);
		cpus = guest_cpus(inst->host_config);
	}
	(void)snprintf(name, sizeof(name), "/%s", inst->name);
	json_add_str(o, "name", name);
	json_add_str(o, "id", inst->id);
	json_add_str(o, "read", num_format_time(read_ns, now, sizeof(now)));
	json_add_str(o, "preread", json_str_or(prev, "read", "0001-01-01T00:00:00Z"));
	json_add(o, "pids_stats", make_pids(&s));
	json_add(o, "blkio_stats", make_blkio(&s));
	json_add_i64(o, "num_procs", 0);
	json_add(o, "storage_stats", json_object_new_object());
	json_object *now_cpu = running ? make_cpu(&s, cpus) : nothing_before();
	json_add(o, "cpu_stats", now_cpu);
	json_add(o, "precpu_stats", make_before(json_get(prev, "cpu_stats"), now_cpu));
	json_add(o, "memory_stats", make_memory(&s, ram));
	json_object *networks = running ? stats_networks(inst) : NULL;
	if (networks)
		json_add(o, "networks", networks);
	if (running)
		json_add(o, "isola", make_isola(&s));
	if (host)
		json_add(json_get(o, "isola"), "host", host);
	return o;
}

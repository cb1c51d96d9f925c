/* SPDX-License-Identifier: Apache-2.0 */
/* metrics - GET /metrics: running containers under the names that cAdvisor uses,
 * so that existing dashboards and alerts fit; VMs under the same names with vm_ in
 * the place of container_; and the daemon itself as isola_* and process_*. Prometheus text exposition format 0.0.4. isolad, loop thread. */
#include "conn.h"
#include "routes.h"
#include "server.h"

#include "isola/fd.h"
#include "isola/json.h"
#include "isola/num.h"
#include "isola/strbuf.h"

#include <dirent.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>

/* ---- instances ---- */

/* How names of figures begin. */
static const char *const prefixes[] = {
	[INSTANCE_CONTAINER] = "container_", [INSTANCE_VM] = "vm_"
};

/* A figure of a stats sample: a path of keys, what to divide it by, and perhaps
 * one to be taken off. Its name stands behind the kind's prefix. */
struct figure {
	const char *name, *type, *help;
	const char *path[3];
	const char *less[3];
	double divide;
	const char *label; /* further label, or NULL */
};

static const struct figure figures[] = {
	{ "cpu_usage_seconds_total",
	  "counter",
	  "Cumulative cpu time consumed in seconds.",
	  { "cpu_stats", "cpu_usage", "total_usage" },
	  { 0 },
	  1e9,
	  "cpu=\"total\"" },
	{ "cpu_user_seconds_total",
	  "counter",
	  "Cumulative user cpu time consumed in seconds.",
	  { "cpu_stats", "cpu_usage", "usage_in_usermode" },
	  { 0 },
	  1e9,
	  NULL },
	{ "cpu_system_seconds_total",
	  "counter",
	  "Cumulative system cpu time consumed in seconds.",
	  { "cpu_stats", "cpu_usage", "usage_in_kernelmode" },
	  { 0 },
	  1e9,
	  NULL },
	{ "cpu_cfs_periods_total",
	  "counter",
	  "Number of elapsed enforcement period intervals.",
	  { "cpu_stats", "throttling_data", "periods" },
	  { 0 },
	  1,
	  NULL },
	{ "cpu_cfs_throttled_periods_total",
	  "counter",
	  "Number of throttled period intervals.",
	  { "cpu_stats", "throttling_data", "throttled_periods" },
	  { 0 },
	  1,
	  NULL },
	{ "cpu_cfs_throttled_seconds_total",
	  "counter",
	  "Total time duration it has been throttled.",
	  { "cpu_stats", "throttling_data", "throttled_time" },
	  { 0 },
	  1e9,
	  NULL },
	{ "memory_usage_bytes",
	  "gauge",
	  "Current memory usage in bytes, including all memory regardless of when it was accessed.",
	  { "memory_stats", "usage" },
	  { 0 },
	  1,
	  NULL },
	{ "memory_working_set_bytes",
	  "gauge",
	  "Current working set in bytes.",
	  { "memory_stats", "usage" },
	  { "memory_stats", "stats", "inactive_file" },
	  1,
	  NULL },
	{ "memory_rss",
	  "gauge",
	  "Size of RSS in bytes.",
	  { "memory_stats", "stats", "anon" },
	  { 0 },
	  1,
	  NULL },
	{ "memory_cache",
	  "gauge",
	  "Number of bytes of page cache memory.",
	  { "memory_stats", "stats", "file" },
	  { 0 },
	  1,
	  NULL },
	{ "spec_memory_limit_bytes",
	  "gauge",
	  "Memory limit of its cgroup.",
	  { "memory_stats", "limit" },
	  { 0 },
	  1,
	  NULL },
	{ "pressure_cpu_waiting_seconds_total",
	  "counter",
	  "Time that tasks of it waited for a CPU.",
	  { "isola", "pressure", "cpu_some_us" },
	  { 0 },
	  1e6,
	  NULL },
	{ "pressure_memory_waiting_seconds_total",
	  "counter",
	  "Time that some tasks of it waited for memory.",
	  { "isola", "pressure", "memory_some_us" },
	  { 0 },
	  1e6,
	  NULL },
	{ "pressure_memory_stalled_seconds_total",
	  "counter",
	  "Time that all tasks of it waited for memory.",
	  { "isola", "pressure", "memory_full_us" },
	  { 0 },
	  1e6,
	  NULL },
	{ "pressure_io_waiting_seconds_total",
	  "counter",
	  "Time that some tasks of it waited for I/O.",
	  { "isola", "pressure", "io_some_us" },
	  { 0 },
	  1e6,
	  NULL },
	{ "pressure_io_stalled_seconds_total",
	  "counter",
	  "Time that all tasks of it waited for I/O.",
	  { "isola", "pressure", "io_full_us" },
	  { 0 },
	  1e6,
	  NULL },
	{ "processes",
	  "gauge",
	  "Number of processes running inside it.",
	  { "pids_stats", "current" },
	  { 0 },
	  1,
	  NULL },
};
#define N_FIGURES (sizeof(figures) / sizeof(figures[0]))

struct sampled {
	struct instance *inst;
	json_object *stats;
};

static json_object *walk(json_object *o, const char *const path[3])
{
	for (size_t i = 0; i < 3 && path[i]; i++)
		o = json_get(o, path[i]);
	return o;
}

static void put_label(struct strbuf *out, const char *name, const char *value, const char *sep)
{
	strbuf_printf(out, "%s%s=\"", sep, name);
	for (; *value; value++) {
		if (*value == '\\' || *value == '"')
			strbuf_putc(out, '\\');
		if (*value == '\n')
			strbuf_puts(out, "\\n");
		else
			strbuf_putc(out, *value);
	}
	strbuf_putc(out, '"');
}

static void put_labels(struct strbuf *out, const struct instance *inst, const char *further)
{
	strbuf_putc(out, '{');
	if (further)
		strbuf_printf(out, "%s,", further);
	char id[ID_SIZE + 8];
	(void)snprintf(id, sizeof(id), "/isola/%s", inst->id);
	put_label(out, "id", id, "");
	if (inst->kind == INSTANCE_CONTAINER)
		put_label(out, "image", inst->image_ref ? inst->image_ref : "", ",");
	put_label(out, "name", inst->name ? inst->name : "", ",");
	strbuf_puts(out, "} ");
}

static void put_head(struct strbuf *out, const char *name, const char *type, const char *help)
{
	strbuf_printf(out, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

/* The head of a figure of instances of one kind. */
static void put_kind_head(struct strbuf *out, enum instance_kind kind, const char *name,
			  const char *type, const char *help)
{
	char full[128];
	(void)snprintf(full, sizeof(full), "%s%s", prefixes[kind], name);
	put_head(out, full, type, help);
}

static void put_figure(struct strbuf *out, enum instance_kind kind, const struct figure *f,
		       const struct sampled *s, size_t n)
{
	bool begun = false;
	for (size_t i = 0; i < n; i++) {
		json_object *v = s[i].inst->kind == kind ? walk(s[i].stats, f->path) : NULL;
		/* What this host does not count is absent, not zero. */
		if (!v)
			continue;
		double value = json_object_get_double(v);
		if (f->less[0])
			value -= json_object_get_double(walk(s[i].stats, f->less));
		if (!begun)
			put_kind_head(out, kind, f->name, f->type, f->help);
		begun = true;
		strbuf_printf(out, "%s%s", prefixes[kind], f->name);
		put_labels(out, s[i].inst, f->label);
		strbuf_printf(out, "%.15g\n", (value < 0 ? 0 : value) / f->divide);
	}
}

static void put_start_times(struct strbuf *out, enum instance_kind kind, const struct sampled *s,
			    size_t n)
{
	bool begun = false;
	for (size_t i = 0; i < n; i++) {
		if (s[i].inst->kind != kind)
			continue;
		if (!begun)
			put_kind_head(out, kind, "start_time_seconds", "gauge",
				      "Start time since unix epoch in seconds.");
		begun = true;
		strbuf_printf(out, "%sstart_time_seconds", prefixes[kind]);
		put_labels(out, s[i].inst, NULL);
		strbuf_printf(out, "%.3f\n", (double)s[i].inst->started_ns / 1e9);
	}
}

/* Bytes read and written, summed over devices. */
static void put_io(struct strbuf *out, enum instance_kind kind, const struct sampled *s, size_t n,
		   const char *name, const char *op, const char *help)
{
	bool begun = false;
	for (size_t i = 0; i < n; i++) {
		json_object *rows =
			json_get(json_get(s[i].stats, "blkio_stats"), "io_service_bytes_recursive");
		int64_t sum = 0;
		for (size_t r = 0; r < json_len(rows); r++) {
			json_object *row = json_object_array_get_idx(rows, r);
			if (!strcasecmp(json_str_or(row, "op", ""), op))
				sum += json_i64_or(row, "value", 0);
		}
		if (!json_len(rows) || s[i].inst->kind != kind)
			continue;
		if (!begun)
			put_kind_head(out, kind, name, "counter", help);
		begun = true;
		strbuf_printf(out, "%s%s", prefixes[kind], name);
		put_labels(out, s[i].inst, NULL);
		strbuf_printf(out, "%lld\n", (long long)sum);
	}
}

/* One row a link. */
static void put_network(struct strbuf *out, enum instance_kind kind, const struct sampled *s,
			size_t n, const char *name, const char *key, const char *help)
{
	bool begun = false;
	for (size_t i = 0; i < n; i++) {
		json_object *links = json_get(s[i].stats, "networks");
		if (!links || s[i].inst->kind != kind)
			continue;
		json_object_object_foreach (links, link, counters) {
			char label[64];
			if (!begun)
				put_kind_head(out, kind, name, "counter", help);
			begun = true;
			(void)snprintf(label, sizeof(label), "interface=\"%s\"", link);
			strbuf_printf(out, "%s%s", prefixes[kind], name);
			put_labels(out, s[i].inst, label);
			strbuf_printf(out, "%lld\n", (long long)json_i64_or(counters, key, 0));
		}
	}
}

static const struct {
	const char *name, *key, *help;
} counters[] = {
	{ "network_receive_bytes_total", "rx_bytes", "Cumulative count of bytes received." },
	{ "network_receive_packets_total", "rx_packets", "Cumulative count of packets received." },
	{ "network_receive_errors_total", "rx_errors",
	  "Cumulative count of errors encountered while receiving." },
	{ "network_receive_packets_dropped_total", "rx_dropped",
	  "Cumulative count of packets dropped while receiving." },
	{ "network_transmit_bytes_total", "tx_bytes", "Cumulative count of bytes transmitted." },
	{ "network_transmit_packets_total", "tx_packets",
	  "Cumulative count of packets transmitted." },
	{ "network_transmit_errors_total", "tx_errors",
	  "Cumulative count of errors encountered while transmitting." },
	{ "network_transmit_packets_dropped_total", "tx_dropped",
	  "Cumulative count of packets dropped while transmitting." },
};

/* ---- the daemon ---- */

static void put_states(struct strbuf *out, enum instance_kind kind, struct isolad *d)
{
	static const char *const names[] = { "created",  "running", "paused", "restarting",
					     "removing", "exited",  "dead" };
	unsigned int count[7] = { 0 };
	list_for_each (node, registry_list(d)) {
		const struct instance *inst = container_of(node, struct instance, node);
		for (size_t i = 0; i < 7 && inst->kind == kind; i++)
			count[i] += !strcmp(names[i], instance_state_name(inst));
	}
	bool vms = kind == INSTANCE_VM;
	const char *name = vms ? "isola_vms" : "isola_containers";
	put_head(out, name, "gauge", vms ? "VMs by state." : "Containers by state.");
	for (size_t i = 0; i < 7; i++)
		strbuf_printf(out, "%s{state=\"%s\"} %u\n", name, names[i], count[i]);
}

static void put_api(struct strbuf *out, const struct api_server *server)
{
	static const char *const classes[] = { "101", "1xx", "2xx", "3xx", "4xx", "5xx" };
	put_head(out, "isola_api_requests_total", "counter", "Answered requests by status.");
	for (size_t i = 0; i < 6; i++)
		if (i != 1)
			strbuf_printf(out, "isola_api_requests_total{code=\"%s\"} %llu\n",
				      classes[i], (unsigned long long)server->requests[i]);
	put_head(out, "isola_api_connections", "gauge", "Open connections.");
	strbuf_printf(out, "isola_api_connections %u\n", server->n_conns);
	put_head(out, "isola_api_connections_total", "counter", "Accepted connections.");
	strbuf_printf(out, "isola_api_connections_total %llu\n",
		      (unsigned long long)server->accepted);
	put_head(out, "isola_api_connections_refused_total", "counter",
		 "Connections refused because there were too many.");
	strbuf_printf(out, "isola_api_connections_refused_total %llu\n",
		      (unsigned long long)server->refused);
	put_head(out, "isola_api_streams_dropped_total", "counter",
		 "Streams ended because their reader did not read.");
	strbuf_printf(out, "isola_api_streams_dropped_total %llu\n",
		      (unsigned long long)server->dropped);
}

static unsigned int count_fds(void)
{
	unsigned int n = 0;
	DIR *d = opendir("/proc/self/fd");
	while (d && readdir(d))
		n++;
	if (d)
		(void)closedir(d);
	/* Less ".", ".." and the folder's own. */
	return n > 3 ? n - 3 : 0;
}

static void put_process(struct strbuf *out)
{
	struct rusage use;
	size_t rss = 0;
	(void)getrusage(RUSAGE_SELF, &use);
	(void)uv_resident_set_memory(&rss);
	put_head(out, "isola_build_info", "gauge", "1, labelled with the version.");
	strbuf_printf(out, "isola_build_info{version=\"%s\"} 1\n", ISOLA_VERSION);
	put_head(out, "process_cpu_seconds_total", "counter",
		 "Total user and system CPU time spent in seconds.");
	strbuf_printf(out, "process_cpu_seconds_total %.6f\n",
		      (double)(use.ru_utime.tv_sec + use.ru_stime.tv_sec) +
			      (double)(use.ru_utime.tv_usec + use.ru_stime.tv_usec) / 1e6);
	put_head(out, "process_resident_memory_bytes", "gauge", "Resident memory size in bytes.");
	strbuf_printf(out, "process_resident_memory_bytes %zu\n", rss);
	put_head(out, "process_open_fds", "gauge", "Number of open file descriptors.");
	strbuf_printf(out, "process_open_fds %u\n", count_fds());
}

/* Samples of all running instances, owned; @ret_n of them. */
static struct sampled *sample_all(struct isolad *d, size_t *ret_n)
{
	size_t max = 0;
	list_for_each (node, registry_list(d))
		max++;
	struct sampled *s = calloc(max ? max : 1, sizeof(*s));
	*ret_n = 0;
	if (!s)
		return NULL;
	list_for_each (node, registry_list(d)) {
		struct instance *inst = container_of(node, struct instance, node);
		json_object *stats =
			instance_is_running(inst) ? stats_sample(inst, NULL, NULL, NULL) : NULL;
		if (stats)
			s[(*ret_n)++] = (struct sampled){ inst, stats };
	}
	return s;
}

static void put_kind(struct strbuf *out, enum instance_kind kind, const struct sampled *s, size_t n)
{
	for (size_t i = 0; i < N_FIGURES; i++)
		put_figure(out, kind, &figures[i], s, n);
	put_io(out, kind, s, n, "fs_reads_bytes_total", "read", "Cumulative count of bytes read.");
	put_io(out, kind, s, n, "fs_writes_bytes_total", "write",
	       "Cumulative count of bytes written.");
	for (size_t i = 0; i < sizeof(counters) / sizeof(counters[0]); i++)
		put_network(out, kind, s, n, counters[i].name, counters[i].key, counters[i].help);
	put_start_times(out, kind, s, n);
}

void metrics_get(struct exchange *x)
{
	cleanup_strbuf struct strbuf out = STRBUF_INIT;
	size_t n;
	cleanup_free struct sampled *s = sample_all(x->isolad, &n);
	put_kind(&out, INSTANCE_CONTAINER, s, n);
	put_kind(&out, INSTANCE_VM, s, n);
	for (size_t i = 0; i < n; i++)
		json_object_put(s[i].stats);
	put_states(&out, INSTANCE_CONTAINER, x->isolad);
	put_states(&out, INSTANCE_VM, x->isolad);
	put_api(&out, x->conn->server);
	put_process(&out);
	if (strbuf_ok(&out))
		reply_text(x, 200, "text/plain; version=0.0.4; charset=utf-8", out.text, out.len);
	else
		reply_error(x, 500, "out of memory");
}

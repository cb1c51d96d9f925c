/* SPDX-License-Identifier: Apache-2.0 */
/* stats - use of resources, one line a container: a snapshot, or every second
 * until interrupted. Runs in ctrctl. */
#include "format.h"
#include "isola/json.h"
#include "verbs.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

const struct flag flags_stats[] = {
	{ "all", 'a', FLAG_BOOL, NULL, "also those that do not run" },
	{ "format", 0, FLAG_STR, "template", "table, json, or a Go template" },
	{ "no-stream", 0, FLAG_BOOL, NULL, "one snapshot" },
	{ "no-trunc", 0, FLAG_BOOL, NULL, "do not shorten ids" },
	{ .name = NULL },
};

static const struct column stats_columns[] = {
	{ "CONTAINER ID", "ID" },     { "NAME", "Name" },
	{ "CPU %", "CPUPerc" },       { "MEM USAGE / LIMIT", "MemUsage" },
	{ "MEM %", "MemPerc" },       { "NET I/O", "NetIO" },
	{ "BLOCK I/O", "BlockIO" },   { "PIDS", "PIDs" },
	{ "CONTAINER", "Container" }, { NULL, NULL },
};
#define STATS_DEFAULT 8

static void cpu_percent(json_object *doc, char *buf, size_t size)
{
	json_object *now = json_get(doc, "cpu_stats"), *pre = json_get(doc, "precpu_stats");
	double cpu = (double)(json_i64_or(json_get(now, "cpu_usage"), "total_usage", 0) -
			      json_i64_or(json_get(pre, "cpu_usage"), "total_usage", 0));
	double system = (double)(json_i64_or(now, "system_cpu_usage", 0) -
				 json_i64_or(pre, "system_cpu_usage", 0));
	double cpus = (double)json_i64_or(now, "online_cpus", 1);
	double percent = system > 0 && cpu > 0 ? cpu / system * cpus * 100 : 0;
	(void)snprintf(buf, size, "%.2f%%", percent);
}

static void memory_cells(json_object *doc, json_object *row)
{
	json_object *m = json_get(doc, "memory_stats");
	int64_t usage = json_i64_or(m, "usage", -1), limit = json_i64_or(m, "limit", 0);
	if (usage < 0) { /* no memory controller here */
		json_add_str(row, "MemUsage", "-- / --");
		json_add_str(row, "MemPerc", "--");
		return;
	}
	usage -= json_i64_or(json_get(m, "stats"), "inactive_file", 0);
	char a[32], b[32], text[80];
	format_size_binary(usage, a, sizeof(a));
	format_size_binary(limit, b, sizeof(b));
	(void)snprintf(text, sizeof(text), "%s / %s", a, b);
	json_add_str(row, "MemUsage", text);
	(void)snprintf(text, sizeof(text), "%.2f%%",
		       limit > 0 ? (double)usage / (double)limit * 100 : 0.0);
	json_add_str(row, "MemPerc", text);
}

static void block_cell(json_object *doc, json_object *row)
{
	json_object *list = json_get(json_get(doc, "blkio_stats"), "io_service_bytes_recursive");
	int64_t in = 0, out = 0;
	for (size_t i = 0; i < json_len(list); i++) {
		json_object *o = json_object_array_get_idx(list, i);
		const char *op = json_str_or(o, "op", "");
		if (!strcmp(op, "read") || !strcmp(op, "Read"))
			in += json_i64_or(o, "value", 0);
		if (!strcmp(op, "write") || !strcmp(op, "Write"))
			out += json_i64_or(o, "value", 0);
	}
	char a[32], b[32], text[80];
	format_size(in, a, sizeof(a));
	format_size(out, b, sizeof(b));
	(void)snprintf(text, sizeof(text), "%s / %s", a, b);
	json_add_str(row, "BlockIO", text);
}

static json_object *stats_row(json_object *doc, const char *ref, bool trunc)
{
	json_object *row = json_object_new_object();
	char text[96];
	(void)snprintf(text, sizeof(text), trunc ? "%.12s" : "%s", json_str_or(doc, "id", ""));
	json_add_str(row, "ID", text);
	json_add_str(row, "Container", ref);
	const char *name = json_str_or(doc, "name", "");
	json_add_str(row, "Name", name + (name[0] == '/'));
	cpu_percent(doc, text, sizeof(text));
	json_add_str(row, "CPUPerc", text);
	memory_cells(doc, row);
	json_add_str(row, "NetIO", "-- / --");
	block_cell(doc, row);
	(void)snprintf(text, sizeof(text), "%lld",
		       (long long)json_i64_or(json_get(doc, "pids_stats"), "current", 0));
	json_add_str(row, "PIDs", text);
	return row;
}

/* The containers to show: those named, or all that run. */
static json_object *targets(struct cli *cli, struct args *args, struct err *err)
{
	json_object *refs = json_object_new_array();
	for (int i = 0; i < args->argc; i++)
		json_object_array_add(refs, json_object_new_string(args->argv[i]));
	if (args->argc > 0)
		return refs;
	cleanup_json json_object *list = NULL;
	if (client_call(cli_client(cli), "GET",
			args_bool(args, "all") ? "/containers/json?all=1" : "/containers/json",
			NULL, &list, err) < 0) {
		json_object_put(refs);
		return NULL;
	}
	for (size_t i = 0; i < json_len(list); i++)
		json_object_array_add(refs, json_object_new_string(json_str_or(
						    json_object_array_get_idx(list, i), "Id", "")));
	return refs;
}

/* One sample of each; the daemon takes two a second apart for the CPU share
 * unless @prev holds the last round. */
static int sample(struct cli *cli, json_object *refs, bool named, bool trunc, json_object *rows,
		  struct err *err)
{
	for (size_t i = 0; i < json_len(refs); i++) {
		cleanup_json json_object *doc = NULL;
		const char *ref = json_item_str(refs, i);
		int rc = cli_container_call(cli, "GET", ref, "/stats?stream=0", NULL, &doc, err);
		if (rc < 0 && named)
			return rc;
		if (rc >= 0)
			json_object_array_add(rows, stats_row(doc, ref, trunc));
	}
	return 0;
}

int verb_stats(struct cli *cli, struct args *args)
{
	bool once = args_bool(args, "no-stream");
	const char *format = args_str(args, "format", NULL);
	bool screen = !once && !format && isatty(STDOUT_FILENO);
	for (;;) {
		struct err err = ERR_INIT;
		cleanup_json json_object *refs = targets(cli, args, &err);
		cleanup_json json_object *rows = json_object_new_array();
		if (!refs ||
		    sample(cli, refs, args->argc > 0, !args_bool(args, "no-trunc"), rows, &err) < 0)
			return cli_fail(cli, 1, &err);
		if (screen)
			(void)fputs("\033[2J\033[H", stdout);
		int code = format_rows(cli, format, stats_columns, STATS_DEFAULT, rows);
		if (code || once || fflush(stdout) != 0)
			return code;
		if (json_len(refs) == 0)
			(void)sleep(1);
	}
}

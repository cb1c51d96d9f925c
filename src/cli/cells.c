/* SPDX-License-Identifier: Apache-2.0 */
/* cells - see cells.h. Runs in the CLIs. */
#include "cells.h"

#include "format.h"
#include "isola/fd.h"
#include "isola/json.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

void cell_id(json_object *row, const char *id, bool trunc)
{
	char text[96];
	(void)snprintf(text, sizeof(text), trunc ? "%.12s" : "%s", id);
	json_add_str(row, "ID", text);
}

void cell_pair(json_object *row, const char *field, int64_t in, int64_t out)
{
	char a[32] = "--", b[32] = "--", text[80];
	if (in >= 0 && out >= 0) {
		format_size(in, a, sizeof(a));
		format_size(out, b, sizeof(b));
	}
	(void)snprintf(text, sizeof(text), "%s / %s", a, b);
	json_add_str(row, field, text);
}

void cell_state(json_object *row, json_object *doc)
{
	json_add_str(row, "Status", json_str_or(doc, "Status", ""));
	json_add_str(row, "State", json_str_or(doc, "State", ""));
}

void cell_labels(json_object *row, json_object *labels)
{
	cleanup_strbuf struct strbuf b = STRBUF_INIT;
	if (labels) {
		json_object_object_foreach (labels, key, val) {
			strbuf_printf(&b, "%s%s=%s", b.len ? "," : "", key,
				      json_object_get_string(val));
		}
	}
	json_add_str(row, "Labels", b.text ? b.text : "");
}

void cell_names(json_object *row, json_object *names)
{
	cleanup_strbuf struct strbuf b = STRBUF_INIT;
	for (size_t i = 0; i < json_len(names); i++) {
		const char *name = json_item_str(names, i);
		strbuf_printf(&b, "%s%s", i ? "," : "", name + (name[0] == '/'));
	}
	json_add_str(row, "Names", b.text ? b.text : "");
}

void cell_times(json_object *row, int64_t created)
{
	char span[64], text[80];
	format_span((int64_t)time(NULL) - created, span, sizeof(span));
	(void)snprintf(text, sizeof(text), "%s ago", span);
	json_add_str(row, "RunningFor", text);
	time_t t = (time_t)created;
	struct tm tm;
	(void)localtime_r(&t, &tm);
	(void)strftime(text, sizeof(text), "%Y-%m-%d %H:%M:%S %z %Z", &tm);
	json_add_str(row, "CreatedAt", text);
}

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
	cell_pair(row, "BlockIO", in, out);
}

void cell_usage(json_object *row, json_object *doc, bool trunc)
{
	char text[96];
	cell_id(row, json_str_or(doc, "id", ""), trunc);
	const char *name = json_str_or(doc, "name", "");
	json_add_str(row, "Name", name + (name[0] == '/'));
	cpu_percent(doc, text, sizeof(text));
	json_add_str(row, "CPUPerc", text);
	memory_cells(doc, row);
	block_cell(doc, row);
}

static void put_host(struct strbuf *b, const char *ip, int64_t port)
{
	bool six = strchr(ip, ':');
	strbuf_printf(b, "%s%s%s:%lld->", six ? "[" : "", ip, six ? "]" : "", (long long)port);
}

/* "0.0.0.0:8080->80/tcp, 53/udp" */
void cell_ports(json_object *row, json_object *ports)
{
	cleanup_strbuf struct strbuf b = STRBUF_INIT;
	for (size_t i = 0; i < json_len(ports); i++) {
		json_object *o = json_object_array_get_idx(ports, i);
		int64_t host = json_i64_or(o, "PublicPort", 0);
		strbuf_puts(&b, i ? ", " : "");
		if (host)
			put_host(&b, json_str_or(o, "IP", ""), host);
		strbuf_printf(&b, "%lld/%s", (long long)json_i64_or(o, "PrivatePort", 0),
			      json_str_or(o, "Type", ""));
	}
	json_add_str(row, "Ports", b.text ? b.text : "");
}

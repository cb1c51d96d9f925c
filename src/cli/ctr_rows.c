/* SPDX-License-Identifier: Apache-2.0 */
/* ctr_rows - what ps and stats show of a container: Docker's columns. Runs in
 * ctrctl. */
#include "cells.h"
#include "format.h"
#include "isola/fd.h"
#include "isola/json.h"
#include "verbs.h"

#include <stdio.h>
#include <string.h>

const struct flag flags_ps_size[] = {
	{ "size", 's', FLAG_BOOL, NULL, "show sizes" },
	{ .name = NULL },
};

static const struct column ps_columns[] = {
	{ "CONTAINER ID", "ID" },
	{ "IMAGE", "Image" },
	{ "COMMAND", "Command" },
	{ "CREATED", "RunningFor" },
	{ "STATUS", "Status" },
	{ "PORTS", "Ports" },
	{ "ISOLATION", "Isolation" },
	{ "NAMES", "Names" },
	{ "SIZE", "Size" }, /* last by default when asked for */
	{ "CREATED AT", "CreatedAt" },
	{ "STATE", "State" },
	{ "LABELS", "Labels" },
	{ "MOUNTS", "Mounts" },
	{ "NETWORKS", "Networks" },
	{ NULL, NULL },
};

static void shorten(char *text, size_t max)
{
	if (strlen(text) > max)
		(void)strcpy(text + max - 3, "\u2026"); /* one character, three bytes */
}

static void add_mounts(json_object *row, json_object *mounts)
{
	cleanup_strbuf struct strbuf b = STRBUF_INIT;
	for (size_t i = 0; i < json_len(mounts); i++)
		strbuf_printf(&b, "%s%s", i ? "," : "",
			      json_str_or(json_object_array_get_idx(mounts, i), "Source", ""));
	json_add_str(row, "Mounts", b.text ? b.text : "");
}

static void add_networks(json_object *row, json_object *c)
{
	cleanup_strbuf struct strbuf b = STRBUF_INIT;
	json_object *nets = json_get(json_get(c, "NetworkSettings"), "Networks");
	if (nets) {
		json_object_object_foreach (nets, key, val) {
			(void)val;
			strbuf_printf(&b, "%s%s", b.len ? "," : "", key);
		}
	}
	json_add_str(row, "Networks", b.text ? b.text : "");
}

static void add_size(json_object *row, json_object *c)
{
	char rw[32], root[32], text[80] = "";
	format_size(json_i64_or(c, "SizeRw", 0), rw, sizeof(rw));
	format_size(json_i64_or(c, "SizeRootFs", 0), root, sizeof(root));
	(void)snprintf(text, sizeof(text), "%s (virtual %s)", rw, root);
	json_add_str(row, "Size", text);
}

static void fill_ps(json_object *row, json_object *c, bool trunc)
{
	char command[512];
	cell_id(row, json_str_or(c, "Id", ""), trunc);
	char image[512];
	(void)snprintf(image, sizeof(image), "%s", json_str_or(c, "Image", ""));
	if (trunc && !strncmp(image, "sha256:", 7))
		(void)snprintf(image, sizeof(image), "%.12s", json_str_or(c, "Image", "") + 7);
	json_add_str(row, "Image", image);
	(void)snprintf(command, sizeof(command), "%s", json_str_or(c, "Command", ""));
	if (trunc)
		shorten(command, 20);
	cleanup_strbuf struct strbuf quoted = STRBUF_INIT;
	strbuf_printf(&quoted, "\"%s\"", command);
	json_add_str(row, "Command", quoted.text);
	cell_times(row, json_i64_or(c, "Created", 0));
	cell_state(row, c);
	cell_ports(row, json_get(c, "Ports"));
	json_add_str(row, "Isolation",
		     json_str_or(json_get(c, "HostConfig"), "Isolation", "container"));
	cell_names(row, json_get(c, "Names"));
	cell_labels(row, json_get(c, "Labels"));
	add_mounts(row, json_get(c, "Mounts"));
	add_networks(row, c);
	add_size(row, c);
}

static const struct column stats_columns[] = {
	{ "CONTAINER ID", "ID" },     { "NAME", "Name" },
	{ "CPU %", "CPUPerc" },       { "MEM USAGE / LIMIT", "MemUsage" },
	{ "MEM %", "MemPerc" },       { "NET I/O", "NetIO" },
	{ "BLOCK I/O", "BlockIO" },   { "PIDS", "PIDs" },
	{ "CONTAINER", "Container" }, { NULL, NULL },
};

static int64_t sum_networks(json_object *networks, const char *key)
{
	int64_t sum = 0;
	if (!networks)
		return 0;
	json_object_object_foreach (networks, name, counters) {
		(void)name;
		sum += json_i64_or(counters, key, 0);
	}
	return sum;
}

static void fill_stats(json_object *row, json_object *doc, bool trunc)
{
	char text[32];
	cell_usage(row, doc, trunc);
	json_object *networks = json_get(doc, "networks");
	cell_pair(row, "NetIO", sum_networks(networks, "rx_bytes"),
		  sum_networks(networks, "tx_bytes"));
	(void)snprintf(text, sizeof(text), "%lld",
		       (long long)json_i64_or(json_get(doc, "pids_stats"), "current", 0));
	json_add_str(row, "PIDs", text);
}

const struct listing ctr_ps = { ps_columns, 8, fill_ps };
const struct listing ctr_stats = { stats_columns, 8, fill_stats };

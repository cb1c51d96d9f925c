/* SPDX-License-Identifier: Apache-2.0 */
/* vm_rows - what ps and stats show of a VM. Runs in vmctl. */
#include "vm_rows.h"

#include "cells.h"
#include "format.h"
#include "isola/json.h"

#include <stdio.h>
#include <string.h>

static const struct column ps_columns[] = {
	{ "VM ID", "ID" },
	{ "KERNEL OR IMAGE", "Kernel" },
	{ "CPUS", "Cpus" },
	{ "MEMORY", "Memory" },
	{ "CREATED", "RunningFor" },
	{ "STATUS", "Status" },
	{ "PORTS", "Ports" },
	{ "NAMES", "Names" }, /* the rest when asked for */
	{ "CREATED AT", "CreatedAt" },
	{ "STATE", "State" },
	{ "REASON", "Reason" },
	{ "LABELS", "Labels" },
	{ NULL, NULL },
};

static const struct column stats_columns[] = {
	{ "VM ID", "ID" },
	{ "NAME", "Name" },
	{ "CPU %", "CPUPerc" },
	{ "MEM USAGE / LIMIT", "MemUsage" },
	{ "MEM %", "MemPerc" },
	{ "NET I/O", "NetIO" },
	{ "DISK I/O", "DiskIO" },
	{ "EXITS", "Exits" },
	{ "BLOCK I/O", "BlockIO" },
	{ "VM", "Container" },
	{ NULL, NULL },
};

/* A stored kernel is known by its name, a file by its last part. */
static void add_kernel(json_object *row, const char *path, bool trunc)
{
	char text[256];
	(void)snprintf(text, sizeof(text), "%s", path);
	char *slash = strrchr(text, '/'), *store = strstr(text, "/kernels/");
	const char *shown = text;
	if (trunc && store && slash && slash > store + 9) {
		*slash = '\0';
		shown = store + 9;
	} else if (trunc && slash) {
		shown = slash + 1;
	}
	json_add_str(row, "Kernel", shown);
}

static void add_size(json_object *row, json_object *size)
{
	char text[32];
	(void)snprintf(text, sizeof(text), "%lld", (long long)json_i64_or(size, "Cpus", 1));
	json_add_str(row, "Cpus", text);
	format_size_binary(json_i64_or(size, "Memory", 0), text, sizeof(text));
	json_add_str(row, "Memory", text);
}

static void add_common(json_object *row, json_object *doc, bool trunc)
{
	cell_id(row, json_str_or(doc, "Id", ""), trunc);
	cell_times(row, json_i64_or(doc, "Created", 0));
	cell_state(row, doc);
	cell_ports(row, json_get(doc, "Ports"));
	json_add_str(row, "Reason", json_str_or(doc, "Reason", ""));
	cell_names(row, json_get(doc, "Names"));
	cell_labels(row, json_get(doc, "Labels"));
}

static void fill_ps(json_object *row, json_object *doc, bool trunc)
{
	add_kernel(row, json_str_or(doc, "Kernel", ""), trunc);
	add_size(row, doc);
	add_common(row, doc, trunc);
}

void vm_fill_container(json_object *row, json_object *doc, bool trunc)
{
	char text[300];
	(void)snprintf(text, sizeof(text), "image %s", json_str_or(doc, "Image", ""));
	json_add_str(row, "Kernel", text);
	add_size(row, json_get(doc, "Isola"));
	add_common(row, doc, trunc);
}

/* Adds a counter if @stats has it; -1 stands for none yet. */
static int64_t add_counter(json_object *stats, const char *key, int64_t sum)
{
	if (!json_get(stats, key))
		return sum;
	return (sum < 0 ? 0 : sum) + json_i64_or(stats, key, 0);
}

/* The sum of a counter over the devices that have it, or whose queues have it (disks);
 * -1 when none has. */
static int64_t sum_devices(json_object *vm, const char *key)
{
	int64_t sum = -1;
	json_object *devices = json_get(vm, "devices");
	if (!devices)
		return -1;
	json_object_object_foreach (devices, id, stats) {
		(void)id;
		json_object *queues = json_get(stats, "queues");
		sum = add_counter(stats, key, sum);
		for (size_t i = 0;
		     json_object_is_type(queues, json_type_array) && i < json_len(queues); i++)
			sum = add_counter(json_object_array_get_idx(queues, i), key, sum);
	}
	return sum;
}

static void add_exits(json_object *row, json_object *vm)
{
	char text[32] = "--";
	long long sum = 0;
	json_object *vcpus = json_get(vm, "vcpus");
	for (size_t i = 0; i < json_len(vcpus); i++)
		sum += json_i64_or(json_object_array_get_idx(vcpus, i), "exits", 0);
	if (json_len(vcpus) > 0)
		(void)snprintf(text, sizeof(text), "%lld", sum);
	json_add_str(row, "Exits", text);
}

static void fill_stats(json_object *row, json_object *doc, bool trunc)
{
	json_object *vm = json_get(doc, "vm");
	cell_usage(row, doc, trunc);
	cell_pair(row, "NetIO", sum_devices(vm, "rx_bytes"), sum_devices(vm, "tx_bytes"));
	cell_pair(row, "DiskIO", sum_devices(vm, "read_bytes"), sum_devices(vm, "written_bytes"));
	add_exits(row, vm);
}

const struct listing vm_ps = { ps_columns, 8, fill_ps };
const struct listing vm_stats = { stats_columns, 8, fill_stats };

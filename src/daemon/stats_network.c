/* SPDX-License-Identifier: Apache-2.0 */
/* stats_network - what went over an instance's links, as it sees them: from its own network
 * namespace for a container, from the other side of its taps for a VM (proc_pid_net(5),
 * /proc/pid/net/dev). isolad, loop thread; reads one kernel file. */
#include "endpoint.h"
#include "isolad.h"

#include "isola/fd.h"
#include "isola/json.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A host with a thousand links: 130 bytes each. */
#define TABLE_MAX ((size_t)1024 * 1024)

/* The columns behind the name, and what they are called here and from the other side. */
static const struct {
	const char *mine, *theirs;
} columns[] = {
	{ "rx_bytes", "tx_bytes" },
	{ "rx_packets", "tx_packets" },
	{ "rx_errors", "tx_errors" },
	{ "rx_dropped", "tx_dropped" },
	{ NULL, NULL }, /* fifo */
	{ NULL, NULL }, /* frame */
	{ NULL, NULL }, /* compressed */
	{ NULL, NULL }, /* multicast */
	{ "tx_bytes", "rx_bytes" },
	{ "tx_packets", "rx_packets" },
	{ "tx_errors", "rx_errors" },
	{ "tx_dropped", "rx_dropped" },
};

/* "  eth0: 1 2 ..." */
static const char *find_line(const char *table, const char *name)
{
	size_t n = strlen(name);
	for (const char *at = table; at; at = strchr(at, '\n')) {
		at += strspn(at, " \n");
		if (!strncmp(at, name, n) && at[n] == ':')
			return at + n + 1;
		if (!*at)
			break;
	}
	return NULL;
}

static json_object *read_line(const char *line, bool from_inside)
{
	json_object *o = json_object_new_object();
	for (size_t i = 0; i < sizeof(columns) / sizeof(columns[0]); i++) {
		char *end;
		uint64_t value = strtoull(line, &end, 10);
		const char *key = from_inside ? columns[i].mine : columns[i].theirs;
		if (key)
			json_add(o, key, json_object_new_uint64(value));
		line = end;
	}
	return o;
}

json_object *stats_networks(const struct instance *inst)
{
	bool inside = endpoint_link(inst) == NET_LINK_VETH;
	char path[40] = "/proc/self/net/dev", name[NET_NAME_SIZE];
	cleanup_free char *table = NULL;
	if (list_is_empty(&inst->endpoints))
		return NULL;
	if (inside)
		(void)snprintf(path, sizeof(path), "/proc/%d/net/dev", (int)inst->pid);
	if (fd_read_file(AT_FDCWD, path, TABLE_MAX, &table, NULL, NULL) < 0)
		return NULL;
	json_object *all = json_object_new_object();
	list_for_each (node, &inst->endpoints) {
		const struct endpoint *e = container_of(node, struct endpoint, node);
		char shown[NET_NAME_SIZE];
		(void)snprintf(shown, sizeof(shown), "eth%u", e->index);
		endpoint_host_name(e, name);
		const char *line = find_line(table, inside ? shown : name);
		if (line)
			json_add(all, shown, read_line(line, inside));
	}
	return all;
}

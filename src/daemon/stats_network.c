/* SPDX-License-Identifier: Apache-2.0 */
/* stats_network - what went over an instance's links, as it sees them: from its own network
 * namespace for a container, from the other side of its taps for a VM (proc_pid_net(5),
 * /proc/pid/net/dev); and the sum of a network's. isolad, loop thread; reads one kernel file,
 * of a macvlan one for each member. */
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

/* The columns behind the name; received ones, then the same sent. */
static const char *const columns[] = {
	"rx_bytes",      "rx_packets",     "rx_errors",           "rx_dropped",
	NULL /* fifo */, NULL /* frame */, NULL /* compressed */, NULL /* multicast */,
	"tx_bytes",      "tx_packets",     "tx_errors",           "tx_dropped",
};
#define COLUMNS (sizeof(columns) / sizeof(columns[0]))
#define HALF    8

struct counts {
	uint64_t mine[COLUMNS], theirs[COLUMNS];
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

static void count_line(const char *line, uint64_t values[COLUMNS])
{
	for (size_t i = 0; i < COLUMNS; i++) {
		char *end;
		values[i] += strtoull(line, &end, 10);
		line = end;
	}
}

static json_object *view_counts(const struct counts *c)
{
	json_object *o = json_object_new_object();
	for (size_t i = 0; i < COLUMNS; i++) {
		/* What the other side sends is received here. */
		size_t other = i < HALF ? i + HALF : i - HALF;
		if (columns[i])
			json_add(o, columns[i],
				 json_object_new_uint64(c->mine[i] + c->theirs[other]));
	}
	return o;
}

/* Of @pid's network namespace, or isolad's; owned, NULL when it is gone. */
static char *read_table(pid_t pid)
{
	char path[40] = "/proc/self/net/dev";
	char *table = NULL;
	if (pid)
		(void)snprintf(path, sizeof(path), "/proc/%d/net/dev", (int)pid);
	return fd_read_file(AT_FDCWD, path, TABLE_MAX, &table, NULL, NULL) < 0 ? NULL : table;
}

json_object *stats_networks(const struct instance *inst)
{
	bool inside = endpoint_link(inst) == NET_LINK_VETH;
	char name[NET_NAME_SIZE];
	if (list_is_empty(&inst->endpoints))
		return NULL;
	cleanup_free char *table = read_table(inside ? inst->pid : 0);
	if (!table)
		return NULL;
	json_object *all = json_object_new_object();
	list_for_each (node, &inst->endpoints) {
		const struct endpoint *e = container_of(node, struct endpoint, node);
		struct counts c = { { 0 }, { 0 } };
		char shown[NET_NAME_SIZE];
		(void)snprintf(shown, sizeof(shown), "eth%u", e->index);
		endpoint_host_name(e, name);
		const char *line = find_line(table, inside ? shown : name);
		if (!line)
			continue;
		count_line(line, inside ? c.mine : c.theirs);
		json_object *o = view_counts(&c);
		json_add_str(o, "network", e->network->name);
		json_add(all, shown, o);
	}
	return all;
}

/* ---- a network ---- */

static bool is_member(const struct network *net, const char *line, size_t n)
{
	char name[NET_NAME_SIZE];
	list_for_each (node, &net->members) {
		const struct endpoint *e = container_of(node, struct endpoint, member);
		if (!e->live)
			continue;
		endpoint_host_name(e, name);
		if (strlen(name) == n && !strncmp(line, name, n))
			return true;
	}
	return false;
}

/* From the host's ends: one table, however many members there are. */
static void count_ports(const struct network *net, struct counts *c)
{
	cleanup_free char *table = read_table(0);
	for (char *at = table; at && *at;) {
		char *end = strchr(at, '\n'), *colon = strchr(at, ':');
		at += strspn(at, " ");
		if (colon && (!end || colon < end) && is_member(net, at, (size_t)(colon - at)))
			count_line(colon + 1, c->theirs);
		at = end ? end + 1 : NULL;
	}
}

/* Macvlans are inside only. */
static void count_inside(const struct network *net, struct counts *c)
{
	char name[NET_NAME_SIZE];
	list_for_each (node, &net->members) {
		const struct endpoint *e = container_of(node, struct endpoint, member);
		cleanup_free char *table = e->live ? read_table(e->inst->pid) : NULL;
		(void)snprintf(name, sizeof(name), "eth%u", e->index);
		const char *line = table ? find_line(table, name) : NULL;
		if (line)
			count_line(line, c->mine);
	}
}

json_object *network_counters(const struct network *net)
{
	struct counts c = { { 0 }, { 0 } };
	if (net->kind == NET_KIND_BRIDGE)
		count_ports(net, &c);
	else
		count_inside(net, &c);
	return view_counts(&c);
}

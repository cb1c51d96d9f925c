/* SPDX-License-Identifier: Apache-2.0 */
/* network_recover - what a crash left: links of what does not run go, those that what runs
 * lacks come back, rules are made anew. isolad, loop thread, before it serves. */
#include "network_priv.h"

#include "isola/fd.h"

#include "endpoint.h"
#include "isolad.h"
#include "life.h"
#include "vm.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* An endpoint that runs, and whether its link was seen. */
struct seen {
	struct endpoint *endpoint;
	char name[NET_NAME_SIZE];
	bool is_there;
};

struct orphans {
	struct isolad *isolad;
	struct seen *live;
	size_t n_live;
	char (*names)[NET_NAME_SIZE];
	size_t n;
	bool any; /* a link of our bridges, needed or not */
};

static bool is_port_of(struct orphans *o, const struct network *net, const char *name)
{
	for (size_t i = 0; i < o->n_live; i++) {
		if (o->live[i].endpoint->network != net || strcmp(o->live[i].name, name) != 0)
			continue;
		o->live[i].is_there = true;
		return true;
	}
	return false;
}

static void on_link(void *arg, const char *name, const char *id, const char *bridge_id)
{
	struct orphans *o = arg;
	struct network *net = network_by_id(o->isolad, bridge_id ? bridge_id : id);
	/* Without one it is another isolad's. */
	o->any = o->any || (net && net->kind == NET_KIND_BRIDGE);
	if (!net || (bridge_id ? is_port_of(o, net, name) : net->live > 0))
		return;
	void *more = realloc(o->names, (o->n + 1) * sizeof(*o->names));
	if (!more)
		return;
	o->names = more;
	(void)snprintf(o->names[o->n++], NET_NAME_SIZE, "%s", name);
}

static int republish(struct isolad *d, struct err *err)
{
	int rc = 0;
	list_for_each (node, &d->registry.instances) {
		struct instance *inst = container_of(node, struct instance, node);
		struct bindings *b = &life_of(inst)->bindings;
		struct endpoint *e = endpoint_gateway(inst);
		if (rc != 0 || !b->n || !e || !e->live)
			continue;
		struct net_addrs to = endpoint_addrs(e);
		rc = net_rules_publish(d->networks.net, &to, b->items, b->n, err);
	}
	return rc;
}

static int remake_rules(struct isolad *d, struct err *err)
{
	struct net *n = d->networks.net;
	struct net_all all = { 0 };
	size_t n_live = 0;
	list_for_each (node, &d->networks.all)
		n_live += container_of(node, struct network, node)->live;
	cleanup_free struct net_bridge *bridges = calloc(n_live + 1, sizeof(*bridges));
	cleanup_free struct net_port *ports = calloc(n_live + 1, sizeof(*ports));
	if (!bridges || !ports)
		return err_set(err, ENOMEM, "out of memory");
	list_for_each (node, &d->networks.all) {
		struct network *net = container_of(node, struct network, node);
		if (net->kind == NET_KIND_MACVLAN)
			continue; /* nothing of it passes our rules */
		if (net->live)
			network_bridge(net, &bridges[all.n_bridges++]);
		list_for_each (member, &net->members) {
			struct endpoint *e = container_of(member, struct endpoint, member);
			if (e->live && all.n_ports < n_live)
				endpoint_port(e, &ports[all.n_ports++]);
		}
	}
	all.bridges = bridges;
	all.ports = ports;
	int rc = net_rules_reset(n, &all, err);
	return rc < 0 || !all.n_bridges ? rc : republish(d, err);
}

/* What isolad waits at its start for links that are in the way of macvlans: of all of them
 * together, as nobody is served meanwhile. */
#define BUSY_MS 1000

static int plug(struct isolad *d, struct endpoint *e, const struct net_port *port,
		unsigned int *busy_ms, struct err *err)
{
	struct net_bridge bridge;
	struct instance *inst = e->inst;
	network_bridge(e->network, &bridge);
	int rc = net_bridge_up(d->networks.net, &bridge, err);
	if (rc < 0)
		return rc;
	if (bridge.kind == NET_KIND_BRIDGE)
		return net_port_add(d->networks.net, &bridge, port, inst->pid, inst->keeper_pid,
				    err);
	fd_close(&e->ns_fd);
	uint64_t begun = uv_hrtime();
	rc = net_macvlan_add(d->networks.net, &bridge, port, inst->pid, inst->keeper_pid, *busy_ms,
			     &e->ns_fd, e->mac, err);
	uint64_t took_ms = (uv_hrtime() - begun) / 1000000;
	*busy_ms -= took_ms < *busy_ms ? (unsigned int)took_ms : *busy_ms;
	return rc;
}

/* The record says that it has this link: it was cut off in a disconnect, or somebody else
 * has removed it. */
static void plug_again(struct isolad *d, struct endpoint *e, const struct net_port *port,
		       unsigned int *busy_ms)
{
	struct err err = ERR_INIT;
	if (plug(d, e, port, busy_ms, &err) < 0)
		log_warn(e->inst->id, "its link in network %s is missing: %s", e->network->name,
			 err.text);
	else
		log_info(e->inst->id, "made its link in network %s anew, which was missing",
			 e->network->name);
}

/* A tap goes with who has it open. */
static bool is_missing(struct isolad *d, const struct seen *s)
{
	const struct endpoint *e = s->endpoint;
	struct net_bridge bridge;
	if (!e->live || endpoint_link(e->inst) != NET_LINK_VETH)
		return false;
	if (e->network->kind != NET_KIND_MACVLAN)
		return !s->is_there;
	network_bridge(e->network, &bridge);
	return e->ns_fd >= 0 && !net_macvlan_is_there(d->networks.net, &bridge, e->ns_fd);
}

static void list_live(struct orphans *o)
{
	size_t n = 0;
	list_for_each (node, &o->isolad->networks.all)
		n += container_of(node, struct network, node)->live;
	o->live = calloc(n + 1, sizeof(*o->live));
	if (!o->live)
		abort(); /* see later.h */
	list_for_each (node, &o->isolad->networks.all) {
		list_for_each (member, &container_of(node, struct network, node)->members) {
			struct endpoint *e = container_of(member, struct endpoint, member);
			if (!e->live || o->n_live >= n)
				continue;
			o->live[o->n_live].endpoint = e;
			endpoint_host_name(e, o->live[o->n_live++].name);
		}
	}
}

static void look_at_links(struct orphans *o)
{
	struct err e = ERR_INIT;
	list_live(o);
	if (net_links(o->isolad->networks.net, on_link, o, &e) < 0) {
		log_warn(NULL, "%s", e.text);
		o->n_live = 0; /* not seen is not missing */
	}
	for (size_t i = 0; i < o->n; i++) {
		if (net_link_remove(o->isolad->networks.net, o->names[i], &e) < 0)
			log_warn(NULL, "%s", e.text);
		else
			log_info(NULL, "removed the link %s, which nothing that runs uses",
				 o->names[i]);
	}
}

static void plug_missing(struct orphans *o)
{
	unsigned int busy_ms = BUSY_MS;
	for (size_t i = 0; i < o->n_live; i++) {
		struct net_port port;
		endpoint_port(o->live[i].endpoint, &port);
		if (is_missing(o->isolad, &o->live[i]))
			plug_again(o->isolad, o->live[i].endpoint, &port, &busy_ms);
	}
}

/* Its next reset is without the tap that it was about to give up. */
static void write_machine(struct instance *inst)
{
	struct err e = ERR_INIT;
	if (inst->kind == INSTANCE_VM && vm_bundle_write(inst, life_of(inst)->run_dir_fd, &e) < 0)
		log_warn(inst->id, "%s", e.text);
}

void networks_recover(struct isolad *d)
{
	struct err e = ERR_INIT;
	struct orphans links = { .isolad = d };
	bool live = false;
	list_for_each (node, &d->registry.instances) {
		struct instance *inst = container_of(node, struct instance, node);
		if (!instance_is_running(inst))
			continue;
		if (!list_is_empty(&inst->endpoints))
			endpoints_adopt(inst);
		write_machine(inst);
	}
	list_for_each (node, &d->networks.all) {
		const struct network *net = container_of(node, struct network, node);
		live = live || (net->live && net->kind == NET_KIND_BRIDGE);
	}
	/* Where no network was in use, a table is another isolad's, or empty. */
	look_at_links(&links);
	if ((links.any || live) && remake_rules(d, &e) < 0)
		log_error(NULL, "the networks' rules cannot be made: %s", e.text);
	plug_missing(&links);
	free(links.names);
	free(links.live);
	dhcp_flush(d);
	resolver_recover(d);
}

/* SPDX-License-Identifier: Apache-2.0 */
/* network_recover - what a crash left: links of what does not run go, rules are made anew.
 * isolad, loop thread, before it serves. */
#include "network_priv.h"

#include "isola/fd.h"

#include "endpoint.h"
#include "isolad.h"
#include "life.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct orphans {
	struct isolad *isolad;
	char (*names)[NET_NAME_SIZE];
	size_t n;
	bool any; /* a link of our bridges, needed or not */
};

static bool is_port_of(struct network *net, const char *name)
{
	list_for_each (node, &net->members) {
		struct endpoint *e = container_of(node, struct endpoint, member);
		char host_name[NET_NAME_SIZE];
		endpoint_host_name(e, host_name);
		if (e->live && !strcmp(host_name, name))
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
	if (!net || (bridge_id ? is_port_of(net, name) : net->live > 0))
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

/* Whether there were any links of our networks. */
static bool remove_orphans(struct isolad *d)
{
	struct orphans o = { .isolad = d };
	struct err e = ERR_INIT;
	if (net_links(d->networks.net, on_link, &o, &e) < 0)
		log_warn(NULL, "%s", e.text);
	for (size_t i = 0; i < o.n; i++) {
		if (net_link_remove(d->networks.net, o.names[i], &e) < 0)
			log_warn(NULL, "%s", e.text);
		else
			log_info(NULL, "removed the link %s, which nothing that runs uses",
				 o.names[i]);
	}
	free(o.names);
	return o.any;
}

void networks_recover(struct isolad *d)
{
	struct err e = ERR_INIT;
	bool live = false;
	list_for_each (node, &d->registry.instances) {
		struct instance *inst = container_of(node, struct instance, node);
		if (instance_is_running(inst) && !list_is_empty(&inst->endpoints))
			endpoints_adopt(inst);
	}
	list_for_each (node, &d->networks.all) {
		const struct network *net = container_of(node, struct network, node);
		live = live || (net->live && net->kind == NET_KIND_BRIDGE);
	}
	/* Where no network was in use, a table is another isolad's, or empty. */
	if ((remove_orphans(d) || live) && remake_rules(d, &e) < 0)
		log_error(NULL, "the networks' rules cannot be made: %s", e.text);
	dhcp_flush(d);
	resolver_recover(d);
}

/* SPDX-License-Identifier: Apache-2.0 */
/* plug - an instance's way into the kernel's network and out of it. Jobs have copies:
 * the network and the instance may change meanwhile. isolad, loop thread; the run_*
 * functions in the thread pool.
 *
 * A run's links and rules go with the payload's end. A keeper that is killed takes the
 * namespace, or the taps' descriptors, with it, and the links by that; the rules go with
 * the record of its end. */
#include "endpoint.h"

#include "isola/fd.h"
#include "isola/step.h"

#include "isolad.h"
#include "life.h"
#include "resolver.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* What of a container that has just ended may take to go. */
#define BUSY_MS 1000

/* ---- up ---- */

struct plug {
	struct net_bridge bridge;
	struct net_port port;
	struct network *network; /* used until the job is done, so it stays */
	int tap_fd, ns_fd;       /* made here; -1 */
	uint8_t mac[6];          /* macvlan: what it got */
	bool wants_names;        /* at its gateway */
	int names_fds[2];        /* made here; -1 */
	struct err names_err;    /* why not */
};

struct up {
	struct netjob job;
	struct instance *inst; /* pinned by its op */
	enum net_link link;
	pid_t pid, keeper;
	struct plug *items;
	size_t n;
	struct net_binding *bindings; /* fds are not this one's */
	size_t n_bindings;
	struct net_addrs to;
	bool resolved;   /* it gets names */
	int resolver[3]; /* the sockets for it */
	plug_fn *done;
	void *arg;
};

static void undo(struct up *up, struct net *n, size_t made)
{
	while (made-- > 0) {
		struct plug *p = &up->items[made];
		if (p->bridge.kind == NET_KIND_BRIDGE)
			(void)net_port_remove(n, &p->port, NULL);
		else if (p->ns_fd >= 0)
			(void)net_macvlan_remove(n, &p->bridge, p->ns_fd, NULL);
	}
}

static int add_link(struct up *up, struct plug *p, struct net *n)
{
	struct err *err = &up->job.err;
	int rc = net_bridge_up(n, &p->bridge, err);
	step_reached("plug.bridge");
	if (rc < 0)
		return rc;
	if (p->bridge.kind == NET_KIND_MACVLAN)
		return net_macvlan_add(n, &p->bridge, &p->port, up->pid, up->keeper, BUSY_MS,
				       &p->ns_fd, p->mac, err);
	/* Who has no names runs all the same. */
	if (p->wants_names)
		(void)net_gateway_open(&p->bridge, p->names_fds, &p->names_err);
	return up->link == NET_LINK_TAP
		       ? net_tap_add(n, &p->bridge, &p->port, &p->tap_fd, err)
		       : net_port_add(n, &p->bridge, &p->port, up->pid, up->keeper, err);
}

static int run_up(struct netjob *job, struct net *n)
{
	struct up *up = container_of(job, struct up, job);
	size_t made = 0;
	int rc = 0;
	for (; rc == 0 && made < up->n; made++)
		rc = add_link(up, &up->items[made], n);
	if (rc == 0 && up->resolved && up->link == NET_LINK_VETH)
		rc = net_resolver_open(up->pid, up->keeper, up->resolver, &job->err);
	step_reached("plug.link");
	if (rc == 0)
		rc = net_rules_publish(n, &up->to, up->bindings, up->n_bindings, &job->err);
	step_reached("plug.published");
	if (rc < 0)
		undo(up, n, made);
	return rc;
}

static void up_free(struct up *up)
{
	for (size_t i = 0; i < up->n; i++) {
		struct plug *p = &up->items[i];
		int *fds[] = { &p->tap_fd, &p->ns_fd, &p->names_fds[0], &p->names_fds[1] };
		for (size_t k = 0; k < sizeof(fds) / sizeof(fds[0]); k++)
			fd_close(fds[k]);
	}
	for (size_t i = 0; i < 3; i++)
		fd_close(&up->resolver[i]);
	free(up->items);
	free(up->bindings);
	free(up);
}

static void note_conflict(struct isolad *d);

static void on_linked(struct instance *inst, struct plug *p)
{
	struct endpoint *e = endpoint_find(inst, p->network);
	if (e && p->tap_fd >= 0) {
		e->tap_fd = take_fd(&p->tap_fd);
		dhcp_flush(inst->isolad);
	}
	if (p->names_err.code)
		log_warn(inst->id, "it has no names in network %s: %s", p->network->name,
			 p->names_err.text);
	else if (p->wants_names && resolver_gateway_is_missing(p->network))
		resolver_gateway_open(p->network, p->names_fds);
	if (e && p->ns_fd >= 0) {
		fd_close(&e->ns_fd);
		e->ns_fd = take_fd(&p->ns_fd);
		memcpy(e->mac, p->mac, sizeof(e->mac));
	}
	events_emit_network(inst->isolad, "connect", p->network, inst->id);
}

static void give_names(struct up *up)
{
	struct instance *inst = up->inst;
	if (!up->resolved || resolver_knows(inst)) {
		resolver_update(inst);
		return;
	}
	resolver_add(inst, up->resolver[0] >= 0 ? up->resolver : NULL);
	for (size_t i = 0; i < 3; i++)
		up->resolver[i] = -1;
}

static void after_up(struct netjob *job)
{
	struct up *up = container_of(job, struct up, job);
	struct instance *inst = up->inst;
	note_conflict(job->isolad);
	if (job->err.code) {
		list_for_each (node, &inst->endpoints) {
			struct endpoint *e = container_of(node, struct endpoint, node);
			for (size_t i = 0; i < up->n; i++)
				if (e->live && e->network == up->items[i].network) {
					e->live = false;
					network_unuse(e->network);
				}
		}
		(void)err_prefix(&job->err, "cannot connect it to its network");
	} else if (!job->isolad->stopping) {
		for (size_t i = 0; i < up->n; i++)
			on_linked(inst, &up->items[i]);
		give_names(up);
	}
	up->done(up->arg, job->err.code ? &job->err : NULL);
	up_free(up);
}

static void fill_plug(struct endpoint *e, struct plug *p)
{
	p->network = e->network;
	p->tap_fd = p->ns_fd = p->names_fds[0] = p->names_fds[1] = -1;
	p->wants_names =
		endpoint_link(e->inst) == NET_LINK_TAP && resolver_gateway_is_missing(e->network);
	network_bridge(e->network, &p->bridge);
	endpoint_port(e, &p->port);
	e->live = true;
	network_use(e->network);
}

static struct up *up_new(struct instance *inst, size_t n, plug_fn *done, void *arg)
{
	struct up *up = calloc(1, sizeof(*up));
	if (!up || !(up->items = calloc(n, sizeof(*up->items))))
		abort(); /* see later.h */
	up->inst = inst;
	up->link = endpoint_link(inst);
	up->keeper = inst->keeper_pid;
	up->resolved = resolver_is_wanted(inst) && !resolver_knows(inst);
	for (size_t i = 0; i < 3; i++)
		up->resolver[i] = -1;
	up->done = done;
	up->arg = arg;
	up->job.run = run_up;
	up->job.done = after_up;
	return up;
}

static void copy_bindings(const struct bindings *b, struct net_binding **ret, size_t *ret_n)
{
	if (!b->n)
		return;
	*ret = calloc(b->n, sizeof(**ret));
	if (!*ret)
		abort(); /* see later.h */
	memcpy(*ret, b->items, b->n * sizeof(**ret));
	*ret_n = b->n;
}

void endpoints_up(struct instance *inst, pid_t pid, plug_fn *done, void *arg)
{
	size_t n = 0;
	list_for_each (node, &inst->endpoints)
		n++;
	struct up *up = up_new(inst, n, done, arg);
	struct endpoint *gateway = endpoint_gateway(inst);
	up->pid = pid;
	list_for_each (node, &inst->endpoints)
		fill_plug(container_of(node, struct endpoint, node), &up->items[up->n++]);
	if (gateway) {
		up->to = endpoint_addrs(gateway);
		copy_bindings(&life_of(inst)->bindings, &up->bindings, &up->n_bindings);
	}
	netjob_queue(inst->isolad, &up->job);
}

void endpoints_settled(struct instance *inst)
{
	list_for_each (node, &inst->endpoints)
		fd_close(&container_of(node, struct endpoint, node)->tap_fd);
	if (endpoint_link(inst) == NET_LINK_TAP)
		resolver_settle(inst);
}

void endpoint_up(struct endpoint *e, plug_fn *done, void *arg)
{
	struct up *up = up_new(e->inst, 1, done, arg);
	up->pid = e->inst->pid;
	fill_plug(e, &up->items[up->n++]);
	netjob_queue(e->inst->isolad, &up->job);
}

/* ---- down ---- */

/* A link that goes. */
struct unplug {
	struct net_port port;
	struct net_bridge bridge;
	int ns_fd; /* macvlan's; -1 */
};

struct down {
	struct netjob job;
	struct unplug *items;
	size_t n;
	struct net_binding *bindings;
	size_t n_bindings;
	struct net_addrs from, next; /* next: gateways to go on with */
	pid_t pid, keeper;
	plug_fn *done; /* may be NULL */
	void *arg;
};

static int remove_link(struct net *n, const struct unplug *u, struct err *err)
{
	if (u->bridge.kind == NET_KIND_BRIDGE)
		return net_port_remove(n, &u->port, err);
	return u->ns_fd >= 0 ? net_macvlan_remove(n, &u->bridge, u->ns_fd, err) : 0;
}

static int run_down(struct netjob *job, struct net *n)
{
	struct down *down = container_of(job, struct down, job);
	struct err e = ERR_INIT;
	int rc = net_rules_unpublish(n, &down->from, down->bindings, down->n_bindings, &job->err);
	step_reached("unplug.unpublished");
	for (size_t i = 0; i < down->n; i++)
		if (remove_link(n, &down->items[i], &e) < 0 && rc == 0)
			rc = err_copy(&job->err, &e);
	step_reached("unplug.link");
	if (down->pid && net_port_route(n, down->pid, down->keeper, &down->next, &e) < 0 && rc == 0)
		rc = err_copy(&job->err, &e);
	return rc;
}

static void after_down(struct netjob *job)
{
	struct down *down = container_of(job, struct down, job);
	if (job->err.code)
		log_warn(NULL, "network: %s", job->err.text);
	if (down->done)
		down->done(down->arg, job->err.code ? &job->err : NULL);
	for (size_t i = 0; i < down->n; i++)
		fd_close(&down->items[i].ns_fd);
	free(down->bindings);
	free(down->items);
	free(down);
}

static struct down *down_new(size_t n)
{
	struct down *down = calloc(1, sizeof(*down));
	if (!down || !(down->items = calloc(n + 1, sizeof(*down->items))))
		abort(); /* see later.h */
	down->job.run = run_down;
	down->job.done = after_down;
	return down;
}

/* The link of @e is @down's from here on. */
static void give(struct endpoint *e, struct down *down)
{
	struct unplug *u = &down->items[down->n++];
	endpoint_port(e, &u->port);
	network_bridge(e->network, &u->bridge);
	u->ns_fd = take_fd(&e->ns_fd);
}

static void let_go(struct endpoint *e)
{
	fd_close(&e->tap_fd);
	e->live = false;
	if (e->dhcp_told)
		dhcp_forget(e);
	events_emit_network(e->network->isolad, "disconnect", e->network, e->inst->id);
	network_unuse(e->network);
}

static void take_bindings(struct instance *inst, struct down *down)
{
	struct bindings *b = &life_of(inst)->bindings;
	struct endpoint *gateway = endpoint_gateway(inst);
	if (gateway)
		down->from = endpoint_addrs(gateway);
	down->bindings = b->items;
	down->n_bindings = b->n;
	*b = (struct bindings){ NULL, 0 };
	/* Free at once for the next start, whose rules come behind this job. */
	for (size_t i = 0; i < down->n_bindings; i++)
		fd_close(&down->bindings[i].fd);
}

void endpoints_down(struct instance *inst)
{
	size_t n = 0;
	resolver_remove(inst);
	list_for_each (node, &inst->endpoints)
		n += container_of(node, struct endpoint, node)->live;
	if (!n) {
		/* Taken, but not published yet. */
		bindings_clear(&life_of(inst)->bindings);
		return;
	}
	struct down *down = down_new(n);
	take_bindings(inst, down);
	list_for_each (node, &inst->endpoints) {
		struct endpoint *e = container_of(node, struct endpoint, node);
		if (e->live)
			give(e, down);
	}
	/* It may run from here on. Before the bridges, whose turn to go network_unuse() may
	 * queue. */
	netjob_queue(inst->isolad, &down->job);
	list_for_each (node, &inst->endpoints) {
		struct endpoint *e = container_of(node, struct endpoint, node);
		if (e->live)
			let_go(e);
	}
}

void endpoint_down(struct endpoint *e, plug_fn *done, void *arg)
{
	struct instance *inst = e->inst;
	struct down *down = down_new(1);
	down->done = done;
	down->arg = arg;
	bool was_gateway = endpoint_gateway(inst) == e;
	give(e, down);
	let_go(e);
	if (was_gateway) {
		take_bindings(inst, down);
		list_del(&e->node);
		struct endpoint *next = endpoint_gateway(inst);
		list_add_head(&inst->endpoints, &e->node);
		/* A guest sees to its routes itself. */
		if (next && next->live && endpoint_link(inst) == NET_LINK_VETH) {
			down->next = (struct net_addrs){ next->network->v4.gateway,
							 next->network->v6.gateway };
			down->pid = inst->pid;
			down->keeper = inst->keeper_pid;
		}
	}
	netjob_queue(inst->isolad, &down->job);
}

/* ---- adopted ---- */

void endpoints_adopt(struct instance *inst)
{
	struct bindings *b = &life_of(inst)->bindings;
	struct err e = ERR_INIT;
	list_for_each (node, &inst->endpoints) {
		struct endpoint *ep = container_of(node, struct endpoint, node);
		if (ep->live)
			continue;
		ep->live = true;
		network_use(ep->network);
		if (ep->network->kind == NET_KIND_MACVLAN &&
		    net_ns_open(inst->pid, inst->keeper_pid, &ep->ns_fd, &e) < 0)
			log_warn(inst->id, "%s", e.text);
	}
	for (size_t i = 0; i < b->n; i++)
		if (b->items[i].fd < 0 && net_host_take_port(&b->items[i], &e) < 0)
			log_warn(inst->id, "%s; what it publishes there goes first", e.text);
}

/* ---- what stands in the way ---- */

struct look {
	struct netjob job;
	struct net_bridge *bridges; /* that are up */
	size_t n;
	char *conflict;
};

static int run_look(struct netjob *job, struct net *n)
{
	struct look *look = container_of(job, struct look, job);
	look->conflict = net_rules_conflict(n, look->bridges, look->n);
	return 0;
}

static void after_look(struct netjob *job)
{
	struct look *look = container_of(job, struct look, job);
	struct networks *all = &job->isolad->networks;
	bool is_new = look->conflict && (!all->conflict || strcmp(all->conflict, look->conflict));
	if (is_new)
		log_warn(NULL, "containers may be cut off: %s", look->conflict);
	free(all->conflict);
	all->conflict = take_ptr(look->conflict);
	free(look->bridges);
	free(look);
}

static void list_bridges(struct isolad *d, struct look *look)
{
	size_t n = 0;
	list_for_each (node, &d->networks.all)
		n++;
	look->bridges = calloc(n + 1, sizeof(*look->bridges));
	if (!look->bridges)
		abort(); /* see later.h */
	list_for_each (node, &d->networks.all) {
		const struct network *net = container_of(node, struct network, node);
		if (net->up && net->kind == NET_KIND_BRIDGE)
			network_bridge(net, &look->bridges[look->n++]);
	}
}

/* After the first start, and then now and then: others' rules come and go. */
static void note_conflict(struct isolad *d)
{
	struct networks *all = &d->networks;
	uint64_t now = uv_now(&d->loop);
	if (all->looked_ms && now - all->looked_ms < 60000)
		return;
	struct look *look = calloc(1, sizeof(*look));
	if (!look)
		return;
	all->looked_ms = now ? now : 1;
	list_bridges(d, look);
	look->job.run = run_look;
	look->job.done = after_look;
	netjob_queue(d, &look->job);
}

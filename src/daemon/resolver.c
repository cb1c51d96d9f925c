/* SPDX-License-Identifier: Apache-2.0 */
/* resolver - see resolver.h: what isola-resolver is told. The state of each instance is
 * sent anew when it has changed, so nothing has to be queued. isolad, loop thread. */
#include "resolver.h"

#include "isola/fd.h"
#include "isola/json.h"
#include "isola/pid.h"
#include "isola/strbuf.h"
#include "isola/wire.h"

#include "isolad.h"
#include "life.h"
#include "resolver_priv.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define IDLE_MS 2000

bool resolver_serves(const struct network *net)
{
	return strcmp(net->name, NETWORK_DEFAULT) != 0;
}

bool resolver_is_wanted(const struct instance *inst)
{
	list_for_each (node, &inst->endpoints)
		if (resolver_serves(container_of(node, struct endpoint, node)->network))
			return true;
	return false;
}

/* ---- messages ---- */

static void add_name(json_object *list, const char *name)
{
	for (size_t i = 0; i < json_len(list); i++)
		if (!strcmp(json_item_str(list, i), name))
			return;
	if (*name)
		(void)json_object_array_add(list, json_object_new_string(name));
}

json_object *resolver_names(const struct endpoint *e)
{
	const struct instance *inst = e->inst;
	json_object *list = json_object_new_array();
	char id[ID_SHORT_LEN + 1];
	(void)snprintf(id, sizeof(id), "%.*s", ID_SHORT_LEN, inst->id);
	add_name(list, inst->name ? inst->name : "");
	for (size_t i = 0; i < json_len(e->aliases); i++)
		add_name(list, json_item_str(e->aliases, i));
	add_name(list, id);
	add_name(list, json_str_or(inst->config, "Hostname", ""));
	return list;
}

static json_object *make_place(const struct endpoint *e)
{
	json_object *o = json_object_new_object(), *list = json_object_new_array();
	const struct net_addr *both[] = { &e->addr, &e->addr6 };
	char addr[NET_ADDR_TEXT];
	json_add_str(o, "network", e->network->id);
	json_add_str(o, "name", e->network->name);
	for (size_t i = 0; i < 2; i++)
		if (both[i]->family)
			(void)json_object_array_add(list, json_object_new_string(net_addr_format(
								  both[i], addr, sizeof(addr))));
	json_add(o, "addresses", list);
	json_add(o, "names", resolver_names(e));
	return o;
}

static json_object *make_set(const struct known *k)
{
	json_object *o = json_object_new_object(), *places = json_object_new_array();
	json_object *dns = json_get(k->inst->host_config, "Dns");
	cleanup_strbuf struct strbuf servers = STRBUF_INIT;
	bool forward = false;
	list_for_each (node, &k->inst->endpoints) {
		const struct endpoint *e = container_of(node, struct endpoint, node);
		if (!e->live)
			continue;
		forward = forward || !e->network->internal;
		if (resolver_serves(e->network))
			(void)json_object_array_add(places, make_place(e));
	}
	for (size_t i = 0; i < json_len(dns); i++)
		strbuf_printf(&servers, "%s%s", i ? "," : "", json_item_str(dns, i));
	json_add_str(o, "op", "set");
	json_add_str(o, "id", k->id);
	json_add(o, "places", places);
	json_add_bool(o, "forward", forward);
	json_add_str(o, "servers", servers.text ? servers.text : "");
	return o;
}

static json_object *make_gone(const struct known *k)
{
	json_object *o = json_object_new_object();
	json_add_str(o, "op", "gone");
	json_add_str(o, "id", k->id);
	return o;
}

static void known_free(struct known *k)
{
	list_del(&k->node);
	for (size_t i = 0; i < 3; i++)
		fd_close(&k->fds[i]);
	free(k);
}

/* ---- what has changed is told ---- */

/* 1 when it was told, 0 when the connection is full or gone. */
static int tell(struct resolver *r, struct known *k)
{
	struct err e = ERR_INIT;
	bool sockets = k->inst && k->fds[2] >= 0 && !k->sockets_told;
	size_t first = k->fds[0] >= 0 ? 0 : 2;
	cleanup_json json_object *msg = k->inst ? make_set(k) : make_gone(k);
	int rc = resolver_send(r, msg, k->fds + first, sockets ? 3 - first : 0, &e);
	if (rc == -EAGAIN || rc == -EPIPE || rc == -ECONNRESET || rc == -ENOTCONN)
		return 0;
	if (rc < 0)
		log_error(k->id, "its names cannot be told to isola-resolver: %s", e.text);
	k->dirty = false;
	k->told = true;
	k->sockets_told = k->sockets_told || sockets;
	return 1;
}

static int tell_host(struct resolver *r)
{
	cleanup_json json_object *o = json_object_new_object();
	cleanup_free char *servers = resolver_host_servers();
	json_add_str(o, "op", "host");
	json_add_str(o, "servers", servers ? servers : "");
	r->host_told = resolver_send(r, o, NULL, 0, NULL) == 0;
	return r->host_told;
}

static void on_idle(void *arg)
{
	struct isolad *d = arg;
	timer_stop(&d->resolver.idle);
	if (list_is_empty(&d->resolver.known))
		resolver_end(d);
}

/* The old one's turn ends when all its clients have sockets of the new one. */
static void replace_old(struct isolad *d)
{
	struct resolver *r = &d->resolver;
	if (r->old_pidfd < 0 || r->opening)
		return;
	(void)pid_signal(r->old_pidfd, SIGKILL);
	fd_close(&r->old_pidfd);
}

void resolver_flush(struct isolad *d)
{
	struct resolver *r = &d->resolver;
	if (d->stopping)
		return;
	list_for_each_safe (node, &r->known) {
		struct known *k = container_of(node, struct known, node);
		if (!k->inst && !k->told)
			known_free(k);
	}
	if (!list_is_empty(&r->known) && !resolver_begin(d))
		return;
	if (r->conn && !r->host_told && !tell_host(r)) {
		resolver_want_writable(r, true);
		return;
	}
	if (r->conn && !resolver_tell_gateways(d)) {
		resolver_want_writable(r, true);
		return;
	}
	list_for_each_safe (node, &r->known) {
		struct known *k = container_of(node, struct known, node);
		if (!k->dirty)
			continue;
		if (!tell(r, k)) {
			resolver_want_writable(r, true);
			return;
		}
		if (!k->inst)
			known_free(k);
	}
	resolver_want_writable(r, false);
	replace_old(d);
	if (list_is_empty(&r->known) && r->conn && !r->idle)
		r->idle = timer_start(d, IDLE_MS, on_idle, d);
}

void resolver_forget_told(struct isolad *d)
{
	struct resolver *r = &d->resolver;
	r->host_told = false;
	list_for_each (node, &d->networks.all)
		container_of(node, struct network, node)->names_told = false;
	list_for_each (node, &r->known) {
		struct known *k = container_of(node, struct known, node);
		k->dirty = k->inst != NULL;
		k->told = k->sockets_told = false;
	}
}

/* ---- instances ---- */

bool resolver_knows(const struct instance *inst)
{
	return life_of(inst)->known != NULL;
}

void resolver_add(struct instance *inst, int fds[3])
{
	static int none[3] = { -1, -1, -1 };
	struct known *k = calloc(1, sizeof(*k));
	if (!k)
		abort(); /* see later.h */
	k->inst = inst;
	memcpy(k->id, inst->id, sizeof(k->id));
	memcpy(k->fds, fds ? fds : none, sizeof(k->fds));
	k->dirty = true;
	list_add_tail(&inst->isolad->resolver.known, &k->node);
	life_of(inst)->known = k;
	resolver_flush(inst->isolad);
}

void resolver_settle(struct instance *inst)
{
	struct known *k = life_of(inst)->known;
	if (!k || k->fds[2] >= 0 || inst->keeper_pid <= 0)
		return;
	int fd = pid_open(inst->keeper_pid);
	if (fd < 0)
		return; /* it has ended, of which we hear */
	k->fds[2] = fd;
	resolver_update(inst);
}

void resolver_update(struct instance *inst)
{
	struct known *k = life_of(inst)->known;
	if (!k)
		return;
	k->dirty = true;
	resolver_flush(inst->isolad);
}

void resolver_remove(struct instance *inst)
{
	struct known *k = life_of(inst)->known;
	if (!k)
		return;
	life_of(inst)->known = NULL;
	k->inst = NULL;
	k->dirty = true;
	for (size_t i = 0; i < 3; i++)
		fd_close(&k->fds[i]);
	resolver_flush(inst->isolad);
}

/* ---- after a crash ---- */

struct opening {
	struct netjob job;
	char id[ID_SIZE];
	pid_t pid, keeper;
	int fds[3];
};

static int run_open(struct netjob *job, struct net *n)
{
	struct opening *o = container_of(job, struct opening, job);
	(void)n;
	return net_resolver_open(o->pid, o->keeper, o->fds, &job->err);
}

static void after_open(struct netjob *job)
{
	struct opening *o = container_of(job, struct opening, job);
	struct isolad *d = job->isolad;
	struct instance *inst = registry_find(d, INSTANCE_CONTAINER, o->id, NULL);
	bool same = inst && inst->pid == o->pid && !d->stopping && !resolver_knows(inst);
	d->resolver.opening--;
	if (job->err.code && same)
		log_warn(o->id, "it has no names any more: %s", job->err.text);
	else if (same)
		resolver_add(inst, o->fds);
	for (size_t i = 0; i < 3 && !same; i++)
		fd_close(&o->fds[i]);
	resolver_flush(d);
	free(o);
}

static void reopen(struct instance *inst)
{
	struct opening *o = calloc(1, sizeof(*o));
	if (!o)
		abort(); /* see later.h */
	memcpy(o->id, inst->id, sizeof(o->id));
	o->pid = inst->pid;
	o->keeper = inst->keeper_pid;
	for (size_t i = 0; i < 3; i++)
		o->fds[i] = -1;
	o->job.run = run_open;
	o->job.done = after_open;
	inst->isolad->resolver.opening++;
	netjob_queue(inst->isolad, &o->job);
}

void resolver_recover(struct isolad *d)
{
	resolver_find_old(d);
	list_for_each (node, &d->registry.instances) {
		struct instance *inst = container_of(node, struct instance, node);
		if (!instance_is_running(inst) || !resolver_is_wanted(inst))
			continue;
		if (endpoint_link(inst) == NET_LINK_TAP) {
			resolver_add(inst, NULL);
			resolver_settle(inst);
		} else {
			reopen(inst);
		}
	}
	resolver_reopen_gateways(d);
	resolver_flush(d);
}

void resolver_init(struct resolver *r)
{
	*r = (struct resolver){ .old_pidfd = -1 };
	list_init(&r->known);
}

void resolver_fini(struct isolad *d)
{
	struct resolver *r = &d->resolver;
	while (!list_is_empty(&r->known))
		known_free(container_of(r->known.next, struct known, node));
	fd_close(&r->old_pidfd);
}

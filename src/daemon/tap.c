/* SPDX-License-Identifier: Apache-2.0 */
/* tap - see tap.h. isolad, loop thread; run_open() in the thread pool. */
#include "tap.h"

#include "isola/fd.h"
#include "isola/json.h"
#include "isola/mac.h"

#include "endpoint.h"
#include "isolad.h"
#include "resolver.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define MTU 1500

struct tap {
	struct list node; /* in isolad's taps */
	struct instance *inst;
	struct endpoint *endpoint; /* of inst; NULL once it was unlinked */
	unsigned int queues;
	bool busy;   /* a job is under way: the instance must not go */
	bool closed; /* it goes with that job's end */
	tap_ready_fn *ready;
	tap_gone_fn *gone;
	void *arg;
};

/* ---- its end ---- */

static void unlink_it(struct tap *tap)
{
	if (!tap->endpoint)
		return;
	tap->endpoint = NULL;
	endpoints_down(tap->inst);
}

static void tap_free(struct tap *tap)
{
	unlink_it(tap);
	list_del(&tap->node);
	instance_free(tap->inst);
	free(tap);
}

void tap_close(struct tap *tap)
{
	tap->closed = true;
	if (!tap->busy)
		tap_free(tap);
}

void tap_end(struct tap *tap)
{
	tap->gone(tap->arg);
}

void taps_stop(struct isolad *d)
{
	list_for_each (node, &d->taps) {
		struct tap *tap = container_of(node, struct tap, node);
		if (!tap->busy)
			unlink_it(tap);
	}
}

static void fail(struct tap *tap, const struct err *err)
{
	tap_ready_fn *ready = tap->closed ? NULL : tap->ready;
	void *arg = tap->arg;
	tap_free(tap);
	if (ready)
		ready(arg, err, NULL, NULL, 0);
}

/* ---- what the client is told ---- */

static void add_address(json_object *o, const char *key, const struct net_addr *addr)
{
	char text[NET_ADDR_TEXT];
	json_add_str(o, key, addr->family ? net_addr_format(addr, text, sizeof(text)) : "");
}

static json_object *facts_of(const struct tap *tap)
{
	static const struct net_addr nowhere;
	const struct endpoint *e = tap->endpoint;
	const struct network *net = e->network;
	json_object *o = json_object_new_object(), *dns = dhcp_servers(e);
	char text[NET_PREFIX_TEXT];
	json_add_str(o, "Id", tap->inst->id);
	json_add_str(o, "Name", tap->inst->name);
	json_add_str(o, "NetworkID", net->id);
	endpoint_host_name(e, text);
	json_add_str(o, "Device", text);
	json_add_str(o, "MacAddress", mac_format(e->mac, text, sizeof(text)));
	add_address(o, "IPAddress", &e->addr);
	json_add_i64(o, "IPPrefixLen", net->v4.subnet.len);
	add_address(o, "Gateway", net->internal ? &nowhere : &net->v4.gateway);
	add_address(o, "GlobalIPv6Address", &e->addr6);
	json_add_i64(o, "GlobalIPv6PrefixLen", e->addr6.family ? net->v6.subnet.len : 0);
	add_address(o, "IPv6Gateway",
		    net->internal || !e->addr6.family ? &nowhere : &net->v6.gateway);
	json_add(o, "Dns", dns ? dns : json_object_new_array());
	json_add_i64(o, "Mtu", net->mtu ? net->mtu : MTU);
	json_add_i64(o, "VnetHeader", NET_TAP_HEADER);
	json_add_i64(o, "Queues", tap->queues);
	return o;
}

/* ---- its queues ---- */

struct opening {
	struct netjob job;
	struct tap *tap; /* busy, so it stays */
	char name[NET_NAME_SIZE];
	size_t n;
	int fds[TAP_QUEUES_MAX];
};

static int run_open(struct netjob *job, struct net *n)
{
	struct opening *o = container_of(job, struct opening, job);
	int rc = 0;
	(void)n;
	for (size_t i = 0; i < o->n && rc >= 0; i++)
		o->fds[i] = rc = net_tap_queue(o->name, &job->err);
	return rc < 0 ? rc : 0;
}

static void after_open(struct netjob *job)
{
	struct opening *o = container_of(job, struct opening, job);
	struct tap *tap = o->tap;
	tap->busy = false;
	if (tap->closed || job->isolad->stopping) {
		tap_free(tap);
	} else if (job->err.code) {
		fail(tap, &job->err);
	} else {
		cleanup_json json_object *facts = facts_of(tap);
		tap->ready(tap->arg, NULL, facts, o->fds, o->n);
	}
	for (size_t i = 0; i < o->n; i++)
		fd_close(&o->fds[i]);
	free(o);
}

static void open_queues(struct tap *tap)
{
	struct opening *o = calloc(1, sizeof(*o));
	if (!o)
		abort(); /* see later.h */
	o->tap = tap;
	o->n = tap->queues;
	for (size_t i = 0; i < o->n; i++)
		o->fds[i] = -1;
	endpoint_host_name(tap->endpoint, o->name);
	netjob_begin(tap->inst->isolad, &o->job, run_open, after_open);
}

/* ---- its beginning ---- */

static void on_up(void *arg, const struct err *err)
{
	struct tap *tap = arg;
	if (err) {
		tap->busy = false;
		fail(tap, err);
		return;
	}
	if (tap->closed || tap->inst->isolad->stopping) {
		tap->busy = false;
		tap_free(tap);
		return;
	}
	/* Who answers for its names is told that they end with us. */
	resolver_settle(tap->inst);
	open_queues(tap);
}

struct tap *tap_find(struct network *net, const char *ref)
{
	size_t len = strlen(ref);
	list_for_each (node, &net->isolad->taps) {
		struct tap *tap = container_of(node, struct tap, node);
		if (!tap->endpoint || tap->endpoint->network != net)
			continue;
		if (!strcmp(tap->inst->name, ref) ||
		    (len >= ID_SHORT_LEN && !strncmp(tap->inst->id, ref, len)))
			return tap;
	}
	return NULL;
}

bool tap_is_named(struct isolad *d, const char *name)
{
	list_for_each (node, &d->taps) {
		const struct instance *inst = container_of(node, struct tap, node)->inst;
		if (inst->name && !strcmp(inst->name, name))
			return true;
	}
	return false;
}

static int check_name(struct isolad *d, const char *name, struct err *err)
{
	if (!id_is_name(name))
		return err_set(
			err, EINVAL,
			"name: '%.64s' is no name: only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed",
			name);
	if (tap_is_named(d, name))
		return err_set(err, EEXIST, "name: another tap is called %s", name);
	return registry_name_check(d, name, err);
}

static int check(struct isolad *d, const struct tap_request *ask, struct err *err)
{
	size_t n = 0;
	list_for_each (node, &d->taps)
		n++;
	if (n >= TAPS_MAX)
		return err_set(err, EBUSY,
			       "there are %d taps for others already, and no more at once",
			       TAPS_MAX);
	if (ask->queues < 1 || ask->queues > TAP_QUEUES_MAX)
		return err_set(err, EINVAL, "queues must be from 1 to %d", TAP_QUEUES_MAX);
	return *ask->name ? check_name(d, ask->name, err) : 0;
}

static int name_it(struct instance *inst, const char *name, struct err *err)
{
	if (!*name)
		return registry_make_name(inst, err);
	inst->name = strdup(name);
	return inst->name ? 0 : err_set(err, ENOMEM, "out of memory");
}

static int join(struct tap *tap, struct network *net, const struct tap_request *ask,
		struct err *err)
{
	cleanup_json json_object *settings = json_object_new_object();
	json_object *ipam = json_object_new_object();
	json_add(settings, "IPAMConfig", ipam);
	json_add_str(settings, "MacAddress", ask->mac);
	json_add_str(ipam, "IPv4Address", ask->ip);
	json_add_str(ipam, "IPv6Address", ask->ip6);
	return endpoint_add(tap->inst, net, settings, &tap->endpoint, err);
}

struct tap *tap_open(struct network *net, const struct tap_request *ask, tap_ready_fn *ready,
		     tap_gone_fn *gone, void *arg, struct err *err)
{
	struct isolad *d = net->isolad;
	if (check(d, ask, err) < 0)
		return NULL;
	struct tap *tap = calloc(1, sizeof(*tap));
	struct instance *inst = tap ? instance_new(d, err) : NULL;
	if (!inst) {
		free(tap);
		(void)err_set(err, ENOMEM, "out of memory");
		return NULL;
	}
	inst->kind = INSTANCE_VM;
	inst->lent = true;
	inst->state = INSTANCE_RUNNING;
	inst->keeper_pid = getpid();
	inst->config = json_object_new_object();
	inst->host_config = json_object_new_object();
	*tap = (struct tap){
		.inst = inst, .queues = ask->queues, .ready = ready, .gone = gone, .arg = arg
	};
	list_add_tail(&d->taps, &tap->node);
	if (name_it(inst, ask->name, err) < 0 || join(tap, net, ask, err) < 0) {
		tap->endpoint = NULL;
		tap_free(tap);
		return NULL;
	}
	tap->busy = true;
	endpoints_up(inst, 0, on_up, tap);
	return tap;
}

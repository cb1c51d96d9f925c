/* SPDX-License-Identifier: Apache-2.0 */
/* resolver_gateway - where VMs ask for names: at the gateway of each network with names
 * that has a VM. Its sockets come with the first of them and go with the bridge. isolad,
 * loop thread; run_open() in the thread pool. */
#include "resolver.h"

#include "isola/fd.h"
#include "isola/json.h"

#include "isolad.h"
#include "resolver_priv.h"

#include <stdlib.h>
#include <string.h>

bool resolver_gateway_is_missing(const struct network *net)
{
	return resolver_serves(net) && net->names_fds[0] < 0;
}

void resolver_gateway_open(struct network *net, int fds[2])
{
	for (size_t i = 0; i < 2; i++) {
		fd_close(&net->names_fds[i]);
		net->names_fds[i] = take_fd(&fds[i]);
	}
	net->names_told = false;
	resolver_flush(net->isolad);
}

void resolver_gateway_close(struct network *net)
{
	if (net->names_fds[0] < 0)
		return;
	for (size_t i = 0; i < 2; i++)
		fd_close(&net->names_fds[i]);
	net->isolad->resolver.gateways_gone = true;
	resolver_flush(net->isolad);
}

/* ---- what has changed is told ---- */

static bool tell_kept(struct isolad *d)
{
	cleanup_json json_object *o = json_object_new_object();
	json_object *list = json_object_new_array();
	json_add_str(o, "op", "gateways");
	json_add(o, "networks", list);
	list_for_each (node, &d->networks.all) {
		const struct network *net = container_of(node, struct network, node);
		if (net->names_fds[0] >= 0)
			(void)json_object_array_add(list, json_object_new_string(net->id));
	}
	return resolver_send(&d->resolver, o, NULL, 0, NULL) == 0;
}

static bool tell(struct isolad *d, struct network *net)
{
	cleanup_json json_object *o = json_object_new_object();
	json_add_str(o, "op", "gateway");
	json_add_str(o, "network", net->id);
	net->names_told = resolver_send(&d->resolver, o, net->names_fds, 2, NULL) == 0;
	return net->names_told;
}

bool resolver_tell_gateways(struct isolad *d)
{
	struct resolver *r = &d->resolver;
	if (r->gateways_gone && !tell_kept(d))
		return false;
	r->gateways_gone = false;
	list_for_each (node, &d->networks.all) {
		struct network *net = container_of(node, struct network, node);
		if (net->names_fds[0] >= 0 && !net->names_told && !tell(d, net))
			return false;
	}
	return true;
}

/* ---- after a crash ---- */

struct opening {
	struct netjob job;
	char id[ID_SIZE];
	struct net_bridge bridge;
	int fds[2];
};

static int run_open(struct netjob *job, struct net *n)
{
	struct opening *o = container_of(job, struct opening, job);
	(void)n;
	return net_gateway_open(&o->bridge, o->fds, &job->err);
}

static void after_open(struct netjob *job)
{
	struct opening *o = container_of(job, struct opening, job);
	struct isolad *d = job->isolad;
	struct network *net = network_by_id(d, o->id);
	bool wanted = net && net->up && !d->stopping && resolver_gateway_is_missing(net);
	d->resolver.opening--;
	if (job->err.code && wanted)
		log_warn(NULL, "VMs of network %s have no names any more: %s", net->name,
			 job->err.text);
	else if (wanted)
		resolver_gateway_open(net, o->fds);
	for (size_t i = 0; i < 2; i++)
		fd_close(&o->fds[i]);
	resolver_flush(d);
	free(o);
}

static bool has_taps(const struct network *net)
{
	list_for_each (node, &net->members) {
		const struct endpoint *e = container_of(node, struct endpoint, member);
		if (e->live && endpoint_link(e->inst) == NET_LINK_TAP)
			return true;
	}
	return false;
}

void resolver_reopen_gateways(struct isolad *d)
{
	list_for_each (node, &d->networks.all) {
		struct network *net = container_of(node, struct network, node);
		if (!resolver_gateway_is_missing(net) || !has_taps(net))
			continue;
		struct opening *o = calloc(1, sizeof(*o));
		if (!o)
			abort(); /* see later.h */
		memcpy(o->id, net->id, sizeof(o->id));
		network_bridge(net, &o->bridge);
		o->fds[0] = o->fds[1] = -1;
		d->resolver.opening++;
		netjob_begin(d, &o->job, run_open, after_open);
	}
}

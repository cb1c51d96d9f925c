/* SPDX-License-Identifier: Apache-2.0 */
/* network_bridge - when bridges come and go, and with the last one our table. isolad,
 * loop thread; the run_* functions in the thread pool. */
#include "network_priv.h"

#include "isolad.h"
#include "resolver.h"

#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>

/* A bridge waits that long for its next container. */
#define IDLE_MS 3000

struct down {
	struct netjob job;
	struct net_bridge bridge;
};

static int run_down(struct netjob *job, struct net *n)
{
	struct down *down = container_of(job, struct down, job);
	return net_bridge_down(n, &down->bridge, &job->err);
}

static void after_down(struct netjob *job)
{
	if (job->err.code)
		log_warn(NULL, "%s", job->err.text);
	free(container_of(job, struct down, job));
}

struct reset {
	struct netjob job;
};

static int run_reset(struct netjob *job, struct net *n)
{
	return net_rules_drop(n, &job->err);
}

static bool any_up(const struct isolad *d)
{
	list_for_each (node, &d->networks.all) {
		const struct network *net = container_of(node, struct network, node);
		if (net->up && net->kind == NET_KIND_BRIDGE)
			return true;
	}
	return false;
}

static void after_reset(struct netjob *job)
{
	if (job->err.code)
		log_warn(NULL, "%s", job->err.text);
	free(container_of(job, struct reset, job));
}

/* Behind the last bridge. */
void networks_drop_table(struct isolad *d)
{
	struct reset *reset = any_up(d) ? NULL : calloc(1, sizeof(*reset));
	if (reset)
		netjob_begin(d, &reset->job, run_reset, after_reset);
}

/* The bridge goes, and with the last one our table. */
static void take_down(struct network *net)
{
	struct down *down = calloc(1, sizeof(*down));
	timer_stop(&net->idle);
	if (!net->up || net->live || !down) {
		free(down);
		return;
	}
	net->up = false;
	resolver_gateway_close(net);
	network_bridge(net, &down->bridge);
	netjob_begin(net->isolad, &down->job, run_down, after_down);
	networks_drop_table(net->isolad);
}

static void on_idle(void *arg)
{
	take_down(arg);
}

void network_use(struct network *net)
{
	timer_stop(&net->idle);
	net->live++;
	net->up = true;
}

void network_unuse(struct network *net)
{
	if (--net->live)
		return;
	timer_stop(&net->idle);
	if (net->isolad->stopping)
		take_down(net);
	else
		net->idle = timer_start(net->isolad, IDLE_MS, on_idle, net);
}

void networks_stop(struct isolad *d)
{
	list_for_each (node, &d->networks.all)
		take_down(container_of(node, struct network, node));
}

void network_name_bridge(struct network *net, bool is_default)
{
	if (!is_default) {
		(void)snprintf(net->bridge, sizeof(net->bridge), "isola-%.9s", net->id);
		return;
	}
	/* Another isolad may have the first one. */
	for (unsigned int i = 0; i < 100; i++) {
		(void)snprintf(net->bridge, sizeof(net->bridge), "isola%u", i);
		if (!if_nametoindex(net->bridge))
			return;
	}
}

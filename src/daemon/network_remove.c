/* SPDX-License-Identifier: Apache-2.0 */
/* network_remove - a network is removed: its bridge and rules, its record. isolad, loop
 * thread; the run_* functions in the thread pool. */
#include "network_priv.h"

#include "endpoint.h"
#include "isolad.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct removing {
	struct netjob job;
	struct network *net;
	struct net_bridge bridge;
	op_done_fn *done;
	void *arg;
};

static int run_remove(struct netjob *job, struct net *n)
{
	struct removing *r = container_of(job, struct removing, job);
	char name[ID_SIZE + 8];
	int rc = net_bridge_down(n, &r->bridge, &job->err);
	/* A foreign link of that name is not ours to remove. */
	if (rc < 0 && rc != -EEXIST)
		return rc;
	job->err = (struct err)ERR_INIT;
	int dir_fd = job->isolad->networks.dir_fd;
	(void)snprintf(name, sizeof(name), "%s.json", r->bridge.id);
	if (unlinkat(dir_fd, name, 0) < 0 && errno != ENOENT)
		return err_sys(&job->err, "cannot remove the network's record");
	return fsync(dir_fd) < 0 ? err_sys(&job->err, "cannot sync the folder of networks") : 0;
}

static void gone(struct network *net)
{
	events_emit_network(net->isolad, "destroy", net, NULL);
	network_free(net);
}

static void after_remove(struct netjob *job)
{
	struct removing *r = container_of(job, struct removing, job);
	if (job->err.code)
		r->net->busy = false;
	else
		gone(r->net);
	r->done(r->arg, job->err.code ? &job->err : NULL, NULL);
	free(r);
}

static int may_remove(const struct network *net, struct err *err)
{
	if (!strcmp(net->name, NETWORK_DEFAULT))
		return err_set(err, EROFS, "%s is a pre-defined network and cannot be removed",
			       net->name);
	if (net->busy)
		return err_set(err, EBUSY, "network %s is being made or removed", net->name);
	if (list_is_empty(&net->members))
		return 0;
	struct endpoint *e = container_of(net->members.next, struct endpoint, member);
	if (e->inst->lent)
		return err_set(
			err, EROFS,
			"error while removing network: network %s has active endpoints: a "
			"program has the tap %s of it (end that, or ctrctl network disconnect "
			"%s %s)",
			net->name, e->inst->name, net->name, e->inst->name);
	return err_set(err, EROFS,
		       "error while removing network: network %s has active endpoints: container "
		       "%s is in it (rm or disconnect it first)",
		       net->name, e->inst->name);
}

void network_remove(struct network *net, op_done_fn *done, void *arg)
{
	struct err e = ERR_INIT;
	struct removing *r = may_remove(net, &e) < 0 ? NULL : calloc(1, sizeof(*r));
	if (!r) {
		if (!e.code)
			(void)err_set(&e, ENOMEM, "out of memory");
		later_done(net->isolad, done, arg, &e, NULL);
		return;
	}
	timer_stop(&net->idle);
	net->busy = true;
	net->up = false;
	r->net = net;
	r->done = done;
	r->arg = arg;
	network_bridge(net, &r->bridge);
	netjob_begin(net->isolad, &r->job, run_remove, after_remove);
	networks_drop_table(net->isolad);
}

bool network_is_unused(const struct network *net)
{
	return !net->busy && strcmp(net->name, NETWORK_DEFAULT) != 0 &&
	       list_is_empty(&net->members);
}

/* SPDX-License-Identifier: Apache-2.0 */
/* network_create - a network is made: checked, its subnet chosen, on the disk. isolad, loop
 * thread; the run_* functions in the thread pool. */
#include "network_priv.h"

#include "isola/json.h"

#include "isolad.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define NETWORKS_MAX 4096

struct making {
	struct netjob job;
	struct network *net;
	struct net_bridge parent; /* of a macvlan */
	struct net_prefix *host;
	size_t n_host;
	json_object *record;
	op_done_fn *done;
	void *arg;
};

static void finish_making(struct making *m, const struct err *err)
{
	json_object *result = NULL;
	if (err) {
		network_free(m->net);
	} else {
		m->net->busy = false;
		events_emit_network(m->net->isolad, "create", m->net, NULL);
		result = json_object_new_object();
		json_add_str(result, "Id", m->net->id);
		json_add_str(result, "Warning", "");
	}
	m->done(m->arg, err, result);
	json_object_put(result);
	json_object_put(m->record);
	free(m->host);
	free(m);
}

static int run_save(struct netjob *job, struct net *n)
{
	struct making *m = container_of(job, struct making, job);
	(void)n;
	return network_save(m->net->isolad->networks.dir_fd, m->net->id, m->record, &job->err);
}

static void after_save(struct netjob *job)
{
	struct making *m = container_of(job, struct making, job);
	finish_making(m, job->err.code ? &job->err : NULL);
}

static int run_look(struct netjob *job, struct net *n)
{
	struct making *m = container_of(job, struct making, job);
	/* A macvlan's subnet is where its parent is. */
	if (m->net->kind == NET_KIND_MACVLAN && m->net->v4.asked)
		return net_parent_check(n, &m->parent, &job->err);
	if (m->net->kind == NET_KIND_MACVLAN && net_parent_check(n, &m->parent, &job->err) < 0)
		return -job->err.code;
	return net_host_prefixes(NULL, &m->host, &m->n_host, &job->err);
}

/* Here, as the list may have changed meanwhile. */
static void after_look(struct netjob *job)
{
	struct making *m = container_of(job, struct making, job);
	if (!job->err.code)
		(void)network_choose_subnet(m->net, false, m->host, m->n_host, &job->err);
	m->record = job->err.code ? NULL : network_record(m->net);
	if (job->err.code)
		finish_making(m, &job->err);
	else
		netjob_begin(m->net->isolad, job, run_save, after_save);
}

static int begin_making(struct isolad *d, json_object *body, struct making *m, struct err *err)
{
	m->net = network_new(d);
	if (!m->net || id_new(m->net->id) < 0)
		return err_set(err, ENOMEM, "out of memory");
	int rc = network_check(m->net, body, err);
	if (rc < 0)
		return rc;
	if (network_by_name(d, m->net->name) || !strcmp(m->net->name, "none") ||
	    !strcmp(m->net->name, "host") || !strcmp(m->net->name, "default"))
		return err_set(err, EEXIST, "network with name %s already exists", m->net->name);
	if (networks_count(d) >= NETWORKS_MAX)
		return err_set(err, ENOSPC, "there are %d networks already", NETWORKS_MAX);
	if (!*m->net->bridge)
		network_name_bridge(m->net, false);
	return network_bridge_is_free(m->net, err);
}

void network_create(struct isolad *d, json_object *body, op_done_fn *done, void *arg)
{
	struct err e = ERR_INIT;
	struct making *m = calloc(1, sizeof(*m));
	if (!m || begin_making(d, body, m, &e) < 0) {
		if (m && m->net)
			network_free(m->net);
		free(m);
		later_done(d, done, arg, &e, NULL);
		return;
	}
	m->done = done;
	m->arg = arg;
	network_bridge(m->net, &m->parent);
	m->net->busy = true;
	list_add_tail(&d->networks.all, &m->net->node);
	netjob_begin(d, &m->job, run_look, after_look);
}

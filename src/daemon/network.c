/* SPDX-License-Identifier: Apache-2.0 */
/* network - see network.h: the list of networks, and when their bridges come and go.
 * isolad, loop thread. */
#include "network.h"

#include "isola/fd.h"
#include "isola/json.h"
#include "isola/num.h"

#include "endpoint.h"
#include "isolad.h"
#include "life.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define RECORD_BYTES_MAX ((size_t)1024 * 1024)
#define NETWORKS_MAX     4096
/* A bridge waits that long for its next container. */
#define IDLE_MS 3000

void networks_init(struct networks *all)
{
	*all = (struct networks){ .dir_fd = -1 };
	list_init(&all->all);
	list_init(&all->jobs);
}

static struct network *network_new(struct isolad *d)
{
	struct network *net = calloc(1, sizeof(*net));
	if (!net)
		return NULL;
	net->isolad = d;
	list_init(&net->node);
	list_init(&net->members);
	return net;
}

static void network_free(struct network *net)
{
	list_del(&net->node);
	timer_stop(&net->idle);
	json_object_put(net->labels);
	json_object_put(net->options);
	free(net->name);
	free(net);
}

static size_t count(const struct isolad *d)
{
	size_t n = 0;
	list_for_each (node, &d->networks.all)
		n++;
	return n;
}

struct network *network_by_id(struct isolad *d, const char *id)
{
	list_for_each (node, &d->networks.all) {
		struct network *net = container_of(node, struct network, node);
		if (!strcmp(net->id, id))
			return net;
	}
	return NULL;
}

static struct network *by_name(struct isolad *d, const char *name)
{
	list_for_each (node, &d->networks.all) {
		struct network *net = container_of(node, struct network, node);
		if (!strcmp(net->name, name))
			return net;
	}
	return NULL;
}

struct network *network_find(struct isolad *d, const char *ref, struct err *err)
{
	struct network *found = by_name(d, ref);
	size_t len = strlen(ref), n = 0;
	if (found)
		return found;
	list_for_each (node, &d->networks.all) {
		struct network *net = container_of(node, struct network, node);
		if (!len || strncmp(net->id, ref, len) != 0)
			continue;
		found = net;
		n++;
	}
	if (n == 1)
		return found;
	(void)(n ? err_set(err, EINVAL, "network %.128s is ambiguous: %zu ids begin so", ref, n)
		 : err_set(err, ENOENT, "network %.128s not found", ref));
	return NULL;
}

struct network *network_next(struct isolad *d, const struct network *net)
{
	struct list *node = net ? net->node.next : d->networks.all.next;
	return node == &d->networks.all ? NULL : container_of(node, struct network, node);
}

const char *network_name(const struct network *net)
{
	return net->name;
}

void network_bridge(const struct network *net, struct net_bridge *ret)
{
	*ret = (struct net_bridge){ .subnet = net->subnet,
				    .gateway = net->gateway,
				    .internal = net->internal };
	memcpy(ret->name, net->bridge, sizeof(ret->name));
	memcpy(ret->id, net->id, sizeof(ret->id));
}

/* ---- bridges come and go ---- */

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
	list_for_each (node, &d->networks.all)
		if (container_of(node, struct network, node)->up)
			return true;
	return false;
}

static void queue_new(struct isolad *d, struct netjob *job,
		      int (*run)(struct netjob *, struct net *), void (*done)(struct netjob *))
{
	job->run = run;
	job->done = done;
	netjob_queue(d, job);
}

static void after_reset(struct netjob *job)
{
	if (job->err.code)
		log_warn(NULL, "%s", job->err.text);
	free(container_of(job, struct reset, job));
}

/* Behind the last bridge. */
static void drop_table(struct isolad *d)
{
	struct reset *reset = any_up(d) ? NULL : calloc(1, sizeof(*reset));
	if (reset)
		queue_new(d, &reset->job, run_reset, after_reset);
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
	network_bridge(net, &down->bridge);
	queue_new(net->isolad, &down->job, run_down, after_down);
	drop_table(net->isolad);
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

void networks_fini(struct isolad *d)
{
	struct networks *all = &d->networks;
	while (all->all.next && !list_is_empty(&all->all))
		network_free(container_of(all->all.next, struct network, node));
	net_free(all->net);
	all->net = NULL;
	fd_close(&all->dir_fd);
	free(all->conflict);
	all->conflict = NULL;
}

/* ---- records ---- */

static int save(int dir_fd, const char *id, json_object *record, struct err *err)
{
	char name[ID_SIZE + 8];
	(void)snprintf(name, sizeof(name), "%s.json", id);
	return json_write_atomic(dir_fd, name, record, FD_SYNC_YES, err);
}

static void load_one(struct isolad *d, const char *file)
{
	size_t n = strlen(file);
	cleanup_json json_object *doc = NULL;
	struct err e = ERR_INIT;
	if (n != ID_SIZE - 1 + 5 || strcmp(file + n - 5, ".json") != 0)
		return;
	struct network *net = network_new(d);
	if (!net)
		return;
	memcpy(net->id, file, ID_SIZE - 1);
	int rc = json_read_file(d->networks.dir_fd, file, RECORD_BYTES_MAX, &doc, &e);
	if (rc == 0)
		rc = network_load(net, doc, &e);
	if (rc == 0 && by_name(d, net->name))
		rc = err_set(&e, EEXIST, "another network has the name %s", net->name);
	if (rc == 0) {
		struct list *at = &d->networks.all;
		list_for_each (node, &d->networks.all) {
			if (container_of(node, struct network, node)->created_ns > net->created_ns)
				break;
			at = node;
		}
		list_add_head(at, &net->node);
		return;
	}
	log_error(NULL, "a network's record cannot be used and is left as it is: networks/%s: %s",
		  file, e.text);
	network_free(net);
}

static int load_all(struct isolad *d, struct err *err)
{
	int fd = openat(d->networks.dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);
	if (!dir) {
		int rc = err_sys(err, "cannot read the folder of networks");
		fd_close(&fd);
		return rc;
	}
	for (struct dirent *entry; (entry = readdir(dir));)
		load_one(d, entry->d_name);
	(void)closedir(dir);
	return 0;
}

/* What a new subnet must not overlap: @host, and all networks but @but. */
static int choose_subnet(struct network *net, bool is_default, const struct net_prefix *host,
			 size_t n_host, struct err *err)
{
	struct isolad *d = net->isolad;
	cleanup_free struct net_prefix *all = calloc(n_host + count(d) + 1, sizeof(*all));
	struct net_used used = { all, 0 };
	char mine[NET_PREFIX_TEXT], theirs[NET_PREFIX_TEXT];
	if (!all)
		return err_set(err, ENOMEM, "out of memory");
	for (size_t i = 0; i < n_host; i++)
		all[used.n++] = host[i];
	list_for_each (node, &d->networks.all) {
		struct network *other = container_of(node, struct network, node);
		if (other != net && other->subnet.addr.family)
			all[used.n++] = other->subnet;
	}
	for (size_t i = 0; i < used.n && net->asked_subnet; i++)
		if (net_prefix_overlap(&all[i], &net->subnet))
			return err_set(err, EEXIST,
				       "IPAM.Config.Subnet (--subnet): %s overlaps %s, which %s",
				       net_prefix_format(&net->subnet, mine, sizeof(mine)),
				       net_prefix_format(&all[i], theirs, sizeof(theirs)),
				       i < n_host ? "the host has a route to"
						  : "is another network's");
	if (net->asked_subnet)
		return 0;
	int rc = net_pool_subnet(is_default, &used, &net->subnet, err);
	net->range = net->subnet;
	return rc < 0 ? rc : net_prefix_nth(&net->subnet, 1, &net->gateway);
}

static void name_bridge(struct network *net, bool is_default)
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

static int make_default(struct isolad *d, struct err *err)
{
	cleanup_free struct net_prefix *host = NULL;
	size_t n = 0;
	struct err ignored = ERR_INIT;
	struct network *net = network_new(d);
	if (!net || id_new(net->id) < 0 || !(net->name = strdup(NETWORK_DEFAULT))) {
		if (net)
			network_free(net);
		return err_set(err, ENOMEM, "out of memory");
	}
	list_add_head(&d->networks.all, &net->node);
	net->created_ns = num_now_ns();
	net->labels = json_object_new_object();
	name_bridge(net, true);
	(void)net_host_prefixes(NULL, &host, &n, &ignored);
	int rc = choose_subnet(net, true, host, n, err);
	if (rc < 0)
		return rc;
	cleanup_json json_object *record = network_record(net);
	return save(d->networks.dir_fd, net->id, record, err);
}

int networks_open(struct isolad *d, struct err *err)
{
	struct networks *all = &d->networks;
	if (mkdirat(d->roots.state_fd, "networks", 0700) < 0 && errno != EEXIST)
		return err_sys(err, "cannot make the folder of networks");
	all->dir_fd = openat(d->roots.state_fd, "networks",
			     O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	if (all->dir_fd < 0)
		return err_sys(err, "cannot open the folder of networks");
	all->net = net_new();
	if (!all->net)
		return err_set(err, ENOMEM, "out of memory");
	int rc = load_all(d, err);
	if (rc == 0 && !by_name(d, NETWORK_DEFAULT))
		rc = make_default(d, err);
	return rc < 0 ? err_prefix(err, "networks") : 0;
}

/* ---- what a crash left ---- */

struct orphans {
	struct isolad *isolad;
	char (*names)[NET_NAME_SIZE];
	size_t n;
	bool any; /* a link of our networks, needed or not */
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
	o->any = o->any || net;
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
		if (rc == 0 && b->n && e && e->live)
			rc = net_rules_publish(d->networks.net, &e->addr, b->items, b->n, err);
	}
	return rc;
}

static int remake_rules(struct isolad *d, struct err *err)
{
	struct net *n = d->networks.net;
	cleanup_free struct net_bridge *all = calloc(count(d) + 1, sizeof(*all));
	cleanup_free const struct net_bridge **at = calloc(count(d) + 1, sizeof(*at));
	size_t used = 0;
	if (!all || !at)
		return err_set(err, ENOMEM, "out of memory");
	list_for_each (node, &d->networks.all) {
		struct network *net = container_of(node, struct network, node);
		if (!net->live)
			continue;
		network_bridge(net, &all[used]);
		at[used] = &all[used];
		used++;
	}
	int rc = net_rules_reset(n, at, used, err);
	return rc < 0 || !used ? rc : republish(d, err);
}

/* Whether there were any links of our networks. */
static bool remove_orphans(struct isolad *d)
{
	struct orphans o = { .isolad = d };
	struct err e = ERR_INIT;
	if (net_links(d->networks.net, on_link, &o, &e) < 0)
		log_warn(NULL, "%s", e.text);
	for (size_t i = 0; i < o.n; i++) {
		if (net_port_remove(d->networks.net, o.names[i], &e) < 0)
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
	list_for_each (node, &d->networks.all)
		live = live || container_of(node, struct network, node)->live;
	/* Where no network was in use, a table is another isolad's, or empty. */
	if ((remove_orphans(d) || live) && remake_rules(d, &e) < 0)
		log_error(NULL, "the networks' rules cannot be made: %s", e.text);
}

/* ---- create ---- */

struct making {
	struct netjob job;
	struct network *net;
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
	return save(m->net->isolad->networks.dir_fd, m->net->id, m->record, &job->err);
}

static void after_save(struct netjob *job)
{
	struct making *m = container_of(job, struct making, job);
	finish_making(m, job->err.code ? &job->err : NULL);
}

static int run_look(struct netjob *job, struct net *n)
{
	struct making *m = container_of(job, struct making, job);
	(void)n;
	return net_host_prefixes(NULL, &m->host, &m->n_host, &job->err);
}

/* Here, as the list may have changed meanwhile. */
static void after_look(struct netjob *job)
{
	struct making *m = container_of(job, struct making, job);
	if (!job->err.code)
		(void)choose_subnet(m->net, false, m->host, m->n_host, &job->err);
	m->record = job->err.code ? NULL : network_record(m->net);
	if (job->err.code)
		finish_making(m, &job->err);
	else
		queue_new(m->net->isolad, job, run_save, after_save);
}

static int begin_making(struct isolad *d, json_object *body, struct making *m, struct err *err)
{
	m->net = network_new(d);
	if (!m->net || id_new(m->net->id) < 0)
		return err_set(err, ENOMEM, "out of memory");
	int rc = network_check(m->net, body, err);
	if (rc < 0)
		return rc;
	if (by_name(d, m->net->name) || !strcmp(m->net->name, "none") ||
	    !strcmp(m->net->name, "host") || !strcmp(m->net->name, "default"))
		return err_set(err, EEXIST, "network with name %s already exists", m->net->name);
	if (count(d) >= NETWORKS_MAX)
		return err_set(err, ENOSPC, "there are %d networks already", NETWORKS_MAX);
	name_bridge(m->net, false);
	return 0;
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
	m->net->busy = true;
	list_add_tail(&d->networks.all, &m->net->node);
	queue_new(d, &m->job, run_look, after_look);
}

/* ---- remove ---- */

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
	queue_new(net->isolad, &r->job, run_remove, after_remove);
	drop_table(net->isolad);
}

bool network_is_unused(const struct network *net)
{
	return !net->busy && strcmp(net->name, NETWORK_DEFAULT) != 0 &&
	       list_is_empty(&net->members);
}

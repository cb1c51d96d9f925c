/* SPDX-License-Identifier: Apache-2.0 */
/* publish_live - ports that are published, or not any more, by an instance that exists:
 * PublishAdd and PublishRm of an update, each a map like HostConfig.PortBindings. Either
 * all of it happens or nothing: every port of the host is taken before a rule changes, the
 * rules change in one transaction, and what counts is in the record before the answer.
 * isolad, loop thread; run_change() in the thread pool. */
#include "create_priv.h"
#include "endpoint.h"
#include "isolad.h"
#include "life.h"

#include "isola/fd.h"
#include "isola/json.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static const struct field rows[] = {
	{ "PublishAdd", "--publish-add", FIELD_OBJ, DEFAULT_ABSENT, .only_null = true,
	  .check = create_port_bindings },
	{ "PublishRm", "--publish-rm", FIELD_OBJ, DEFAULT_ABSENT, .only_null = true,
	  .check = create_port_bindings },
};

struct change {
	struct netjob job;
	struct op *op;
	const struct endpoint *gateway;
	struct net_addrs to;
	struct net_binding *gone, *added; /* fds: gone's are ours, added's life's */
	size_t n_gone, n_added;
	json_object *config; /* the next PortBindings */
	struct bindings old; /* to go back to; its fds are in life or in gone */
};

static void change_free(struct change *ch)
{
	if (!ch)
		return;
	json_object_put(ch->config);
	free(ch->gone);
	free(ch->added);
	free(ch->old.items);
	free(ch);
}

/* ---- what is to go ---- */

/* One item of PublishRm: a port inside, and maybe where on the host. */
struct gone {
	struct net_ports inside, host; /* host 0-0: wherever */
	struct net_addr ip;
	enum net_proto proto;
	bool any_ip;
};

static bool is_meant(const struct gone *g, const struct net_addr *ip, unsigned int first,
		     unsigned int last)
{
	return (g->any_ip || net_addr_is_equal(&g->ip, ip)) &&
	       (!g->host.first || (g->host.first <= last && first <= g->host.last));
}

/* Takes the item's bindings out of @b; how many. */
static size_t drop_live(struct bindings *b, const struct gone *g, struct change *ch)
{
	size_t kept = 0, n = b->n;
	for (size_t i = 0; i < n; i++) {
		const struct net_binding *at = &b->items[i];
		bool meant = at->port == g->inside.first && at->proto == g->proto &&
			     is_meant(g, &at->host_ip, at->host_port, at->host_port);
		if (meant)
			ch->gone[ch->n_gone++] = *at;
		else
			b->items[kept++] = *at;
	}
	b->n = kept;
	return n - kept;
}

/* The same of the configuration, where a port may still be open. */
static size_t drop_config(json_object *config, const char *key, const struct gone *g)
{
	json_object *list = json_get(config, key), *next = json_object_new_array();
	size_t n = json_len(list), kept = 0;
	bool is_there = json_object_object_get_ex(config, key, NULL);
	for (size_t i = 0; i < n; i++) {
		json_object *item = json_object_array_get_idx(list, i);
		struct net_addr ip;
		struct net_ports host;
		bool meant = publish_parse_host(item, &ip, &host, NULL) == 0 &&
			     (host.first ? is_meant(g, &ip, host.first, host.last)
					 : is_meant(g, &ip, 1, UINT16_MAX));
		if (!meant && json_object_array_add(next, json_object_get(item)) == 0)
			kept++;
	}
	if (kept)
		json_add(config, key, next);
	else
		json_object_put(next);
	if (!kept && is_there)
		json_object_object_del(config, key);
	return n ? n - kept : is_there;
}

static int not_published(const char *key, json_object *item, struct err *err)
{
	const char *port = json_str_or(item, "HostPort", ""), *ip = json_str_or(item, "HostIp", "");
	bool where = *port || *ip;
	return err_set(err, EINVAL,
		       "PublishRm (--publish-rm): %.32s is not published%s%.48s%s%.16s", key,
		       where ? " at " : "", ip, *ip && *port ? ":" : "", port);
}

static int drop_item(struct change *ch, struct bindings *live, const char *key, json_object *item,
		     struct err *err)
{
	struct gone g = { .any_ip = !*json_str_or(item, "HostIp", "") };
	int rc = net_port_proto_parse(key, &g.inside, &g.proto, err);
	if (rc == 0)
		rc = publish_parse_host(item, &g.ip, &g.host, err);
	if (rc < 0)
		return rc;
	size_t n = live ? drop_live(live, &g, ch) : 0, listed = drop_config(ch->config, key, &g);
	return (live ? n : listed) ? 0 : not_published(key, item, err);
}

static int drop_all(struct change *ch, struct bindings *live, json_object *map, struct err *err)
{
	int rc = 0;
	if (!map)
		return 0;
	json_object_object_foreach (map, key, list) {
		size_t n = json_len(list);
		for (size_t i = 0; rc == 0 && i < (n ? n : 1); i++)
			rc = drop_item(ch, live, key, n ? json_object_array_get_idx(list, i) : NULL,
				       err);
	}
	return rc;
}

/* ---- what is new ---- */

static int list_new(json_object *config, json_object *map)
{
	if (!map)
		return 0;
	json_object_object_foreach (map, key, list) {
		json_object *at = json_get(config, key);
		if (!at) {
			at = json_object_new_array();
			json_add(config, key, at);
		}
		for (size_t i = 0; i < json_len(list); i++)
			(void)json_object_array_add(
				at, json_object_get(json_object_array_get_idx(list, i)));
	}
	return 0;
}

/* A port that goes in this change is free for it. */
static int take_new(struct change *ch, struct bindings *live, json_object *map, struct err *err)
{
	int rc = 0;
	if (!map)
		return 0;
	const struct bindings held = { ch->gone, ch->n_gone };
	json_object_object_foreach (map, key, list)
		if (rc == 0)
			rc = publish_take_key(live, ch->gateway, key, list, &held, err);
	return rc < 0 ? err_prefix(err, "PublishAdd (--publish-add)") : 0;
}

/* ---- the rules ---- */

static int run_change(struct netjob *job, struct net *n)
{
	struct change *ch = container_of(job, struct change, job);
	return net_rules_republish(n, &ch->to, ch->gone, ch->n_gone, ch->added, ch->n_added,
				   &job->err);
}

static bool is_held(const struct bindings *b, int fd)
{
	for (size_t i = 0; i < b->n; i++)
		if (b->items[i].fd == fd)
			return true;
	return false;
}

/* What life has becomes what it had: new ports are free again. */
static void go_back(struct instance *inst, struct change *ch)
{
	struct bindings *b = &life_of(inst)->bindings;
	for (size_t i = 0; i < b->n; i++)
		if (!is_held(&ch->old, b->items[i].fd))
			fd_close(&b->items[i].fd);
	free(b->items);
	*b = ch->old;
	ch->old = (struct bindings){ NULL, 0 };
}

static void settle(struct op *op, struct change *ch)
{
	struct instance *inst = op->inst;
	json_add(inst->host_config, "PortBindings", json_object_get(ch->config));
	events_emit_instance(inst, "update", NULL);
	change_save_and_finish(op);
}

static void after_change(struct netjob *job)
{
	struct change *ch = container_of(job, struct change, job);
	struct op *op = ch->op;
	struct instance *inst = op->inst;
	bool runs = instance_is_running(inst) && life_of(inst)->bindings.items;
	op->pinned = false;
	/* Where it has ended meanwhile, its end has let go of all it had. */
	if (job->err.code && runs)
		go_back(inst, ch);
	else
		for (size_t i = 0; i < ch->n_gone; i++)
			fd_close(&ch->gone[i].fd);
	if (inst->isolad->stopping || job->err.code)
		op_finish(op, job->err.code ? &job->err : NULL, NULL);
	else
		settle(op, ch);
	change_free(ch);
}

/* ---- the op ---- */

static int copy_bindings(const struct bindings *from, size_t more, struct bindings *ret,
			 struct err *err)
{
	ret->items = calloc(from->n + more + 1, sizeof(*ret->items));
	if (!ret->items)
		return err_set(err, ENOMEM, "out of memory");
	if (from->n)
		memcpy(ret->items, from->items, from->n * sizeof(*ret->items));
	ret->n = from->n;
	return 0;
}

/* @next: the bindings that are to be, those that are new at its end. */
static int plan_live(struct op *op, struct change *ch, struct bindings *next, json_object *asked,
		     struct err *err)
{
	struct instance *inst = op->inst;
	const struct bindings *now = &life_of(inst)->bindings;
	struct endpoint *gateway = endpoint_gateway(inst);
	if (!gateway || !gateway->live)
		return err_set(err, EINVAL,
			       "PublishAdd (--publish-add): none of its networks has a way to the "
			       "outside");
	if (!endpoint_publishes(gateway))
		return err_set(
			err, EINVAL,
			"PublishAdd (--publish-add): network %s is a macvlan, whose members "
			"are reached at their own addresses: no port of the host leads there",
			gateway->network->name);
	ch->gateway = gateway;
	ch->to = endpoint_addrs(gateway);
	ch->gone = calloc(now->n + 1, sizeof(*ch->gone));
	if (!ch->gone)
		return err_set(err, ENOMEM, "out of memory");
	int rc = copy_bindings(now, 0, &ch->old, err);
	if (rc == 0)
		rc = copy_bindings(now, 0, next, err);
	if (rc == 0)
		rc = drop_all(ch, next, json_get(asked, "PublishRm"), err);
	size_t kept = next->n;
	if (rc == 0)
		rc = take_new(ch, next, json_get(asked, "PublishAdd"), err);
	struct bindings added = { next->items ? next->items + kept : NULL, next->n - kept };
	struct bindings copy = { NULL, 0 };
	if (rc == 0)
		rc = copy_bindings(&added, 0, &copy, err);
	ch->added = copy.items;
	ch->n_added = copy.n;
	for (size_t i = 0; rc < 0 && i < added.n; i++)
		fd_close(&added.items[i].fd);
	return rc;
}

/* Half of an update that fails must not have happened. */
static int goes_alone(json_object *body, struct err *err)
{
	json_object_object_foreach (body, key, v)
		if (strcmp(key, "PublishAdd") && strcmp(key, "PublishRm") && !json_is_zero(v))
			return err_set(
				err, EINVAL,
				"%.64s: PublishAdd and PublishRm go with no other field; make "
				"it two updates",
				key);
	return 0;
}

static int plan(struct op *op, struct change *ch, struct bindings *next, struct err *err)
{
	cleanup_json json_object *asked = NULL;
	struct instance *inst = op->inst;
	int rc = goes_alone(op->body, err);
	if (rc == 0)
		rc = fields_check(rows, sizeof(rows) / sizeof(rows[0]), "", op->body, NULL, &asked,
				  err);
	if (rc < 0)
		return rc;
	ch->config = json_copy(json_get(inst->host_config, "PortBindings"));
	if (!ch->config)
		ch->config = json_object_new_object();
	if (list_is_empty(&inst->endpoints))
		return err_set(err, EINVAL,
			       "PublishAdd, PublishRm: the %s is in no network that publishes "
			       "ports",
			       instance_noun(inst->kind));
	rc = instance_is_running(inst) ? plan_live(op, ch, next, asked, err)
				       : drop_all(ch, NULL, json_get(asked, "PublishRm"), err);
	return rc < 0 ? rc : list_new(ch->config, json_get(asked, "PublishAdd"));
}

bool publish_is_asked(json_object *body)
{
	return json_get(body, "PublishAdd") || json_get(body, "PublishRm");
}

void publish_update_run(struct op *op)
{
	struct instance *inst = op->inst;
	struct bindings next = { NULL, 0 }, *b = &life_of(inst)->bindings;
	struct err e = ERR_INIT;
	struct change *ch = calloc(1, sizeof(*ch));
	int rc = ch ? state_next(inst, EVENT_UPDATE, &e) : err_set(&e, ENOMEM, "out of memory");
	if (rc >= 0)
		rc = plan(op, ch, &next, &e);
	if (rc < 0) {
		free(next.items);
		change_free(ch);
		op_finish(op, &e, NULL);
		return;
	}
	if (!instance_is_running(inst)) {
		settle(op, ch);
		change_free(ch);
		return;
	}
	/* At once: should it end, its end finds what the job in front of it has made. */
	free(b->items);
	*b = next;
	ch->op = op;
	ch->job.run = run_change;
	ch->job.done = after_change;
	op->pinned = true;
	netjob_queue(inst->isolad, &ch->job);
}

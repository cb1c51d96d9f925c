/* SPDX-License-Identifier: Apache-2.0 */
/* routes_networks - networks: isolad's, and the two that every host has (none, host).
 * Docker Engine API 1.47, "Networks". isolad, loop thread. */
#include "prune_filter.h"
#include "routes.h"

#include "isola/fd.h"
#include "isola/json.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- the two that need nothing done ---- */

static const struct fixed {
	const char *name, *driver, *id;
} fixed[] = {
	{ "host", "host", "686f7374000000000000000000000000000000000000000000000000000a0001" },
	{ "none", "null", "6e6f6e65000000000000000000000000000000000000000000000000000a0002" },
};
#define N_FIXED (sizeof(fixed) / sizeof(fixed[0]))

static json_object *view_fixed(const struct fixed *net)
{
	json_object *o = json_object_new_object(), *ipam = json_object_new_object();
	json_add_str(ipam, "Driver", "default");
	json_add(ipam, "Options", NULL);
	json_add(ipam, "Config", json_object_new_array());
	json_add_str(o, "Name", net->name);
	json_add_str(o, "Id", net->id);
	json_add_str(o, "Created", "0001-01-01T00:00:00Z");
	json_add_str(o, "Scope", "local");
	json_add_str(o, "Driver", net->driver);
	json_add_bool(o, "EnableIPv6", false);
	json_add(o, "IPAM", ipam);
	json_add_bool(o, "Internal", false);
	json_add_bool(o, "Attachable", false);
	json_add_bool(o, "Ingress", false);
	json_add_bool(o, "ConfigOnly", false);
	json_add(o, "Containers", json_object_new_object());
	json_add(o, "Options", json_object_new_object());
	json_add(o, "Labels", json_object_new_object());
	return o;
}

static const struct fixed *find_fixed(const char *ref)
{
	for (size_t i = 0; i < N_FIXED; i++)
		if (!strcmp(fixed[i].name, ref) ||
		    (strlen(ref) >= 4 && !strncmp(fixed[i].id, ref, strlen(ref))))
			return &fixed[i];
	return NULL;
}

/* ---- filters ---- */

/* What they look at: the network as it is shown, and of ours the object. */
struct shown {
	json_object *view;
	const struct network *net; /* NULL: one of the two above, or Docker's own "bridge" */
	bool builtin;
};

static bool has_name(const struct shown *s, const char *v)
{
	return strstr(json_str_or(s->view, "Name", ""), v) != NULL;
}

static bool has_id(const struct shown *s, const char *v)
{
	return !strncmp(json_str_or(s->view, "Id", ""), v, strlen(v));
}

static bool has_driver(const struct shown *s, const char *v)
{
	return !strcmp(json_str_or(s->view, "Driver", ""), v);
}

static bool has_scope(const struct shown *s, const char *v)
{
	(void)s;
	return !strcmp(v, "local");
}

static bool has_type(const struct shown *s, const char *v)
{
	return !strcmp(v, s->builtin ? "builtin" : "custom");
}

static bool has_label(const struct shown *s, const char *v)
{
	return labels_have(json_get(s->view, "Labels"), v);
}

static bool is_dangling(const struct shown *s, const char *v)
{
	bool wanted = strcmp(v, "false") != 0 && strcmp(v, "0") != 0;
	return wanted == (s->net && network_is_unused(s->net));
}

static const struct {
	const char *key;
	bool (*fits)(const struct shown *s, const char *value);
	bool all; /* of its values, not any */
} network_filters[] = {
	{ "name", has_name },        { "id", has_id },     { "driver", has_driver },
	{ "scope", has_scope },      { "type", has_type }, { "label", has_label, .all = true },
	{ "dangling", is_dangling },
};
#define N_FILTERS (sizeof(network_filters) / sizeof(network_filters[0]))

static bool key_fits(size_t i, json_object *values, const struct shown *s)
{
	for (size_t k = 0; k < json_len(values); k++)
		if (network_filters[i].fits(s, json_item_str(values, k)) != network_filters[i].all)
			return !network_filters[i].all;
	return network_filters[i].all;
}

/* 1, 0, or -EINVAL for a filter nobody knows. */
static int fits(const struct shown *s, json_object *asked, struct err *err)
{
	bool all = true;
	if (!asked)
		return 1;
	json_object_object_foreach (asked, key, values) {
		size_t i = 0;
		while (i < N_FILTERS && strcmp(network_filters[i].key, key) != 0)
			i++;
		if (i == N_FILTERS)
			return err_set(err, EINVAL, "invalid filter '%s'", key);
		all = all && key_fits(i, values, s);
	}
	return all;
}

/* Takes the view; members are shown by inspect only. */
static int add_shown(json_object *list, json_object *asked, struct shown *s, struct err *err)
{
	int rc = fits(s, asked, err);
	json_add(s->view, "Containers", json_object_new_object());
	if (rc > 0)
		(void)json_object_array_add(list, s->view);
	else
		json_object_put(s->view);
	return rc;
}

static bool is_builtin(const struct network *net)
{
	return !strcmp(network_name(net), "bridge");
}

void networks_list(struct exchange *x)
{
	struct err err = ERR_INIT;
	cleanup_json json_object *asked = NULL;
	cleanup_json json_object *list = json_object_new_array();
	int rc = request_filters(x, &asked, &err);
	for (struct network *net = NULL; rc >= 0 && (net = network_next(x->isolad, net));) {
		struct shown s = { network_view(net), net, is_builtin(net) };
		rc = add_shown(list, asked, &s, &err);
	}
	for (size_t i = 0; i < N_FIXED && rc >= 0; i++) {
		struct shown s = { view_fixed(&fixed[i]), NULL, true };
		rc = add_shown(list, asked, &s, &err);
	}
	if (rc < 0)
		reply_err(x, &err);
	else
		reply_json(x, 200, json_object_get(list));
}

struct network *route_network(struct exchange *x)
{
	struct err err = ERR_INIT;
	struct network *net = network_find(x->isolad, x->param[0], &err);
	const struct fixed *f = net ? NULL : find_fixed(x->param[0]);
	if (f)
		reply_error(x, 403, "%s is a pre-defined network: containers choose it at create",
			    f->name);
	else if (!net)
		reply_err(x, &err);
	return net;
}

/* The list has no counters: they are read for each member. */
static json_object *inspect_view(const struct network *net)
{
	json_object *o = network_view(net);
	json_add(o, "Counters", network_counters(net));
	return o;
}

void networks_inspect(struct exchange *x)
{
	const char *ref = x->param[0], *scope = query_get(&x->query, "scope");
	struct err err = ERR_INIT;
	struct network *net = network_find(x->isolad, ref, &err);
	const struct fixed *f = net ? NULL : find_fixed(ref);
	if (scope && *scope && strcmp(scope, "local") != 0)
		reply_error(x, 404, "network %s not found in scope %s", ref, scope);
	else if (f)
		reply_json(x, 200, view_fixed(f));
	else if (net)
		reply_json(x, 200, inspect_view(net));
	else
		reply_err(x, &err);
}

/* ---- create, remove ---- */

static int read_body(struct exchange *x, json_object **ret, struct err *err)
{
	int rc = request_json(x, ret, err);
	return rc > 0 ? 0 : rc < 0 ? rc : err_set(err, EINVAL, "the body is missing");
}

void networks_create(struct exchange *x)
{
	struct err err = ERR_INIT;
	cleanup_json json_object *body = NULL;
	if (read_body(x, &body, &err) < 0)
		reply_err(x, &err);
	else
		network_create(x->isolad, body, done_created_json, exchange_ref(x));
}

void networks_remove(struct exchange *x)
{
	struct network *net = route_network(x);
	if (net)
		network_remove(net, done_no_content, exchange_ref(x));
}

/* ---- connect, disconnect ---- */

/* VMs are members, too; names are of both kinds. */
static struct instance *find_member(struct isolad *d, const char *ref, struct err *err)
{
	struct instance *inst = registry_find(d, INSTANCE_CONTAINER, ref, err);
	return inst || err->code != ENOENT ? inst : registry_find(d, INSTANCE_VM, ref, NULL);
}

/* Network and body, or an answer and false. @ret_body is owned. */
static bool find_network(struct exchange *x, struct network **ret_net, json_object **ret_body)
{
	struct err err = ERR_INIT;
	*ret_net = route_network(x);
	if (!*ret_net)
		return false;
	if (read_body(x, ret_body, &err) == 0)
		return true;
	reply_err(x, &err);
	return false;
}

void networks_connect(struct exchange *x)
{
	struct err err = ERR_INIT;
	cleanup_json json_object *body = NULL;
	struct network *net = NULL;
	if (!find_network(x, &net, &body))
		return;
	struct instance *inst = find_member(x->isolad, json_str_or(body, "Container", ""), &err);
	if (inst)
		network_connect(net, inst, json_get(body, "EndpointConfig"), done_ok_empty,
				exchange_ref(x));
	else
		reply_err(x, &err);
}

/* "Force" is for a container that is gone, which has left its networks here. */
void networks_disconnect(struct exchange *x)
{
	struct err err = ERR_INIT;
	cleanup_json json_object *body = NULL;
	struct network *net = NULL;
	if (!find_network(x, &net, &body))
		return;
	const char *ref = json_str_or(body, "Container", "");
	struct instance *inst = find_member(x->isolad, ref, &err);
	struct tap *tap = inst ? NULL : tap_find(net, ref);
	if (inst) {
		network_disconnect(net, inst, done_ok_empty, exchange_ref(x));
	} else if (tap) {
		tap_end(tap);
		reply_empty(x, 200);
	} else {
		reply_err(x, &err);
	}
}

/* ---- prune ---- */

struct prune {
	struct exchange *x;
	json_object *deleted;
	unsigned int left; /* removals under way, and the loop that begins them */
};

static void prune_step(struct prune *p)
{
	if (--p->left)
		return;
	json_object *o = json_object_new_object();
	json_add(o, "NetworksDeleted", json_len(p->deleted) ? p->deleted : NULL);
	if (!json_len(p->deleted))
		json_object_put(p->deleted);
	reply_json(p->x, 200, o);
	exchange_unref(p->x);
	free(p);
}

struct pruned {
	struct prune *prune;
	char *name;
};

static void on_pruned(void *arg, const struct err *err, json_object *result)
{
	struct pruned *one = arg;
	(void)result;
	if (!err)
		(void)json_object_array_add(one->prune->deleted, json_object_new_string(one->name));
	prune_step(one->prune);
	free(one->name);
	free(one);
}

static void prune_one(struct prune *p, struct network *net)
{
	struct pruned *one = calloc(1, sizeof(*one));
	if (!one || !(one->name = strdup(network_name(net)))) {
		free(one);
		return;
	}
	one->prune = p;
	p->left++;
	network_remove(net, on_pruned, one);
}

static int prune_wanted(struct network *net, json_object *asked, struct err *err)
{
	cleanup_json json_object *view = network_view(net);
	return prune_fits(json_get(view, "Labels"), network_created_ns(net), asked, err);
}

void networks_prune(struct exchange *x)
{
	struct err err = ERR_INIT;
	cleanup_json json_object *asked = NULL;
	struct prune *p = calloc(1, sizeof(*p));
	int rc = p ? request_filters(x, &asked, &err) : err_set(&err, ENOMEM, "out of memory");
	for (struct network *net = NULL; rc >= 0 && (net = network_next(x->isolad, net));)
		rc = prune_wanted(net, asked, &err);
	if (rc < 0) {
		free(p);
		reply_err(x, &err);
		return;
	}
	p->x = exchange_ref(x);
	p->deleted = json_object_new_array();
	p->left = 1;
	for (struct network *net = NULL; (net = network_next(x->isolad, net));)
		if (network_is_unused(net) && prune_wanted(net, asked, NULL) > 0)
			prune_one(p, net);
	prune_step(p);
}

/* SPDX-License-Identifier: Apache-2.0 */
/* routes_networks - what clients that list networks and volumes get to see: the
 * two networks every host has (none, host) and no volumes, since isolad manages
 * neither yet. Docker Engine API 1.47, "Networks" and "Volumes". isolad, loop
 * thread. */
#include "routes.h"

#include "isola/json.h"

#include <errno.h>
#include <string.h>

static const struct network {
	const char *name, *driver, *id;
} networks[] = {
	{ "host", "host", "686f7374000000000000000000000000000000000000000000000000000a0001" },
	{ "none", "null", "6e6f6e65000000000000000000000000000000000000000000000000000a0002" },
};
#define N_NETWORKS (sizeof(networks) / sizeof(networks[0]))

static json_object *view_network(const struct network *net)
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

static bool is_any(json_object *values, bool (*fits)(const struct network *, const char *),
		   const struct network *net)
{
	for (size_t i = 0; i < json_len(values); i++)
		if (fits(net, json_item_str(values, i)))
			return true;
	return false;
}

static bool has_name(const struct network *net, const char *v)
{
	return strstr(net->name, v) != NULL;
}

static bool has_id(const struct network *net, const char *v)
{
	return !strncmp(net->id, v, strlen(v));
}

static bool has_driver(const struct network *net, const char *v)
{
	return !strcmp(net->driver, v);
}

static bool has_scope(const struct network *net, const char *v)
{
	(void)net;
	return !strcmp(v, "local");
}

static bool has_type(const struct network *net, const char *v)
{
	(void)net;
	return !strcmp(v, "builtin");
}

static bool has_label(const struct network *net, const char *v)
{
	(void)net;
	(void)v;
	return false;
}

static bool is_dangling(const struct network *net, const char *v)
{
	(void)net;
	return !strcmp(v, "false") || !strcmp(v, "0");
}

static const struct {
	const char *key;
	bool (*fits)(const struct network *net, const char *value);
} network_filters[] = {
	{ "name", has_name },        { "id", has_id },     { "driver", has_driver },
	{ "scope", has_scope },      { "type", has_type }, { "label", has_label },
	{ "dangling", is_dangling },
};
#define N_NETWORK_FILTERS (sizeof(network_filters) / sizeof(network_filters[0]))

/* 1, 0, or -EINVAL for a filter nobody knows. */
static int network_fits(const struct network *net, json_object *filters, struct err *err)
{
	bool all = true;
	if (!filters)
		return 1;
	json_object_object_foreach (filters, key, values) {
		size_t i = 0;
		while (i < N_NETWORK_FILTERS && strcmp(network_filters[i].key, key) != 0)
			i++;
		if (i == N_NETWORK_FILTERS)
			return err_set(err, EINVAL, "invalid filter '%s'", key);
		all = all && is_any(values, network_filters[i].fits, net);
	}
	return all;
}

void networks_list(struct exchange *x)
{
	struct err err = ERR_INIT;
	cleanup_json json_object *filters = NULL;
	cleanup_json json_object *list = json_object_new_array();
	int rc = request_filters(x, &filters, &err);
	for (size_t i = 0; i < N_NETWORKS && rc >= 0; i++) {
		rc = network_fits(&networks[i], filters, &err);
		if (rc > 0)
			(void)json_object_array_add(list, view_network(&networks[i]));
	}
	if (rc < 0)
		reply_err(x, &err);
	else
		reply_json(x, 200, json_object_get(list));
}

void networks_inspect(struct exchange *x)
{
	const char *ref = x->param[0], *scope = query_get(&x->query, "scope");
	for (size_t i = 0; i < N_NETWORKS; i++) {
		bool named = !strcmp(networks[i].name, ref) ||
			     (strlen(ref) >= 4 && has_id(&networks[i], ref));
		if (named && (!scope || !*scope || !strcmp(scope, "local"))) {
			reply_json(x, 200, view_network(&networks[i]));
			return;
		}
	}
	reply_error(x, 404, "network %s not found", ref);
}

void volumes_list(struct exchange *x)
{
	struct err err = ERR_INIT;
	cleanup_json json_object *filters = NULL;
	if (request_filters(x, &filters, &err) < 0) {
		reply_err(x, &err);
		return;
	}
	json_object *o = json_object_new_object();
	json_add(o, "Volumes", json_object_new_array());
	json_add(o, "Warnings", NULL);
	reply_json(x, 200, o);
}

void volumes_inspect(struct exchange *x)
{
	reply_error(x, 404, "get %s: no such volume", x->param[0]);
}

/* The two that every host has are never removed. Docker's client asks in `system
 * prune`. */
void networks_prune(struct exchange *x)
{
	json_object *o = json_object_new_object();
	json_add(o, "NetworksDeleted", NULL);
	reply_json(x, 200, o);
}

/* SPDX-License-Identifier: Apache-2.0 */
/* endpoint - see endpoint.h: leases, and what the record says of them. */
#include "endpoint.h"

#include "isolation.h"

#include "isola/fd.h"
#include "isola/json.h"
#include "isola/mac.h"

#include "fields.h"
#include "isolad.h"
#include "life.h"
#include "resolver.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ALIASES_MAX   64
#define ALIAS_LEN_MAX 253
#define ALIAS_BYTES   "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-"

void bindings_clear(struct bindings *b)
{
	for (size_t i = 0; i < b->n; i++)
		fd_close(&b->items[i].fd);
	free(b->items);
	*b = (struct bindings){ NULL, 0 };
}

enum net_link endpoint_link(const struct instance *inst)
{
	return inst->kind == INSTANCE_VM || isolation_is_vm(inst->host_config) ? NET_LINK_TAP
									       : NET_LINK_VETH;
}

bool endpoint_publishes(const struct endpoint *e)
{
	return e->network->kind == NET_KIND_BRIDGE;
}

void endpoint_host_name(const struct endpoint *e, char ret[NET_NAME_SIZE])
{
	static const char *const stems[] = { [NET_LINK_VETH] = "veth", [NET_LINK_TAP] = "tap" };
	(void)snprintf(ret, NET_NAME_SIZE, "%s%.8s%u", stems[endpoint_link(e->inst)], e->inst->id,
		       e->index % 1000);
}

struct endpoint *endpoint_find(struct instance *inst, const struct network *net)
{
	list_for_each (node, &inst->endpoints) {
		struct endpoint *e = container_of(node, struct endpoint, node);
		if (e->network == net)
			return e;
	}
	return NULL;
}

struct endpoint *endpoint_gateway(struct instance *inst)
{
	list_for_each (node, &inst->endpoints) {
		struct endpoint *e = container_of(node, struct endpoint, node);
		if (!e->network->internal)
			return e;
	}
	return NULL;
}

/* ---- leases ---- */

static const struct net_addr *addr_of(const struct endpoint *e, uint8_t family)
{
	return family == AF_INET6 ? &e->addr6 : &e->addr;
}

static bool is_taken(void *arg, const struct net_addr *addr)
{
	const struct network *net = arg;
	if (net_addr_is_equal(addr, &net->v4.gateway) || net_addr_is_equal(addr, &net->v6.gateway))
		return true;
	list_for_each (node, &net->members)
		if (net_addr_is_equal(
			    addr_of(container_of(node, struct endpoint, member), addr->family),
			    addr))
			return true;
	return false;
}

/* The first of a subnet is never a member's, nor is IPv4's last. */
static bool is_host(const struct net_prefix *subnet, const struct net_addr *addr)
{
	struct net_addr last;
	if (!net_prefix_holds(subnet, addr) || net_addr_is_equal(addr, &subnet->addr))
		return false;
	return addr->family == AF_INET6 ||
	       net_prefix_nth(subnet, (1ull << (32 - subnet->len)) - 1, &last) < 0 ||
	       !net_addr_is_equal(addr, &last);
}

static int lease_asked(struct network *net, const struct addressing *a, const char *text,
		       const char *field, struct net_addr *ret, struct err *err)
{
	char buf[NET_PREFIX_TEXT];
	struct net_addr addr;
	if (!a->subnet.addr.family)
		return err_set(err, EINVAL, "%s: network %s has no IPv6 (network create --ipv6)",
			       field, net->name);
	if (net_addr_parse(text, &addr) < 0)
		return err_set(err, EINVAL, "%s: '%.64s' is no address", field, text);
	if (!is_host(&a->subnet, &addr))
		return err_set(err, EINVAL,
			       "%s: %s is no address of network %s, whose subnet is %s", field,
			       text, net->name, net_prefix_format(&a->subnet, buf, sizeof(buf)));
	if (is_taken(net, &addr))
		return err_set(err, EEXIST, "%s: %s is in use in network %s", field, text,
			       net->name);
	*ret = addr;
	return 0;
}

static int lease(struct network *net, struct addressing *a, struct net_addr *ret, struct err *err)
{
	int rc = net_pool_addr(&a->subnet, &a->range, &a->last, is_taken, net, ret, err);
	if (rc < 0)
		return err_prefix(err, "network %s", net->name);
	a->last = *ret;
	return 0;
}

static int lease_both(struct endpoint *e, const char *asked, const char *asked6, struct err *err)
{
	struct network *net = e->network;
	e->asked_addr = *asked;
	e->asked_addr6 = *asked6;
	int rc = *asked ? lease_asked(net, &net->v4, asked, "IPAMConfig.IPv4Address (--ip)",
				      &e->addr, err)
			: lease(net, &net->v4, &e->addr, err);
	if (rc < 0 || (!*asked6 && !net->ipv6))
		return rc;
	return *asked6 ? lease_asked(net, &net->v6, asked6, "IPAMConfig.IPv6Address (--ip6)",
				     &e->addr6, err)
		       : lease(net, &net->v6, &e->addr6, err);
}

struct net_addrs endpoint_addrs(const struct endpoint *e)
{
	return (struct net_addrs){ e->addr, e->addr6 };
}

void endpoint_port(const struct endpoint *e, struct net_port *ret)
{
	*ret = (struct net_port){ .addr = e->addr, .addr6 = e->addr6 };
	endpoint_host_name(e, ret->host_name);
	(void)snprintf(ret->name, sizeof(ret->name), "eth%u", e->index);
	memcpy(ret->mac, e->mac, sizeof(ret->mac));
	ret->gateway = endpoint_gateway(e->inst) == e;
	ret->unguarded = e->network->unguarded;
}

static unsigned int next_index(struct instance *inst)
{
	if (list_is_empty(&inst->endpoints))
		return 0;
	return container_of(inst->endpoints.prev, struct endpoint, node)->index + 1;
}

static int new_endpoint(struct instance *inst, struct network *net, struct endpoint **ret,
			struct err *err)
{
	struct endpoint *e = calloc(1, sizeof(*e));
	if (!e || id_new(e->id) < 0) {
		free(e);
		return err_set(err, ENOMEM, "out of memory");
	}
	list_init(&e->node);
	list_init(&e->member);
	e->inst = inst;
	e->network = net;
	e->tap_fd = -1;
	e->ns_fd = -1;
	e->index = next_index(inst);
	*ret = e;
	return 0;
}

static const struct field ipam_rows[] = {
	{ "IPv4Address", "--ip", FIELD_STR, DEFAULT_EMPTY },
	{ "IPv6Address", "--ip6", FIELD_STR, DEFAULT_EMPTY },
	{ "LinkLocalIPs", "--link-local-ip", FIELD_STRS, DEFAULT_ABSENT, .refuse = "yet" },
};

/* What other members may ask for: bytes of host names, also "_srv", and dots. */
static int check_aliases(void *arg, const struct field *row, json_object *v, json_object **ret,
			 struct err *err)
{
	(void)arg;
	(void)row;
	if (json_len(v) > ALIASES_MAX)
		return err_set(err, EINVAL, "there may be %d at most", ALIASES_MAX);
	for (size_t i = 0; i < json_len(v); i++) {
		const char *text = json_item_str(v, i);
		if (!*text || strlen(text) > ALIAS_LEN_MAX || text[strspn(text, ALIAS_BYTES)])
			return err_set(err, EINVAL, "'%.64s' is no name of a host", text);
	}
	*ret = json_object_get(v);
	return 0;
}

static const struct field rows[] = {
	{ "IPAMConfig", "--ip", FIELD_OBJ, DEFAULT_ABSENT },
	{ "Links", "--link", FIELD_STRS, DEFAULT_ABSENT, .refuse = "yet" },
	{ "Aliases", "--network-alias", FIELD_STRS, DEFAULT_ABSENT, .check = check_aliases },
	{ "MacAddress", "--mac-address", FIELD_STR, DEFAULT_EMPTY },
	{ "DriverOpts", "--driver-opt", FIELD_MAP, DEFAULT_ABSENT, .refuse = "yet" },
};

static int set_mac(struct endpoint *e, const char *text, struct err *err)
{
	if (!*text)
		net_mac_of(&e->addr, e->mac);
	else if (mac_parse(text, e->mac) < 0)
		return err_set(err, EINVAL,
			       "MacAddress (--mac-address): '%.32s' is no address of one device "
			       "like 02:42:0a:01:02:03",
			       text);
	else if (e->network->mode == NET_MODE_PASSTHRU)
		return err_set(err, EINVAL,
			       "MacAddress (--mac-address): a member of network %s "
			       "(macvlan_mode=passthru) has that of %s",
			       e->network->name, e->network->bridge);
	return 0;
}

static int set_aliases(struct endpoint *e, json_object *aliases, struct err *err)
{
	if (json_len(aliases) && !resolver_serves(e->network))
		return err_set(err, EINVAL,
			       "EndpointConfig.Aliases (--network-alias): there are no names in "
			       "network %s; make one with network create",
			       e->network->name);
	e->aliases = json_len(aliases) ? json_object_get(aliases) : NULL;
	return 0;
}

static int fill(struct endpoint *e, json_object *settings, const char *mac, struct err *err)
{
	cleanup_json json_object *o = NULL, *ipam = NULL;
	int rc = fields_check(rows, sizeof(rows) / sizeof(rows[0]), "EndpointConfig.", settings,
			      NULL, &o, err);
	if (rc == 0)
		rc = fields_check(ipam_rows, sizeof(ipam_rows) / sizeof(ipam_rows[0]),
				  "EndpointConfig.IPAMConfig.", json_get(o, "IPAMConfig"), NULL,
				  &ipam, err);
	if (rc == 0)
		rc = set_aliases(e, json_get(o, "Aliases"), err);
	if (rc == 0)
		rc = lease_both(e, json_str_or(ipam, "IPv4Address", ""),
				json_str_or(ipam, "IPv6Address", ""), err);
	const char *own = json_str_or(o, "MacAddress", "");
	return rc < 0 ? rc : set_mac(e, *own ? own : mac, err);
}

/* What a macvlan cannot have as a member. */
static int check_macvlan(const struct instance *inst, const struct network *net, struct err *err)
{
	if (net->kind != NET_KIND_MACVLAN)
		return 0;
	if (endpoint_link(inst) == NET_LINK_TAP)
		return err_set(err, EOPNOTSUPP,
			       "network %s is a macvlan, and a %s can be in networks of driver "
			       "bridge only",
			       net->name, inst->lent ? "tap" : "VM");
	if (net->mode != NET_MODE_PASSTHRU || list_is_empty(&net->members))
		return 0;
	return err_set(err, EBUSY,
		       "network %s has its one member already, as macvlan_mode=passthru gives it "
		       "the whole link %s: container %s is in it (rm or disconnect it first)",
		       net->name, net->bridge,
		       container_of(net->members.next, struct endpoint, member)->inst->name);
}

static int add(struct instance *inst, struct network *net, json_object *settings, const char *mac,
	       struct endpoint **ret, struct err *err)
{
	struct endpoint *e = NULL;
	if (net->busy)
		return err_set(err, EBUSY, "network %s is being made or removed", net->name);
	if (endpoint_find(inst, net))
		return err_set(err, EEXIST, "%s %s is in network %s already",
			       instance_noun(inst->kind), inst->name ? inst->name : inst->id,
			       net->name);
	int rc = check_macvlan(inst, net, err);
	if (rc == 0)
		rc = new_endpoint(inst, net, &e, err);
	if (rc == 0)
		rc = fill(e, settings, mac, err);
	if (rc < 0) {
		endpoint_free(e);
		return rc;
	}
	list_add_tail(&inst->endpoints, &e->node);
	list_add_tail(&net->members, &e->member);
	if (ret)
		*ret = e;
	return 0;
}

int endpoint_add(struct instance *inst, struct network *net, json_object *settings,
		 struct endpoint **ret, struct err *err)
{
	return add(inst, net, settings, "", ret, err);
}

void endpoint_free(struct endpoint *e)
{
	if (!e)
		return;
	list_del(&e->node);
	list_del(&e->member);
	json_object_put(e->aliases);
	fd_close(&e->tap_fd);
	fd_close(&e->ns_fd);
	free(e);
}

void endpoints_free(struct instance *inst)
{
	while (!list_is_empty(&inst->endpoints))
		endpoint_free(container_of(inst->endpoints.next, struct endpoint, node));
}

int endpoints_create(struct instance *inst, struct err *err)
{
	const char *mode = json_str_or(inst->host_config, "NetworkMode", "none");
	const char *mac = json_str_or(inst->config, "MacAddress", "");
	if (!strcmp(mode, "none") || !strcmp(mode, "host") || !strncmp(mode, "container:", 10))
		return 0;
	struct network *net = network_find(inst->isolad, mode, err);
	if (!net) {
		/* 404 is about the image. */
		if (err->code == ENOENT)
			err->code = EINVAL;
		return err_prefix(err, "HostConfig.NetworkMode (--network)");
	}
	json_object *all = json_get(inst->networking, "EndpointsConfig");
	json_object *settings = json_get(all, mode);
	if (!settings)
		settings = json_get(all, "default");
	return add(inst, net, settings, mac, NULL, err);
}

/* ---- record ---- */

json_object *endpoints_record(const struct instance *inst)
{
	char buf[NET_ADDR_TEXT];
	if (list_is_empty(&inst->endpoints))
		return NULL;
	json_object *list = json_object_new_array();
	list_for_each (node, &inst->endpoints) {
		const struct endpoint *e = container_of(node, struct endpoint, node);
		if (e->leaving)
			continue;
		json_object *o = json_object_new_object();
		json_add_str(o, "id", e->id);
		json_add_str(o, "network", e->network->id);
		json_add_i64(o, "index", e->index);
		json_add_str(o, "address", net_addr_format(&e->addr, buf, sizeof(buf)));
		json_add_str(o, "mac", mac_format(e->mac, buf, sizeof(buf)));
		json_add_bool(o, "asked", e->asked_addr);
		if (e->addr6.family) {
			json_add_str(o, "address6", net_addr_format(&e->addr6, buf, sizeof(buf)));
			json_add_bool(o, "asked6", e->asked_addr6);
		}
		if (e->aliases)
			json_add(o, "aliases", json_object_get(e->aliases));
		(void)json_object_array_add(list, o);
	}
	return list;
}

/* What is published goes with the network that it is published by. */
static bool gateway_is_leaving(const struct instance *inst)
{
	list_for_each (node, &inst->endpoints) {
		const struct endpoint *e = container_of(node, struct endpoint, node);
		if (!e->network->internal)
			return e->leaving;
	}
	return false;
}

json_object *bindings_record(const struct instance *inst)
{
	const struct bindings *b = &life_of(inst)->bindings;
	char buf[NET_ADDR_TEXT];
	if (!b->n || gateway_is_leaving(inst))
		return NULL;
	json_object *list = json_object_new_array();
	for (size_t i = 0; i < b->n; i++) {
		json_object *o = json_object_new_object();
		json_add_str(o, "host_ip", net_addr_format(&b->items[i].host_ip, buf, sizeof(buf)));
		json_add_i64(o, "host_port", b->items[i].host_port);
		json_add_i64(o, "port", b->items[i].port);
		json_add_str(o, "proto", net_proto_name(b->items[i].proto));
		(void)json_object_array_add(list, o);
	}
	return list;
}

static int load_endpoint(struct instance *inst, json_object *o, struct err *err)
{
	const char *id = json_str_or(o, "id", ""), *network = json_str_or(o, "network", "");
	struct network *net = network_by_id(inst->isolad, network);
	struct endpoint *e = NULL;
	if (!net) {
		log_warn(inst->id, "its network %.12s is gone: it leaves it", network);
		return 0;
	}
	int rc = new_endpoint(inst, net, &e, err);
	if (rc < 0)
		return rc;
	int64_t index = json_i64_or(o, "index", -1);
	if (!id_is_prefix(id) || strlen(id) != ID_SIZE - 1 || index < e->index || index > 999 ||
	    net_addr_parse(json_str_or(o, "address", ""), &e->addr) < 0 ||
	    !net_prefix_holds(&net->v4.subnet, &e->addr) ||
	    mac_parse(json_str_or(o, "mac", ""), e->mac) < 0 ||
	    (net->ipv6 && (net_addr_parse(json_str_or(o, "address6", ""), &e->addr6) < 0 ||
			   !net_prefix_holds(&net->v6.subnet, &e->addr6)))) {
		endpoint_free(e);
		return err_set(err, EINVAL, "an item of endpoints is malformed");
	}
	memcpy(e->id, id, ID_SIZE);
	e->index = (unsigned int)index;
	e->asked_addr = json_bool_or(o, "asked", false);
	e->asked_addr6 = json_bool_or(o, "asked6", false);
	if (json_object_is_type(json_get(o, "aliases"), json_type_array))
		e->aliases = json_object_get(json_get(o, "aliases"));
	list_add_tail(&inst->endpoints, &e->node);
	list_add_tail(&net->members, &e->member);
	return 0;
}

static int load_bindings(struct instance *inst, json_object *list, struct err *err)
{
	struct bindings *b = &life_of(inst)->bindings;
	size_t n = json_len(list);
	if (!n)
		return 0;
	b->items = calloc(n, sizeof(*b->items));
	if (!b->items)
		return err_set(err, ENOMEM, "out of memory");
	for (size_t i = 0; i < n; i++) {
		json_object *o = json_object_array_get_idx(list, i);
		int64_t host = json_i64_or(o, "host_port", 0), port = json_i64_or(o, "port", 0);
		struct net_binding *at = &b->items[b->n++];
		*at = (struct net_binding){ .fd = -1 };
		if (net_addr_parse(json_str_or(o, "host_ip", ""), &at->host_ip) < 0 || host < 1 ||
		    host > UINT16_MAX || port < 1 || port > UINT16_MAX)
			return err_set(err, EINVAL, "an item of bindings is malformed");
		at->host_port = (uint16_t)host;
		at->port = (uint16_t)port;
		at->proto = !strcmp(json_str_or(o, "proto", ""), "udp") ? NET_UDP : NET_TCP;
	}
	return 0;
}

int endpoints_load(struct instance *inst, json_object *doc, struct err *err)
{
	json_object *list = json_get(doc, "endpoints");
	int rc = 0;
	for (size_t i = 0; rc == 0 && i < json_len(list); i++)
		rc = load_endpoint(inst, json_object_array_get_idx(list, i), err);
	return rc < 0 ? rc : load_bindings(inst, json_get(doc, "bindings"), err);
}

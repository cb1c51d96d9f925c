/* SPDX-License-Identifier: Apache-2.0 */
/* publish - published ports: HostConfig.PortBindings, -P, and the ports of the host
 * that they take at each start. isolad, loop thread. */
#include "create_priv.h"
#include "endpoint.h"
#include "isolad.h"
#include "life.h"

#include "isola/fd.h"
#include "isola/json.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BINDINGS_MAX 1024

/* ---- checks ---- */

int publish_parse_host(json_object *o, struct net_addr *ret_ip, struct net_ports *ret,
		       struct err *err)
{
	const char *ip = json_str_or(o, "HostIp", ""), *port = json_str_or(o, "HostPort", "");
	struct net_ports ports = { 0, 0 };
	struct net_addr addr = { .family = AF_INET };
	if (*ip && net_addr_parse(ip, &addr) < 0)
		return err_set(err, EINVAL, "HostIp '%.64s' is no address", ip);
	if (*port && strcmp(port, "0") != 0 && net_ports_parse(port, &ports) < 0)
		return err_set(err, EINVAL, "HostPort '%.64s' is no port like 8080", port);
	*ret_ip = addr;
	*ret = ports;
	return 0;
}

static int check_one(const char *key, json_object *list, size_t *n, struct err *err)
{
	static const struct field rows[] = {
		{ "HostIp", NULL, FIELD_STR, DEFAULT_EMPTY },
		{ "HostPort", NULL, FIELD_STR, DEFAULT_EMPTY },
	};
	struct net_ports inside, host;
	struct net_addr ip;
	enum net_proto proto;
	int rc = net_port_proto_parse(key, &inside, &proto, err);
	if (rc == 0 && inside.first != inside.last)
		rc = err_set(err, EINVAL, "'%.64s': one port a key", key);
	if (rc == 0 && list && !json_object_is_type(list, json_type_array))
		rc = err_set(err, EINVAL, "'%.64s' must be an array", key);
	for (size_t i = 0; rc == 0 && i < json_len(list); i++) {
		cleanup_json json_object *o = NULL;
		rc = fields_check(rows, 2, "", json_object_array_get_idx(list, i), NULL, &o, err);
		if (rc == 0)
			rc = publish_parse_host(o, &ip, &host, err);
	}
	*n += json_len(list) ? json_len(list) : 1;
	if (rc == 0 && *n > BINDINGS_MAX)
		rc = err_set(err, EINVAL, "more than %d ports", BINDINGS_MAX);
	return rc;
}

int create_port_bindings(void *arg, const struct field *row, json_object *v, json_object **ret,
			 struct err *err)
{
	(void)arg;
	(void)row;
	size_t n = 0;
	json_object_object_foreach (v, key, list) {
		int rc = check_one(key, list, &n, err);
		if (rc < 0)
			return rc;
	}
	*ret = json_object_get(v);
	return 0;
}

/* ---- taking them ---- */

static int append(struct bindings *b, const struct net_binding *item, struct err *err)
{
	struct net_binding *more = realloc(b->items, (b->n + 1) * sizeof(*more));
	if (!more)
		return err_set(err, ENOMEM, "out of memory");
	b->items = more;
	b->items[b->n++] = *item;
	return 0;
}

/* What a port is published with. */
struct taking {
	struct bindings *b;
	const struct bindings *held; /* or NULL */
	const struct endpoint *to;
};

static int take_one(const struct bindings *held, struct net_binding *item, struct err *err)
{
	for (size_t i = 0; held && i < held->n; i++) {
		const struct net_binding *at = &held->items[i];
		if (!item->host_port || at->host_port != item->host_port ||
		    at->proto != item->proto || !net_addr_is_equal(&at->host_ip, &item->host_ip))
			continue;
		item->fd = fd_dup(at->fd);
		return item->fd < 0 ? err_rc(err, item->fd, "cannot keep port %u", at->host_port)
				    : 0;
	}
	return net_host_take_port(item, err);
}

/* One port of the host, and with @both the same of ::. */
static int take_port(const struct taking *t, struct net_binding *item, bool both, struct err *err)
{
	struct net_binding six = {
		.host_ip.family = AF_INET6, .port = item->port, .proto = item->proto, .fd = -1
	};
	int rc = take_one(t->held, item, err);
	if (rc == 0 && both) {
		six.host_port = item->host_port;
		rc = take_one(t->held, &six, err);
	}
	size_t before = t->b->n;
	if (rc == 0)
		rc = append(t->b, item, err);
	if (rc == 0 && both)
		rc = append(t->b, &six, err);
	if (rc < 0) {
		t->b->n = before;
		fd_close(&item->fd);
		fd_close(&six.fd);
	}
	return rc;
}

/* How often another one is tried where any will do, but one family has it already. */
#define ANY_TRIES 16

/* The first free one of a range; without one, whichever is free. */
static int take(const struct taking *t, struct net_binding *item, const struct net_ports *host,
		bool both, struct err *err)
{
	unsigned int n = host->first ? host->last - host->first + 1u : ANY_TRIES;
	int rc = -EINVAL;
	for (unsigned int i = 0; i < n; i++) {
		item->host_port = (uint16_t)(host->first ? host->first + i : 0);
		rc = take_port(t, item, both, err);
		if (rc != -EADDRINUSE)
			break;
	}
	return rc < 0 ? err_prefix(err, "HostConfig.PortBindings (-p)") : 0;
}

static int check_family(const struct endpoint *to, const struct net_addr *ip, struct err *err)
{
	static const struct net_addr loopback6 = { AF_INET6, { [15] = 1 } };
	char text[NET_ADDR_TEXT];
	if (ip->family != AF_INET6)
		return 0;
	net_addr_format(ip, text, sizeof(text));
	if (!to->addr6.family)
		return err_set(err, EINVAL,
			       "HostConfig.PortBindings (-p): HostIp %s: network %s has no IPv6 "
			       "(network create --ipv6)",
			       text, to->network->name);
	if (net_addr_is_equal(ip, &loopback6) && !net_host_has_loopback6())
		return err_set(
			err, EOPNOTSUPP,
			"HostConfig.PortBindings (-p): HostIp ::1: br_netfilter sees bridged "
			"IPv6 here, and answers to ::1 would be lost: set "
			"net.bridge.bridge-nf-call-ip6tables to 0, or name another address");
	return 0;
}

int publish_take_key(struct bindings *b, const struct endpoint *to, const char *key,
		     json_object *list, const struct bindings *held, struct err *err)
{
	struct net_ports inside, host;
	struct net_binding item = { .fd = -1 };
	const struct taking t = { b, held, to };
	size_t n = json_len(list);
	int rc = net_port_proto_parse(key, &inside, &item.proto, err);
	item.port = inside.first;
	for (size_t i = 0; rc == 0 && i < (n ? n : 1); i++) {
		item.fd = -1;
		json_object *o = n ? json_object_array_get_idx(list, i) : NULL;
		rc = publish_parse_host(o, &item.host_ip, &host, err);
		if (rc == 0)
			rc = check_family(to, &item.host_ip, err);
		/* No address named: all of both families. */
		bool both = !*json_str_or(o, "HostIp", "") && to->addr6.family;
		if (rc == 0)
			rc = take(&t, &item, &host, both, err);
	}
	return rc;
}

/* -P: each exposed port that is not published by name. */
static int take_exposed(struct instance *inst, json_object *asked, struct bindings *b,
			struct err *err)
{
	json_object *exposed = json_get(inst->config, "ExposedPorts");
	if (!exposed || !json_bool_or(inst->host_config, "PublishAllPorts", false))
		return 0;
	json_object_object_foreach (exposed, key, unused) {
		(void)unused;
		int rc =
			asked && json_object_object_get_ex(asked, key, NULL)
				? 0
				: publish_take_key(b, endpoint_gateway(inst), key, NULL, NULL, err);
		if (rc < 0)
			return rc;
	}
	return 0;
}

int publish_take(struct instance *inst, struct err *err)
{
	struct bindings *b = &life_of(inst)->bindings;
	json_object *asked = json_get(inst->host_config, "PortBindings");
	int rc = 0;
	bindings_clear(b);
	if (!endpoint_gateway(inst)) {
		bool wanted = asked && json_object_object_length(asked);
		return wanted ? err_set(err, EINVAL,
					"HostConfig.PortBindings (-p): none of its networks has a "
					"way to the outside")
			      : 0;
	}
	/* As with Docker: create has warned of it. */
	if (!endpoint_publishes(endpoint_gateway(inst)))
		return 0;
	if (asked) {
		json_object_object_foreach (asked, key, list)
			if (rc == 0)
				rc = publish_take_key(b, endpoint_gateway(inst), key, list, NULL,
						      err);
	}
	if (rc == 0)
		rc = take_exposed(inst, asked, b, err);
	if (rc < 0)
		bindings_clear(b);
	return rc;
}

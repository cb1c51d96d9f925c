/* SPDX-License-Identifier: Apache-2.0 */
/* view_network - networks and what instances have of them, as Docker's clients expect
 * to read it (Docker Engine API, Network, NetworkSettings, Port). isolad. */
#include "endpoint.h"
#include "isolad.h"
#include "life.h"
#include "resolver.h"
#include "view.h"

#include "isola/json.h"
#include "isola/mac.h"

#include <stdio.h>
#include <string.h>

/* ---- an instance ---- */

/* What is not there, as in a network none or host. */
static json_object *empty_endpoint(void)
{
	static const char *const texts[] = { "NetworkID", "EndpointID",  "Gateway",
					     "IPAddress", "IPv6Gateway", "GlobalIPv6Address",
					     "MacAddress" };
	static const char *const nulls[] = { "IPAMConfig", "Links", "Aliases", "DriverOpts" };
	json_object *o = json_object_new_object();
	for (size_t i = 0; i < sizeof(nulls) / sizeof(nulls[0]); i++)
		json_add(o, nulls[i], NULL);
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
		json_add_str(o, texts[i], "");
	json_add_i64(o, "IPPrefixLen", 0);
	json_add_i64(o, "GlobalIPv6PrefixLen", 0);
	return o;
}

/* The address is shown while it can be reached. */
static void add_address(json_object *o, const struct endpoint *e)
{
	char buf[NET_ADDR_TEXT];
	json_add_str(o, "EndpointID", e->live ? e->id : "");
	if (!e->live)
		return;
	json_add_str(o, "IPAddress", net_addr_format(&e->addr, buf, sizeof(buf)));
	json_add_str(o, "MacAddress", mac_format(e->mac, buf, sizeof(buf)));
	json_add_i64(o, "IPPrefixLen", e->network->v4.subnet.len);
	if (e->addr6.family) {
		json_add_str(o, "GlobalIPv6Address", net_addr_format(&e->addr6, buf, sizeof(buf)));
		json_add_i64(o, "GlobalIPv6PrefixLen", e->network->v6.subnet.len);
	}
	if (e->addr6.family && !e->network->internal)
		json_add_str(o, "IPv6Gateway",
			     net_addr_format(&e->network->v6.gateway, buf, sizeof(buf)));
	if (!e->network->internal)
		json_add_str(o, "Gateway",
			     net_addr_format(&e->network->v4.gateway, buf, sizeof(buf)));
}

static json_object *view_endpoint(const struct endpoint *e)
{
	json_object *o = empty_endpoint();
	char buf[NET_ADDR_TEXT];
	json_add_str(o, "NetworkID", e->network->id);
	if (e->asked_addr || e->asked_addr6) {
		json_object *ipam = json_object_new_object();
		if (e->asked_addr)
			json_add_str(ipam, "IPv4Address",
				     net_addr_format(&e->addr, buf, sizeof(buf)));
		if (e->asked_addr6)
			json_add_str(ipam, "IPv6Address",
				     net_addr_format(&e->addr6, buf, sizeof(buf)));
		json_add(o, "IPAMConfig", ipam);
	}
	if (e->aliases)
		json_add(o, "Aliases", json_object_get(e->aliases));
	json_add(o, "DNSNames", resolver_serves(e->network) ? resolver_names(e) : NULL);
	add_address(o, e);
	return o;
}

json_object *view_endpoints(struct instance *inst)
{
	json_object *o = json_object_new_object();
	const char *mode = json_str_or(inst->host_config, "NetworkMode", "none");
	if (!strcmp(mode, "none") || !strcmp(mode, "host"))
		json_add(o, mode, empty_endpoint());
	list_for_each (node, &inst->endpoints) {
		const struct endpoint *e = container_of(node, struct endpoint, node);
		json_add(o, e->network->name, view_endpoint(e));
	}
	return o;
}

static void add_key(const struct net_binding *b, char *buf, size_t size)
{
	(void)snprintf(buf, size, "%u/%s", b->port, net_proto_name(b->proto));
}

static json_object *ports_of(struct instance *inst)
{
	json_object *o = json_object_new_object();
	json_object *exposed = json_get(inst->config, "ExposedPorts");
	const struct bindings *b = &life_of(inst)->bindings;
	char key[16], buf[NET_ADDR_TEXT];
	if (!instance_is_running(inst) || list_is_empty(&inst->endpoints))
		return o;
	if (exposed) {
		json_object_object_foreach (exposed, name, unused) {
			(void)unused;
			json_add(o, name, NULL);
		}
	}
	for (size_t i = 0; i < b->n; i++) {
		json_object *item = json_object_new_object();
		add_key(&b->items[i], key, sizeof(key));
		json_object *list = json_get(o, key);
		if (!list) {
			list = json_object_new_array();
			json_add(o, key, list);
		}
		json_add_str(item, "HostIp",
			     net_addr_format(&b->items[i].host_ip, buf, sizeof(buf)));
		(void)snprintf(buf, sizeof(buf), "%u", b->items[i].host_port);
		json_add_str(item, "HostPort", buf);
		(void)json_object_array_add(list, item);
	}
	return o;
}

/* Docker repeats those of its default network one level up. */
void view_add_network_settings(json_object *o, struct instance *inst)
{
	list_for_each (node, &inst->endpoints) {
		const struct endpoint *e = container_of(node, struct endpoint, node);
		if (!strcmp(e->network->name, NETWORK_DEFAULT))
			add_address(o, e);
	}
	json_add(o, "Ports", ports_of(inst));
}

static bool is_published(const struct bindings *b, const char *name)
{
	char key[16];
	for (size_t i = 0; i < b->n; i++) {
		add_key(&b->items[i], key, sizeof(key));
		if (!strcmp(key, name))
			return true;
	}
	return false;
}

json_object *view_ports(struct instance *inst)
{
	json_object *list = json_object_new_array();
	json_object *exposed = json_get(inst->config, "ExposedPorts");
	const struct bindings *b = &life_of(inst)->bindings;
	char buf[NET_ADDR_TEXT];
	if (!instance_is_running(inst) || list_is_empty(&inst->endpoints))
		return list;
	for (size_t i = 0; i < b->n; i++) {
		json_object *o = json_object_new_object();
		json_add_str(o, "IP", net_addr_format(&b->items[i].host_ip, buf, sizeof(buf)));
		json_add_i64(o, "PrivatePort", b->items[i].port);
		json_add_i64(o, "PublicPort", b->items[i].host_port);
		json_add_str(o, "Type", net_proto_name(b->items[i].proto));
		(void)json_object_array_add(list, o);
	}
	if (!exposed)
		return list;
	json_object_object_foreach (exposed, name, unused) {
		struct net_ports ports;
		enum net_proto proto;
		(void)unused;
		if (is_published(b, name) || net_port_proto_parse(name, &ports, &proto, NULL) < 0)
			continue;
		json_object *o = json_object_new_object();
		json_add_i64(o, "PrivatePort", ports.first);
		json_add_str(o, "Type", net_proto_name(proto));
		(void)json_object_array_add(list, o);
	}
	return list;
}

/* ---- a network ---- */

static json_object *view_members(const struct network *net)
{
	json_object *all = json_object_new_object();
	char addr[NET_ADDR_TEXT], text[NET_PREFIX_TEXT];
	list_for_each (node, &net->members) {
		const struct endpoint *e = container_of(node, struct endpoint, member);
		if (!e->live)
			continue;
		json_object *o = json_object_new_object();
		json_add_str(o, "Name", e->inst->name);
		json_add_str(o, "EndpointID", e->id);
		json_add_str(o, "MacAddress", mac_format(e->mac, text, sizeof(text)));
		(void)snprintf(text, sizeof(text), "%s/%u",
			       net_addr_format(&e->addr, addr, sizeof(addr)), net->v4.subnet.len);
		json_add_str(o, "IPv4Address", text);
		if (e->addr6.family)
			(void)snprintf(text, sizeof(text), "%s/%u",
				       net_addr_format(&e->addr6, addr, sizeof(addr)),
				       net->v6.subnet.len);
		json_add_str(o, "IPv6Address", e->addr6.family ? text : "");
		if (e->inst->lent) {
			endpoint_host_name(e, text);
			json_add_str(o, "Tap", text);
		}
		json_add(all, e->inst->id, o);
	}
	return all;
}

static json_object *view_addressing(const struct addressing *a)
{
	json_object *o = json_object_new_object();
	char buf[NET_PREFIX_TEXT];
	json_add_str(o, "Subnet", net_prefix_format(&a->subnet, buf, sizeof(buf)));
	if (a->range.len != a->subnet.len)
		json_add_str(o, "IPRange", net_prefix_format(&a->range, buf, sizeof(buf)));
	json_add_str(o, "Gateway", net_addr_format(&a->gateway, buf, sizeof(buf)));
	return o;
}

static json_object *view_ipam(const struct network *net)
{
	json_object *ipam = json_object_new_object(), *list = json_object_new_array();
	(void)json_object_array_add(list, view_addressing(&net->v4));
	if (net->ipv6)
		(void)json_object_array_add(list, view_addressing(&net->v6));
	json_add_str(ipam, "Driver", "default");
	json_add(ipam, "Options", NULL);
	json_add(ipam, "Config", list);
	return ipam;
}

json_object *network_view(const struct network *net)
{
	json_object *o = json_object_new_object(), *options = json_object_new_object();
	if (net->options) {
		json_object_object_foreach (net->options, key, v)
			json_add(options, key, json_object_get(v));
	}
	json_add_str(o, "Name", net->name);
	json_add_str(o, "Id", net->id);
	view_add_time(o, "Created", net->created_ns);
	json_add_str(o, "Scope", "local");
	json_add_str(o, "Driver", network_driver(net));
	json_add_bool(o, "EnableIPv6", net->ipv6);
	json_add(o, "IPAM", view_ipam(net));
	json_add_bool(o, "Internal", net->internal);
	json_add_bool(o, "Attachable", net->attachable);
	json_add_bool(o, "Ingress", false);
	json_add_bool(o, "ConfigOnly", false);
	json_add(o, "Containers", view_members(net));
	/* As Docker shows it; of others only what was asked for, or compose makes them anew. */
	if (!strcmp(net->name, NETWORK_DEFAULT))
		json_add_str(options, "com.docker.network.bridge.name", net->bridge);
	json_add(o, "Options", options);
	json_add(o, "Labels",
		 net->labels ? json_object_get(net->labels) : json_object_new_object());
	return o;
}

/* SPDX-License-Identifier: Apache-2.0 */
/* publish - -p, -P, --expose and --ip of run and create as Docker's JSON, ranges taken
 * apart as Docker's client does. Runs in ctrctl and vmctl. */
#include "publish.h"

#include "isola/fd.h"
#include "isola/json.h"
#include "isola/net.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

/* The object @key of @in, made where it is missing. */
static json_object *child(json_object *in, const char *key)
{
	json_object *o = json_get(in, key);
	if (!o) {
		o = json_object_new_object();
		json_add(in, key, o);
	}
	return o;
}

static void add_exposed(json_object *config, const struct net_ports *ports, enum net_proto proto)
{
	json_object *exposed = child(config, "ExposedPorts");
	for (unsigned int p = ports->first; p <= ports->last; p++) {
		char key[16];
		(void)snprintf(key, sizeof(key), "%u/%s", p, net_proto_name(proto));
		json_add(exposed, key, json_object_new_object());
	}
}

static void add_binding(json_object *host, const struct net_publish *p, unsigned int nth)
{
	json_object *all = child(host, "PortBindings"), *o = json_object_new_object();
	char key[16], port[16] = "";
	(void)snprintf(key, sizeof(key), "%u/%s", p->inside.first + nth, net_proto_name(p->proto));
	/* One port inside, several to choose from. */
	if (p->host.first != p->host.last && p->inside.first == p->inside.last)
		(void)snprintf(port, sizeof(port), "%u-%u", p->host.first, p->host.last);
	else if (p->host.first)
		(void)snprintf(port, sizeof(port), "%u", p->host.first + nth);
	json_object *list = json_get(all, key);
	if (!list) {
		list = json_object_new_array();
		json_add(all, key, list);
	}
	json_add_str(o, "HostIp", p->host_ip);
	json_add_str(o, "HostPort", port);
	(void)json_object_array_add(list, o);
}

typedef void publish_fn(json_object *to, const struct net_publish *p);

static int each_published(struct args *args, const char *flag, publish_fn *each, json_object *to,
			  struct err *err)
{
	const char *text;
	for (size_t i = 0; (text = args_list(args, flag, i)); i++) {
		struct net_publish p;
		if (net_publish_parse(text, &p, err) < 0)
			return err_prefix(err, "--%s%s", flag,
					  strcmp(flag, "publish") ? "" : " (-p)");
		each(to, &p);
	}
	return 0;
}

static void add_bindings(json_object *host, const struct net_publish *p)
{
	for (unsigned int n = 0; p->inside.first + n <= p->inside.last; n++)
		add_binding(host, p, n);
}

static void expose_published(json_object *config, const struct net_publish *p)
{
	add_exposed(config, &p->inside, p->proto);
}

int publish_bindings(struct args *args, const char *flag, json_object *host, struct err *err)
{
	return each_published(args, flag, add_bindings, host, err);
}

int publish_flags(struct args *args, json_object *config, json_object *host, struct err *err)
{
	const char *text;
	for (size_t i = 0; (text = args_list(args, "expose", i)); i++) {
		struct net_ports ports;
		enum net_proto proto;
		if (net_port_proto_parse(text, &ports, &proto, err) < 0)
			return err_prefix(err, "--expose");
		add_exposed(config, &ports, proto);
	}
	int rc = each_published(args, "publish", expose_published, config, err);
	return rc < 0 ? rc : publish_bindings(args, "publish", host, err);
}

/* NULL for none. */
static json_object *aliases_of(struct args *args)
{
	static const char *const flags[] = { "network-alias", "net-alias" };
	json_object *list = NULL;
	for (size_t f = 0; f < 2; f++) {
		const char *alias;
		for (size_t i = 0; (alias = args_list(args, flags[f], i)); i++) {
			if (!list)
				list = json_object_new_array();
			(void)json_object_array_add(list, json_object_new_string(alias));
		}
	}
	return list;
}

void network_flags(struct args *args, const char *network, json_object *config)
{
	const char *ip = args_str(args, "ip", NULL), *ip6 = args_str(args, "ip6", NULL);
	json_object *aliases = aliases_of(args);
	if (!ip && !ip6 && !aliases)
		return;
	json_object *networking = child(config, "NetworkingConfig");
	json_object *endpoint =
		child(child(networking, "EndpointsConfig"), network ? network : "default");
	if (aliases)
		json_add(endpoint, "Aliases", aliases);
	if (!ip && !ip6)
		return;
	json_object *ipam = child(endpoint, "IPAMConfig");
	if (ip)
		json_add_str(ipam, "IPv4Address", ip);
	if (ip6)
		json_add_str(ipam, "IPv6Address", ip6);
}

const struct flag flags_publish_live[] = {
	{ "publish-add", 0, FLAG_LIST, "port",
	  "publish this port, also while it runs (as -p of run)" },
	{ "publish-rm", 0, FLAG_LIST, "port", "publish it no more: [[ip:]host:]port[/udp]" },
	{ .name = NULL },
};

json_object *publish_changes(struct args *args, struct err *err)
{
	static const char *const flags[][2] = { { "publish-add", "PublishAdd" },
						{ "publish-rm", "PublishRm" } };
	cleanup_json json_object *body = json_object_new_object();
	for (size_t i = 0; i < 2; i++) {
		json_object *ports = json_object_new_object();
		int rc = publish_bindings(args, flags[i][0], ports, err);
		json_object *map = json_get(ports, "PortBindings");
		if (map)
			json_add(body, flags[i][1], json_object_get(map));
		json_object_put(ports);
		if (rc < 0)
			return NULL;
	}
	return json_object_object_length(body) ? take_ptr(body) : NULL;
}

/* SPDX-License-Identifier: Apache-2.0 */
/* publish - -p, -P, --expose and --ip of run and create as Docker's JSON, ranges taken
 * apart as Docker's client does. Runs in ctrctl. */
#include "publish.h"

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

static int add_published(struct args *args, json_object *config, json_object *host, struct err *err)
{
	const char *text;
	for (size_t i = 0; (text = args_list(args, "publish", i)); i++) {
		struct net_publish p;
		if (net_publish_parse(text, &p, err) < 0)
			return err_prefix(err, "--publish (-p)");
		add_exposed(config, &p.inside, p.proto);
		for (unsigned int n = 0; p.inside.first + n <= p.inside.last; n++)
			add_binding(host, &p, n);
	}
	return 0;
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
	return add_published(args, config, host, err);
}

void network_flags(struct args *args, json_object *config)
{
	const char *network = args_str(args, "network", args_str(args, "net", NULL));
	const char *ip = args_str(args, "ip", NULL);
	if (!ip)
		return;
	json_object *networking = child(config, "NetworkingConfig");
	json_object *endpoint =
		child(child(networking, "EndpointsConfig"), network ? network : "default");
	json_add_str(child(endpoint, "IPAMConfig"), "IPv4Address", ip);
}

/* SPDX-License-Identifier: Apache-2.0 */
/* network_record - a network's record, and the request it is made from. isolad. */
#include "fields.h"
#include "isola/fd.h"
#include "isola/json.h"
#include "isola/num.h"
#include "network.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#define VERSION 1

/* The fields of a family. */
static const char *const keys[2][3] = {
	{ "subnet", "range", "gateway" },
	{ "subnet6", "range6", "gateway6" },
};

static void add_addressing(json_object *o, const struct addressing *a, const char *const key[3])
{
	char buf[NET_PREFIX_TEXT];
	json_add_str(o, key[0], net_prefix_format(&a->subnet, buf, sizeof(buf)));
	json_add_str(o, key[1], net_prefix_format(&a->range, buf, sizeof(buf)));
	json_add_str(o, key[2], net_addr_format(&a->gateway, buf, sizeof(buf)));
}

json_object *network_record(const struct network *net)
{
	json_object *o = json_object_new_object();
	json_add_i64(o, "version", VERSION);
	json_add_str(o, "id", net->id);
	json_add_str(o, "name", net->name);
	if (net->kind == NET_KIND_MACVLAN)
		json_add_str(o, "driver", network_driver(net));
	add_addressing(o, &net->v4, keys[0]);
	if (net->ipv6)
		add_addressing(o, &net->v6, keys[1]);
	json_add_bool(o, "internal", net->internal);
	json_add_bool(o, "attachable", net->attachable);
	json_add_str(o, "bridge", net->bridge);
	json_add_i64(o, "created_ns", net->created_ns);
	json_add(o, "labels", json_object_get(net->labels));
	if (net->options)
		json_add(o, "options", json_object_get(net->options));
	return o;
}

static int inside(const struct addressing *a, struct err *err)
{
	char buf[NET_PREFIX_TEXT];
	if (!net_prefix_holds(&a->subnet, &a->gateway) ||
	    net_addr_is_equal(&a->gateway, &a->subnet.addr))
		return err_set(err, EINVAL, "gateway (--gateway) is no address of the subnet %s",
			       net_prefix_format(&a->subnet, buf, sizeof(buf)));
	if (!net_prefix_holds(&a->subnet, &a->range.addr) || a->range.len < a->subnet.len)
		return err_set(err, EINVAL, "IP range (--ip-range) is not within the subnet %s",
			       net_prefix_format(&a->subnet, buf, sizeof(buf)));
	return 0;
}

static int load_addressing(json_object *doc, const char *const key[3], uint8_t family,
			   struct addressing *a, struct err *err)
{
	if (net_addr_parse(json_str_or(doc, key[2], ""), &a->gateway) < 0)
		return err_set(err, EINVAL, "%s is malformed", key[2]);
	int rc = net_prefix_parse(json_str_or(doc, key[0], ""), &a->subnet, err);
	if (rc == 0)
		rc = net_prefix_parse(json_str_or(doc, key[1], ""), &a->range, err);
	if (rc == 0 && a->subnet.addr.family != family)
		rc = err_set(err, EINVAL, "%s is of the other family", key[0]);
	return rc < 0 ? rc : inside(a, err);
}

static int take_driver(struct network *net, const char *driver)
{
	if (*driver && strcmp(driver, "bridge") != 0 && strcmp(driver, "macvlan") != 0)
		return -EINVAL;
	net->kind = !strcmp(driver, "macvlan") ? NET_KIND_MACVLAN : NET_KIND_BRIDGE;
	return 0;
}

int network_load(struct network *net, json_object *doc, struct err *err)
{
	const char *name = json_str_or(doc, "name", ""), *bridge = json_str_or(doc, "bridge", "");
	if (json_i64_or(doc, "version", 0) != VERSION ||
	    strcmp(json_str_or(doc, "id", ""), net->id))
		return err_set(err, EINVAL, "version or id is not what it should be");
	if (!id_is_name(name) || !network_is_bridge_name(bridge))
		return err_set(err, EINVAL, "name or bridge is malformed");
	net->ipv6 = json_get(doc, "subnet6");
	if (take_driver(net, json_str_or(doc, "driver", "")) < 0)
		return err_set(err, EINVAL, "driver is malformed");
	int rc = load_addressing(doc, keys[0], AF_INET, &net->v4, err);
	if (rc == 0 && net->ipv6)
		rc = load_addressing(doc, keys[1], AF_INET6, &net->v6, err);
	if (rc == 0)
		rc = network_take_options(net, json_get(doc, "options"), err);
	if (rc < 0)
		return rc;
	net->own_parent = net->kind == NET_KIND_MACVLAN && !*net->bridge;
	(void)snprintf(net->bridge, sizeof(net->bridge), "%s", bridge);
	net->internal = json_bool_or(doc, "internal", false);
	net->attachable = json_bool_or(doc, "attachable", false);
	net->created_ns = json_i64_or(doc, "created_ns", 0);
	net->labels = json_object_get(json_get(doc, "labels"));
	net->name = strdup(name);
	return net->name ? 0 : err_set(err, ENOMEM, "out of memory");
}

/* ---- NetworkCreateRequest ---- */

static const struct field rows[] = {
	{ "Name", NULL, FIELD_STR, DEFAULT_EMPTY },
	{ "CheckDuplicate", NULL, FIELD_BOOL, DEFAULT_FALSE },
	{ "Driver", "--driver", FIELD_STR, DEFAULT_EMPTY },
	{ "Scope", "--scope", FIELD_STR, DEFAULT_EMPTY },
	{ "Internal", "--internal", FIELD_BOOL, DEFAULT_FALSE },
	/* All are, as there is no Swarm; kept for who looks at what was asked. */
	{ "Attachable", "--attachable", FIELD_BOOL, DEFAULT_FALSE },
	{ "Ingress", "--ingress", FIELD_BOOL, DEFAULT_FALSE,
	  .refuse = ": it is for Swarm's networks" },
	{ "ConfigOnly", "--config-only", FIELD_BOOL, DEFAULT_FALSE, .refuse = "yet" },
	{ "ConfigFrom", "--config-from", FIELD_OBJ, DEFAULT_ABSENT, .refuse = "yet" },
	{ "IPAM", "--subnet", FIELD_OBJ, DEFAULT_ABSENT },
	{ "EnableIPv4", "--ipv4", FIELD_BOOL, DEFAULT_ABSENT },
	{ "EnableIPv6", "--ipv6", FIELD_BOOL, DEFAULT_FALSE },
	{ "Options", "--opt", FIELD_MAP, DEFAULT_ABSENT },
	{ "Labels", "--label", FIELD_MAP, DEFAULT_OBJECT },
};

static const struct field ipam_rows[] = {
	{ "Driver", "--ipam-driver", FIELD_STR, DEFAULT_EMPTY },
	{ "Options", "--ipam-opt", FIELD_MAP, DEFAULT_ABSENT, .refuse = "yet" },
	{ "Config", "--subnet", FIELD_OBJS, DEFAULT_ABSENT },
};

static const struct field config_rows[] = {
	{ "Subnet", "--subnet", FIELD_STR, DEFAULT_EMPTY },
	{ "IPRange", "--ip-range", FIELD_STR, DEFAULT_EMPTY },
	{ "Gateway", "--gateway", FIELD_STR, DEFAULT_EMPTY },
	{ "AuxiliaryAddresses", "--aux-address", FIELD_MAP, DEFAULT_ABSENT, .refuse = "yet" },
};

#define N(a) (sizeof(a) / sizeof((a)[0]))

/* How many bits a subnet of the family may have. */
static int check_size(const struct net_prefix *subnet, const char *text, struct err *err)
{
	bool six = subnet->addr.family == AF_INET6;
	unsigned int min = six ? 16 : 8, max = six ? 126 : 30;
	if (subnet->len < min || subnet->len > max)
		return err_set(err, EINVAL,
			       "IPAM.Config.Subnet (--subnet): '%.64s' must have %u to %u bits",
			       text, min, max);
	if (six && subnet->addr.bytes[0] >= 0xfe)
		return err_set(err, EINVAL,
			       "IPAM.Config.Subnet (--subnet): '%.64s' is link-local or multicast",
			       text);
	return 0;
}

static int check_config(struct network *net, json_object *in, struct err *err)
{
	cleanup_json json_object *c = NULL;
	struct addressing a = { .asked = true };
	int rc = fields_check(config_rows, N(config_rows), "IPAM.Config.", in, NULL, &c, err);
	if (rc < 0)
		return rc;
	const char *subnet = json_str_or(c, "Subnet", ""), *range = json_str_or(c, "IPRange", "");
	const char *gateway = json_str_or(c, "Gateway", "");
	if (!*subnet)
		return *range || *gateway ? err_set(err, EINVAL,
						    "IPAM.Config.Subnet (--subnet) is missing: "
						    "a range or a gateway needs one")
					  : 0;
	if (net_prefix_parse(subnet, &a.subnet, err) < 0)
		return err_prefix(err, "IPAM.Config.Subnet (--subnet)");
	rc = check_size(&a.subnet, subnet, err);
	if (rc < 0)
		return rc;
	a.range = a.subnet;
	if (*range && net_prefix_parse(range, &a.range, err) < 0)
		return err_prefix(err, "IPAM.Config.IPRange (--ip-range)");
	if (!*gateway)
		rc = net_prefix_nth(&a.subnet, 1, &a.gateway);
	else if (net_addr_parse(gateway, &a.gateway) < 0)
		return err_set(err, EINVAL,
			       "IPAM.Config.Gateway (--gateway): '%.64s' is no address", gateway);
	if (rc == 0)
		rc = inside(&a, err);
	struct addressing *at = a.subnet.addr.family == AF_INET6 ? &net->v6 : &net->v4;
	if (rc == 0 && at->asked)
		rc = err_set(err, EOPNOTSUPP,
			     "IPAM.Config (--subnet): more than one subnet of a family is not "
			     "supported");
	if (rc == 0)
		*at = a;
	return rc;
}

static int check_ipam(struct network *net, json_object *in, struct err *err)
{
	cleanup_json json_object *ipam = NULL;
	int rc = fields_check(ipam_rows, N(ipam_rows), "IPAM.", in, NULL, &ipam, err);
	if (rc < 0)
		return rc;
	const char *driver = json_str_or(ipam, "Driver", "");
	if (*driver && strcmp(driver, "default") != 0)
		return err_set(err, EOPNOTSUPP,
			       "IPAM.Driver (--ipam-driver): '%.64s' is not supported: only "
			       "default is",
			       driver);
	json_object *list = json_get(ipam, "Config");
	for (size_t i = 0; rc == 0 && i < json_len(list); i++)
		rc = check_config(net, json_object_array_get_idx(list, i), err);
	if (rc == 0 && net->v6.asked && !net->ipv6)
		rc = err_set(err, EINVAL,
			     "IPAM.Config.Subnet (--subnet): one of IPv6 needs EnableIPv6 "
			     "(--ipv6)");
	return rc;
}

int network_check(struct network *net, json_object *body, struct err *err)
{
	cleanup_json json_object *o = NULL;
	if (!json_object_is_type(body, json_type_object))
		return err_set(err, EINVAL, "the body must be a JSON object");
	int rc = fields_check(rows, N(rows), "", body, NULL, &o, err);
	if (rc < 0)
		return rc;
	const char *name = json_str_or(o, "Name", ""), *driver = json_str_or(o, "Driver", "");
	const char *scope = json_str_or(o, "Scope", "");
	if (!id_is_name(name))
		return err_set(err, EINVAL, "Name: '%.64s' is no name: [a-zA-Z0-9][a-zA-Z0-9_.-]+",
			       name);
	if (take_driver(net, driver) < 0)
		return err_set(err, EOPNOTSUPP,
			       "Driver (--driver): '%.64s' is not supported: only bridge and "
			       "macvlan are",
			       driver);
	if (*scope && strcmp(scope, "local") != 0)
		return err_set(err, EOPNOTSUPP, "Scope (--scope): only local is supported");
	if (json_get(body, "EnableIPv4") && !json_bool_or(body, "EnableIPv4", true))
		return err_set(err, EOPNOTSUPP,
			       "EnableIPv4 (--ipv4): a network without it is not supported yet");
	net->ipv6 = json_bool_or(o, "EnableIPv6", false);
	if ((rc = check_ipam(net, json_get(o, "IPAM"), err)) < 0)
		return rc;
	if ((rc = network_take_options(net, json_get(o, "Options"), err)) < 0)
		return rc;
	/* As with Docker, a macvlan of nothing leads nowhere. */
	net->own_parent = net->kind == NET_KIND_MACVLAN && !*net->bridge;
	net->internal = json_bool_or(o, "Internal", false) || net->own_parent;
	net->attachable = json_bool_or(o, "Attachable", false);
	net->labels = json_object_get(json_get(o, "Labels"));
	net->created_ns = num_now_ns();
	net->name = strdup(name);
	return net->name ? 0 : err_set(err, ENOMEM, "out of memory");
}

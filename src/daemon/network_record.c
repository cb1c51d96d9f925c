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

json_object *network_record(const struct network *net)
{
	char buf[NET_PREFIX_TEXT];
	json_object *o = json_object_new_object();
	json_add_i64(o, "version", VERSION);
	json_add_str(o, "id", net->id);
	json_add_str(o, "name", net->name);
	json_add_str(o, "subnet", net_prefix_format(&net->subnet, buf, sizeof(buf)));
	json_add_str(o, "range", net_prefix_format(&net->range, buf, sizeof(buf)));
	json_add_str(o, "gateway", net_addr_format(&net->gateway, buf, sizeof(buf)));
	json_add_bool(o, "internal", net->internal);
	json_add_str(o, "bridge", net->bridge);
	json_add_i64(o, "created_ns", net->created_ns);
	json_add(o, "labels", json_object_get(net->labels));
	return o;
}

static int inside(const struct network *net, struct err *err)
{
	char buf[NET_PREFIX_TEXT];
	if (!net_prefix_holds(&net->subnet, &net->gateway) ||
	    net_addr_is_equal(&net->gateway, &net->subnet.addr))
		return err_set(err, EINVAL, "gateway (--gateway) is no address of the subnet %s",
			       net_prefix_format(&net->subnet, buf, sizeof(buf)));
	if (!net_prefix_holds(&net->subnet, &net->range.addr) || net->range.len < net->subnet.len)
		return err_set(err, EINVAL, "IP range (--ip-range) is not within the subnet %s",
			       net_prefix_format(&net->subnet, buf, sizeof(buf)));
	return 0;
}

int network_load(struct network *net, json_object *doc, struct err *err)
{
	const char *name = json_str_or(doc, "name", ""), *bridge = json_str_or(doc, "bridge", "");
	if (json_i64_or(doc, "version", 0) != VERSION ||
	    strcmp(json_str_or(doc, "id", ""), net->id))
		return err_set(err, EINVAL, "version or id is not what it should be");
	if (!id_is_name(name) || !*bridge || strlen(bridge) >= sizeof(net->bridge) ||
	    strspn(bridge, "abcdefghijklmnopqrstuvwxyz0123456789-") != strlen(bridge) ||
	    net_addr_parse(json_str_or(doc, "gateway", ""), &net->gateway) < 0)
		return err_set(err, EINVAL, "name, bridge or gateway is malformed");
	int rc = net_prefix_parse(json_str_or(doc, "subnet", ""), &net->subnet, err);
	if (rc == 0)
		rc = net_prefix_parse(json_str_or(doc, "range", ""), &net->range, err);
	if (rc == 0)
		rc = inside(net, err);
	if (rc < 0)
		return rc;
	(void)snprintf(net->bridge, sizeof(net->bridge), "%s", bridge);
	net->internal = json_bool_or(doc, "internal", false);
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
	{ "Attachable", "--attachable", FIELD_BOOL, DEFAULT_FALSE,
	  .refuse = ": it is for Swarm's networks" },
	{ "Ingress", "--ingress", FIELD_BOOL, DEFAULT_FALSE,
	  .refuse = ": it is for Swarm's networks" },
	{ "ConfigOnly", "--config-only", FIELD_BOOL, DEFAULT_FALSE, .refuse = "yet" },
	{ "ConfigFrom", "--config-from", FIELD_OBJ, DEFAULT_ABSENT, .refuse = "yet" },
	{ "IPAM", "--subnet", FIELD_OBJ, DEFAULT_ABSENT },
	{ "EnableIPv4", "--ipv4", FIELD_BOOL, DEFAULT_ABSENT },
	{ "EnableIPv6", "--ipv6", FIELD_BOOL, DEFAULT_FALSE, .refuse = "yet" },
	{ "Options", "--opt", FIELD_MAP, DEFAULT_ABSENT, .refuse = "yet" },
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

static int check_config(struct network *net, json_object *in, struct err *err)
{
	cleanup_json json_object *c = NULL;
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
	if (net_prefix_parse(subnet, &net->subnet, err) < 0)
		return err_prefix(err, "IPAM.Config.Subnet (--subnet)");
	if (net->subnet.addr.family != AF_INET)
		return err_set(err, EOPNOTSUPP,
			       "IPAM.Config.Subnet (--subnet): IPv6 is not supported yet");
	if (net->subnet.len < 8 || net->subnet.len > 30)
		return err_set(err, EINVAL,
			       "IPAM.Config.Subnet (--subnet): '%.64s' must have 8 to 30 bits",
			       subnet);
	net->asked_subnet = true;
	net->range = net->subnet;
	if (*range && net_prefix_parse(range, &net->range, err) < 0)
		return err_prefix(err, "IPAM.Config.IPRange (--ip-range)");
	if (!*gateway)
		rc = net_prefix_nth(&net->subnet, 1, &net->gateway);
	else if (net_addr_parse(gateway, &net->gateway) < 0)
		return err_set(err, EINVAL,
			       "IPAM.Config.Gateway (--gateway): '%.64s' is no address", gateway);
	return rc < 0 ? rc : inside(net, err);
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
	if (json_len(list) > 1)
		return err_set(err, EOPNOTSUPP,
			       "IPAM.Config (--subnet): more than one subnet is not supported yet");
	return json_len(list) ? check_config(net, json_object_array_get_idx(list, 0), err) : 0;
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
	if (*driver && strcmp(driver, "bridge") != 0)
		return err_set(err, EOPNOTSUPP,
			       "Driver (--driver): '%.64s' is not supported: only bridge is",
			       driver);
	if (*scope && strcmp(scope, "local") != 0)
		return err_set(err, EOPNOTSUPP, "Scope (--scope): only local is supported");
	if (json_get(body, "EnableIPv4") && !json_bool_or(body, "EnableIPv4", true))
		return err_set(err, EOPNOTSUPP,
			       "EnableIPv4 (--ipv4): a network without it is not supported yet");
	if ((rc = check_ipam(net, json_get(o, "IPAM"), err)) < 0)
		return rc;
	net->internal = json_bool_or(o, "Internal", false);
	net->labels = json_object_get(json_get(o, "Labels"));
	net->created_ns = num_now_ns();
	net->name = strdup(name);
	return net->name ? 0 : err_set(err, ENOMEM, "out of memory");
}

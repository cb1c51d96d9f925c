/* SPDX-License-Identifier: Apache-2.0 */
/* network - networks of containers, and which ports are published. Runs in ctrctl. */
#include "body.h"
#include "format.h"
#include "isola/fd.h"
#include "isola/json.h"
#include "isola/net.h"
#include "isola/strbuf.h"
#include "prune.h"
#include "verbs.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

const struct flag flags_network_ls[] = {
	{ "filter", 'f', FLAG_LIST, "key=value", "only these (name=, label=, driver=...)" },
	{ "format", 0, FLAG_STR, "template", "table, json, or a Go template" },
	{ "no-trunc", 0, FLAG_BOOL, NULL, "do not shorten ids" },
	{ "quiet", 'q', FLAG_BOOL, NULL, "ids only" },
	{ .name = NULL },
};

const struct flag flags_network_create[] = {
	{ "driver", 'd', FLAG_STR, "name", "bridge, or macvlan: on a link of the host" },
	{ "gateway", 0, FLAG_LIST, "ip", "the host's address in it (default: the first)" },
	{ "attachable", 0, FLAG_BOOL, NULL,
	  "all networks are; inspect shows that it was asked for" },
	{ "internal", 0, FLAG_BOOL, NULL, "no way to the outside" },
	{ "ip-range", 0, FLAG_LIST, "subnet", "choose addresses from this part of the subnet" },
	{ "ipv6", 0, FLAG_BOOL, NULL, "addresses of IPv6, too" },
	{ "label", 0, FLAG_LIST, "key=value", "label" },
	{ "opt", 'o', FLAG_LIST, "key=value",
	  "com.docker.network.bridge.name=, com.docker.network.driver.mtu=, isola.guard=off; of "
	  "macvlan parent=, macvlan_mode=" },
	{ "subnet", 0, FLAG_LIST, "subnet",
	  "its addresses (10.5.0.0/24, fd05::/64; default: free ones)" },
	{ .name = NULL },
};

const struct flag flags_network_connect[] = {
	{ "alias", 0, FLAG_LIST, "name", "one more name for its members" },
	{ "ip", 0, FLAG_STR, "ip", "its address there (default: a free one)" },
	{ "ip6", 0, FLAG_STR, "ip", "its IPv6 address there (default: a free one)" },
	{ .name = NULL },
};

const struct flag flags_network_disconnect[] = {
	{ "force", 'f', FLAG_BOOL, NULL, "as Docker's: nothing changes" },
	{ .name = NULL },
};

const struct flag flags_network_prune[] = {
	{ "force", 'f', FLAG_BOOL, NULL, "do not ask" },
	{ "filter", 0, FLAG_LIST, "key=value", "only these (until=, label=)" },
	{ .name = NULL },
};

/* ---- list, inspect ---- */

static const struct column columns[] = {
	{ "NETWORK ID", "ID" },
	{ "NAME", "Name" },
	{ "DRIVER", "Driver" },
	{ "SCOPE", "Scope" },
	{ "INTERNAL", "Internal" },
	{ "IPV6", "IPv6" },
	{ "LABELS", "Labels" },
	{ "CREATED AT", "CreatedAt" },
	{ NULL, NULL },
};
#define N_DEFAULT 4

static json_object *make_row(json_object *net, bool trunc)
{
	json_object *row = json_object_new_object(), *labels = json_get(net, "Labels");
	cleanup_strbuf struct strbuf b = STRBUF_INIT;
	char id[80];
	(void)snprintf(id, sizeof(id), trunc ? "%.12s" : "%.64s", json_str_or(net, "Id", ""));
	json_add_str(row, "ID", id);
	json_add_str(row, "Name", json_str_or(net, "Name", ""));
	json_add_str(row, "Driver", json_str_or(net, "Driver", ""));
	json_add_str(row, "Scope", json_str_or(net, "Scope", ""));
	json_add_str(row, "Internal", json_bool_or(net, "Internal", false) ? "true" : "false");
	json_add_str(row, "IPv6", json_bool_or(net, "EnableIPv6", false) ? "true" : "false");
	json_add_str(row, "CreatedAt", json_str_or(net, "Created", ""));
	if (labels) {
		json_object_object_foreach (labels, key, value)
			strbuf_printf(&b, "%s%s=%s", b.len ? "," : "", key,
				      value ? json_object_get_string(value) : "");
	}
	json_add_str(row, "Labels", b.text ? b.text : "");
	return row;
}

int verb_network_ls(struct cli *cli, struct args *args)
{
	struct err err = ERR_INIT;
	cleanup_strbuf struct strbuf target = STRBUF_INIT;
	cleanup_json json_object *list = NULL, *rows = json_object_new_array();
	strbuf_puts(&target, "/networks");
	if (cli_add_filters(&target, args, &err) < 0 ||
	    client_call(cli_client(cli), "GET", target.text, NULL, &list, &err) < 0)
		return cli_fail(cli, 1, &err);
	for (size_t i = 0; i < json_len(list); i++)
		(void)json_object_array_add(rows, make_row(json_object_array_get_idx(list, i),
							   !args_bool(args, "no-trunc")));
	const char *format = args_str(args, "format", NULL);
	if (!format && args_bool(args, "quiet"))
		format = "{{.ID}}";
	return format_rows(cli, format, columns, N_DEFAULT, rows);
}

static int call(struct cli *cli, const char *method, const char *name, const char *tail,
		json_object *body, json_object **ret, struct err *err)
{
	cleanup_strbuf struct strbuf target = STRBUF_INIT;
	client_target_path(&target, "networks");
	client_target_path(&target, name);
	strbuf_puts(&target, tail);
	return client_call(cli_client(cli), method, target.text, body, ret, err);
}

int verb_network_inspect(struct cli *cli, struct args *args)
{
	cleanup_json json_object *docs = json_object_new_array();
	int code = 0;
	for (int i = 0; i < args->argc; i++) {
		struct err err = ERR_INIT;
		json_object *doc = NULL;
		if (call(cli, "GET", args->argv[i], "", NULL, &doc, &err) < 0)
			code = cli_fail(cli, 1, &err);
		else
			(void)json_object_array_add(docs, doc);
	}
	int printed = format_documents(cli, args_str(args, "format", NULL), docs);
	return code ? code : printed;
}

/* ---- create, remove ---- */

/* Which of @args' subnets @text, an address or a subnet, is in; -1. */
static int subnet_of(struct args *args, const char *text)
{
	struct net_prefix subnet, part;
	struct net_addr addr;
	const char *one;
	bool is_prefix = net_prefix_parse(text, &part, NULL) == 0;
	if (!is_prefix && net_addr_parse(text, &addr) < 0)
		return -1;
	for (size_t i = 0; (one = args_list(args, "subnet", i)); i++)
		if (net_prefix_parse(one, &subnet, NULL) == 0 &&
		    net_prefix_holds(&subnet, is_prefix ? &part.addr : &addr))
			return (int)i;
	return -1;
}

/* As Docker's client: a gateway and a range go to the subnet that holds them. */
static int make_ipam(struct args *args, json_object **ret, struct err *err)
{
	static const struct {
		const char *flag, *key;
	} rows[] = { { "gateway", "Gateway" }, { "ip-range", "IPRange" } };
	cleanup_json json_object *ipam = json_object_new_object();
	json_object *list = json_object_new_array();
	const char *text;
	json_add(ipam, "Config", list);
	for (size_t i = 0; (text = args_list(args, "subnet", i)); i++) {
		json_object *config = json_object_new_object();
		json_add_str(config, "Subnet", text);
		(void)json_object_array_add(list, config);
	}
	for (size_t r = 0; r < 2; r++) {
		for (size_t i = 0; (text = args_list(args, rows[r].flag, i)); i++) {
			int at = subnet_of(args, text);
			if (at < 0)
				return err_set(err, EINVAL, "--%s: '%.64s' is in no --subnet",
					       rows[r].flag, text);
			json_object *config = json_object_array_get_idx(list, (size_t)at);
			if (json_get(config, rows[r].key))
				return err_set(err, EINVAL, "--%s: two for one --subnet",
					       rows[r].flag);
			json_add_str(config, rows[r].key, text);
		}
	}
	*ret = json_object_get(ipam);
	return 0;
}

int verb_network_create(struct cli *cli, struct args *args)
{
	struct err err = ERR_INIT;
	cleanup_json json_object *body = json_object_new_object(), *result = NULL;
	json_object *ipam = NULL;
	if (make_ipam(args, &ipam, &err) < 0)
		return cli_fail(cli, 1, &err);
	json_add_str(body, "Name", args->argv[0]);
	json_add_str(body, "Driver", args_str(args, "driver", "bridge"));
	json_add_bool(body, "Internal", args_bool(args, "internal"));
	json_add_bool(body, "Attachable", args_bool(args, "attachable"));
	json_add_bool(body, "EnableIPv6", args_bool(args, "ipv6"));
	json_add(body, "IPAM", ipam);
	json_add(body, "Labels", body_map(args, "label"));
	json_add(body, "Options", body_map(args, "opt"));
	if (client_call(cli_client(cli), "POST", "/networks/create", body, &result, &err) < 0)
		return cli_fail(cli, 1, &err);
	puts(json_str_or(result, "Id", ""));
	return 0;
}

static int remove_one(struct cli *cli, struct args *args, const char *name, struct err *err)
{
	(void)args;
	return call(cli, "DELETE", name, "", NULL, NULL, err);
}

int verb_network_rm(struct cli *cli, struct args *args)
{
	return cli_each(cli, args, remove_one, true);
}

int verb_network_prune(struct cli *cli, struct args *args)
{
	struct err err = ERR_INIT;
	cleanup_json json_object *result = NULL;
	if (!prune_confirmed(cli, args, "all networks no container is in"))
		return 1;
	if (prune_call(cli, args, "/networks/prune", NULL, &result, &err) < 0)
		return cli_fail(cli, 1, &err);
	prune_print(result, "NetworksDeleted");
	return 0;
}

/* ---- connect, disconnect ---- */

int verb_network_connect(struct cli *cli, struct args *args)
{
	struct err err = ERR_INIT;
	cleanup_json json_object *body = json_object_new_object();
	const char *ip = args_str(args, "ip", NULL), *ip6 = args_str(args, "ip6", NULL);
	json_add_str(body, "Container", args->argv[1]);
	json_object *config = json_object_new_object(), *aliases = json_object_new_array();
	for (size_t i = 0; args_list(args, "alias", i); i++)
		(void)json_object_array_add(aliases,
					    json_object_new_string(args_list(args, "alias", i)));
	json_add(config, "Aliases", aliases);
	if (ip || ip6) {
		json_object *ipam = json_object_new_object();
		if (ip)
			json_add_str(ipam, "IPv4Address", ip);
		if (ip6)
			json_add_str(ipam, "IPv6Address", ip6);
		json_add(config, "IPAMConfig", ipam);
	}
	json_add(body, "EndpointConfig", config);
	if (call(cli, "POST", args->argv[0], "/connect", body, NULL, &err) < 0)
		return cli_fail(cli, 1, &err);
	return 0;
}

int verb_network_disconnect(struct cli *cli, struct args *args)
{
	struct err err = ERR_INIT;
	cleanup_json json_object *body = json_object_new_object();
	json_add_str(body, "Container", args->argv[1]);
	json_add_bool(body, "Force", args_bool(args, "force"));
	if (call(cli, "POST", args->argv[0], "/disconnect", body, NULL, &err) < 0)
		return cli_fail(cli, 1, &err);
	return 0;
}

/* ---- port ---- */

static void print_key(const char *key, json_object *list, bool only)
{
	for (size_t i = 0; i < json_len(list); i++) {
		json_object *o = json_object_array_get_idx(list, i);
		if (!only)
			printf("%s -> ", key);
		const char *ip = json_str_or(o, "HostIp", "");
		bool six = strchr(ip, ':');
		printf("%s%s%s:%s\n", six ? "[" : "", ip, six ? "]" : "",
		       json_str_or(o, "HostPort", ""));
	}
}

int verb_port(struct cli *cli, struct args *args)
{
	struct err err = ERR_INIT;
	cleanup_json json_object *doc = NULL;
	cleanup_strbuf struct strbuf wanted = STRBUF_INIT;
	const char *port = args->argc > 1 ? args->argv[1] : NULL;
	if (cli_call(cli, "GET", args->argv[0], "/json", NULL, &doc, &err) < 0)
		return cli_fail(cli, 1, &err);
	json_object *ports = json_get(json_get(doc, "NetworkSettings"), "Ports");
	if (port)
		strbuf_printf(&wanted, "%s%s", port, strchr(port, '/') ? "" : "/tcp");
	if (port && !json_len(json_get(ports, wanted.text))) {
		(void)err_set(&err, ENOENT, "no public port '%s' published for %s", wanted.text,
			      args->argv[0]);
		return cli_fail(cli, 1, &err);
	}
	if (!ports)
		return 0;
	json_object_object_foreach (ports, key, list)
		if (!port || !strcmp(key, wanted.text))
			print_key(key, list, port != NULL);
	return 0;
}

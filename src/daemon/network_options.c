/* SPDX-License-Identifier: Apache-2.0 */
/* network_options - `network create -o`: Docker's options that mean something here, and our
 * own, by rows; others are refused by name. isolad, loop thread. */
#include "network_priv.h"

#include "isola/json.h"
#include "isola/num.h"
#include "isola/strbuf.h"

#include "isolad.h"

#include <errno.h>
#include <net/if.h>
#include <stdio.h>
#include <string.h>

#define MTU_MIN  68   /* RFC 791 */
#define MTU_MIN6 1280 /* RFC 8200, 5 */
#define MTU_MAX  65535

static int take_bridge(struct network *net, const char *text, struct err *err)
{
	if (!network_is_bridge_name(text))
		return err_set(err, EINVAL,
			       "'%.64s' is no name for a link: up to 15 of a-z A-Z 0-9 _ . -, the "
			       "first a letter or digit",
			       text);
	(void)snprintf(net->bridge, sizeof(net->bridge), "%s", text);
	return 0;
}

static int take_mtu(struct network *net, const char *text, struct err *err)
{
	int64_t n, min = net->ipv6 ? MTU_MIN6 : MTU_MIN;
	if (num_parse_range(text, min, MTU_MAX, &n) < 0)
		return err_set(err, EINVAL, "'%.64s' is not between %d and %d", text, (int)min,
			       MTU_MAX);
	net->mtu = (unsigned int)n;
	return 0;
}

static int take_mode(struct network *net, const char *text, struct err *err)
{
	static const char *const names[] = { [NET_MODE_BRIDGE] = "bridge",
					     [NET_MODE_PRIVATE] = "private",
					     [NET_MODE_VEPA] = "vepa",
					     [NET_MODE_PASSTHRU] = "passthru" };
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (!strcmp(names[i], text)) {
			net->mode = (enum net_mode)i;
			return 0;
		}
	return err_set(err, EINVAL, "'%.64s' is none of bridge, private, vepa, passthru", text);
}

static int take_guard(struct network *net, const char *text, struct err *err)
{
	if (strcmp(text, "on") != 0 && strcmp(text, "off") != 0)
		return err_set(err, EINVAL, "'%.64s' is neither on nor off", text);
	net->unguarded = !strcmp(text, "off");
	return 0;
}

#define OF(kind) (1u << (kind))
#define OF_ANY   (OF(NET_KIND_BRIDGE) | OF(NET_KIND_MACVLAN))

static const struct {
	const char *key;
	unsigned int kinds;
	int (*take)(struct network *net, const char *text, struct err *err);
} rows[] = {
	{ "com.docker.network.bridge.name", OF(NET_KIND_BRIDGE), take_bridge },
	{ "com.docker.network.driver.mtu", OF_ANY, take_mtu },
	{ "isola.guard", OF(NET_KIND_BRIDGE), take_guard },
	{ "macvlan_mode", OF(NET_KIND_MACVLAN), take_mode },
	{ "parent", OF(NET_KIND_MACVLAN), take_bridge },
};
#define ROWS (sizeof(rows) / sizeof(rows[0]))

static int refuse(const struct network *net, const char *key, struct err *err)
{
	cleanup_strbuf struct strbuf all = STRBUF_INIT;
	for (size_t i = 0; i < ROWS; i++)
		if (rows[i].kinds & OF(net->kind))
			strbuf_printf(&all, "%s%s", all.len ? ", " : "", rows[i].key);
	return err_set(err, EOPNOTSUPP,
		       "Options (--opt): '%.64s' is not supported: a network of driver %s has %s",
		       key, network_driver(net), all.text ? all.text : "");
}

static int take(struct network *net, const char *key, const char *text, struct err *err)
{
	for (size_t i = 0; i < ROWS; i++)
		if (!strcmp(rows[i].key, key) && (rows[i].kinds & OF(net->kind))) {
			int rc = rows[i].take(net, text, err);
			return rc < 0 ? err_prefix(err, "Options (--opt): %s", key) : 0;
		}
	return refuse(net, key, err);
}

bool network_is_bridge_name(const char *text)
{
#define ALNUM "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
	size_t n = strlen(text);
	return n > 0 && n < IFNAMSIZ && strspn(text, ALNUM) > 0 && strspn(text, ALNUM "_.-") == n;
#undef ALNUM
}

int network_take_options(struct network *net, json_object *options, struct err *err)
{
	int rc = 0;
	if (!options)
		return 0;
	json_object_object_foreach (options, key, v) {
		rc = take(net, key, v ? json_object_get_string(v) : "", err);
		if (rc < 0)
			return rc;
	}
	if (json_object_object_length(options))
		net->options = json_object_get(options);
	return 0;
}

int network_bridge_is_free(const struct network *net, struct err *err)
{
	list_for_each (node, &net->isolad->networks.all) {
		const struct network *other = container_of(node, struct network, node);
		if (other != net && !strcmp(other->bridge, net->bridge))
			return err_set(err, EEXIST, "network %s has the %s %s already", other->name,
				       net->kind == NET_KIND_MACVLAN ? "parent" : "bridge",
				       net->bridge);
	}
	/* A macvlan's parent is looked at by net_parent_check(). */
	if (net->kind == NET_KIND_MACVLAN)
		return 0;
	if (if_nametoindex(net->bridge))
		return err_set(err, EEXIST, "the host has a link named %s already", net->bridge);
	return 0;
}

/* SPDX-License-Identifier: Apache-2.0 */
/* rules - our table `inet isola`; guard.c has the other one. What grows with networks and ports are elements of
 * sets and maps, never rules, so a packet and a start cost the same with one network
 * and a thousand. Every text is made of numbers and names of ours. Thread pool, but
 * for the texts.
 *
 *   guard        a container must not reach what listens on the host's loopback only:
 *                route_localnet, which publishing on it needs, would let it
 *   publish      the host's address and port -> a container's; from outside, from the
 *                host itself (output), and from containers (hairpin)
 *   postrouting  to the outside with the host's address; and where the answer would
 *                take another way back than the request: loopback, hairpin
 *   forward      only of our bridges. Within one: all. Out: all, unless internal.
 *                In, and from one network to another: answers and published ports */
#include "kernel.h"

#include "isola/fd.h"
#include "isola/json.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#define TABLE "inet isola"

static const char table[] =
	"table " TABLE " {\n"
	"set bridges { type ifname; }\n"
	"set internal { type ifname; }\n"
	"set within { type ifname . ifname; }\n"
	"set subnets4 { type ipv4_addr; flags interval; }\n"
	"set same4 { type ipv4_addr . ipv4_addr; flags interval; }\n"
	"set subnets6 { type ipv6_addr; flags interval; }\n"
	"set same6 { type ipv6_addr . ipv6_addr; flags interval; }\n"
	"map one4 { type ipv4_addr . inet_proto . inet_service : ipv4_addr . inet_service; }\n"
	"map all4 { type inet_proto . inet_service : ipv4_addr . inet_service; }\n"
	"map one6 { type ipv6_addr . inet_proto . inet_service : ipv6_addr . inet_service; }\n"
	"map all6 { type inet_proto . inet_service : ipv6_addr . inet_service; }\n"
	"chain guard { type filter hook prerouting priority raw; policy accept;\n"
	"  iifname @bridges ip daddr 127.0.0.0/8 drop\n"
	"}\n"
	"chain publish4 {\n"
	"  dnat ip to ip daddr . meta l4proto . th dport map @one4\n"
	"  dnat ip to meta l4proto . th dport map @all4\n"
	"}\n"
	"chain publish6 {\n"
	"  dnat ip6 to ip6 daddr . meta l4proto . th dport map @one6\n"
	"  dnat ip6 to meta l4proto . th dport map @all6\n"
	"}\n"
	"chain publish {\n"
	"  meta nfproto vmap { ipv4 : jump publish4, ipv6 : jump publish6 }\n"
	"}\n"
	"chain prerouting { type nat hook prerouting priority dstnat; policy accept;\n"
	"  meta l4proto { tcp, udp } fib daddr type local jump publish\n"
	"}\n"
	"chain output { type nat hook output priority -100; policy accept;\n"
	"  meta l4proto { tcp, udp } fib daddr type local jump publish\n"
	"}\n"
	"chain postrouting { type nat hook postrouting priority srcnat; policy accept;\n"
	"  ip saddr 127.0.0.0/8 oifname @bridges masquerade\n"
	"  ct status dnat ip saddr . ip daddr @same4 masquerade\n"
	"  ip saddr @subnets4 oifname != @bridges masquerade\n"
	"  ip6 saddr ::1 oifname @bridges masquerade\n"
	"  ct status dnat ip6 saddr . ip6 daddr @same6 masquerade\n"
	"  ip6 saddr @subnets6 oifname != @bridges masquerade\n"
	"}\n"
	"chain forward { type filter hook forward priority filter; policy accept;\n"
	"  iifname @bridges jump from\n"
	"  oifname @bridges jump to\n"
	"}\n"
	"chain from {\n"
	"  ct state established,related accept\n"
	"  iifname . oifname @within accept\n"
	"  iifname @internal drop\n"
	"  oifname @bridges jump to\n"
	"}\n"
	"chain to {\n"
	"  ct state established,related accept\n"
	"  oifname @internal drop\n"
	"  ct status dnat accept\n"
	"  drop\n"
	"}\n"
	"}\n";

/* To delete what may be missing without an error. */
#define TABLE_GONE "table " TABLE "\ndelete table " TABLE "\n"
#define GUARD_GONE "table bridge isola\ndelete table bridge isola\n"

void net_rules_text_table(struct strbuf *s)
{
	strbuf_puts(s, table);
}

static void element(struct strbuf *s, bool add, const char *set, const char *fmt, ...)
	__attribute__((format(printf, 4, 5)));

static void element(struct strbuf *s, bool add, const char *set, const char *fmt, ...)
{
	va_list ap;
	strbuf_printf(s, "%s element " TABLE " %s { ", add ? "add" : "delete", set);
	va_start(ap, fmt);
	strbuf_vprintf(s, fmt, ap);
	va_end(ap);
	strbuf_puts(s, " }\n");
}

void net_rules_text_bridge(struct strbuf *s, const struct net_bridge *b, bool add)
{
	char subnet[NET_PREFIX_TEXT];
	element(s, add, "bridges", "\"%s\"", b->name);
	element(s, add, "within", "\"%s\" . \"%s\"", b->name, b->name);
	if (b->internal) {
		element(s, add, "internal", "\"%s\"", b->name);
		return;
	}
	net_prefix_format(&b->subnet, subnet, sizeof(subnet));
	element(s, add, "subnets4", "%s", subnet);
	element(s, add, "same4", "%s . %s", subnet, subnet);
	if (!b->subnet6.addr.family)
		return;
	net_prefix_format(&b->subnet6, subnet, sizeof(subnet));
	element(s, add, "subnets6", "%s", subnet);
	element(s, add, "same6", "%s . %s", subnet, subnet);
}

void net_rules_text_binding(struct strbuf *s, const struct net_addrs *to,
			    const struct net_binding *b, bool add)
{
	char host[NET_ADDR_TEXT], inside[NET_ADDR_TEXT];
	const char *proto = net_proto_name(b->proto);
	bool six = b->host_ip.family == AF_INET6;
	net_addr_format(six ? &to->v6 : &to->v4, inside, sizeof(inside));
	net_addr_format(&b->host_ip, host, sizeof(host));
	if (net_addr_is_any(&b->host_ip))
		element(s, add, six ? "all6" : "all4", "%s . %u : %s . %u", proto, b->host_port,
			inside, b->port);
	else
		element(s, add, six ? "one6" : "one4", "%s . %s . %u : %s . %u", host, proto,
			b->host_port, inside, b->port);
}

static int run(struct net *n, struct strbuf *s, struct err *err)
{
	return strbuf_ok(s) ? kernel_nft(n, s->text, NULL, err)
			    : err_set(err, ENOMEM, "out of memory");
}

int net_rules_reset(struct net *n, const struct net_all *all, struct err *err)
{
	cleanup_strbuf struct strbuf s = STRBUF_INIT;
	strbuf_puts(&s, TABLE_GONE GUARD_GONE);
	if (all->n_bridges) {
		strbuf_puts(&s, table);
		net_guard_text_table(&s);
	}
	for (size_t i = 0; i < all->n_bridges; i++)
		net_rules_text_bridge(&s, &all->bridges[i], true);
	for (size_t i = 0; i < all->n_ports; i++)
		net_guard_text_port(&s, &all->ports[i], true);
	int rc = run(n, &s, err);
	if (rc == 0)
		n->has_table = all->n_bridges > 0;
	return rc;
}

int net_rules_drop(struct net *n, struct err *err)
{
	return n->has_table ? net_rules_reset(n, &(struct net_all){ 0 }, err) : 0;
}

static int change(struct net *n, const struct net_addrs *to, const struct net_binding *b,
		  size_t n_bindings, bool add, struct err *err)
{
	cleanup_strbuf struct strbuf s = STRBUF_INIT;
	for (size_t i = 0; i < n_bindings; i++)
		net_rules_text_binding(&s, to, &b[i], add);
	return n_bindings ? run(n, &s, err) : 0;
}

int net_rules_publish(struct net *n, const struct net_addrs *to, const struct net_binding *b,
		      size_t n_bindings, struct err *err)
{
	return change(n, to, b, n_bindings, true, err);
}

int net_rules_unpublish(struct net *n, const struct net_addrs *to, const struct net_binding *b,
			size_t n_bindings, struct err *err)
{
	return change(n, to, b, n_bindings, false, err);
}

int net_rules_republish(struct net *n, const struct net_addrs *to, const struct net_binding *gone,
			size_t n_gone, const struct net_binding *added, size_t n_added,
			struct err *err)
{
	cleanup_strbuf struct strbuf s = STRBUF_INIT;
	for (size_t i = 0; i < n_gone; i++)
		net_rules_text_binding(&s, to, &gone[i], false);
	for (size_t i = 0; i < n_added; i++)
		net_rules_text_binding(&s, to, &added[i], true);
	return n_gone + n_added ? run(n, &s, err) : 0;
}

/* ---- others' rules ---- */

/* What those who drop forwarded packets call their tables, and what helps. A packet
 * that we accept still goes through every other table. */
static const struct {
	const char *family, *table, *chain;
	const char *text;
} foreign[] = {
	{ NULL, "firewalld", NULL,
	  "firewalld drops what is forwarded to and from containers; let it through with: "
	  "firewall-cmd --permanent --zone=trusted --add-interface=%s && firewall-cmd --reload" },
	{ "ip", "filter", "FORWARD",
	  "iptables' FORWARD chain drops by default (Docker and ufw set it so), and with it what "
	  "is forwarded to and from containers; let it through with: iptables -I FORWARD -i %s -j "
	  "ACCEPT; iptables -I FORWARD -o %s -j ACCEPT (ufw: ufw route allow in on %s; ufw route "
	  "allow out on %s)" },
	{ NULL, NULL, NULL,
	  "a forward chain of another nftables table has the policy drop, and with it ends what is "
	  "forwarded to and from containers; accept iifname %s and oifname %s there" },
};

static bool is_dropping(json_object *chain)
{
	return !strcmp(json_str_or(chain, "hook", ""), "forward") &&
	       !strcmp(json_str_or(chain, "policy", ""), "drop") &&
	       strcmp(json_str_or(chain, "table", ""), "isola") != 0;
}

/* firewalld's chain accepts by policy and rejects by its last rule. */
static bool is_firewalld(json_object *chain)
{
	return !strcmp(json_str_or(chain, "table", ""), "firewalld") &&
	       !strcmp(json_str_or(chain, "hook", ""), "forward");
}

static bool fits(const char *want, json_object *chain, const char *key)
{
	return !want || !strcmp(json_str_or(chain, key, ""), want);
}

static char *describe(json_object *chain, const char *bridge)
{
	size_t i = 0;
	while (!(fits(foreign[i].family, chain, "family") &&
		 fits(foreign[i].table, chain, "table") && fits(foreign[i].chain, chain, "name")))
		i++;
	struct strbuf s = STRBUF_INIT;
	for (const char *p = foreign[i].text; *p; p++) {
		if (p[0] == '%' && p[1] == 's') {
			strbuf_puts(&s, bridge);
			p++;
		} else {
			strbuf_putc(&s, *p);
		}
	}
	return strbuf_take(&s);
}

/* ---- mended already? ---- */

/* { "match": { "op": "==", "left": { "meta": { "key": @key } }, "right": @bridge } } */
static bool is_about(json_object *expr, const char *key, const char *bridge)
{
	json_object *match = json_get(expr, "match");
	json_object *meta = json_get(json_get(match, "left"), "meta");
	return !strcmp(json_str_or(match, "op", ""), "==") &&
	       !strcmp(json_str_or(meta, "key", ""), key) &&
	       !strcmp(json_str_or(match, "right", ""), bridge);
}

/* Whether all that it asks is the link. */
static bool rule_accepts(json_object *rule, const char *key, const char *bridge)
{
	json_object *list = json_get(rule, "expr");
	bool about = false, accepts = false;
	for (size_t i = 0; i < json_len(list); i++) {
		json_object *expr = json_object_array_get_idx(list, i);
		if (is_about(expr, key, bridge))
			about = true;
		else if (json_get(expr, "match"))
			return false;
		else if (json_object_is_type(expr, json_type_object) &&
			 json_object_object_get_ex(expr, "accept", NULL))
			accepts = true;
	}
	return about && accepts;
}

bool net_rules_let_through(const char *json, const char *bridge)
{
	cleanup_json json_object *doc = NULL;
	bool in = false, out = false;
	if (json_parse(json, strlen(json), "nftables' rules", &doc, NULL) < 0)
		return false;
	json_object *all = json_get(doc, "nftables");
	for (size_t i = 0; i < json_len(all); i++) {
		json_object *rule = json_get(json_object_array_get_idx(all, i), "rule");
		in = in || rule_accepts(rule, "iifname", bridge);
		out = out || rule_accepts(rule, "oifname", bridge);
	}
	return in && out;
}

/* Names of others go into a command of ours: words only. */
static bool is_word(const char *text)
{
	return *text && !text[strspn(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
					   "0123456789_-")];
}

static char *list_table(struct net *n, json_object *chain)
{
	cleanup_strbuf struct strbuf s = STRBUF_INIT;
	const char *family = json_str_or(chain, "family", ""),
		   *name = json_str_or(chain, "table", "");
	char *json = NULL;
	strbuf_printf(&s, "list table %s %s", family, name);
	if (!is_word(family) || !is_word(name) || !strbuf_ok(&s) ||
	    kernel_nft(n, s.text, &json, NULL) < 0)
		return NULL;
	return json;
}

static char *judge(struct net *n, json_object *chain, const struct net_bridge *bridges,
		   size_t n_bridges)
{
	cleanup_free char *rules = n ? list_table(n, chain) : NULL;
	for (size_t i = 0; i < n_bridges; i++)
		if (!rules || !net_rules_let_through(rules, bridges[i].name))
			return describe(chain, bridges[i].name);
	return NULL;
}

char *net_rules_find_conflict(struct net *n, const char *json, const struct net_bridge *bridges,
			      size_t n_bridges)
{
	cleanup_json json_object *doc = NULL;
	char *text = NULL;
	if (json_parse(json, strlen(json), "nftables' chains", &doc, NULL) < 0)
		return NULL;
	json_object *all = json_get(doc, "nftables");
	for (size_t i = 0; i < json_len(all) && !text; i++) {
		json_object *chain = json_get(json_object_array_get_idx(all, i), "chain");
		if (chain && (is_dropping(chain) || is_firewalld(chain)))
			text = judge(n, chain, bridges, n_bridges);
	}
	return text;
}

char *net_rules_conflict(struct net *n, const struct net_bridge *bridges, size_t n_bridges)
{
	char *json = NULL;
	if (kernel_nft(n, "list chains", &json, NULL) < 0)
		return NULL;
	char *text = net_rules_find_conflict(n, json, bridges, n_bridges);
	free(json);
	return text;
}

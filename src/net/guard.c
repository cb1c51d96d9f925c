/* SPDX-License-Identifier: Apache-2.0 */
/* guard - our table `bridge isola`: what a port may send. An instance with CAP_NET_RAW,
 * and every guest, writes its own frames; here they are held against the lease before a
 * bridge sees them. Only our own ports are looked at. As in rules.c a port is elements of
 * sets, never a rule. Thread pool, but for the texts.
 *
 *   macs   frames come from the lease's MAC, and ARP says the same
 *   addrs4 IPv4 and ARP come from the lease's address; 0.0.0.0 may probe (RFC 5227) and ask
 *          for a lease (RFC 2131); nobody may give one
 *   addrs6 IPv6 comes from the lease's address or the MAC's link-local one; :: may look for
 *          duplicates and for routers, and join groups (RFC 4862, 3810)
 *   nd6    the same addresses as targets of neighbour advertisements (RFC 4861, 7.2.5),
 *          which overwrite what neighbours know
 *
 * Router advertisements, redirects and every other kind of frame (VLAN tags, which would
 * hide the rest; spanning tree) are dropped. */
#include "isola/mac.h"

#include "kernel.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define TABLE "bridge isola"

static const char table[] =
	"table " TABLE " {\n"
	"set ports { type ifname; }\n"
	"set macs { type ifname . ether_addr; }\n"
	"set addrs4 { type ifname . ipv4_addr; }\n"
	"set addrs6 { type ifname . ipv6_addr; }\n"
	"set nd6 { typeof iifname . @th,64,128; }\n"
	"chain prerouting { type filter hook prerouting priority -300; policy accept;\n"
	"  iifname @ports jump check\n"
	"}\n"
	"chain check {\n"
	"  iifname . ether saddr != @macs drop\n"
	"  ether type vmap { ip : jump check4, ip6 : jump check6, arp : jump checkarp }\n"
	"  drop\n"
	"}\n"
	"chain check4 {\n"
	"  udp sport 67 udp dport 68 drop\n"
	"  iifname . ip saddr @addrs4 accept\n"
	"  ip saddr 0.0.0.0 ip daddr 255.255.255.255 udp sport 68 udp dport 67 accept\n"
	"  drop\n"
	"}\n"
	"chain checkarp {\n"
	"  iifname . arp saddr ether != @macs drop\n"
	"  iifname . arp saddr ip @addrs4 accept\n"
	"  arp operation request arp saddr ip 0.0.0.0 accept\n"
	"  drop\n"
	"}\n"
	"chain check6 {\n"
	"  icmpv6 type { nd-router-advert, nd-redirect } drop\n"
	"  icmpv6 type nd-neighbor-advert iifname . @th,64,128 != @nd6 drop\n"
	"  iifname . ip6 saddr @addrs6 accept\n"
	"  ip6 saddr :: icmpv6 type { nd-neighbor-solicit, nd-router-solicit, mld2-listener-report } "
	"accept\n"
	"  drop\n"
	"}\n"
	"}\n";

void net_guard_text_table(struct strbuf *s)
{
	strbuf_puts(s, table);
}

static void element(struct strbuf *s, bool add, const char *set, const char *name,
		    const char *value)
{
	const char *dot = value ? " . " : "";
	const char *verbs[] = { "add", "delete" };
	/* One that is missing can be deleted once it was added. */
	for (int i = 0; i < (add ? 1 : 2); i++)
		strbuf_printf(s, "%s element " TABLE " %s { \"%s\"%s%s }\n", verbs[i], set, name,
			      dot, value ? value : "");
}

static void address6(struct strbuf *s, bool add, const char *name, const struct net_addr *addr)
{
	char text[NET_ADDR_TEXT], hex[2 + 32 + 1] = "0x";
	for (size_t i = 0; i < sizeof(addr->bytes); i++)
		(void)snprintf(hex + 2 + 2 * i, 3, "%02x", addr->bytes[i]);
	element(s, add, "addrs6", name, net_addr_format(addr, text, sizeof(text)));
	element(s, add, "nd6", name, hex);
}

void net_guard_text_port(struct strbuf *s, const struct net_port *port, bool add)
{
	char text[NET_ADDR_TEXT];
	struct net_addr local;
	if (port->unguarded)
		return;
	element(s, add, "ports", port->host_name, NULL);
	element(s, add, "macs", port->host_name, mac_format(port->mac, text, sizeof(text)));
	element(s, add, "addrs4", port->host_name,
		net_addr_format(&port->addr, text, sizeof(text)));
	if (!port->addr6.family)
		return;
	net_addr_of_mac(port->mac, &local);
	address6(s, add, port->host_name, &port->addr6);
	address6(s, add, port->host_name, &local);
}

int kernel_guard(struct net *n, const struct net_port *port, struct err *err)
{
	cleanup_strbuf struct strbuf s = STRBUF_INIT;
	if (port->unguarded)
		return 0;
	net_guard_text_port(&s, port, true);
	return strbuf_ok(&s) ? kernel_nft(n, s.text, NULL, err)
			     : err_set(err, ENOMEM, "out of memory");
}

void kernel_unguard(struct net *n, const struct net_port *port)
{
	cleanup_strbuf struct strbuf s = STRBUF_INIT;
	net_guard_text_port(&s, port, false);
	/* With the table everything of it went. */
	if (n->has_table && !port->unguarded && strbuf_ok(&s))
		(void)kernel_nft(n, s.text, NULL, NULL);
}

/* SPDX-License-Identifier: Apache-2.0 */
/* net - networks of containers, as far as one host's kernel is concerned: addresses
 * and ports as people write them, free addresses, bridges, veth pairs and our own
 * nftables tables `inet isola` and `bridge isola`. Which networks there are and who is in them is
 * isolad's business (src/daemon/network.h).
 *
 * An endpoint meets its bridge by one of two links; all else (lease, MAC, rules,
 * published ports) does not know by which:
 *   veth  the other end is in the network namespace of a process that exists already:
 *         net_port_add(), once the container is made
 *   tap   the other end is a descriptor that a VM's worker reads and writes:
 *         net_tap_add(), before there is a worker. The device lives as long as somebody
 *         has a descriptor of it, so no crash of anybody leaves one behind
 *
 * Or it has no bridge but a link of the host as its parent, on whose segment it is by
 * itself: net_macvlan_add(). Then nothing of it passes our rules.
 *
 * What reads or changes the kernel blocks for a few milliseconds and runs in
 * isolad's thread pool, one call at a time (src/daemon/netjob.h); all else is pure.
 * No other program is run, and no table but ours is ever changed. */
#pragma once

#include "isola/err.h"
#include "isola/strbuf.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define NET_ADDR_TEXT   48
#define NET_PREFIX_TEXT 56
#define NET_NAME_SIZE   16 /* IFNAMSIZ */

/* ---- addresses (addr.c) ---- */

struct net_addr {
	uint8_t family; /* AF_INET, AF_INET6; 0 = none */
	uint8_t bytes[16];
};

/* One of each family, or none. */
struct net_addrs {
	struct net_addr v4, v6;
};

struct net_prefix {
	struct net_addr addr; /* its host bits are zero */
	uint8_t len;
};

/* "10.0.0.7", "fd00::7"; 0 or -EINVAL. */
int net_addr_parse(const char *text, struct net_addr *ret);
/* @buf is returned; "" for none. */
const char *net_addr_format(const struct net_addr *addr, char *buf, size_t size);
bool net_addr_is_equal(const struct net_addr *a, const struct net_addr *b);
bool net_addr_is_any(const struct net_addr *addr); /* 0.0.0.0, :: */

/* "10.201.0.0/16"; -EINVAL with a text. Host bits must be zero. */
int net_prefix_parse(const char *text, struct net_prefix *ret, struct err *err);
const char *net_prefix_format(const struct net_prefix *p, char *buf, size_t size);
bool net_prefix_holds(const struct net_prefix *p, const struct net_addr *addr);
bool net_prefix_overlap(const struct net_prefix *a, const struct net_prefix *b);
/* The address number @n from its first one; -ERANGE beyond its last. */
int net_prefix_nth(const struct net_prefix *p, uint64_t n, struct net_addr *ret);
/* The number of @addr in @p. */
uint64_t net_prefix_index(const struct net_prefix *p, const struct net_addr *addr);

/* The locally administered MAC address that belongs to @addr. */
void net_mac_of(const struct net_addr *addr, uint8_t ret[6]);
/* The link-local address that follows from it (RFC 4291, appendix A). */
void net_addr_of_mac(const uint8_t mac[6], struct net_addr *ret);

/* ---- pools (pool.c) ---- */

/* What is taken already; all borrowed. */
struct net_used {
	const struct net_prefix *prefixes;
	size_t n;
};

/* A subnet that overlaps none of @used: a large one for the default network, else
 * one of 256 addresses. -ENOSPC. */
int net_pool_subnet(bool is_default, const struct net_used *used, struct net_prefix *ret,
		    struct err *err);

/* The same of IPv6, a /64 below fd00::/8: @random decides which (RFC 4193, 3.2). */
int net_pool_subnet6(const uint8_t random[7], const struct net_used *used, struct net_prefix *ret,
		     struct err *err);

/* The next free address of @range (within @subnet) behind @last (none: from the
 * start), never the first or last of the subnet. @taken tells what is in use.
 * -ENOSPC when all are. Going on behind the last one, an address that was just given
 * back is not met again in a hurry by neighbours that remember its old owner. */
int net_pool_addr(const struct net_prefix *subnet, const struct net_prefix *range,
		  const struct net_addr *last,
		  bool (*taken)(void *arg, const struct net_addr *addr), void *arg,
		  struct net_addr *ret, struct err *err);

/* ---- ports (port.c) ---- */

enum net_proto { NET_TCP, NET_UDP };

const char *net_proto_name(enum net_proto proto);

struct net_ports {
	uint16_t first, last;
};

/* "80", "8000-8010"; ports are 1 to 65535. -EINVAL. */
int net_ports_parse(const char *text, struct net_ports *ret);
/* "80/tcp", "80" (tcp), "8000-8010/udp". -EINVAL, or -EOPNOTSUPP for sctp. */
int net_port_proto_parse(const char *text, struct net_ports *ret, enum net_proto *ret_proto,
			 struct err *err);

/* What -p says. */
struct net_publish {
	char host_ip[NET_ADDR_TEXT]; /* "" = all */
	struct net_ports host;       /* 0-0 = any free one */
	struct net_ports inside;
	enum net_proto proto;
};

/* "[[ip:]host:]inside[/proto]", IPv6 addresses in brackets; host may be empty. Two
 * ranges must be of one size, or a single inside port with a range to choose from.
 * -EINVAL, -EOPNOTSUPP; the text does not name the flag. */
int net_publish_parse(const char *text, struct net_publish *ret, struct err *err);

/* A published port of a running container. */
struct net_binding {
	struct net_addr host_ip; /* 0.0.0.0, :: = all of the family */
	uint16_t host_port, port;
	enum net_proto proto;
	int fd; /* holds the port on the host; -1 */
};

/* ---- the host (host.c) ---- */

/* All destinations of the main tables but the default ones, and the addresses of
 * links: what a new subnet must not overlap. Those of links named in @but (NULL =
 * none) are left out. @ret is owned. */
int net_host_prefixes(const char *but, struct net_prefix **ret, size_t *ret_n, struct err *err);

/* Whether what is published on ::1 gets its answers: not where br_netfilter sees bridged
 * IPv6, which hands them to ::1 before they are the host's. */
bool net_host_has_loopback6(void);

/* Takes a port of the host so that nobody else can, and an occupied one is known
 * before anything starts: a bound socket in @b->fd. Port 0 in @b->host_port becomes
 * the one that was free. -EADDRINUSE, -EADDRNOTAVAIL..., each with a text. */
int net_host_take_port(struct net_binding *b, struct err *err);

/* ---- one network in the kernel (bridge.c, veth.c, tap.c, parent.c, macvlan.c) ---- */

enum net_kind { NET_KIND_BRIDGE, NET_KIND_MACVLAN };

/* Who of the members of a macvlan hears whom (ip-link(8), macvlan). */
enum net_mode { NET_MODE_BRIDGE, NET_MODE_PRIVATE, NET_MODE_VEPA, NET_MODE_PASSTHRU };

/* What members are plugged into: our bridge, or the parent of macvlans. That is a link of
 * the host's, or where there is none of the name "eth0.50", a VLAN of eth0 that we make;
 * with @is_own, a dummy link of ours that leads nowhere. */
struct net_bridge {
	enum net_kind kind;
	enum net_mode mode; /* macvlan */
	bool is_own;        /* macvlan */
	char name[NET_NAME_SIZE];
	char id[65];                       /* the network's; written into the link's alias */
	struct net_prefix subnet, subnet6; /* 6: of IPv6, or none */
	struct net_addr gateway, gateway6;
	bool internal;
	unsigned int mtu; /* of the bridge and its ports; 0: the kernel's default */
};

enum net_link { NET_LINK_VETH, NET_LINK_TAP };

/* An instance's end. */
struct net_port {
	char host_name[NET_NAME_SIZE];
	char name[NET_NAME_SIZE];    /* "eth0"; veth only */
	struct net_addr addr, addr6; /* 6: of IPv6, or none */
	uint8_t mac[6];
	bool gateway;   /* the default routes go through it */
	bool unguarded; /* it may send with any address */
};

/* Our alias in front of a network's id. */
#define NET_ALIAS "isola network "

struct net; /* a netlink socket, an nftables context and what they know */

/* Opens nothing yet: where the host lacks a right, only who needs it hears of it. */
struct net *net_new(void);
void net_free(struct net *n);

/* Makes the bridge where it is missing, with its rules, or looks at the parent; -EEXIST when a link has the
 * name that is not ours, -EBUSY when the host has meanwhile got a route that its subnet
 * overlaps, -EPERM, -EOPNOTSUPP when the kernel lacks nftables or bridges. */
int net_bridge_up(struct net *n, const struct net_bridge *b, struct err *err);
/* Removes it and its rules, of parents only what is ours; one that is gone is fine. */
int net_bridge_down(struct net *n, const struct net_bridge *b, struct err *err);

/* Puts one end of a veth pair into the network namespace of the process @pid, with
 * address and routes, and the other into the bridge. @parent must be its parent, else
 * -ESRCH: the pid is another's by now. On failure nothing is left. */
int net_port_add(struct net *n, const struct net_bridge *b, const struct net_port *port, pid_t pid,
		 pid_t parent, struct err *err);
/* Makes the tap device port->host_name as a port of the bridge: for many queues, with
 * virtio headers (IFF_MULTI_QUEUE, IFF_VNET_HDR). @ret_fd, owned, is a queue of it that
 * is detached: it gets no frames, and keeps the device while others open theirs by the
 * name (net_tap_queue()). With the last descriptor the device goes. On failure nothing is
 * left. */
int net_tap_add(struct net *n, const struct net_bridge *b, const struct net_port *port, int *ret_fd,
		struct err *err);
/* One more queue of it, owned, not blocking. Its frames are behind a virtio header of
 * NET_TAP_HEADER bytes (virtio 1.2, 5.1.6) until who has it says otherwise
 * (TUNSETVNETHDRSZ). */
#define NET_TAP_HEADER 12
int net_tap_queue(const char *name, struct err *err);
/* Whether the host has the parent, or what a VLAN is made from, and it can be one: an
 * Ethernet link that is up and nobody's port. The text says what is wrong. */
int net_parent_check(struct net *n, const struct net_bridge *b, struct err *err);
/* Puts a macvlan of the parent into the network namespace of the process @pid, as
 * net_port_add() does with a veth. Where a link of a container that has just ended is in the
 * way, it waits for @wait_ms at most. @ret_ns_fd, owned, is that namespace: the link is nowhere
 * else. @ret_mac is its MAC, the parent's where the mode is passthru. */
int net_macvlan_add(struct net *n, const struct net_bridge *b, const struct net_port *port,
		    pid_t pid, pid_t parent, unsigned int wait_ms, int *ret_ns_fd,
		    uint8_t ret_mac[6], struct err *err);
/* Removes all macvlans of the parent that are in the namespace, whatever the container has
 * called them; one that is gone is fine. */
int net_macvlan_remove(struct net *n, const struct net_bridge *b, int ns_fd, struct err *err);
bool net_macvlan_is_there(struct net *n, const struct net_bridge *b, int ns_fd);
/* Opens that namespace again; owned. */
int net_ns_open(pid_t pid, pid_t parent, int *ret_fd, struct err *err);
/* dhcp_socket.c: a packet socket for what comes from the link @name to a DHCP server, and
 * for the answers; owned. */
int net_dhcp_socket(const char *name, int *ret_fd, struct err *err);
/* Removes the pair or the device, whoever has it open, and what guards it; one that is gone
 * is fine. */
int net_port_remove(struct net *n, const struct net_port *port, struct err *err);
/* Removes a link, of which no more than its name is known. */
int net_link_remove(struct net *n, const char *name, struct err *err);
/* Gives the namespace of @pid default routes through @gateways. */
int net_port_route(struct net *n, pid_t pid, pid_t parent, const struct net_addrs *gateways,
		   struct err *err);

/* Calls @each for every link that is a bridge of ours (by alias: @id, NET_ALIAS cut
 * off) or a port of one (@bridge_id: of which). */
typedef void net_link_fn(void *arg, const char *name, const char *id, const char *bridge_id);
int net_links(struct net *n, net_link_fn *each, void *arg, struct err *err);

/* ---- the resolver's place in a container (inside.c) ---- */

#define NET_RESOLVER "127.0.0.11"

/* Opens, in the network namespace of the process @pid, what a resolver needs to be asked
 * there: a UDP socket, a listening TCP socket, and the pidfd of @pid; owned. What is sent
 * to port 53 of NET_RESOLVER reaches them, by a table of nftables in there (detour.c).
 * @parent as in net_port_add(). */
int net_resolver_open(pid_t pid, pid_t parent, int ret_fds[3], struct err *err);

/* gateway.c: the same at the bridge's own address, for those on it whose namespace is
 * not this kernel's: a UDP socket and a listening TCP socket, which hear this bridge
 * alone; owned. -EADDRINUSE with a text when another server has port 53 of all addresses. */
int net_gateway_open(const struct net_bridge *b, int ret_fds[2], struct err *err);

/* ---- rules (rules.c, guard.c, nft.c) ---- */

/* What the rules are made from. */
struct net_all {
	const struct net_bridge *bridges;
	size_t n_bridges;
	const struct net_port *ports;
	size_t n_ports;
};

/* Throws our tables away and, if there are any bridges, makes them anew, in one
 * transaction: nothing that runs sees a moment without rules. */
int net_rules_reset(struct net *n, const struct net_all *all, struct err *err);

/* Throws away tables that we have made since @n was. */
int net_rules_drop(struct net *n, struct err *err);

/* Bindings on the host become connections to the address in @to of their family. */
int net_rules_publish(struct net *n, const struct net_addrs *to, const struct net_binding *b,
		      size_t n_bindings, struct err *err);
int net_rules_unpublish(struct net *n, const struct net_addrs *to, const struct net_binding *b,
			size_t n_bindings, struct err *err);

/* Both in one transaction: @gone goes, @added comes. */
int net_rules_republish(struct net *n, const struct net_addrs *to, const struct net_binding *gone,
			size_t n_gone, const struct net_binding *added, size_t n_added,
			struct err *err);

/* What of other people's rules stands in the way of forwarding to and from one of @bridges
 * (Docker, ufw, firewalld, an own drop policy): an owned sentence that names the fix, NULL
 * when nothing does, or the fix is there. */
char *net_rules_conflict(struct net *n, const struct net_bridge *bridges, size_t n_bridges);

/* The texts, for tests. */
void net_rules_text_table(struct strbuf *s);
void net_rules_text_bridge(struct strbuf *s, const struct net_bridge *b, bool add);
void net_rules_text_binding(struct strbuf *s, const struct net_addrs *to,
			    const struct net_binding *b, bool add);
void net_guard_text_table(struct strbuf *s);
void net_guard_text_port(struct strbuf *s, const struct net_port *port, bool add);
/* @json: `list chains` of libnftables. Without @n no rule is looked at. */
char *net_rules_find_conflict(struct net *n, const char *json, const struct net_bridge *bridges,
			      size_t n_bridges);
/* @json: `list table`. Whether it has rules that accept all that comes from and goes to @bridge. */
bool net_rules_let_through(const char *json, const char *bridge);

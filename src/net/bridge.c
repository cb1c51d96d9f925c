/* SPDX-License-Identifier: Apache-2.0 */
/* bridge - a network's bridge. Its rules are there before it is up, so an up bridge of
 * ours needs no second look, and one that is not was left by a crash: it is begun
 * again. Thread pool. */
#include "kernel.h"

#include "isola/fd.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/if_bridge.h>
#include <net/if.h>
#include <netlink/route/link.h>
#include <netlink/route/link/bridge.h>
#include <netlink/route/route.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static int set_link6(const char *name, const char *key, const char *value, struct err *err)
{
	char path[96];
	(void)snprintf(path, sizeof(path), "/proc/sys/net/ipv6/conf/%s/%s", name, key);
	return kernel_sysctl(path, value, err);
}

/* What takes its routes from the LAN goes on doing so when the host forwards
 * (ip-sysctl.rst, accept_ra): else the host would lose its own. */
static void keep_routes(void)
{
	DIR *dir = opendir("/proc/sys/net/ipv6/conf");
	char path[96 + NAME_MAX], now[8];
	for (struct dirent *entry; dir && (entry = readdir(dir));) {
		if (entry->d_name[0] == '.' || !strcmp(entry->d_name, "all") ||
		    !strcmp(entry->d_name, "default") || !strcmp(entry->d_name, "lo"))
			continue;
		(void)snprintf(path, sizeof(path), "/proc/sys/net/ipv6/conf/%s/accept_ra",
			       entry->d_name);
		cleanup_fd int fd = open(path, O_RDWR | O_CLOEXEC);
		if (fd >= 0 && fd_read_all(fd, now, sizeof(now)) > 0 && now[0] == '1')
			(void)!pwrite(fd, "2", 1, 0);
	}
	if (dir)
		(void)closedir(dir);
}

static int forward6(struct err *err)
{
	static const char path[] = "/proc/sys/net/ipv6/conf/all/forwarding";
	char now[8] = "";
	cleanup_fd int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return err_sys(err, "cannot open %s", path);
	if (fd_read_all(fd, now, sizeof(now)) > 0 && now[0] == '1')
		return 0;
	keep_routes();
	return kernel_sysctl(path, "1", err);
}

/* A bridge never takes routes from who is behind it. */
static int set_sysctls6(const struct net_bridge *b, struct err *err)
{
	bool on = b->subnet6.addr.family;
	int rc = set_link6(b->name, "accept_ra", "0", err);
	if (rc == 0)
		rc = set_link6(b->name, "disable_ipv6", on ? "0" : "1", err);
	if (rc == -ENOENT && !on) {
		*err = (struct err)ERR_INIT;
		return 0;
	}
	if (rc < 0 && on)
		return err_prefix(err, "the host has no IPv6");
	return rc < 0 || !on || b->internal ? rc : forward6(err);
}

static int set_sysctls(const struct net_bridge *b, struct err *err)
{
	char path[96];
	/* For ports that are published on 127.0.0.1; the chain "guard" keeps containers
	 * away from it. */
	(void)snprintf(path, sizeof(path), "/proc/sys/net/ipv4/conf/%s/route_localnet", b->name);
	int rc = kernel_sysctl(path, "1", err);
	if (rc == 0)
		rc = set_sysctls6(b, err);
	if (rc < 0 || b->internal)
		return rc;
	return kernel_sysctl("/proc/sys/net/ipv4/ip_forward", "1", err);
}

/* 1 = ours and up, 0 = to be made. One that is ours but not up is removed. */
static int look(struct nl_sock *sock, const struct net_bridge *b, struct err *err)
{
	struct rtnl_link *link = NULL;
	int rc = rtnl_link_get_kernel(sock, 0, b->name, &link);
	if (rc == -NLE_NODEV || rc == -NLE_OBJ_NOTFOUND)
		return 0;
	if (rc < 0)
		return kernel_err(err, rc, "look for the bridge", b->name);
	const char *alias = rtnl_link_get_ifalias(link);
	size_t n = strlen(NET_ALIAS);
	bool up = rtnl_link_get_flags(link) & IFF_UP;
	bool bridge = rtnl_link_get_type(link) && !strcmp(rtnl_link_get_type(link), "bridge");
	bool ours = alias && *alias ? !strncmp(alias, NET_ALIAS, n) && !strcmp(alias + n, b->id)
				    : bridge && !up; /* a crash came before the alias */
	rtnl_link_put(link);
	if (!ours)
		return err_set(err, EEXIST,
			       "the host has a link named %s that does not belong to this network: "
			       "rename or remove it",
			       b->name);
	if (up)
		return 1;
	return kernel_link_delete(sock, b->name, err);
}

/* Returns its index. */
static int make(struct nl_sock *sock, const struct net_bridge *b, struct err *err)
{
	char alias[sizeof(NET_ALIAS) + sizeof(b->id)];
	struct rtnl_link *link = rtnl_link_bridge_alloc(), *more = rtnl_link_alloc();
	int index = 0, rc = link && more ? 0 : -NLE_NOMEM;
	(void)snprintf(alias, sizeof(alias), NET_ALIAS "%s", b->id);
	if (rc == 0) {
		rtnl_link_set_name(link, b->name);
		rc = rtnl_link_add(sock, link, NLM_F_CREATE | NLM_F_EXCL);
	}
	if (rc < 0)
		(void)kernel_err(err, rc, "make the bridge", b->name);
	else
		index = rc = kernel_link_index(sock, b->name, err);
	if (rc >= 0) {
		rtnl_link_set_ifalias(more, alias);
		if (b->mtu)
			rtnl_link_set_mtu(more, b->mtu);
		rc = kernel_link_change(sock, index, more, b->name, err);
	}
	rtnl_link_put(link);
	rtnl_link_put(more);
	return rc < 0 ? -err->code : index;
}

static int set_up(struct nl_sock *sock, const struct net_bridge *b, int index, struct err *err)
{
	struct rtnl_link *more = rtnl_link_alloc();
	uint8_t mac[6];
	/* Of its own: else it changes with the ports. */
	net_mac_of(&b->gateway, mac);
	struct nl_addr *lladdr = nl_addr_build(AF_UNSPEC, mac, sizeof(mac));
	int rc = more && lladdr ? 0 : err_set(err, ENOMEM, "out of memory");
	if (rc == 0) {
		rtnl_link_set_addr(more, lladdr);
		rtnl_link_set_flags(more, IFF_UP);
		rc = kernel_link_change(sock, index, more, b->name, err);
	}
	nl_addr_put(lladdr);
	rtnl_link_put(more);
	return rc;
}

static int check_routes(const struct net_bridge *b, struct err *err)
{
	cleanup_free struct net_prefix *host = NULL;
	size_t n = 0;
	char mine[NET_PREFIX_TEXT], theirs[NET_PREFIX_TEXT];
	int rc = net_host_prefixes(b->name, &host, &n, err);
	for (size_t i = 0; rc == 0 && i < n; i++) {
		const struct net_prefix *own =
			host[i].addr.family == AF_INET6 ? &b->subnet6 : &b->subnet;
		if (net_prefix_overlap(own, &host[i]))
			rc = err_set(err, EBUSY,
				     "its subnet %s overlaps the host's route to %s: remove one, "
				     "or make a network with another --subnet",
				     net_prefix_format(own, mine, sizeof(mine)),
				     net_prefix_format(&host[i], theirs, sizeof(theirs)));
	}
	return rc;
}

static int add_rules(struct net *n, const struct net_bridge *b, struct err *err)
{
	cleanup_strbuf struct strbuf s = STRBUF_INIT;
	if (!n->has_table)
		return net_rules_reset(n, &(struct net_all){ .bridges = b, .n_bridges = 1 }, err);
	net_rules_text_bridge(&s, b, true);
	return strbuf_ok(&s) ? kernel_nft(n, s.text, NULL, err)
			     : err_set(err, ENOMEM, "out of memory");
}

/* The answers to who came from ::1 go back to it: what route_localnet is for IPv4. From the
 * wire ::1 is refused by ip6_rcv_core(), so this opens it to nobody. */
static int add_loopback6(struct nl_sock *sock, int index, struct err *err)
{
	struct rtnl_route *route = rtnl_route_alloc();
	struct rtnl_nexthop *hop = rtnl_route_nh_alloc();
	struct nl_addr *one = nl_addr_build(AF_INET6, &in6addr_loopback, sizeof(in6addr_loopback));
	int rc = route && hop && one ? 0 : -NLE_NOMEM;
	if (rc == 0) {
		rtnl_route_set_family(route, AF_INET6);
		(void)rtnl_route_set_dst(route, one);
		rtnl_route_set_table(route, RT_TABLE_LOCAL);
		(void)rtnl_route_set_type(route, RTN_LOCAL);
		rtnl_route_set_priority(route, 4096);
		rtnl_route_nh_set_ifindex(hop, index);
		rtnl_route_add_nexthop(route, hop);
		hop = NULL; /* the route's */
		rc = rtnl_route_add(sock, route, NLM_F_CREATE);
	}
	if (hop)
		rtnl_route_nh_free(hop);
	nl_addr_put(one);
	rtnl_route_put(route);
	return rc < 0 ? kernel_err(err, rc, "set", "the route of ::1") : 0;
}

static int build(struct net *n, struct nl_sock *sock, const struct net_bridge *b, struct err *err)
{
	int index = make(sock, b, err), rc = index;
	if (rc >= 0)
		rc = kernel_addr_add(sock, index, &b->gateway, b->subnet.len, err);
	if (rc >= 0)
		rc = set_sysctls(b, err);
	if (rc >= 0 && b->gateway6.family)
		rc = kernel_addr_add(sock, index, &b->gateway6, b->subnet6.len, err);
	if (rc >= 0)
		rc = add_rules(n, b, err);
	if (rc >= 0)
		rc = set_up(sock, b, index, err);
	if (rc >= 0 && b->gateway6.family)
		rc = add_loopback6(sock, index, err);
	/* Where a link of that name was there first, it is not ours to remove. */
	if (rc < 0 && rc != -EEXIST)
		(void)kernel_link_delete(sock, b->name, NULL);
	return rc;
}

int net_bridge_up(struct net *n, const struct net_bridge *b, struct err *err)
{
	struct nl_sock *sock = NULL;
	if (b->kind == NET_KIND_MACVLAN)
		return kernel_parent_up(n, b, err);
	int rc = kernel_sock(n, &sock, err);
	if (rc == 0)
		rc = look(sock, b, err);
	if (rc != 0)
		return rc < 0 ? rc : 0;
	rc = check_routes(b, err);
	return rc < 0 ? rc : build(n, sock, b, err);
}

int net_bridge_down(struct net *n, const struct net_bridge *b, struct err *err)
{
	struct nl_sock *sock = NULL;
	cleanup_strbuf struct strbuf s = STRBUF_INIT;
	struct err later = ERR_INIT;
	if (b->kind == NET_KIND_MACVLAN)
		return kernel_parent_down(n, b, err);
	int rc = kernel_sock(n, &sock, err);
	if (rc == 0)
		rc = look(sock, b, err);
	/* With the bridge its elements went. */
	if (rc <= 0)
		return rc;
	int down = kernel_link_delete(sock, b->name, err);
	net_rules_text_bridge(&s, b, false);
	rc = n->has_table && strbuf_ok(&s) ? kernel_nft(n, s.text, NULL, &later) : 0;
	if (down == 0 && rc < 0)
		return err_copy(err, &later);
	return down;
}

/* ---- ports of bridges ---- */

int net_links(struct net *n, net_link_fn *each, void *arg, struct err *err)
{
	struct nl_sock *sock = NULL;
	struct nl_cache *all = NULL;
	int rc = kernel_sock(n, &sock, err);
	if (rc < 0)
		return rc;
	rc = rtnl_link_alloc_cache(sock, AF_UNSPEC, &all);
	if (rc < 0)
		return kernel_err(err, rc, "list", "links");
	for (struct nl_object *o = nl_cache_get_first(all); o; o = nl_cache_get_next(o)) {
		struct rtnl_link *link = (struct rtnl_link *)o;
		struct rtnl_link *master = rtnl_link_get(all, rtnl_link_get_master(link));
		const char *alias = rtnl_link_get_ifalias(master ? master : link);
		size_t skip = strlen(NET_ALIAS);
		if (alias && !strncmp(alias, NET_ALIAS, skip))
			each(arg, rtnl_link_get_name(link), master ? NULL : alias + skip,
			     master ? alias + skip : NULL);
		rtnl_link_put(master);
	}
	nl_cache_free(all);
	return 0;
}

/* Where br_netfilter is on (Docker loads it), what a container sends to its own
 * published port is turned round within the bridge, which must let it. */
static int set_hairpin(struct nl_sock *sock, const char *name, int index, struct err *err)
{
	int rc;
	struct ifinfomsg info = { .ifi_family = AF_BRIDGE, .ifi_index = index };
	struct nl_msg *msg = nlmsg_alloc_simple(RTM_SETLINK, 0);
	struct nlattr *port = NULL;
	rc = msg ? nlmsg_append(msg, &info, sizeof(info), NLMSG_ALIGNTO) : -NLE_NOMEM;
	if (rc >= 0)
		port = nla_nest_start(msg, IFLA_PROTINFO | NLA_F_NESTED);
	rc = !port ? -NLE_NOMEM : nla_put_u8(msg, IFLA_BRPORT_MODE, 1);
	if (rc < 0) {
		nlmsg_free(msg);
		return err_set(err, ENOMEM, "out of memory");
	}
	(void)nla_nest_end(msg, port);
	rc = nl_send_sync(sock, msg); /* frees it */
	return rc < 0 ? kernel_err(err, rc, "set the mode of the link", name) : 0;
}

/* Else a port gets a link-local address and routes of its own, and each link that goes has
 * the kernel walk those of all others (fib6_ifdown()). */
static int set_no_ipv6(const char *name, struct err *err)
{
	int rc = set_link6(name, "disable_ipv6", "1", err);
	if (rc != -ENOENT)
		return rc;
	*err = (struct err)ERR_INIT; /* a kernel without IPv6 */
	return 0;
}

int kernel_port_up(struct nl_sock *sock, const struct net_bridge *b, const char *name,
		   struct err *err)
{
	struct rtnl_link *more = rtnl_link_alloc();
	int index = kernel_link_index(sock, name, err);
	int rc = index > 0 ? set_no_ipv6(name, err) : index;
	if (index == 0)
		rc = err_set(err, ENODEV, "the link %s is gone", name);
	if (rc == 0)
		rc = set_hairpin(sock, name, index, err);
	if (rc == 0 && !more)
		rc = err_set(err, ENOMEM, "out of memory");
	if (rc == 0) {
		rtnl_link_set_flags(more, IFF_UP);
		if (b->mtu)
			rtnl_link_set_mtu(more, b->mtu);
		rc = kernel_link_change(sock, index, more, name, err);
	}
	rtnl_link_put(more);
	return rc;
}

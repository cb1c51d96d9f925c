/* SPDX-License-Identifier: Apache-2.0 */
/* host - what the host has already: routes, addresses, ports in use. Thread pool, but
 * for net_host_take_port(), which does not block. */
#include "kernel.h"

#include "isola/fd.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netlink/route/addr.h>
#include <netlink/route/link.h>
#include <netlink/route/route.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

struct found {
	struct net_prefix *items;
	size_t n;
	int but; /* index of a link; 0 = none */
	bool failed;
};

static void add(struct found *f, struct nl_addr *dst)
{
	struct net_prefix p = { 0 };
	unsigned int size = dst ? nl_addr_get_len(dst) : 0;
	if (!size || size > sizeof(p.addr.bytes) || !nl_addr_get_prefixlen(dst))
		return;
	p.addr.family = (uint8_t)nl_addr_get_family(dst);
	p.len = (uint8_t)nl_addr_get_prefixlen(dst);
	memcpy(p.addr.bytes, nl_addr_get_binary_addr(dst), size);
	struct net_prefix *more = realloc(f->items, (f->n + 1) * sizeof(*more));
	if (!more) {
		f->failed = true;
		return;
	}
	f->items = more;
	f->items[f->n++] = p;
}

static void add_route(struct nl_object *o, void *arg)
{
	struct rtnl_route *route = (struct rtnl_route *)o;
	struct found *f = arg;
	struct rtnl_nexthop *hop = rtnl_route_nexthop_n(route, 0);
	if (rtnl_route_get_table(route) == RT_TABLE_LOCAL ||
	    (f->but && hop && rtnl_route_nh_get_ifindex(hop) == f->but))
		return;
	add(f, rtnl_route_get_dst(route));
}

static void add_addr(struct nl_object *o, void *arg)
{
	struct rtnl_addr *addr = (struct rtnl_addr *)o;
	struct found *f = arg;
	if (!f->but || rtnl_addr_get_ifindex(addr) != f->but)
		add(f, rtnl_addr_get_local(addr));
}

int net_host_prefixes(const char *but, struct net_prefix **ret, size_t *ret_n, struct err *err)
{
	struct found f = { 0 };
	struct nl_sock *sock = NULL;
	struct nl_cache *routes = NULL, *addrs = NULL;
	int rc = kernel_sock_new(&sock, err);
	if (rc < 0)
		return rc;
	f.but = but ? kernel_link_index(sock, but, NULL) : 0;
	rc = rtnl_route_alloc_cache(sock, AF_UNSPEC, 0, &routes);
	if (rc >= 0)
		rc = rtnl_addr_alloc_cache(sock, &addrs);
	if (rc >= 0) {
		nl_cache_foreach(routes, add_route, &f);
		nl_cache_foreach(addrs, add_addr, &f);
	}
	nl_cache_free(routes);
	nl_cache_free(addrs);
	nl_socket_free(sock);
	if (rc < 0 || f.failed) {
		free(f.items);
		return rc < 0 ? kernel_err(err, rc, "read", "the host's routes")
			      : err_set(err, ENOMEM, "out of memory");
	}
	*ret = f.items;
	*ret_n = f.n;
	return 0;
}

bool net_host_has_loopback6(void)
{
	char now = '0';
	cleanup_fd int fd =
		open("/proc/sys/net/bridge/bridge-nf-call-ip6tables", O_RDONLY | O_CLOEXEC);
	return fd < 0 || read(fd, &now, 1) != 1 || now != '1';
}

union address {
	struct sockaddr any;
	struct sockaddr_in v4;
	struct sockaddr_in6 v6;
};

static socklen_t fill(const struct net_binding *b, union address *ret)
{
	*ret = (union address){ 0 };
	if (b->host_ip.family == AF_INET6) {
		ret->v6.sin6_family = AF_INET6;
		ret->v6.sin6_port = htons(b->host_port);
		memcpy(&ret->v6.sin6_addr, b->host_ip.bytes, sizeof(ret->v6.sin6_addr));
		return sizeof(ret->v6);
	}
	ret->v4.sin_family = AF_INET;
	ret->v4.sin_port = htons(b->host_port);
	memcpy(&ret->v4.sin_addr, b->host_ip.bytes, sizeof(ret->v4.sin_addr));
	return sizeof(ret->v4);
}

int net_host_take_port(struct net_binding *b, struct err *err)
{
	char ip[NET_ADDR_TEXT];
	union address sa;
	socklen_t size = fill(b, &sa);
	int type = b->proto == NET_UDP ? SOCK_DGRAM : SOCK_STREAM;
	net_addr_format(&b->host_ip, ip, sizeof(ip));
	cleanup_fd int fd = socket(sa.any.sa_family, type | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return err_sys(err, "cannot make a socket");
	/* The other family is another binding's. */
	if (sa.any.sa_family == AF_INET6 &&
	    setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &(int){ 1 }, sizeof(int)) < 0)
		return err_sys(err, "cannot set up a socket");
	if (bind(fd, &sa.any, size) < 0) {
		int code = errno;
		return err_set(err, code, "port %u/%s of the host (%s) cannot be published: %s",
			       b->host_port, net_proto_name(b->proto), ip,
			       code == EADDRINUSE ? "it is in use" : strerror(code));
	}
	if (getsockname(fd, &sa.any, &size) < 0)
		return err_sys(err, "cannot read the port that was free");
	/* At the same place in both. */
	b->host_port = ntohs(sa.v4.sin_port);
	b->fd = take_fd(&fd);
	return 0;
}

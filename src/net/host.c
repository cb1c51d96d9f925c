/* SPDX-License-Identifier: Apache-2.0 */
/* host - what the host has already: routes, addresses, ports in use. Thread pool, but
 * for net_host_take_port(), which does not block. */
#include "kernel.h"

#include "isola/fd.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netlink/route/addr.h>
#include <netlink/route/link.h>
#include <netlink/route/route.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

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
	rc = rtnl_route_alloc_cache(sock, AF_INET, 0, &routes);
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

int net_host_take_port(struct net_binding *b, struct err *err)
{
	char ip[NET_ADDR_TEXT];
	struct sockaddr_in sa = { .sin_family = AF_INET, .sin_port = htons(b->host_port) };
	socklen_t size = sizeof(sa);
	int type = b->proto == NET_UDP ? SOCK_DGRAM : SOCK_STREAM;
	memcpy(&sa.sin_addr, b->host_ip.bytes, sizeof(sa.sin_addr));
	net_addr_format(&b->host_ip, ip, sizeof(ip));
	cleanup_fd int fd = socket(AF_INET, type | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return err_sys(err, "cannot make a socket");
	if (bind(fd, (struct sockaddr *)&sa, sizeof(sa)) < 0) {
		int code = errno;
		return err_set(err, code, "port %u/%s of the host (%s) cannot be published: %s",
			       b->host_port, net_proto_name(b->proto), ip,
			       code == EADDRINUSE ? "it is in use" : strerror(code));
	}
	if (getsockname(fd, (struct sockaddr *)&sa, &size) < 0)
		return err_sys(err, "cannot read the port that was free");
	b->host_port = ntohs(sa.sin_port);
	b->fd = take_fd(&fd);
	return 0;
}

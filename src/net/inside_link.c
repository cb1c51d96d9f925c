/* SPDX-License-Identifier: Apache-2.0 */
/* inside_link - a container's link, once it is in its network namespace. That is entered
 * once (inside.c), and from then on meant by a descriptor. Thread pool. */
#include "kernel.h"

#include "isola/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <netlink/route/link.h>
#include <netlink/route/route.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>

void inside_fini(struct inside *in)
{
	fd_close(&in->fd);
	nl_socket_free(in->sock);
}

static int open_inside(void *arg, struct err *err)
{
	struct inside *in = arg;
	in->fd = open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);
	return in->fd < 0 ? err_sys(err, "cannot open the container's network namespace")
			  : kernel_sock_new(&in->sock, err);
}

static int set_sysctls6(const char *name, bool on, struct err *err)
{
	static const struct {
		const char *key, *on, *off;
	} rows[] = {
		{ "accept_ra", "0", "0" },
		{ "accept_dad", "0", "0" }, /* its link-local address is there at once, too */
		{ "disable_ipv6", "0", "1" },
	};
	char path[96];
	int rc = 0;
	for (size_t i = 0; rc == 0 && i < sizeof(rows) / sizeof(rows[0]); i++) {
		(void)snprintf(path, sizeof(path), "/proc/sys/net/ipv6/conf/%s/%s", name,
			       rows[i].key);
		rc = kernel_sysctl(path, on ? rows[i].on : rows[i].off, err);
	}
	if (rc != -ENOENT || on)
		return rc;
	*err = (struct err)ERR_INIT; /* a kernel without IPv6 */
	return 0;
}

/* /proc/sys/net is the calling thread's. */
static int set_inside6(const struct inside *in, const char *name, bool on, struct err *err)
{
	cleanup_fd int home = open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);
	if (home < 0)
		return err_sys(err, "cannot open isolad's network namespace");
	if (setns(in->fd, CLONE_NEWNET) < 0)
		return err_sys(err, "cannot enter the container's network namespace");
	int rc = set_sysctls6(name, on, err);
	if (setns(home, CLONE_NEWNET) < 0)
		abort(); /* as in kernel_inside() */
	return rc;
}

int inside_open(struct inside *in, pid_t pid, pid_t parent, struct err *err)
{
	return kernel_inside(pid, parent, open_inside, in, NULL, err);
}

int inside_enter(struct inside *in, int fd, struct err *err)
{
	cleanup_fd int home = open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);
	if (home < 0)
		return err_sys(err, "cannot open isolad's network namespace");
	if (setns(fd, CLONE_NEWNET) < 0)
		return err_sys(err, "cannot enter the container's network namespace");
	int rc = open_inside(in, err);
	if (setns(home, CLONE_NEWNET) < 0)
		abort(); /* as in kernel_inside() */
	return rc;
}

int net_ns_open(pid_t pid, pid_t parent, int *ret_fd, struct err *err)
{
	cleanup_inside struct inside in = { .fd = -1 };
	int rc = inside_open(&in, pid, parent, err);
	if (rc == 0)
		*ret_fd = take_fd(&in.fd);
	return rc;
}

/* ---- the link ---- */

static int link_up(struct nl_sock *sock, int index, struct err *err)
{
	struct rtnl_link *more = rtnl_link_alloc();
	if (!more)
		return err_set(err, ENOMEM, "out of memory");
	rtnl_link_set_flags(more, IFF_UP);
	int rc = kernel_link_change(sock, index, more, "of the container", err);
	rtnl_link_put(more);
	return rc;
}

static int add_default(struct nl_sock *sock, const struct net_addr *gateway, int index,
		       struct err *err)
{
	size_t size = gateway->family == AF_INET6 ? 16 : 4;
	static const uint8_t zero[16];
	struct rtnl_route *route = rtnl_route_alloc();
	struct rtnl_nexthop *hop = rtnl_route_nh_alloc();
	struct nl_addr *via = nl_addr_build(gateway->family, gateway->bytes, size);
	struct nl_addr *all = nl_addr_build(gateway->family, zero, size);
	int rc = route && hop && via && all ? 0 : -NLE_NOMEM;
	if (rc == 0) {
		nl_addr_set_prefixlen(all, 0);
		rtnl_route_set_family(route, gateway->family);
		(void)rtnl_route_set_dst(route, all);
		rtnl_route_nh_set_gateway(hop, via);
		if (index)
			rtnl_route_nh_set_ifindex(hop, index);
		rtnl_route_add_nexthop(route, hop);
		hop = NULL; /* the route's */
		rc = rtnl_route_add(sock, route, NLM_F_CREATE | NLM_F_REPLACE);
	}
	if (hop)
		rtnl_route_nh_free(hop);
	nl_addr_put(via);
	nl_addr_put(all);
	rtnl_route_put(route);
	return rc < 0 ? kernel_err(err, rc, "set", "the container's default route") : 0;
}

static int set_link(struct nl_sock *sock, const struct net_bridge *b, const struct net_port *port,
		    struct err *err)
{
	int rc, index = kernel_link_index(sock, port->name, err);
	if (index <= 0)
		return index < 0 ? index : err_set(err, ENODEV, "the container's link is gone");
	rc = kernel_addr_add(sock, index, &port->addr, b->subnet.len, err);
	if (rc == 0 && port->addr6.family)
		rc = kernel_addr_add(sock, index, &port->addr6, b->subnet6.len, err);
	if (rc == 0)
		rc = link_up(sock, index, err);
	if (rc == 0 && port->gateway)
		rc = add_default(sock, &b->gateway, index, err);
	if (rc == 0 && port->gateway && port->addr6.family)
		rc = add_default(sock, &b->gateway6, index, err);
	return rc;
}

int inside_set(const struct inside *in, const struct net_bridge *b, const struct net_port *port,
	       struct err *err)
{
	int rc = set_inside6(in, port->name, port->addr6.family, err);
	return rc < 0 ? rc : set_link(in->sock, b, port, err);
}

int inside_add_default(const struct inside *in, const struct net_addr *gateway, struct err *err)
{
	return add_default(in->sock, gateway, 0, err);
}

/* SPDX-License-Identifier: Apache-2.0 */
/* veth - a container's port of a bridge. Thread pool. */
#include "kernel.h"

#include "isola/fd.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <netlink/route/link.h>
#include <netlink/route/link/bridge.h>
#include <netlink/route/link/veth.h>
#include <netlink/route/route.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- the pair ---- */

static int make_pair(struct nl_sock *sock, int bridge, unsigned int mtu,
		     const struct net_port *port, int netns, struct err *err)
{
	struct rtnl_link *link = rtnl_link_veth_alloc();
	struct nl_addr *mac = nl_addr_build(AF_UNSPEC, port->mac, sizeof(port->mac));
	int rc = link && mac ? 0 : -NLE_NOMEM;
	if (rc == 0) {
		struct rtnl_link *peer = rtnl_link_veth_get_peer(link);
		rtnl_link_set_name(peer, port->name);
		rtnl_link_set_addr(peer, mac);
		rtnl_link_set_ns_fd(peer, netns);
		if (mtu)
			rtnl_link_set_mtu(peer, mtu);
		rtnl_link_put(peer);
		rtnl_link_set_name(link, port->host_name);
		rtnl_link_set_master(link, bridge);
		rc = rtnl_link_add(sock, link, NLM_F_CREATE | NLM_F_EXCL);
	}
	nl_addr_put(mac);
	rtnl_link_put(link);
	return rc < 0 ? kernel_err(err, rc, "make the link", port->host_name) : 0;
}

int net_port_add(struct net *n, const struct net_bridge *b, const struct net_port *port, pid_t pid,
		 pid_t parent, struct err *err)
{
	cleanup_inside struct inside in = { .fd = -1 };
	struct nl_sock *sock = NULL;
	int bridge, rc = kernel_sock(n, &sock, err);
	if (rc == 0)
		rc = inside_open(&in, pid, parent, err);
	if (rc < 0)
		return rc;
	bridge = kernel_link_index(sock, b->name, err);
	if (bridge <= 0)
		return bridge < 0 ? bridge : err_set(err, ENODEV, "the bridge %s is gone", b->name);
	/* One that a crash left. */
	(void)kernel_link_delete(sock, port->host_name, NULL);
	rc = kernel_guard(n, port, err);
	if (rc == 0)
		rc = make_pair(sock, bridge, b->mtu, port, in.fd, err);
	if (rc == 0)
		rc = kernel_port_up(sock, b, port->host_name, err);
	if (rc == 0)
		rc = inside_set(&in, b, port, err);
	if (rc < 0)
		(void)net_port_remove(n, port, NULL);
	return rc;
}

int net_port_remove(struct net *n, const struct net_port *port, struct err *err)
{
	int rc = net_link_remove(n, port->host_name, err);
	kernel_unguard(n, port);
	return rc;
}

int net_link_remove(struct net *n, const char *name, struct err *err)
{
	struct nl_sock *sock = NULL;
	int rc = kernel_sock(n, &sock, err);
	return rc < 0 ? rc : kernel_link_delete(sock, name, err);
}

int net_port_route(struct net *n, pid_t pid, pid_t parent, const struct net_addrs *gateways,
		   struct err *err)
{
	cleanup_inside struct inside in = { .fd = -1 };
	(void)n;
	int rc = inside_open(&in, pid, parent, err);
	if (rc == 0 && gateways->v4.family)
		rc = inside_add_default(&in, &gateways->v4, err);
	if (rc == 0 && gateways->v6.family)
		rc = inside_add_default(&in, &gateways->v6, err);
	return rc;
}

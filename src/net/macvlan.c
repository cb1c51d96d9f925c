/* SPDX-License-Identifier: Apache-2.0 */
/* macvlan - a container's link that is on the segment of a link of the host by itself, with
 * a MAC address of its own. It is born in the container's namespace and is nowhere else, so
 * none of our rules sees what it sends. Thread pool. */
#include "kernel.h"

#include "isola/fd.h"

#include <errno.h>
#include <linux/if_link.h>
#include <netlink/route/link.h>
#include <netlink/route/link/macvlan.h>
#include <string.h>
#include <unistd.h>

/* The kernel removes the links of a namespace some time after its last process: what a
 * keeper that was killed has left may be in the way until then. */
#define TRIES    10
#define AGAIN_US 100000

static const uint32_t modes[] = {
	[NET_MODE_BRIDGE] = MACVLAN_MODE_BRIDGE,
	[NET_MODE_PRIVATE] = MACVLAN_MODE_PRIVATE,
	[NET_MODE_VEPA] = MACVLAN_MODE_VEPA,
	[NET_MODE_PASSTHRU] = MACVLAN_MODE_PASSTHRU,
};

/* With its name of the host until it is inside: kernels before 6.13 look for one of the
 * name out here. */
static int make(struct nl_sock *sock, const struct net_bridge *b, const struct net_port *port,
		int netns, struct err *err)
{
	int parent = kernel_link_index(sock, b->name, err);
	if (parent <= 0)
		return parent < 0 ? parent : err_set(err, ENODEV, "the parent %s is gone", b->name);
	struct rtnl_link *link = rtnl_link_macvlan_alloc();
	struct nl_addr *mac = nl_addr_build(AF_UNSPEC, port->mac, sizeof(port->mac));
	int rc = link && mac ? 0 : -NLE_NOMEM;
	if (rc == 0)
		rc = rtnl_link_macvlan_set_mode(link, modes[b->mode]);
	if (rc == 0) {
		rtnl_link_set_name(link, port->host_name);
		rtnl_link_set_link(link, parent);
		rtnl_link_set_ns_fd(link, netns);
		/* Passthru has the parent's. */
		if (b->mode != NET_MODE_PASSTHRU)
			rtnl_link_set_addr(link, mac);
		if (b->mtu)
			rtnl_link_set_mtu(link, b->mtu);
		rc = rtnl_link_add(sock, link, NLM_F_CREATE | NLM_F_EXCL);
	}
	nl_addr_put(mac);
	rtnl_link_put(link);
	return rc < 0 ? kernel_err(err, rc, "make a macvlan of", b->name) : 0;
}

static int name_inside(struct nl_sock *sock, const struct net_port *port, uint8_t ret_mac[6],
		       struct err *err)
{
	struct rtnl_link *link = NULL, *more = rtnl_link_alloc();
	int rc = more ? rtnl_link_get_kernel(sock, 0, port->host_name, &link) : -NLE_NOMEM;
	if (rc == 0) {
		struct nl_addr *mac = rtnl_link_get_addr(link);
		if (mac && nl_addr_get_len(mac) == 6)
			memcpy(ret_mac, nl_addr_get_binary_addr(mac), 6);
		rtnl_link_set_name(more, port->name);
		rc = rtnl_link_change(sock, link, more, 0);
	}
	rtnl_link_put(link);
	rtnl_link_put(more);
	return rc < 0 ? kernel_err(err, rc, "name the container's link", port->name) : 0;
}

static int remove_inside(struct nl_sock *sock, const struct net_port *port, struct err *err)
{
	/* By either name: it may have been born only. */
	(void)kernel_link_delete(sock, port->host_name, NULL);
	return kernel_link_delete(sock, port->name, err);
}

static int try_add(struct nl_sock *sock, const struct inside *in, const struct net_bridge *b,
		   const struct net_port *port, uint8_t ret_mac[6], struct err *err)
{
	*err = (struct err)ERR_INIT;
	int rc = make(sock, b, port, in->fd, err);
	if (rc < 0)
		return rc;
	rc = name_inside(in->sock, port, ret_mac, err);
	if (rc == 0)
		rc = inside_set(in, b, port, err);
	if (rc < 0)
		(void)remove_inside(in->sock, port, NULL);
	return rc;
}

static bool may_pass(int rc, const struct net_bridge *b)
{
	return rc == -EEXIST || rc == -EBUSY || (rc == -EINVAL && b->mode == NET_MODE_PASSTHRU);
}

static int explain(int rc, const struct net_bridge *b, const struct net_port *port, struct err *err)
{
	char mac[NET_MAC_TEXT];
	if (rc == -EINVAL && b->mtu)
		return err_prefix(err, "maybe its MTU %u is more than the parent's", b->mtu);
	if (rc == -EEXIST)
		return err_set(err, EEXIST,
			       "the parent %s has a macvlan with the MAC address %s already",
			       b->name, net_mac_format(port->mac, mac, sizeof(mac)));
	if (rc == -EOPNOTSUPP)
		return err_set(err, EOPNOTSUPP, "the kernel has no macvlan");
	if (may_pass(rc, b))
		return err_set(err, EBUSY,
			       "the parent %s is in use: it is another's bridge port or has a "
			       "macvlan, and one of macvlan_mode=passthru has it alone",
			       b->name);
	return rc;
}

int net_macvlan_add(struct net *n, const struct net_bridge *b, const struct net_port *port,
		    pid_t pid, pid_t parent, int *ret_ns_fd, uint8_t ret_mac[6], struct err *err)
{
	cleanup_inside struct inside in = { .fd = -1 };
	struct nl_sock *sock = NULL;
	int rc = kernel_sock(n, &sock, err);
	if (rc == 0)
		rc = inside_open(&in, pid, parent, err);
	if (rc < 0)
		return rc;
	rc = try_add(sock, &in, b, port, ret_mac, err);
	for (int i = 1; i < TRIES && may_pass(rc, b); i++) {
		(void)usleep(AGAIN_US);
		rc = try_add(sock, &in, b, port, ret_mac, err);
	}
	if (rc < 0)
		return explain(rc, b, port, err);
	*ret_ns_fd = take_fd(&in.fd);
	return 0;
}

int net_macvlan_remove(int ns_fd, const struct net_port *port, struct err *err)
{
	cleanup_inside struct inside in = { .fd = -1 };
	int rc = inside_enter(&in, ns_fd, err);
	return rc < 0 ? rc : remove_inside(in.sock, port, err);
}

bool net_macvlan_is_there(int ns_fd, const struct net_port *port)
{
	cleanup_inside struct inside in = { .fd = -1 };
	struct err ignored = ERR_INIT;
	return inside_enter(&in, ns_fd, &ignored) == 0 &&
	       kernel_link_index(in.sock, port->name, &ignored) > 0;
}

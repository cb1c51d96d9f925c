/* SPDX-License-Identifier: Apache-2.0 */
/* macvlan - a container's link that is on the segment of a link of the host by itself, with
 * a MAC address of its own. It is born in the container's namespace and is nowhere else, so
 * none of our rules sees what it sends. Thread pool. */
#include "kernel.h"

#include "isola/fd.h"
#include "isola/mac.h"

#include <errno.h>
#include <linux/if_link.h>
#include <netlink/route/link.h>
#include <netlink/route/link/macvlan.h>
#include <string.h>
#include <unistd.h>

/* The kernel removes the links of a namespace some time after its last process: what a
 * keeper that was killed has left may be in the way until then. */
#define AGAIN_MS  100
#define FOUND_MAX 64
#define ROUNDS    32

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

/* ---- those of a parent that are inside ---- */

struct found {
	int parent; /* its index out here */
	int indices[FOUND_MAX];
	size_t n;
};

/* By what the container cannot change: names, aliases and addresses are its own to set, if
 * it has CAP_NET_ADMIN. And what it made of a macvlan is one of the parent's, too. */
static void on_link(struct nl_object *o, void *arg)
{
	struct found *f = arg;
	struct rtnl_link *link = (struct rtnl_link *)o;
	const char *kind = rtnl_link_get_type(link);
	int32_t elsewhere;
	if (f->n < FOUND_MAX && kind && (!strcmp(kind, "macvlan") || !strcmp(kind, "macvtap")) &&
	    rtnl_link_get_link(link) == f->parent &&
	    rtnl_link_get_link_netnsid(link, &elsewhere) == 0)
		f->indices[f->n++] = rtnl_link_get_ifindex(link);
}

static int find_inside(struct nl_sock *sock, int parent, struct found *f, struct err *err)
{
	struct nl_cache *links = NULL;
	*f = (struct found){ .parent = parent };
	int rc = rtnl_link_alloc_cache(sock, AF_UNSPEC, &links);
	if (rc < 0)
		return kernel_err(err, rc, "list", "the container's links");
	nl_cache_foreach(links, on_link, f);
	nl_cache_free(links);
	return 0;
}

static int remove_index(struct nl_sock *sock, int index, struct err *err)
{
	struct rtnl_link *link = rtnl_link_alloc();
	if (!link)
		return err_set(err, ENOMEM, "out of memory");
	rtnl_link_set_ifindex(link, index);
	int rc = rtnl_link_delete(sock, link);
	rtnl_link_put(link);
	return rc < 0 && rc != -NLE_NODEV && rc != -NLE_OBJ_NOTFOUND
		       ? kernel_err(err, rc, "remove", "the container's link")
		       : 0;
}

/* Until none is there: a container may make one of another meanwhile. A parent that is gone
 * has taken them with it. */
static int remove_inside(struct nl_sock *sock, int parent, struct err *err)
{
	struct found f;
	for (int round = 0; round < ROUNDS; round++) {
		int rc = parent > 0 ? find_inside(sock, parent, &f, err) : 0;
		if (rc < 0 || parent <= 0 || !f.n)
			return rc;
		for (size_t i = 0; rc == 0 && i < f.n; i++)
			rc = remove_index(sock, f.indices[i], err);
		if (rc < 0)
			return rc;
	}
	return err_set(err, EBUSY, "the container makes links faster than they are removed");
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
		(void)remove_inside(in->sock, kernel_link_index(sock, b->name, NULL), NULL);
	return rc;
}

static bool may_pass(int rc, const struct net_bridge *b)
{
	return rc == -EEXIST || rc == -EBUSY || (rc == -EINVAL && b->mode == NET_MODE_PASSTHRU);
}

static int explain(int rc, const struct net_bridge *b, const struct net_port *port, struct err *err)
{
	char mac[MAC_TEXT];
	if (rc == -EINVAL && b->mtu)
		return err_prefix(err, "maybe its MTU %u is more than the parent's", b->mtu);
	if (rc == -EEXIST)
		return err_set(err, EEXIST,
			       "the parent %s has a macvlan with the MAC address %s already",
			       b->name, mac_format(port->mac, mac, sizeof(mac)));
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
		    pid_t pid, pid_t parent, unsigned int wait_ms, int *ret_ns_fd,
		    uint8_t ret_mac[6], struct err *err)
{
	cleanup_inside struct inside in = { .fd = -1 };
	struct nl_sock *sock = NULL;
	int rc = kernel_sock(n, &sock, err);
	if (rc == 0)
		rc = inside_open(&in, pid, parent, err);
	if (rc < 0)
		return rc;
	rc = try_add(sock, &in, b, port, ret_mac, err);
	for (; wait_ms >= AGAIN_MS && may_pass(rc, b); wait_ms -= AGAIN_MS) {
		(void)usleep(AGAIN_MS * 1000);
		rc = try_add(sock, &in, b, port, ret_mac, err);
	}
	if (rc < 0)
		return explain(rc, b, port, err);
	*ret_ns_fd = take_fd(&in.fd);
	return 0;
}

/* The index of the parent, and the namespace. */
static int look_inside(struct net *n, const struct net_bridge *b, int ns_fd, struct inside *in,
		       int *ret_parent, struct err *err)
{
	struct nl_sock *sock = NULL;
	int rc = kernel_sock(n, &sock, err);
	if (rc == 0)
		rc = *ret_parent = kernel_link_index(sock, b->name, err);
	return rc < 0 ? rc : inside_enter(in, ns_fd, err);
}

int net_macvlan_remove(struct net *n, const struct net_bridge *b, int ns_fd, struct err *err)
{
	cleanup_inside struct inside in = { .fd = -1 };
	int parent = 0, rc = look_inside(n, b, ns_fd, &in, &parent, err);
	return rc < 0 ? rc : remove_inside(in.sock, parent, err);
}

bool net_macvlan_is_there(struct net *n, const struct net_bridge *b, int ns_fd)
{
	cleanup_inside struct inside in = { .fd = -1 };
	struct err ignored = ERR_INIT;
	struct found f;
	int parent = 0;
	return look_inside(n, b, ns_fd, &in, &parent, &ignored) == 0 && parent > 0 &&
	       find_inside(in.sock, parent, &f, &ignored) == 0 && f.n > 0;
}

/* SPDX-License-Identifier: Apache-2.0 */
/* parent - the link of the host that macvlans are made from. It is the host's own, and left
 * alone, or one that we make and remove: "eth0.50" where there is none, and a dummy for a
 * network that leads nowhere. What is ours has our alias. Thread pool. */
#include "kernel.h"

#include "isola/fd.h"
#include "isola/num.h"

#include <errno.h>
#include <linux/wireless.h>
#include <net/if_arp.h>
#include <netlink/route/link.h>
#include <netlink/route/link/vlan.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#define VLAN_MIN 1
#define VLAN_MAX 4094 /* IEEE 802.1Q, 9.6 */

/* An access point takes frames from the MAC address that has signed on only. */
static bool is_wireless(const char *name)
{
	char path[64];
	struct iwreq req = { 0 };
	cleanup_fd int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	(void)snprintf(req.ifr_name, sizeof(req.ifr_name), "%s", name);
	(void)snprintf(path, sizeof(path), "/sys/class/net/%s/phy80211", name);
	return (fd >= 0 && ioctl(fd, SIOCGIWNAME, &req) == 0) || access(path, F_OK) == 0;
}

/* 1 with the owned link, 0 when there is none. */
static int find(struct nl_sock *sock, const char *name, struct rtnl_link **ret, struct err *err)
{
	int rc = rtnl_link_get_kernel(sock, 0, name, ret);
	if (rc == -NLE_NODEV || rc == -NLE_OBJ_NOTFOUND)
		return 0;
	return rc < 0 ? kernel_err(err, rc, "look for the link", name) : 1;
}

static bool is_ours(struct rtnl_link *link, const struct net_bridge *b)
{
	const char *alias = rtnl_link_get_ifalias(link);
	size_t n = strlen(NET_ALIAS);
	return alias && !strncmp(alias, NET_ALIAS, n) && !strcmp(alias + n, b->id);
}

/* What makes a link a parent, in the order in which it is asked. */
static const char *unfit(struct rtnl_link *link, bool of_vlan)
{
	const char *kind = rtnl_link_get_type(link), *alias = rtnl_link_get_ifalias(link);
	unsigned int flags = rtnl_link_get_flags(link);
	if (flags & IFF_LOOPBACK)
		return "is the loopback, which has no neighbours";
	if (rtnl_link_get_arptype(link) != ARPHRD_ETHER)
		return "is no Ethernet link";
	if (kind &&
	    (!strcmp(kind, "macvlan") || !strcmp(kind, "macvtap") || !strcmp(kind, "ipvlan")))
		return "is itself one of several on another link: give that";
	if (alias && !strncmp(alias, NET_ALIAS, strlen(NET_ALIAS)))
		return "belongs to a network of isolad's";
	/* A VLAN is taken out of a port's frames before the bridge sees them. */
	if (!of_vlan && rtnl_link_get_master(link))
		return "is a port of a bridge or bond: give that";
	if (is_wireless(rtnl_link_get_name(link)))
		return "is wireless: an access point takes no frames from further MAC addresses";
	if (!(flags & IFF_UP))
		return "is down (ip link set up)";
	return NULL;
}

/* Returns its index, 0 when there is no such link. */
static int check_link(struct nl_sock *sock, const struct net_bridge *b, const char *name,
		      bool of_vlan, struct err *err)
{
	struct rtnl_link *link = NULL;
	int rc = find(sock, name, &link, err);
	if (rc <= 0)
		return rc;
	const char *reason = is_ours(link, b) ? NULL : unfit(link, of_vlan);
	int index = rtnl_link_get_ifindex(link);
	rtnl_link_put(link);
	return reason ? err_set(err, EINVAL, "the parent %s cannot be used: it %s", name, reason)
		      : index;
}

/* "eth0.50" is a VLAN of eth0. */
static int split(const char *name, char base[NET_NAME_SIZE], int64_t *ret_vlan)
{
	const char *dot = strrchr(name, '.');
	if (!dot || dot == name || num_parse_range(dot + 1, VLAN_MIN, VLAN_MAX, ret_vlan) < 0)
		return -EINVAL;
	(void)snprintf(base, NET_NAME_SIZE, "%.*s", (int)(dot - name), name);
	return 0;
}

/* What a VLAN is made from; its index. */
static int check_base(struct nl_sock *sock, const struct net_bridge *b, int64_t *ret_vlan,
		      struct err *err)
{
	char base[NET_NAME_SIZE];
	if (split(b->name, base, ret_vlan) < 0)
		return err_set(err, ENODEV, "the parent %s is missing: the host has no such link",
			       b->name);
	int index = check_link(sock, b, base, true, err);
	return index ? index
		     : err_set(err, ENODEV,
			       "the parent %s is missing, and so is %s, of which it would be a VLAN",
			       b->name, base);
}

int net_parent_check(struct net *n, const struct net_bridge *b, struct err *err)
{
	struct nl_sock *sock = NULL;
	int64_t vlan;
	int rc = b->is_own ? 0 : kernel_sock(n, &sock, err);
	if (rc < 0 || b->is_own)
		return rc;
	rc = check_link(sock, b, b->name, false, err);
	if (rc == 0)
		rc = check_base(sock, b, &vlan, err);
	return rc < 0 ? rc : 0;
}

/* ---- what is ours ---- */

/* A name of the network's own: of a dummy, and of a VLAN until it has alias and name. */
static void own_name(const struct net_bridge *b, char ret[NET_NAME_SIZE])
{
	(void)snprintf(ret, NET_NAME_SIZE, "isola-%.9s", b->id);
}

static int add(struct nl_sock *sock, const struct net_bridge *b, const char *name, struct err *err)
{
	int64_t vlan = 0;
	int rc, base = b->is_own ? 0 : check_base(sock, b, &vlan, err);
	if (base < 0)
		return base;
	struct rtnl_link *link = b->is_own ? rtnl_link_alloc() : rtnl_link_vlan_alloc();
	if (!link)
		return err_set(err, ENOMEM, "out of memory");
	rtnl_link_set_name(link, name);
	if (b->is_own) {
		rc = rtnl_link_set_type(link, "dummy");
	} else {
		rtnl_link_set_link(link, base);
		rc = rtnl_link_vlan_set_id(link, (uint16_t)vlan);
	}
	if (rc == 0)
		rc = rtnl_link_add(sock, link, NLM_F_CREATE | NLM_F_EXCL);
	rtnl_link_put(link);
	return rc < 0 ? kernel_err(err, rc, "make the link", b->name) : 0;
}

/* In one message, so that no crash leaves one with a name but without our alias. */
static int finish(struct nl_sock *sock, const struct net_bridge *b, const char *name,
		  struct err *err)
{
	char alias[sizeof(NET_ALIAS) + sizeof(b->id)];
	struct rtnl_link *more = rtnl_link_alloc();
	int index = kernel_link_index(sock, name, err);
	int rc = more ? 0 : err_set(err, ENOMEM, "out of memory");
	if (rc == 0 && index <= 0)
		rc = index < 0 ? index : err_set(err, ENODEV, "the link %s is gone", name);
	if (rc == 0) {
		(void)snprintf(alias, sizeof(alias), NET_ALIAS "%s", b->id);
		if (strcmp(name, b->name) != 0)
			rtnl_link_set_name(more, b->name);
		rtnl_link_set_ifalias(more, alias);
		rtnl_link_set_flags(more, IFF_UP);
		rc = kernel_link_change(sock, index, more, b->name, err);
	}
	rtnl_link_put(more);
	return rc;
}

static int make(struct nl_sock *sock, const struct net_bridge *b, struct err *err)
{
	char name[NET_NAME_SIZE];
	own_name(b, name);
	/* One that a crash left. */
	(void)kernel_link_delete(sock, name, NULL);
	int rc = add(sock, b, name, err);
	if (rc == 0)
		rc = finish(sock, b, name, err);
	if (rc < 0)
		(void)kernel_link_delete(sock, name, NULL);
	return rc;
}

int kernel_parent_up(struct net *n, const struct net_bridge *b, struct err *err)
{
	struct nl_sock *sock = NULL;
	int rc = kernel_sock(n, &sock, err);
	if (rc == 0)
		rc = check_link(sock, b, b->name, false, err);
	return rc == 0 ? make(sock, b, err) : rc < 0 ? rc : 0;
}

int kernel_parent_down(struct net *n, const struct net_bridge *b, struct err *err)
{
	struct nl_sock *sock = NULL;
	struct rtnl_link *link = NULL;
	char name[NET_NAME_SIZE];
	int rc = kernel_sock(n, &sock, err);
	if (rc < 0)
		return rc;
	own_name(b, name);
	(void)kernel_link_delete(sock, name, NULL);
	rc = find(sock, b->name, &link, err);
	if (rc <= 0)
		return rc;
	rc = is_ours(link, b) ? kernel_link_delete(sock, b->name, err) : 0;
	rtnl_link_put(link);
	return rc;
}

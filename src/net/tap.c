/* SPDX-License-Identifier: Apache-2.0 */
/* tap - a VM's port of a bridge (Documentation/networking/tuntap.rst). Not persistent:
 * who holds a descriptor, isolad until the VM runs and then its keeper, keeps it. Thread
 * pool. */
#include "kernel.h"

#include "isola/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <netlink/route/link.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>

static int open_queue(const char *name, int more_flags, struct err *err)
{
	struct ifreq req = { .ifr_flags = (short)(IFF_TAP | IFF_NO_PI | IFF_VNET_HDR |
						  IFF_MULTI_QUEUE | more_flags) };
	(void)snprintf(req.ifr_name, sizeof(req.ifr_name), "%s", name);
	cleanup_fd int fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC | O_NONBLOCK);
	if (fd < 0)
		return err_sys(err, "cannot open /dev/net/tun, which a VM's network needs "
				    "(modprobe tun)");
	if (ioctl(fd, TUNSETIFF, &req) < 0)
		return err_sys(err, "cannot %s the tap device %s",
			       more_flags & IFF_TUN_EXCL ? "make" : "open a queue of", name);
	return take_fd(&fd);
}

static int open_device(const char *name, struct err *err)
{
	struct ifreq queue = { .ifr_flags = IFF_DETACH_QUEUE };
	cleanup_fd int fd = open_queue(name, IFF_TUN_EXCL, err);
	/* Else it gets frames that are the guest's. */
	if (fd >= 0 && ioctl(fd, TUNSETQUEUE, &queue) < 0)
		return err_sys(err, "cannot detach a queue of the tap device %s", name);
	return fd < 0 ? fd : take_fd(&fd);
}

int net_tap_queue(const char *name, struct err *err)
{
	int size = NET_TAP_HEADER;
	unsigned int index = if_nametoindex(name);
	cleanup_fd int fd = index ? open_queue(name, 0, err) : -ENODEV;
	/* One that is not there is made by TUNSETIFF, and would lead nowhere. */
	if (!index || (fd >= 0 && if_nametoindex(name) != index))
		return err_set(err, ENODEV, "the tap device %s is gone", name);
	if (fd >= 0 && ioctl(fd, TUNSETVNETHDRSZ, &size) < 0)
		return err_sys(err, "cannot set the header of the tap device %s", name);
	return fd < 0 ? fd : take_fd(&fd);
}

static int plug(struct nl_sock *sock, int bridge, const char *name, struct err *err)
{
	struct rtnl_link *link = rtnl_link_alloc(), *more = rtnl_link_alloc();
	int index = kernel_link_index(sock, name, err);
	int rc = link && more ? 0 : -NLE_NOMEM;
	if (rc == 0 && index > 0) {
		rtnl_link_set_ifindex(link, index);
		rtnl_link_set_master(more, bridge);
		rc = rtnl_link_change(sock, link, more, 0);
	}
	rtnl_link_put(link);
	rtnl_link_put(more);
	if (index <= 0)
		return index < 0 ? index : err_set(err, ENODEV, "the link %s is gone", name);
	return rc < 0 ? kernel_err(err, rc, "make a port of the bridge", name) : 0;
}

int net_tap_add(struct net *n, const struct net_bridge *b, const struct net_port *port, int *ret_fd,
		struct err *err)
{
	struct nl_sock *sock = NULL;
	int rc = kernel_sock(n, &sock, err);
	if (rc < 0)
		return rc;
	int bridge = kernel_link_index(sock, b->name, err);
	if (bridge <= 0)
		return bridge < 0 ? bridge : err_set(err, ENODEV, "the bridge %s is gone", b->name);
	/* One of a worker that is still on its way out. */
	(void)kernel_link_delete(sock, port->host_name, NULL);
	rc = kernel_guard(n, port, err);
	cleanup_fd int fd = rc < 0 ? rc : open_device(port->host_name, err);
	rc = fd < 0 ? fd : plug(sock, bridge, port->host_name, err);
	if (rc == 0)
		rc = kernel_port_up(sock, b, port->host_name, err);
	if (rc == 0)
		*ret_fd = take_fd(&fd);
	else
		kernel_unguard(n, port);
	return rc;
}

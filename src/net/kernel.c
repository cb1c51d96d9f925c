/* SPDX-License-Identifier: Apache-2.0 */
/* kernel - see kernel.h: netlink sockets, and what is done with any link. */
#include "kernel.h"

#include "isola/fd.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if_addr.h>
#include <netlink/route/addr.h>
#include <netlink/route/link.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct net *net_new(void)
{
	struct net *n = calloc(1, sizeof(*n));
	if (!n)
		return NULL;
	n->low_fd = -1;
	kernel_nft_keep_low(n);
	return n;
}

void net_free(struct net *n)
{
	if (!n)
		return;
	nl_socket_free(n->sock);
	kernel_nft_close(n);
	fd_close(&n->low_fd);
	free(n);
}

static const struct {
	int nl, code;
} codes[] = {
	{ NLE_EXIST, EEXIST },         { NLE_PERM, EPERM },          { NLE_NOACCESS, EACCES },
	{ NLE_NODEV, ENODEV },         { NLE_OBJ_NOTFOUND, ENOENT }, { NLE_NOMEM, ENOMEM },
	{ NLE_OPNOTSUPP, EOPNOTSUPP }, { NLE_BUSY, EBUSY },          { NLE_INVAL, EINVAL },
};

int kernel_err(struct err *err, int nl_code, const char *what, const char *name)
{
	int code = EIO;
	for (size_t i = 0; i < sizeof(codes) / sizeof(codes[0]); i++)
		if (codes[i].nl == abs(nl_code))
			code = codes[i].code;
	return err_set(err, code, "cannot %s %s: %s%s", what, name, nl_geterror(nl_code),
		       code == EPERM ? " (isolad may not make networks here: use --network none "
				       "or host)"
				     : "");
}

int kernel_sock_new(struct nl_sock **ret, struct err *err)
{
	struct nl_sock *sock = nl_socket_alloc();
	if (!sock)
		return err_set(err, ENOMEM, "out of memory");
	int rc = nl_connect(sock, NETLINK_ROUTE);
	if (rc < 0) {
		nl_socket_free(sock);
		return kernel_err(err, rc, "open", "a netlink socket");
	}
	(void)fcntl(nl_socket_get_fd(sock), F_SETFD, FD_CLOEXEC);
	*ret = sock;
	return 0;
}

int kernel_sock(struct net *n, struct nl_sock **ret, struct err *err)
{
	int rc = n->sock ? 0 : kernel_sock_new(&n->sock, err);
	*ret = n->sock;
	return rc;
}

int kernel_link_index(struct nl_sock *sock, const char *name, struct err *err)
{
	struct rtnl_link *link = NULL;
	int rc = rtnl_link_get_kernel(sock, 0, name, &link);
	if (rc == -NLE_NODEV || rc == -NLE_OBJ_NOTFOUND)
		return 0;
	if (rc < 0)
		return kernel_err(err, rc, "look for the link", name);
	int index = rtnl_link_get_ifindex(link);
	rtnl_link_put(link);
	return index;
}

int kernel_link_delete(struct nl_sock *sock, const char *name, struct err *err)
{
	struct rtnl_link *link = rtnl_link_alloc();
	if (!link)
		return err_set(err, ENOMEM, "out of memory");
	rtnl_link_set_name(link, name);
	int rc = rtnl_link_delete(sock, link);
	rtnl_link_put(link);
	if (rc < 0 && rc != -NLE_NODEV && rc != -NLE_OBJ_NOTFOUND)
		return kernel_err(err, rc, "remove the link", name);
	return 0;
}

int kernel_link_change(struct nl_sock *sock, int index, struct rtnl_link *more, const char *name,
		       struct err *err)
{
	struct rtnl_link *link = rtnl_link_alloc();
	int rc = link ? 0 : -NLE_NOMEM;
	if (rc == 0) {
		rtnl_link_set_ifindex(link, index);
		rc = rtnl_link_change(sock, link, more, 0);
	}
	rtnl_link_put(link);
	return rc < 0 ? kernel_err(err, rc, "change the link", name) : 0;
}

int kernel_addr_add(struct nl_sock *sock, int index, const struct net_addr *addr, unsigned int len,
		    struct err *err)
{
	char text[NET_ADDR_TEXT];
	size_t size = addr->family == AF_INET6 ? 16 : 4;
	struct rtnl_addr *a = rtnl_addr_alloc();
	struct nl_addr *local = nl_addr_build(addr->family, addr->bytes, size);
	int rc = a && local ? 0 : -NLE_NOMEM;
	if (rc == 0) {
		nl_addr_set_prefixlen(local, (int)len);
		rtnl_addr_set_ifindex(a, index);
		/* Ours are unique by their leases, and used at once. */
		if (addr->family == AF_INET6)
			rtnl_addr_set_flags(a, IFA_F_NODAD);
		rc = rtnl_addr_set_local(a, local);
	}
	if (rc == 0)
		rc = rtnl_addr_add(sock, a, 0);
	nl_addr_put(local);
	rtnl_addr_put(a);
	return rc < 0 ? kernel_err(err, rc, "set the address",
				   net_addr_format(addr, text, sizeof(text)))
		      : 0;
}

int kernel_sysctl(const char *path, const char *value, struct err *err)
{
	char now[8] = "";
	cleanup_fd int fd = open(path, O_RDWR | O_CLOEXEC);
	if (fd < 0)
		return err_sys(err, "cannot open %s", path);
	if (fd_read_all(fd, now, sizeof(now) - 1) > 0 && now[0] == value[0])
		return 0;
	if (pwrite(fd, value, strlen(value), 0) < 0)
		return err_sys(err, "cannot write %s", path);
	return 0;
}

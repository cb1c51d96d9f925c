/* SPDX-License-Identifier: Apache-2.0 */
/* net - links of the guest (GF_LINK): found by their MAC, named, given addresses and a way
 * out. netdevice(7), rtnetlink(7). The container has the guest's network namespace. */
#include "init.h"

#include "isola/fd.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <linux/netlink.h>
#include <linux/rtnetlink.h>

#define EXISTS_IS_FINE (NLM_F_CREATE | NLM_F_REPLACE)

struct message {
	struct nlmsghdr head;
	union {
		struct ifaddrmsg addr;
		struct rtmsg route;
	};
	uint8_t attrs[128];
};

static void set_name(char to[IFNAMSIZ], const char *name)
{
	(void)snprintf(to, IFNAMSIZ, "%s", name);
}

static void add_attr(struct message *m, unsigned short type, const void *data, unsigned short size)
{
	struct rtattr *a = (struct rtattr *)(void *)((char *)m + NLMSG_ALIGN(m->head.nlmsg_len));
	a->rta_type = type;
	a->rta_len = (unsigned short)RTA_LENGTH(size);
	memcpy(RTA_DATA(a), data, size);
	m->head.nlmsg_len = NLMSG_ALIGN(m->head.nlmsg_len) + RTA_ALIGN(a->rta_len);
}

/* Sends @m and returns what the kernel answers: 0 or -errno. */
static int talk(struct message *m)
{
	struct {
		struct nlmsghdr head;
		struct nlmsgerr error;
		uint8_t rest[512];
	} answer = { 0 };
	cleanup_fd int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
	m->head.nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK | EXISTS_IS_FINE;
	if (fd < 0 || send(fd, m, m->head.nlmsg_len, 0) < 0)
		return -errno;
	ssize_t n = recv(fd, &answer, sizeof(answer), 0);
	if (n < (ssize_t)NLMSG_LENGTH(sizeof(answer.error)) ||
	    answer.head.nlmsg_type != NLMSG_ERROR)
		return n < 0 ? -errno : -EIO;
	return answer.error.error;
}

static int add_address(unsigned int index, const struct ip_spec *ip)
{
	/* A tentative address of IPv6 could not be used at once. */
	const uint32_t flags = IFA_F_NODAD;
	struct message m = { .head = { .nlmsg_len = NLMSG_LENGTH(sizeof(m.addr)),
				       .nlmsg_type = RTM_NEWADDR },
			     .addr = { .ifa_family = (unsigned char)ip->family,
				       .ifa_prefixlen = (unsigned char)ip->prefix,
				       .ifa_index = index } };
	add_attr(&m, IFA_LOCAL, ip->bytes, ip->size);
	add_attr(&m, IFA_ADDRESS, ip->bytes, ip->size);
	if (ip->family == AF_INET6)
		add_attr(&m, IFA_FLAGS, &flags, sizeof(flags));
	return talk(&m);
}

static int add_gateway(unsigned int index, const struct ip_spec *ip)
{
	struct message m = { .head = { .nlmsg_len = NLMSG_LENGTH(sizeof(m.route)),
				       .nlmsg_type = RTM_NEWROUTE },
			     .route = { .rtm_family = (unsigned char)ip->family,
					.rtm_table = RT_TABLE_MAIN,
					.rtm_protocol = RTPROT_STATIC,
					.rtm_scope = RT_SCOPE_UNIVERSE,
					.rtm_type = RTN_UNICAST } };
	add_attr(&m, RTA_GATEWAY, ip->bytes, ip->size);
	add_attr(&m, RTA_OIF, &index, sizeof(index));
	return talk(&m);
}

/* Sets @ret to the name of the link with @mac. */
static int find(int sock, const uint8_t mac[6], char ret[IFNAMSIZ])
{
	struct if_nameindex *all = if_nameindex();
	int rc = -ENODEV;
	for (struct if_nameindex *i = all; i && i->if_index; i++) {
		struct ifreq req = { 0 };
		set_name(req.ifr_name, i->if_name);
		if (ioctl(sock, SIOCGIFHWADDR, &req) < 0 || memcmp(req.ifr_hwaddr.sa_data, mac, 6))
			continue;
		memcpy(ret, req.ifr_name, IFNAMSIZ);
		rc = 0;
	}
	if_freenameindex(all);
	return rc;
}

/* ---- devices that come and go ----
 *
 * A machine has places at which a virtio device may come to be (virtio 1.2, 4.2.2.1: device
 * ID 0). Their driver looks at them when it is told to. */

#define DEVICES "/sys/bus/platform/devices"
#define DRIVER  "/sys/bus/platform/drivers/virtio-mmio/"

static bool is_place(const char *name)
{
	return !strncmp(name, "LNRO0005:", 9) || !strncmp(name, "virtio-mmio.", 12);
}

/* Those without a device fail, as they did when the guest booted. */
static void look_for_devices(void)
{
	DIR *dir = opendir(DEVICES);
	struct dirent *e;
	while (dir && (e = readdir(dir))) {
		char path[PATH_MAX];
		(void)snprintf(path, sizeof(path), DEVICES "/%s/driver", e->d_name);
		if (is_place(e->d_name) && access(path, F_OK) < 0)
			(void)fd_write_file(AT_FDCWD, DRIVER "bind", e->d_name);
	}
	if (dir)
		(void)closedir(dir);
}

int net_unlink(const uint8_t *data, size_t size, struct err *err)
{
	struct link_spec l;
	char path[64], place[PATH_MAX];
	if (link_spec_parse(data, size, &l) < 0)
		return err_set(err, EPROTO, "isola-keeper sent a malformed link");
	(void)snprintf(path, sizeof(path), "/sys/class/net/%s/device", l.name);
	/* .../LNRO0005:03/virtio2 */
	char *slash = realpath(path, place) ? strrchr(place, '/') : NULL;
	if (slash) {
		*slash = '\0';
		slash = strrchr(place, '/');
	}
	if (!slash || !is_place(slash + 1))
		return err_set(err, ENODEV, "the link %s is no device of the machine", l.name);
	int rc = fd_write_file(AT_FDCWD, DRIVER "unbind", slash + 1);
	return rc < 0 ? err_rc(err, rc, "cannot let go of the link %s", l.name) : 0;
}

/* ---- links ---- */

static int set_up(int sock, const char *name, bool up)
{
	struct ifreq req = { 0 };
	set_name(req.ifr_name, name);
	if (ioctl(sock, SIOCGIFFLAGS, &req) < 0)
		return -errno;
	req.ifr_flags = (short)(up ? req.ifr_flags | IFF_UP : req.ifr_flags & ~IFF_UP);
	return ioctl(sock, SIOCSIFFLAGS, &req) < 0 ? -errno : 0;
}

/* A link has to be down for it. */
static int rename_link(int sock, const char *from, const char *to)
{
	struct ifreq req = { 0 };
	if (!strcmp(from, to))
		return 0;
	(void)set_up(sock, from, false);
	set_name(req.ifr_name, from);
	set_name(req.ifr_newname, to);
	return ioctl(sock, SIOCSIFNAME, &req) < 0 ? -errno : 0;
}

static int set_mtu(int sock, const char *name, unsigned int mtu)
{
	struct ifreq req = { .ifr_mtu = (int)mtu };
	set_name(req.ifr_name, name);
	return mtu && ioctl(sock, SIOCSIFMTU, &req) < 0 ? -errno : 0;
}

/* As src/net/veth.c has it for a container: without an address of IPv6 the link has none
 * at all, and no router tells it any. */
static int set_sysctls6(const char *name, bool on)
{
	static const struct {
		const char *key, *on, *off;
	} rows[] = {
		{ "accept_ra", "0", "0" },
		{ "accept_dad", "0", "0" },
		{ "disable_ipv6", "0", "1" },
	};
	char path[96];
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		const char *value = on ? rows[i].on : rows[i].off;
		(void)snprintf(path, sizeof(path), "/proc/sys/net/ipv6/conf/%s/%s", name,
			       rows[i].key);
		cleanup_fd int fd = open(path, O_WRONLY | O_CLOEXEC);
		if (fd < 0 && errno == ENOENT && !on)
			return 0; /* a kernel without IPv6 */
		if (fd < 0 || write(fd, value, 1) < 0)
			return -errno;
	}
	return 0;
}

static bool has_address6(const struct link_spec *l)
{
	struct tlv_reader r = tlv_read(l->fields.data, l->fields.size);
	struct tlv_field f;
	while (tlv_next(&r, &f) > 0)
		if (f.tag == GF_ADDRESS && strchr((const char *)f.data, ':'))
			return true;
	return false;
}

static int add_all(const struct link_spec *l, bool gateways, struct err *err)
{
	struct tlv_reader r = tlv_read(l->fields.data, l->fields.size);
	struct tlv_field f;
	unsigned int index = if_nametoindex(l->name);
	while (tlv_next(&r, &f) > 0) {
		struct ip_spec ip;
		if (f.tag != (gateways ? GF_GATEWAY : GF_ADDRESS) ||
		    ip_spec_parse((const char *)f.data, !gateways, &ip) < 0)
			continue;
		int rc = gateways ? add_gateway(index, &ip) : add_address(index, &ip);
		if (rc < 0)
			return err_rc(err, rc, "cannot add %s %s to %s",
				      gateways ? "gateway" : "address", (const char *)f.data,
				      l->name);
	}
	return 0;
}

int net_link(const uint8_t *data, size_t size, struct err *err)
{
	struct link_spec l;
	char name[IFNAMSIZ] = "";
	if (link_spec_parse(data, size, &l) < 0)
		return err_set(err, EPROTO, "isola-keeper sent a malformed link");
	cleanup_fd int sock = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (sock < 0)
		return err_sys(err, "cannot make a socket");
	int rc = l.has_mac ? find(sock, l.mac, name) : 0;
	if (rc == -ENODEV) {
		look_for_devices();
		rc = find(sock, l.mac, name);
	}
	if (rc == 0 && l.has_mac)
		rc = rename_link(sock, name, l.name);
	if (rc == 0)
		rc = set_mtu(sock, l.name, l.mtu);
	if (rc == 0 && l.has_mac)
		rc = set_sysctls6(l.name, has_address6(&l));
	if (rc == 0)
		rc = set_up(sock, l.name, true);
	if (rc < 0)
		return err_rc(err, rc, "cannot set up the link %s", l.name);
	rc = add_all(&l, false, err);
	return rc < 0 ? rc : add_all(&l, true, err);
}

int net_setup(const uint8_t *data, size_t size, struct err *err)
{
	struct tlv_reader r = tlv_read(data, size);
	struct tlv_field f;
	cleanup_fd int sock = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	int rc = sock < 0 ? -errno : set_up(sock, "lo", true);
	if (rc < 0)
		return err_rc(err, rc, "cannot bring lo up");
	while (rc == 0 && tlv_next(&r, &f) > 0)
		if (f.tag == GF_LINK)
			rc = net_link(f.data, f.size, err);
	return rc;
}

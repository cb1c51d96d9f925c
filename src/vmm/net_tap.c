/* SPDX-License-Identifier: Apache-2.0 */
/* net_tap - frames through a tap interface: one descriptor a queue pair, virtio headers
 * as they are, segmentation and checksums left to the kernel (tun.c). */
#include "net_backend.h"

#include "isola/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>

#define BIT(n) (1ULL << (n))

/* What a tap always can, and what its kernel must be asked for. */
#define FEATURES_BASE BIT(VIRTIO_NET_F_MRG_RXBUF)
#define FEATURES_HOST                                                                              \
	(BIT(VIRTIO_NET_F_CSUM) | BIT(VIRTIO_NET_F_HOST_TSO4) | BIT(VIRTIO_NET_F_HOST_TSO6) |      \
	 BIT(VIRTIO_NET_F_HOST_ECN) | BIT(VIRTIO_NET_F_HOST_UFO))

static const struct {
	unsigned int feature, flag;
	bool needs_csum;
} offloads[] = {
	{ VIRTIO_NET_F_GUEST_CSUM, TUN_F_CSUM, false },
	{ VIRTIO_NET_F_GUEST_TSO4, TUN_F_TSO4, true },
	{ VIRTIO_NET_F_GUEST_TSO6, TUN_F_TSO6, true },
	{ VIRTIO_NET_F_GUEST_ECN, TUN_F_TSO_ECN, true },
	{ VIRTIO_NET_F_GUEST_UFO, TUN_F_UFO, true },
};

static ssize_t receive(struct net_backend *b, unsigned int pair, const struct iovec *iov, int n)
{
	ssize_t got;
	do
		got = readv(b->fds[pair], iov, n);
	while (got < 0 && errno == EINTR);
	if (got < 0)
		return errno == EIO ? -EAGAIN : -errno; /* EIO: the interface is down */
	return got < (ssize_t)NET_HDR_BYTES ? -EAGAIN : got;
}

static int tap_send(struct net_backend *b, unsigned int pair, const struct iovec *iov, int n)
{
	ssize_t put;
	do
		put = writev(b->fds[pair], iov, n);
	while (put < 0 && errno == EINTR);
	if (put >= 0)
		return 0;
	return errno == EBADFD ? -ENOTCONN : -errno;
}

static unsigned int flags_of(uint64_t guest_features)
{
	bool csum = guest_features & BIT(VIRTIO_NET_F_GUEST_CSUM);
	unsigned int flags = 0;
	for (size_t i = 0; i < sizeof(offloads) / sizeof(offloads[0]); i++)
		if (guest_features & BIT(offloads[i].feature) && (csum || !offloads[i].needs_csum))
			flags |= offloads[i].flag;
	/* ECN alone is no offload. */
	if (!(flags & (TUN_F_TSO4 | TUN_F_TSO6)))
		flags &= ~(unsigned int)TUN_F_TSO_ECN;
	return flags;
}

static int set_offloads(struct net_backend *b, uint64_t guest_features)
{
	/* One setting of the interface, by any of its queues. */
	if (ioctl(b->fds[0], TUNSETOFFLOAD, (unsigned long)flags_of(guest_features)) < 0)
		return -errno;
	return 0;
}

/* Frames for a queue that nobody reads would be lost: it is detached. */
static int set_pairs(struct net_backend *b, unsigned int n)
{
	for (unsigned int i = 1; i < b->n_pairs; i++) {
		struct ifreq ifr = { .ifr_flags = i < n ? IFF_ATTACH_QUEUE : IFF_DETACH_QUEUE };
		if (ioctl(b->fds[i], TUNSETQUEUE, &ifr) < 0 && errno != EINVAL)
			return -errno; /* EINVAL: it is so already */
	}
	return 0;
}

/* EBADFD: the interface was removed. */
static bool is_gone(const struct net_backend *b)
{
	struct ifreq ifr;
	return ioctl(b->fds[0], TUNGETIFF, &ifr) < 0;
}

static void tap_free(struct net_backend *b)
{
	if (!b)
		return;
	for (unsigned int i = 0; i < b->n_pairs; i++)
		fd_close(&b->fds[i]);
	free(b);
}

static const struct net_backend_type tap = {
	.receive = receive,
	.send = tap_send,
	.set_offloads = set_offloads,
	.is_gone = is_gone,
	.set_pairs = set_pairs,
	.free = tap_free,
};

static int check_queue(int fd, unsigned int n, struct err *err)
{
	struct ifreq ifr = { .ifr_flags = 0 };
	int size = NET_HDR_BYTES;
	if (ioctl(fd, TUNGETIFF, &ifr) < 0)
		return err_sys(err, "the descriptor is no tap interface");
	if ((ifr.ifr_flags & (IFF_TAP | IFF_NO_PI | IFF_VNET_HDR)) !=
	    (IFF_TAP | IFF_NO_PI | IFF_VNET_HDR))
		return err_set(err, EINVAL,
			       "%s must be opened with IFF_TAP, IFF_NO_PI and IFF_VNET_HDR",
			       ifr.ifr_name);
	if (n > 1 && !(ifr.ifr_flags & IFF_MULTI_QUEUE))
		return err_set(err, EINVAL, "%s must be opened with IFF_MULTI_QUEUE for %u queues",
			       ifr.ifr_name, n);
	if (ioctl(fd, TUNSETVNETHDRSZ, &size) < 0)
		return err_sys(err, "%s: cannot set the header's size", ifr.ifr_name);
	return 0;
}

/* Asks the kernel with everything set, then with less. */
static uint64_t probe_offloads(struct net_backend *b)
{
	static const uint64_t sets[] = {
		BIT(VIRTIO_NET_F_GUEST_CSUM) | BIT(VIRTIO_NET_F_GUEST_TSO4) |
			BIT(VIRTIO_NET_F_GUEST_TSO6) | BIT(VIRTIO_NET_F_GUEST_ECN) |
			BIT(VIRTIO_NET_F_GUEST_UFO),
		BIT(VIRTIO_NET_F_GUEST_CSUM) | BIT(VIRTIO_NET_F_GUEST_TSO4) |
			BIT(VIRTIO_NET_F_GUEST_TSO6) | BIT(VIRTIO_NET_F_GUEST_ECN),
		BIT(VIRTIO_NET_F_GUEST_CSUM),
	};
	for (size_t i = 0; i < sizeof(sets) / sizeof(sets[0]); i++) {
		if (set_offloads(b, sets[i]) < 0)
			continue;
		(void)set_offloads(b, 0);
		return sets[i] | BIT(VIRTIO_NET_F_CTRL_GUEST_OFFLOADS);
	}
	return 0;
}

int net_tap_new(int *fds, unsigned int n, bool offload, struct net_backend **ret, struct err *err)
{
	struct net_backend *b = calloc(1, sizeof(*b));
	int rc = b ? 0 : err_set(err, ENOMEM, "no memory for a network device");
	for (unsigned int i = 0; i < n; i++) {
		if (rc == 0)
			rc = check_queue(fds[i], n, err);
		if (b)
			b->fds[i] = take_fd(&fds[i]);
		else
			fd_close(&fds[i]);
	}
	if (b) {
		b->type = &tap;
		b->n_pairs = n;
	}
	if (rc < 0) {
		tap_free(b);
		return rc;
	}
	b->features = FEATURES_BASE;
	if (offload)
		b->features |= FEATURES_HOST | probe_offloads(b);
	rc = set_pairs(b, 1);
	if (rc < 0) {
		tap_free(b);
		return err_rc(err, rc, "cannot detach the queues that are not used yet");
	}
	*ret = b;
	return 0;
}

int net_tap_open(const char *name, unsigned int n, int *ret_fds, struct err *err)
{
	struct ifreq ifr = { .ifr_flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR };
	if (strlen(name) >= sizeof(ifr.ifr_name) || !*name)
		return err_set(err, EINVAL, "\"%.64s\" is no name of an interface", name);
	memcpy(ifr.ifr_name, name, strlen(name) + 1);
	if (n > 1)
		ifr.ifr_flags |= IFF_MULTI_QUEUE;
	for (unsigned int i = 0; i < n; i++) {
		ret_fds[i] = open("/dev/net/tun", O_RDWR | O_CLOEXEC | O_NONBLOCK);
		if (ret_fds[i] >= 0 && ioctl(ret_fds[i], TUNSETIFF, &ifr) == 0)
			continue;
		int rc = err_sys(err,
				 ret_fds[i] < 0 ? "cannot open /dev/net/tun for %s"
						: "cannot use the tap interface %s",
				 name);
		for (unsigned int j = 0; j <= i; j++)
			fd_close(&ret_fds[j]);
		return rc;
	}
	return 0;
}

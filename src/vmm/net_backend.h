/* SPDX-License-Identifier: Apache-2.0 */
/* net_backend - where a network device's frames go: a tap interface (net_tap.c), or a
 * stream socket that speaks passt's framing (net_stream.c).
 *
 * Frames have the 12-byte header of virtio 1.2, 5.1.6 in front, both ways. A backend
 * never waits; its descriptors are watched by the device. isola-vmm: made before the
 * jail, then loop thread. */
#pragma once

#include "isola/err.h"

#include <linux/virtio_net.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/uio.h>

#define NET_HDR_BYTES sizeof(struct virtio_net_hdr_v1)
#define NET_FRAME_MIN 14               /* an Ethernet header */
#define NET_FRAME_MAX (65535 + 14 + 4) /* the largest packet, header, VLAN tag */
#define NET_PAIRS_MAX 16

struct net_backend;

struct net_backend_type {
	/* Reads one frame into @iov, cut if that is too small. Its size with header;
	 * -EAGAIN when there is none; else -errno: it is gone for good. */
	ssize_t (*receive)(struct net_backend *b, unsigned int pair, const struct iovec *iov,
			   int n);
	/* Sends one frame; iov[0] is exactly the header. 0; 1: it keeps a part, flush()
	 * when writable; -EAGAIN: the same, and try again then; -ENOTCONN: gone for good;
	 * else it refused this frame. */
	int (*send)(struct net_backend *b, unsigned int pair, const struct iovec *iov, int n);
	/* What it kept goes out. 0, -EAGAIN, -ENOTCONN. NULL: never keeps anything. */
	int (*flush)(struct net_backend *b, unsigned int pair);
	/* Whether there is nothing at the other end any more. NULL: it never comes back. */
	bool (*is_gone)(const struct net_backend *b);
	/* Which offloads the guest takes: VIRTIO_NET_F_GUEST_* as bits. */
	int (*set_offloads)(struct net_backend *b, uint64_t guest_features);
	/* The first @n of its queues are in use. */
	int (*set_pairs)(struct net_backend *b, unsigned int n);
	void (*free)(struct net_backend *b);
};

struct net_backend {
	const struct net_backend_type *type;
	uint64_t features; /* of virtio-net that it makes possible */
	unsigned int n_pairs;
	int fds[NET_PAIRS_MAX]; /* owned; to be watched */
};

/* @fds: queues of one tap interface with IFF_VNET_HDR, taken also on failure. -EINVAL
 * names what is missing. @offload: ask for checksum and segmentation offloads. */
int net_tap_new(int *fds, unsigned int n, bool offload, struct net_backend **ret, struct err *err);
/* Opens @n queues of the tap interface @name, made if need be (by hand). */
int net_tap_open(const char *name, unsigned int n, int *ret_fds, struct err *err);
/* @fd: a connected stream socket, taken also on failure. */
int net_stream_new(int fd, struct net_backend **ret, struct err *err);

/* SPDX-License-Identifier: Apache-2.0 */
/* dev_net_priv - a network device, for dev_net.c and net_serve.c only. Loop thread. */
#pragma once

#include "net_backend.h"
#include "net_rx.h"
#include "ratelimit.h"
#include "turn.h"
#include "virtio.h"

#include "isola/list.h"

#include <linux/virtio_net.h>
#include <stdbool.h>
#include <stdint.h>
#include <uv.h>

#define BIT(n) (1ULL << (n))

#define NET_GUEST_OFFLOADS                                                                         \
	(BIT(VIRTIO_NET_F_GUEST_CSUM) | BIT(VIRTIO_NET_F_GUEST_TSO4) |                             \
	 BIT(VIRTIO_NET_F_GUEST_TSO6) | BIT(VIRTIO_NET_F_GUEST_ECN) | BIT(VIRTIO_NET_F_GUEST_UFO))

struct pair {
	struct net *net;
	unsigned int index;
	uv_poll_t *poll; /* of its interface; NULL: none */
	bool hungry;     /* the guest has to post buffers */
	bool limited;    /* input waits for the rate limit */
	bool full;       /* output waits for the backend */
	struct net_rx rx;
};

struct net {
	struct virtio v;
	struct net_backend *backend; /* NULL: an empty place */
	struct turn turn;
	struct ratelimit *rx_limit, *tx_limit;
	unsigned int handles, n_pairs, n_active;
	bool tx_limited, link_up;
	int place; /* that ACPI tells of when it is first filled; -1: none, or it has */
	uint8_t mac[6];
	uint16_t mtu;
	uint64_t rx_frames, rx_bytes, rx_dropped, tx_frames, tx_bytes, tx_dropped, tx_refused;
	struct iovec iov[NET_CHAIN_IOV], slice[NET_CHAIN_IOV + 1];
	struct pair pairs[];
};

static inline struct net *net_of(struct virtio *v)
{
	return container_of(v, struct net, v);
}

/* What the device waits for, by what its state is now. */
void net_watch(struct net *net);

/* virtio_type.kick, and a turn's. */
void net_kick(struct virtio *v, unsigned int index);
void net_turn(struct turn *turn, unsigned int index);

/* The rate limits have tokens again; @arg is the net. */
void net_on_rx_limit(void *arg);
void net_on_tx_limit(void *arg);

/* SPDX-License-Identifier: Apache-2.0 */
/* net_rx - the receive buffers of one queue: popped ahead of the frames, so that a
 * frame of unknown size is read straight into guest memory, over as many buffers as it
 * takes (MRG_RXBUF; virtio 1.2, 5.1.6.4). While the guest has not posted room for the
 * largest frame, one frame at a time waits in a buffer of ours. Loop thread. */
#pragma once

#include "net_backend.h"
#include "virtq.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define NET_QUEUE_SIZE 256
#define NET_CHAIN_IOV  (2 * NET_QUEUE_SIZE) /* a buffer may lie in two regions */
#define NET_LARDER_IOV (4 * NET_QUEUE_SIZE)

struct net_rx {
	struct virtq *q;
	bool mergeable;
	struct iovec iov[NET_LARDER_IOV];
	unsigned int iov_first, n_iov;
	size_t room; /* bytes in iov */
	struct {
		uint16_t head, n_iov;
		uint32_t bytes;
	} chains[NET_QUEUE_SIZE]; /* a ring */
	unsigned int chain_first, n_chains;
	uint8_t *frame; /* waits for room; of NET_HDR_BYTES + NET_FRAME_MAX */
	size_t frame_bytes;
};

/* Nothing is popped, nothing waits; @q is borrowed. */
void net_rx_start(struct net_rx *rx, struct virtq *q, bool mergeable);
void net_rx_fini(struct net_rx *rx);

/* Receives one frame from @pair of @b. Its bytes; 0 when it found no room and was
 * dropped, because the guest's ring cannot hold it; -EAGAIN: no frame; -ENOBUFS: the
 * guest has to post buffers first, and kicks are on; -EPROTO: the guest broke the
 * rules; -ENOMEM; -ENOTCONN: the backend is gone. */
ssize_t net_rx_receive(struct net_rx *rx, struct net_backend *b, unsigned int pair);

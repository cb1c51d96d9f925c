/* SPDX-License-Identifier: Apache-2.0 */
/* net_rx - see net_rx.h. */
#include "net_rx.h"

#include <endian.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define FRAME_BYTES ((size_t)(NET_HDR_BYTES + NET_FRAME_MAX))

void net_rx_start(struct net_rx *rx, struct virtq *q, bool mergeable)
{
	rx->q = q;
	rx->mergeable = mergeable;
	rx->iov_first = rx->n_iov = rx->chain_first = rx->n_chains = 0;
	rx->room = rx->frame_bytes = 0;
}

void net_rx_fini(struct net_rx *rx)
{
	free(rx->frame);
	rx->frame = NULL;
}

/* The buffers at hand as one chain to write to: all, or those of the first chain. */
static struct virtq_chain view(struct net_rx *rx, bool first_only)
{
	struct virtq_chain chain;
	virtq_chain_init(&chain, rx->iov + rx->iov_first, 0);
	chain.n_write = (uint16_t)(first_only ? rx->chains[rx->chain_first].n_iov : rx->n_iov);
	return chain;
}

static bool has_enough(const struct net_rx *rx)
{
	return rx->mergeable ? rx->room >= FRAME_BYTES || rx->n_iov >= NET_CHAIN_IOV
			     : rx->n_chains > 0;
}

/* Pops until there is enough. 0, also when there is too little; -EPROTO. */
static int fill(struct net_rx *rx)
{
	while (!has_enough(rx)) {
		if (rx->iov_first + rx->n_iov > NET_LARDER_IOV - NET_CHAIN_IOV) {
			memmove(rx->iov, rx->iov + rx->iov_first, rx->n_iov * sizeof(rx->iov[0]));
			rx->iov_first = 0;
		}
		struct virtq_chain chain;
		virtq_chain_init(&chain, rx->iov + rx->iov_first + rx->n_iov, NET_CHAIN_IOV);
		int rc = virtq_pop(rx->q, &chain);
		if (rc == 0 && virtq_enable_kicks(rx->q))
			continue;
		if (rc <= 0)
			return rc;
		if (chain.n_read || chain.write_bytes < NET_HDR_BYTES)
			return -EPROTO;
		unsigned int at = (rx->chain_first + rx->n_chains++) % NET_QUEUE_SIZE;
		rx->chains[at].head = chain.head;
		rx->chains[at].n_iov = chain.n_write;
		rx->chains[at].bytes = chain.write_bytes;
		rx->n_iov += chain.n_write;
		rx->room += chain.write_bytes;
	}
	return 0;
}

/* A frame of @bytes is in the buffers: gives the used ones back. */
static void push_used(struct net_rx *rx, size_t bytes)
{
	uint16_t n = 0;
	for (size_t left = bytes; left > 0; n++) {
		uint32_t room = rx->chains[(rx->chain_first + n) % NET_QUEUE_SIZE].bytes;
		left -= left < room ? left : room;
	}
	struct virtq_chain first = view(rx, true);
	uint16_t num_buffers = htole16(n);
	(void)chain_write(&first, offsetof(struct virtio_net_hdr_v1, num_buffers), &num_buffers,
			  sizeof(num_buffers));
	for (size_t left = bytes; left > 0;) {
		unsigned int at = rx->chain_first;
		uint32_t room = rx->chains[at].bytes, used = left < room ? (uint32_t)left : room;
		virtq_push(rx->q, rx->chains[at].head, used);
		left -= used;
		rx->room -= room;
		rx->iov_first += rx->chains[at].n_iov;
		rx->n_iov -= rx->chains[at].n_iov;
		rx->chain_first = (at + 1) % NET_QUEUE_SIZE;
		rx->n_chains--;
	}
}

/* Room for one frame: all of it, or without MRG_RXBUF the first buffer. */
static size_t room_of(const struct net_rx *rx)
{
	if (rx->mergeable)
		return rx->room;
	return rx->n_chains ? rx->chains[rx->chain_first].bytes : 0;
}

/* The guest cannot post more than its ring holds; then waiting would be for ever. */
static bool ring_is_ours(const struct net_rx *rx)
{
	return rx->n_chains &&
	       (!rx->mergeable || rx->q->in_flight >= rx->q->size || rx->n_iov >= NET_CHAIN_IOV);
}

/* The frame that waits goes to the guest. As net_rx_receive(). */
static ssize_t place_frame(struct net_rx *rx)
{
	size_t bytes = rx->frame_bytes;
	if (room_of(rx) < bytes) {
		if (!ring_is_ours(rx))
			return -ENOBUFS;
		rx->frame_bytes = 0;
		return 0;
	}
	struct virtq_chain all = view(rx, false);
	(void)chain_write(&all, 0, rx->frame, bytes);
	rx->frame_bytes = 0;
	push_used(rx, bytes);
	return (ssize_t)bytes;
}

ssize_t net_rx_receive(struct net_rx *rx, struct net_backend *b, unsigned int pair)
{
	int rc = fill(rx);
	if (rc < 0)
		return rc;
	if (rx->frame_bytes)
		return place_frame(rx);
	if (rx->n_chains == 0)
		return -ENOBUFS;
	if (room_of(rx) >= FRAME_BYTES) {
		int n = (int)view(rx, !rx->mergeable).n_write;
		ssize_t got = b->type->receive(b, pair, rx->iov + rx->iov_first, n);
		if (got > 0)
			push_used(rx, (size_t)got);
		return got;
	}
	if (!rx->frame && !(rx->frame = malloc(FRAME_BYTES)))
		return -ENOMEM;
	const struct iovec whole = { rx->frame, FRAME_BYTES };
	ssize_t got = b->type->receive(b, pair, &whole, 1);
	if (got < 0)
		return got;
	rx->frame_bytes = (size_t)got;
	return place_frame(rx);
}

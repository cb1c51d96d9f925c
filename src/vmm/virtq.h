/* SPDX-License-Identifier: Apache-2.0 */
/* virtq - split virtqueues, the device's side (virtio 1.2, 2.7).
 *
 * Everything in the rings is written by the guest, also while we look: each field
 * is read once (16-bit ring indices atomically), descriptors are copied, then
 * judged, then used. Bounds: chains are at most as long as the queue (an indirect
 * table as the device's maximum), an avail index may not run more than the queue
 * size ahead, no more chains are out than the queue has entries. Whatever breaks
 * the rules is -EPROTO, and the device then needs a reset (virtio_fail()).
 *
 * EVENT_IDX (2.7.10) and INDIRECT_DESC (2.7.5.3) as negotiated. Loop thread. */
#pragma once

#include "isola/err.h"

#include "memory.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/uio.h>

#define VIRTQ_SIZE_MAX  1024
#define VIRTQ_DRAIN_MAX 2048

/* What the driver set, frozen at DRIVER_OK. */
struct virtq_config {
	uint16_t size; /* a power of two, at most the device's maximum */
	gpa_t desc, avail, used;
	bool ready;
};

struct virtq {
	const struct memory *memory;
	uint16_t size, size_max;
	struct span desc, avail, used; /* checked once, at virtq_start() */
	uint16_t next_avail, next_used;
	uint16_t used_published; /* next_used at the last virtq_publish() */
	uint16_t in_flight;      /* popped and not pushed: never more than size */
	bool event_idx, indirect;
	bool live;
};

/* Takes the driver's settings. -EPROTO with a reason when size or addresses are
 * not what the specification allows (alignment 16/2/4, within RAM). */
int virtq_start(struct virtq *q, const struct memory *memory, const struct virtq_config *config,
		uint64_t features, struct err *err);
void virtq_stop(struct virtq *q);

/* A chain of buffers; first what the device reads, then what it writes.
 * @iov and @iov_max are the caller's storage, set by virtq_chain_init(). */
struct virtq_chain {
	struct iovec *iov;
	uint16_t iov_max;
	uint16_t head;
	uint16_t n_read, n_write; /* iov[0..n_read), iov[n_read..n_read+n_write) */
	uint32_t read_bytes, write_bytes;
};

static inline void virtq_chain_init(struct virtq_chain *chain, struct iovec *iov, uint16_t max)
{
	*chain = (struct virtq_chain){ .iov = iov, .iov_max = max };
}

/* Pops the next request. A drain loop bounds itself, as the guest can refill while
 * we pop: after VIRTQ_DRAIN_MAX chains let the loop go round. The iovecs borrow guest memory until virtq_push(); they
 * are for system calls (readv, io_uring) and chain_read()/chain_write() only.
 * Returns 1 with a chain, 0 when the ring is empty, -EPROTO. */
int virtq_pop(struct virtq *q, struct virtq_chain *chain);
/* Undoes the last virtq_pop() (nothing popped since): no room, try again later. */
void virtq_unpop(struct virtq *q);
/* Gives a chain back; @written: bytes the device wrote. Not visible to the driver
 * before virtq_publish(). */
void virtq_push(struct virtq *q, uint16_t head, uint32_t written);
/* Makes pushed entries visible. True when the driver wants an interrupt for them. */
bool virtq_publish(struct virtq *q);
/* No kicks, please, while we drain. Then: kicks again; true when more has come in
 * between, and the caller drains once more. */
void virtq_disable_kicks(struct virtq *q);
bool virtq_enable_kicks(struct virtq *q);

/* Copies between a chain's readable / writable bytes and @buf, from @offset. Returns
 * how many bytes there were. */
size_t chain_read(const struct virtq_chain *chain, size_t offset, void *buf, size_t size);
size_t chain_write(const struct virtq_chain *chain, size_t offset, const void *buf, size_t size);
/* The part [@offset, @offset + @size) of the readable (@write false) or writable bytes
 * as iovecs in @out (@max of them). Returns their number, -EMSGSIZE if @max is too
 * small, -ERANGE if the chain is shorter. */
int chain_slice(const struct virtq_chain *chain, bool write, size_t offset, size_t size,
		struct iovec *out, int max);

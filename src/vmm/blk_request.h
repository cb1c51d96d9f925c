/* SPDX-License-Identifier: Apache-2.0 */
/* blk_request - requests of a disk (dev_blk.c), from the moment their header is read:
 * a request's data goes as iovecs to aio, its status byte is written and the chain given
 * back. Between, it is owned by aio; a reset waits for all of them before the rings are
 * let go. What the host refuses is VIRTIO_BLK_S_IOERR for the guest and a warning for
 * the operator. virtio 1.2, 5.2.6. isola-vmm, loop thread. */
#pragma once

#include "aio.h"
#include "blk_file.h"
#include "ratelimit.h"
#include "virtio.h"

#include <linux/virtio_blk.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/uio.h>

#define BLK_QUEUE_SIZE   256
#define BLK_QUEUES_MAX   16
#define BLK_IOVS         (BLK_QUEUE_SIZE + 8) /* a few more where regions of memory meet */
#define BLK_DISCARD_SEGS 32
/* So that one segment is seconds of work at worst. */
#define BLK_DISCARD_SECTORS (4u << 20)
#define BLK_ZERO_SECTORS    (1u << 20)

struct blk;

struct blk_request {
	struct aio_request io; /* first */
	struct blk *blk;
	struct blk_request *next_free;
	struct virtq_chain chain;
	unsigned int queue;
	uint32_t type;
	uint64_t bytes; /* of data */
	/* DISCARD, WRITE_ZEROES: the segments, which one is at hand, how much is done of
	 * it when zeroes have to be written */
	struct virtio_blk_discard_write_zeroes segs[BLK_DISCARD_SEGS];
	unsigned int n_segs, seg;
	uint64_t seg_done;
	struct iovec iov[BLK_IOVS], data[BLK_IOVS];
};

struct blk_queue_stats {
	uint64_t reads, read_bytes, writes, written_bytes, flushes, discards, zeroes, errors;
};

struct blk {
	struct virtio v; /* first */
	struct blk_file file;
	enum blk_cache cache;
	bool readonly, discard, wce, throttled;
	bool no_zero_range, no_punch; /* the file system has none */
	char serial[VIRTIO_BLK_ID_BYTES + 1];
	struct virtio_blk_config config;
	struct aio *aio;
	struct ratelimit *limit;
	/* Requests are as many as can be out; memory of those never needed at once is
	 * never touched. */
	struct blk_request *requests, *free_requests;
	unsigned int n_requests, n_fresh, in_flight;
	uint64_t dirty; /* queues with pushed chains, not yet published */
	struct blk_queue_stats stats[BLK_QUEUES_MAX];
	void (*rested)(void *arg);
	void *rested_arg;
};

/* There always is one: a queue gives out no more chains than it has entries. */
struct blk_request *blk_request_take(struct blk *b);
/* It was not begun after all. */
void blk_request_give_back(struct blk_request *r);
/* Begins what @header asks for; @out_bytes follow it in the chain. It gives the chain
 * back by itself, at once or later. */
void blk_request_start(struct blk_request *r, const struct virtio_blk_outhdr *header,
		       uint64_t out_bytes);
/* Tells the driver of what is done (@arg: struct blk), and who waits for the disk to
 * rest. */
void blk_settle(void *arg);

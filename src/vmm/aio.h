/* SPDX-License-Identifier: Apache-2.0 */
/* aio - asynchronous reads, writes, syncs and fallocates of a few files.
 *
 * Engines: io_uring (one ring, one eventfd that the loop polls), else plain
 * system calls at once. Which one works is found out when it is made; afterwards
 * io_uring needs io_uring_enter and reads of the eventfd only, so that a seccomp
 * filter may come in between.
 *
 * Ownership of a request: 1. the caller fills it and calls aio_submit(); 2. from then
 * on it and its iovecs belong to aio, whatever becomes of the device, until 3. done()
 * is called, exactly once, never from within aio_submit(). done() may submit it or
 * another again. Buffers are in use between 1 and 3: a reset waits by aio_drain().
 *
 * A short read or write goes on where it stopped; what is interrupted begins again.
 * isola-vmm, loop thread (which must be the one that called aio_new()). */
#pragma once

#include "isola/err.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <uv.h>

enum aio_engine { AIO_AUTO, AIO_URING, AIO_SYNC };
enum aio_op { AIO_READ, AIO_WRITE, AIO_SYNC_DATA, AIO_ALLOCATE };

struct aio_request {
	enum aio_op op;
	unsigned int file; /* index in aio_new()'s @fds */
	uint64_t offset;
	/* AIO_READ, AIO_WRITE; changed as it goes on */
	struct iovec *iov;
	int n_iov;
	bool dsync; /* AIO_WRITE: on stable storage when done */
	/* AIO_ALLOCATE: of fallocate(2) */
	int mode;
	uint64_t size;
	/* @result: 0 or -errno; -EIO too when the file ends before the request does. */
	void (*done)(struct aio_request *r, int result);

	/* aio's own */
	struct aio_request *next;
	uint64_t left;
	unsigned int n_retries;
};

struct aio;

/* @fds: borrowed, open until aio_free(). @depth: how many requests may be under way.
 * @settled (may be NULL) is called after done() of all that completed in one go of the
 * loop: publish once. AIO_URING fails where it does not work; AIO_AUTO falls back. */
int aio_new(uv_loop_t *loop, enum aio_engine engine, const int *fds, unsigned int n_fds,
	    unsigned int depth, void (*settled)(void *arg), void *arg, struct aio **ret,
	    struct err *err);
/* "io_uring" or "sync"; why not io_uring ("" when it is). */
const char *aio_engine_name(const struct aio *aio);
const char *aio_engine_reason(const struct aio *aio);

/* Queues @r; nothing happens before aio_flush(). */
void aio_submit(struct aio *aio, struct aio_request *r);
/* Hands what is queued to the kernel and calls done() for all that completed already
 * (but not settled()). */
void aio_flush(struct aio *aio);
/* Requests between aio_submit() and done(). */
unsigned int aio_in_flight(const struct aio *aio);
/* Blocks until none is. False when that takes longer than @ms: then requests still
 * use their buffers. */
bool aio_drain(struct aio *aio, unsigned int ms);
/* None may be in flight. NULL is fine. */
void aio_free(struct aio *aio);

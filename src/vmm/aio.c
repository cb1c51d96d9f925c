/* SPDX-License-Identifier: Apache-2.0 */
/* aio - see aio.h.
 *
 * Requests wait in a list until aio_flush(), and again when they have to go on after
 * a short transfer. Completions that are there when the kernel was asked are taken at
 * once, without the eventfd: it is switched off meanwhile. Files are not registered
 * with the ring: a ring is torn down some time after its process, and a registered
 * file, with the lock of its disk, would be held until then. */
#include "aio.h"

#include "isola/fd.h"

#include <errno.h>
#include <liburing.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>

#define SQ_ENTRIES_MAX 128
#define RETRIES_MAX    64
/* Threads of the kernel for what cannot be done without blocking. */
#define WORKERS_MAX 8
#define FILES_MAX   4

struct aio {
	bool uring;
	char reason[160];
	struct io_uring ring;
	uv_poll_t poll; /* of event_fd; data: the aio */
	int event_fd;
	int fds[FILES_MAX];
	unsigned int n_fds;
	struct aio_request *first, **last; /* not yet with the kernel */
	unsigned int in_flight;
	void (*settled)(void *arg);
	void *arg;
};

/* ---- requests ---- */

static void enqueue(struct aio *aio, struct aio_request *r)
{
	r->next = NULL;
	*aio->last = r;
	aio->last = &r->next;
}

static struct aio_request *dequeue(struct aio *aio)
{
	struct aio_request *r = aio->first;
	if (!r)
		return NULL;
	aio->first = r->next;
	if (!aio->first)
		aio->last = &aio->first;
	return r;
}

void aio_submit(struct aio *aio, struct aio_request *r)
{
	r->left = 0;
	r->n_retries = 0;
	if (r->op == AIO_READ || r->op == AIO_WRITE)
		for (int i = 0; i < r->n_iov; i++)
			r->left += r->iov[i].iov_len;
	aio->in_flight++;
	enqueue(aio, r);
}

unsigned int aio_in_flight(const struct aio *aio)
{
	return aio->in_flight;
}

/* Leaves out the first @n bytes, which are done. */
static void go_on(struct aio_request *r, uint64_t n)
{
	r->left -= n;
	r->offset += n;
	while (r->n_iov > 0 && n >= r->iov->iov_len) {
		n -= r->iov->iov_len;
		r->iov++;
		r->n_iov--;
	}
	if (n > 0) {
		r->iov->iov_base = (uint8_t *)r->iov->iov_base + n;
		r->iov->iov_len -= n;
	}
}

/* The kernel answered @result: done, or once more. */
static void answered(struct aio *aio, struct aio_request *r, int result)
{
	bool transfer = r->op == AIO_READ || r->op == AIO_WRITE;
	if ((result == -EINTR || result == -EAGAIN) && r->n_retries++ < RETRIES_MAX) {
		enqueue(aio, r);
		return;
	}
	if (transfer && result > 0 && (uint64_t)result < r->left) {
		go_on(r, (uint64_t)result);
		enqueue(aio, r);
		return;
	}
	if (transfer && result == 0 && r->left > 0)
		result = -EIO;
	aio->in_flight--;
	r->done(r, result < 0 ? result : 0);
}

/* ---- plain system calls ---- */

static int call(const struct aio *aio, const struct aio_request *r)
{
	int fd = aio->fds[r->file];
	ssize_t n;
	switch (r->op) {
	case AIO_READ:
		n = preadv(fd, r->iov, r->n_iov, (off_t)r->offset);
		break;
	case AIO_WRITE:
		n = pwritev2(fd, r->iov, r->n_iov, (off_t)r->offset, r->dsync ? RWF_DSYNC : 0);
		break;
	case AIO_SYNC_DATA:
		n = fdatasync(fd);
		break;
	default:
		n = fallocate(fd, r->mode, (off_t)r->offset, (off_t)r->size);
	}
	/* one transfer is below 2 GiB (read(2)) */
	return n < 0 ? -errno : (int)n;
}

static void flush_sync(struct aio *aio)
{
	struct aio_request *r;
	while ((r = dequeue(aio)))
		answered(aio, r, call(aio, r));
}

/* ---- io_uring ---- */

static void prepare(const struct aio *aio, struct io_uring_sqe *sqe, struct aio_request *r)
{
	int file = aio->fds[r->file];
	switch (r->op) {
	case AIO_READ:
		io_uring_prep_readv(sqe, file, r->iov, (unsigned int)r->n_iov, r->offset);
		break;
	case AIO_WRITE:
		io_uring_prep_writev2(sqe, file, r->iov, (unsigned int)r->n_iov, r->offset,
				      r->dsync ? RWF_DSYNC : 0);
		break;
	case AIO_SYNC_DATA:
		io_uring_prep_fsync(sqe, file, IORING_FSYNC_DATASYNC);
		break;
	default:
		io_uring_prep_fallocate(sqe, file, r->mode, (off_t)r->offset, (off_t)r->size);
	}
	io_uring_sqe_set_data(sqe, r);
}

/* False when the kernel takes no more for now. */
static bool push_queued(struct aio *aio)
{
	struct aio_request *r;
	while ((r = aio->first)) {
		struct io_uring_sqe *sqe = io_uring_get_sqe(&aio->ring);
		if (!sqe) {
			if (io_uring_submit(&aio->ring) < 0)
				return false;
			sqe = io_uring_get_sqe(&aio->ring);
			if (!sqe)
				return false;
		}
		(void)dequeue(aio);
		prepare(aio, sqe, r);
	}
	return io_uring_sq_ready(&aio->ring) == 0 || io_uring_submit(&aio->ring) >= 0;
}

static bool reap(struct aio *aio)
{
	struct io_uring_cqe *cqe;
	bool any = false;
	while (io_uring_peek_cqe(&aio->ring, &cqe) == 0 && cqe) {
		struct aio_request *r = io_uring_cqe_get_data(cqe);
		int result = cqe->res;
		io_uring_cqe_seen(&aio->ring, cqe);
		answered(aio, r, result);
		any = true;
	}
	return any;
}

static void wake_later(const struct aio *aio)
{
	uint64_t one = 1;
	(void)write(aio->event_fd, &one, sizeof(one));
}

static void flush_uring(struct aio *aio)
{
	(void)io_uring_cq_eventfd_toggle(&aio->ring, false);
	bool taken;
	do {
		taken = push_queued(aio);
	} while (reap(aio) || (taken && aio->first));
	(void)io_uring_cq_eventfd_toggle(&aio->ring, true);
	/* What completed between the last look and the switch raised nothing; what the
	 * kernel did not take is tried again. */
	if (!taken || io_uring_cq_ready(&aio->ring) > 0)
		wake_later(aio);
}

static void on_event(uv_poll_t *poll, int status, int events)
{
	struct aio *aio = poll->data;
	uint64_t n;
	(void)events;
	if (status < 0 || read(aio->event_fd, &n, sizeof(n)) != sizeof(n))
		return;
	flush_uring(aio);
	if (aio->settled)
		aio->settled(aio->arg);
}

/* The operations that aio needs; an old kernel has no IORING_OP_FALLOCATE. */
static bool has_operations(struct io_uring *ring)
{
	static const int ops[] = { IORING_OP_READV, IORING_OP_WRITEV, IORING_OP_FSYNC,
				   IORING_OP_FALLOCATE };
	struct io_uring_probe *probe = io_uring_get_probe_ring(ring);
	bool good = probe != NULL;
	for (size_t i = 0; good && i < sizeof(ops) / sizeof(ops[0]); i++)
		good = io_uring_opcode_supported(probe, ops[i]);
	io_uring_free_probe(probe);
	return good;
}

/* A ring for @depth requests with the best flags that this kernel knows. */
static int make_ring(struct io_uring *ring, unsigned int depth)
{
	static const unsigned int flags[] = {
		IORING_SETUP_COOP_TASKRUN | IORING_SETUP_SINGLE_ISSUER, /* 6.0 */
		IORING_SETUP_COOP_TASKRUN,                              /* 5.19 */
		0,
	};
	int rc = -EINVAL;
	for (size_t i = 0; rc == -EINVAL && i < sizeof(flags) / sizeof(flags[0]); i++) {
		struct io_uring_params params = { .flags = flags[i] | IORING_SETUP_CQSIZE,
						  .cq_entries = depth };
		rc = io_uring_queue_init_params(depth < SQ_ENTRIES_MAX ? depth : SQ_ENTRIES_MAX,
						ring, &params);
	}
	return rc;
}

/* 0, or the reason in aio->reason. */
static int start_uring(struct aio *aio, unsigned int depth)
{
	int rc = make_ring(&aio->ring, depth);
	if (rc < 0) {
		(void)snprintf(aio->reason, sizeof(aio->reason),
			       rc == -EPERM ? "io_uring is not allowed here "
					      "(kernel.io_uring_disabled, or a filter): %s"
					    : "io_uring_setup: %s",
			       strerror(-rc));
		return rc;
	}
	if (!has_operations(&aio->ring)) {
		(void)snprintf(aio->reason, sizeof(aio->reason),
			       "the kernel's io_uring lacks operations (5.6 has them)");
		rc = -EOPNOTSUPP;
	} else if ((rc = io_uring_register_eventfd(&aio->ring, aio->event_fd)) < 0) {
		(void)snprintf(aio->reason, sizeof(aio->reason), "io_uring_register: %s",
			       strerror(-rc));
	}
	if (rc < 0) {
		io_uring_queue_exit(&aio->ring);
		return rc;
	}
	/* only since 5.15, and only a bound */
	unsigned int workers[] = { WORKERS_MAX, WORKERS_MAX };
	(void)io_uring_register_iowq_max_workers(&aio->ring, workers);
	aio->uring = true;
	return 0;
}

static void aio_destroy(struct aio *aio)
{
	if (aio->uring)
		io_uring_queue_exit(&aio->ring);
	fd_close(&aio->event_fd);
	free(aio);
}

static void on_closed(uv_handle_t *handle)
{
	aio_destroy(handle->data);
}

/* Polls the ring's eventfd; takes @aio on failure. */
static int watch(struct aio *aio, uv_loop_t *loop, struct err *err)
{
	int rc = uv_poll_init(loop, &aio->poll, aio->event_fd);
	if (rc < 0) {
		aio_destroy(aio);
		return err_rc(err, rc, "cannot watch io_uring");
	}
	aio->poll.data = aio;
	rc = uv_poll_start(&aio->poll, UV_READABLE, on_event);
	if (rc < 0) {
		uv_close((uv_handle_t *)&aio->poll, on_closed);
		return err_rc(err, rc, "cannot watch io_uring");
	}
	return 0;
}

int aio_new(uv_loop_t *loop, enum aio_engine engine, const int *fds, unsigned int n_fds,
	    unsigned int depth, void (*settled)(void *arg), void *arg, struct aio **ret,
	    struct err *err)
{
	if (n_fds > FILES_MAX)
		return err_set(err, EINVAL, "%u files are too many", n_fds);
	struct aio *aio = calloc(1, sizeof(*aio));
	if (!aio)
		return err_set(err, ENOMEM, "out of memory");
	aio->last = &aio->first;
	aio->settled = settled;
	aio->arg = arg;
	aio->n_fds = n_fds;
	memcpy(aio->fds, fds, sizeof(*fds) * n_fds);
	aio->event_fd = -1;
	if (engine == AIO_SYNC) {
		(void)snprintf(aio->reason, sizeof(aio->reason), "not asked for");
		*ret = aio;
		return 0;
	}
	aio->event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	int rc = aio->event_fd < 0 ? err_sys(err, "eventfd") : start_uring(aio, depth);
	if (aio->uring) {
		rc = watch(aio, loop, err);
		if (rc < 0)
			return rc;
	} else if (aio->event_fd < 0 || engine == AIO_URING) {
		if (aio->event_fd >= 0)
			rc = err_set(err, EOPNOTSUPP, "%s", aio->reason);
		aio_destroy(aio);
		return rc;
	}
	*ret = aio;
	return 0;
}

const char *aio_engine_name(const struct aio *aio)
{
	return aio->uring ? "io_uring" : "sync";
}

const char *aio_engine_reason(const struct aio *aio)
{
	return aio->reason;
}

void aio_flush(struct aio *aio)
{
	if (aio->uring)
		flush_uring(aio);
	else
		flush_sync(aio);
}

static uint64_t now_ms(void)
{
	struct timespec ts;
	(void)clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

bool aio_drain(struct aio *aio, unsigned int ms)
{
	uint64_t now = now_ms(), end = now + ms;
	for (; aio->in_flight > 0; now = now_ms()) {
		aio_flush(aio);
		if (aio->in_flight == 0)
			break;
		if (now >= end)
			return false;
		struct __kernel_timespec wait = { .tv_sec = (long long)(end - now) / 1000,
						  .tv_nsec =
							  (long long)(end - now) % 1000 * 1000000 };
		struct io_uring_cqe *cqe;
		(void)io_uring_wait_cqe_timeout(&aio->ring, &cqe, &wait);
	}
	return true;
}

void aio_free(struct aio *aio)
{
	if (!aio)
		return;
	if (aio->uring)
		uv_close((uv_handle_t *)&aio->poll, on_closed);
	else
		aio_destroy(aio);
}

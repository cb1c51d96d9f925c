/* SPDX-License-Identifier: Apache-2.0 */
/* test_aio - each case with both engines; io_uring's skips, with the reason, where the
 * kernel has none. */
#include "vmm/aio.h"

#include "isola/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <seccomp.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <cmocka.h>

struct fixture {
	uv_loop_t loop;
	struct aio *aio;
	int fd, pipe[2];
	int n_settled;
};

struct req {
	struct aio_request r; /* first */
	int n_done, result;
	struct aio *again; /* done() submits it once more */
};

static void on_done(struct aio_request *r, int result)
{
	struct req *q = (struct req *)r;
	q->n_done++;
	q->result = result;
	if (q->again) {
		struct aio *aio = q->again;
		q->again = NULL;
		aio_submit(aio, r);
	}
}

static void on_settled(void *arg)
{
	((struct fixture *)arg)->n_settled++;
}

static int setup(void **state, enum aio_engine engine)
{
	struct fixture *f = calloc(1, sizeof(*f));
	struct err err = ERR_INIT;
	assert_non_null(f);
	assert_int_equal(uv_loop_init(&f->loop), 0);
	f->fd = memfd_create("disk", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	assert_true(f->fd >= 0);
	assert_int_equal(pipe2(f->pipe, O_CLOEXEC), 0);
	const int fds[] = { f->fd, f->pipe[0] };
	int rc = aio_new(&f->loop, engine, fds, 2, 256, on_settled, f, &f->aio, &err);
	if (rc < 0)
		print_message("# no io_uring: %s\n", err.text);
	*state = f;
	return 0;
}

static int setup_sync(void **state)
{
	return setup(state, AIO_SYNC);
}

static int setup_uring(void **state)
{
	return setup(state, AIO_URING);
}

static int teardown(void **state)
{
	struct fixture *f = *state;
	aio_free(f->aio);
	(void)uv_run(&f->loop, UV_RUN_DEFAULT);
	assert_int_equal(uv_loop_close(&f->loop), 0);
	fd_close(&f->fd);
	fd_close(&f->pipe[0]);
	fd_close(&f->pipe[1]);
	free(f);
	return 0;
}

static struct fixture *fixture(void **state)
{
	struct fixture *f = *state;
	if (!f->aio)
		skip();
	return f;
}

static void finish(struct fixture *f)
{
	aio_flush(f->aio);
	for (int i = 0; i < 10000 && aio_in_flight(f->aio) > 0; i++)
		(void)uv_run(&f->loop, UV_RUN_ONCE);
	assert_int_equal(aio_in_flight(f->aio), 0);
}

static struct req transfer(enum aio_op op, struct iovec *iov, int n_iov, uint64_t offset)
{
	return (struct req){
		.r = { .op = op, .iov = iov, .n_iov = n_iov, .offset = offset, .done = on_done }
	};
}

static void transfers__write_and_read_back(void **state)
{
	struct fixture *f = fixture(state);
	char a[4096], b[100], c[sizeof(a) + sizeof(b)];
	memset(a, 'a', sizeof(a));
	memset(b, 'b', sizeof(b));
	struct iovec out[] = { { a, sizeof(a) }, { b, sizeof(b) } }, in[] = { { c, sizeof(c) } };
	struct req w = transfer(AIO_WRITE, out, 2, 1234), r = transfer(AIO_READ, in, 1, 1234);
	w.r.dsync = true;
	aio_submit(f->aio, &w.r);
	assert_int_equal(w.n_done, 0); /* never from within */
	assert_int_equal(aio_in_flight(f->aio), 1);
	finish(f);
	assert_int_equal(w.n_done, 1);
	assert_int_equal(w.result, 0);
	aio_submit(f->aio, &r.r);
	finish(f);
	assert_int_equal(r.result, 0);
	assert_memory_equal(c, a, sizeof(a));
	assert_memory_equal(c + sizeof(a), b, sizeof(b));
}

static void reads__beyond_the_end_fail(void **state)
{
	struct fixture *f = fixture(state);
	char buf[1024];
	struct iovec iov[] = { { buf, sizeof(buf) } };
	assert_int_equal(ftruncate(f->fd, 512), 0);
	struct req r = transfer(AIO_READ, iov, 1, 0);
	aio_submit(f->aio, &r.r);
	finish(f);
	assert_int_equal(r.n_done, 1);
	assert_int_equal(r.result, -EIO);
}

/* A pipe gives what is there: short reads in the middle of any buffer. */
static void short_reads__go_on_where_they_stopped(void **state)
{
	struct fixture *f = fixture(state);
	char text[] = "0123456789abcdefghij", a[7], b[1], c[12];
	struct iovec iov[] = { { a, 7 }, { b, 1 }, { c, 12 } };
	struct req r = transfer(AIO_READ, iov, 3, 0);
	r.r.file = 1;
	aio_submit(f->aio, &r.r);
	aio_flush(f->aio);
	for (int i = 0; i < 20; i += 5) {
		assert_int_equal(write(f->pipe[1], text + i, 5), 5);
		for (int n = 0; n < 3; n++)
			(void)uv_run(&f->loop, UV_RUN_NOWAIT);
		if (i < 15)
			(void)usleep(20000);
	}
	finish(f);
	assert_int_equal(r.n_done, 1);
	if (r.result == -ESPIPE)
		skip(); /* a kernel that takes no offset for pipes */
	assert_int_equal(r.result, 0);
	assert_memory_equal(a, text, 7);
	assert_memory_equal(b, text + 7, 1);
	assert_memory_equal(c, text + 8, 12);
}

static void errors__are_results(void **state)
{
	struct fixture *f = fixture(state);
	char buf[16];
	struct iovec iov[] = { { buf, sizeof(buf) } };
	assert_int_equal(fcntl(f->fd, F_ADD_SEALS, F_SEAL_WRITE), 0);
	struct req w = transfer(AIO_WRITE, iov, 1, 0);
	aio_submit(f->aio, &w.r);
	finish(f);
	assert_int_equal(w.result, -EPERM);
	struct iovec wild[] = { { (void *)8, 16 } };
	assert_int_equal(write(f->pipe[1], "x", 1), 1);
	struct req r = transfer(AIO_READ, wild, 1, UINT64_MAX >> 1);
	aio_submit(f->aio, &r.r);
	finish(f);
	assert_true(r.result < 0);
}

static void allocate_and_sync__reach_the_file(void **state)
{
	struct fixture *f = fixture(state);
	char buf[4096], zero[4096] = { 0 };
	memset(buf, 'x', sizeof(buf));
	assert_int_equal(pwrite(f->fd, buf, 4096, 0), 4096);
	assert_int_equal(pwrite(f->fd, buf, 4096, 4096), 4096);
	struct req p = { .r = { .op = AIO_ALLOCATE,
				.mode = FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
				.offset = 4096,
				.size = 4096,
				.done = on_done } },
		   s = { .r = { .op = AIO_SYNC_DATA, .done = on_done } };
	aio_submit(f->aio, &p.r);
	aio_submit(f->aio, &s.r);
	finish(f);
	assert_int_equal(p.result, 0);
	assert_int_equal(s.result, 0);
	assert_int_equal(pread(f->fd, buf, 4096, 4096), 4096);
	assert_memory_equal(buf, zero, 4096);
}

static void done__may_submit_again(void **state)
{
	struct fixture *f = fixture(state);
	struct req s = { .r = { .op = AIO_SYNC_DATA, .done = on_done }, .again = f->aio };
	aio_submit(f->aio, &s.r);
	finish(f);
	assert_int_equal(s.n_done, 2);
}

/* More than the submission ring holds, more than one go. */
static void many__all_complete_once(void **state)
{
	struct fixture *f = fixture(state);
	enum { N = 256 };
	static char bufs[N][512];
	static struct iovec iov[N];
	static struct req reqs[N];
	for (int round = 0; round < 4; round++) {
		for (int i = 0; i < N; i++) {
			memset(bufs[i], i, sizeof(bufs[i]));
			iov[i] = (struct iovec){ bufs[i], 512 };
			reqs[i] =
				transfer(round % 2 ? AIO_READ : AIO_WRITE, &iov[i], 1, 512ULL * i);
			aio_submit(f->aio, &reqs[i].r);
		}
		assert_int_equal(aio_in_flight(f->aio), N);
		finish(f);
		for (int i = 0; i < N; i++) {
			assert_int_equal(reqs[i].n_done, 1);
			assert_int_equal(reqs[i].result, 0);
			assert_int_equal((uint8_t)bufs[i][511], i);
		}
	}
}

static void drain__waits_for_all(void **state)
{
	struct fixture *f = fixture(state);
	char buf[64] = "", out[2] = "hi";
	struct iovec iov[] = { { buf, 2 } };
	struct req s = { .r = { .op = AIO_SYNC_DATA, .done = on_done } };
	aio_submit(f->aio, &s.r);
	assert_true(aio_drain(f->aio, 10000));
	assert_int_equal(s.n_done, 1);
	if (strcmp(aio_engine_name(f->aio), "sync") == 0)
		return;
	/* one that hangs: the time is over, and it is still under way */
	struct req r = transfer(AIO_READ, iov, 1, 0);
	r.r.file = 1;
	aio_submit(f->aio, &r.r);
	bool drained = aio_drain(f->aio, 50);
	if (!drained) {
		assert_int_equal(r.n_done, 0);
		assert_int_equal(write(f->pipe[1], out, 2), 2);
		assert_true(aio_drain(f->aio, 10000));
	}
	assert_int_equal(r.n_done, 1);
}

static void settled__comes_once_for_a_batch(void **state)
{
	struct fixture *f = fixture(state);
	char buf[2], out[2] = "hi";
	struct iovec iov[] = { { buf, 2 } };
	struct req r = transfer(AIO_READ, iov, 1, 0);
	r.r.file = 1;
	aio_submit(f->aio, &r.r);
	aio_flush(f->aio);
	if (r.n_done)
		skip(); /* no pipes at an offset */
	assert_int_equal(f->n_settled, 0);
	assert_int_equal(write(f->pipe[1], out, 2), 2);
	for (int i = 0; i < 1000 && !r.n_done; i++)
		(void)uv_run(&f->loop, UV_RUN_ONCE);
	assert_int_equal(r.n_done, 1);
	assert_int_equal(f->n_settled, 1);
}

static int under_filter(struct fixture *f)
{
	static const int calls[] = { SCMP_SYS(io_uring_enter), SCMP_SYS(read),
				     SCMP_SYS(write),          SCMP_SYS(exit_group),
				     SCMP_SYS(epoll_wait),     SCMP_SYS(epoll_pwait),
				     SCMP_SYS(epoll_ctl),      SCMP_SYS(preadv),
				     SCMP_SYS(pwritev),        SCMP_SYS(pwritev2),
				     SCMP_SYS(fdatasync),      SCMP_SYS(clock_gettime) };
	struct err err = ERR_INIT;
	char buf[512] = "filtered", back[512];
	struct iovec out[] = { { buf, 512 } }, in[] = { { back, 512 } };
	struct req w = transfer(AIO_WRITE, out, 1, 0), r = transfer(AIO_READ, in, 1, 0),
		   s = { .r = { .op = AIO_SYNC_DATA, .done = on_done } };
	enum aio_engine engine =
		strcmp(aio_engine_name(f->aio), "sync") == 0 ? AIO_SYNC : AIO_URING;
	struct aio *aio; /* of this process: rings do not pass a fork */
	uv_loop_t loop;
	if (uv_loop_init(&loop) < 0 ||
	    aio_new(&loop, engine, &f->fd, 1, 256, NULL, NULL, &aio, &err) < 0)
		return 2;
	scmp_filter_ctx ctx = seccomp_init(SCMP_ACT_KILL_PROCESS);
	for (size_t i = 0; i < sizeof(calls) / sizeof(calls[0]); i++)
		if (seccomp_rule_add(ctx, SCMP_ACT_ALLOW, calls[i], 0) < 0)
			return 3;
	if (seccomp_load(ctx) < 0)
		return 4;
	struct aio_request *all[] = { &w.r, &s.r, &r.r };
	for (int i = 0; i < 3; i++) {
		aio_submit(aio, all[i]);
		aio_flush(aio);
		for (int n = 0; n < 1000 && aio_in_flight(aio) > 0; n++)
			(void)uv_run(&loop, UV_RUN_ONCE);
	}
	return w.result || s.result || r.result || strcmp(back, "filtered") ? 5 : 0;
}

static void engines__work_under_a_later_filter(void **state)
{
	struct fixture *f = fixture(state);
	pid_t pid = fork();
	assert_true(pid >= 0);
	if (pid == 0)
		(void)syscall(SYS_exit_group, under_filter(f)); /* sanitizers hook _exit() */
	int status;
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 0);
}

/* No io_uring to be had: "auto" works all the same and says why. */
static void auto__falls_back(void **state)
{
	struct fixture *f = *state;
	pid_t pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		struct err err = ERR_INIT;
		struct aio *aio;
		scmp_filter_ctx ctx = seccomp_init(SCMP_ACT_ALLOW);
		if (seccomp_rule_add(ctx, SCMP_ACT_ERRNO(EPERM), SCMP_SYS(io_uring_setup), 0) < 0 ||
		    seccomp_load(ctx) < 0)
			_exit(2);
		if (aio_new(&f->loop, AIO_URING, &f->fd, 1, 8, NULL, NULL, &aio, &err) !=
			    -EOPNOTSUPP ||
		    !strstr(err.text, "not allowed"))
			_exit(3);
		if (aio_new(&f->loop, AIO_AUTO, &f->fd, 1, 8, NULL, NULL, &aio, &err) < 0)
			_exit(4);
		_exit(strcmp(aio_engine_name(aio), "sync") || !*aio_engine_reason(aio) ? 5 : 0);
	}
	int status;
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 0);
}

/* clang-format off */
#define URING(name) { #name " (io_uring)", name, setup_uring, teardown, NULL }
#define BOTH(name)                                                                                 \
	{ #name " (sync)", name, setup_sync, teardown, NULL },                                     \
	{ #name " (io_uring)", name, setup_uring, teardown, NULL }
/* clang-format on */

int main(void)
{
	static const struct CMUnitTest tests[] = {
		BOTH(transfers__write_and_read_back),
		BOTH(reads__beyond_the_end_fail),
		URING(short_reads__go_on_where_they_stopped), /* preadv(2) takes no pipe */
		BOTH(errors__are_results),
		BOTH(allocate_and_sync__reach_the_file),
		BOTH(done__may_submit_again),
		BOTH(many__all_complete_once),
		BOTH(drain__waits_for_all),
		URING(settled__comes_once_for_a_batch), /* else all is done in aio_flush() */
		BOTH(engines__work_under_a_later_filter),
		cmocka_unit_test_setup_teardown(auto__falls_back, setup_sync, teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

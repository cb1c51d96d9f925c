/* SPDX-License-Identifier: Apache-2.0 */
/* fd_pass - descriptors that come in the wrong number must not stay. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "isola/fd.h"
#include "isola/fd_pass.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>

struct pair {
	int a, b;
};

static int setup(void **state)
{
	static struct pair p;
	int fds[2];
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds) < 0)
		return -1;
	p = (struct pair){ fds[0], fds[1] };
	*state = &p;
	return 0;
}

static int teardown(void **state)
{
	struct pair *p = *state;
	fd_close(&p->a);
	fd_close(&p->b);
	return 0;
}

static int count_open(void)
{
	int n = 0;
	DIR *dir = opendir("/proc/self/fd");
	assert_non_null(dir);
	while (readdir(dir))
		n++;
	(void)closedir(dir);
	return n;
}

static void send_n(int sock, size_t n, const char *text)
{
	int fds[FD_PASS_MAX];
	for (size_t i = 0; i < n; i++)
		fds[i] = sock;
	const struct iovec part = { (void *)(uintptr_t)text, strlen(text) };
	assert_int_equal(fd_send(sock, &part, 1, fds, n, 0), strlen(text));
}

static void fd_receive_one__takes_one_close_on_exec(void **state)
{
	struct pair *p = *state;
	char text[8] = "";
	int fd = -7;
	assert_int_equal(fd_send_one(p->a, "one", 3, p->a, 0), 0);
	assert_int_equal(fd_receive_one(p->b, text, sizeof(text), &fd, 0), 3);
	assert_string_equal(text, "one");
	assert_true(fd >= 0);
	assert_int_equal(fcntl(fd, F_GETFD), FD_CLOEXEC);
	fd_close(&fd);
}

static void fd_receive_one__takes_none(void **state)
{
	struct pair *p = *state;
	char text[8] = "";
	int fd = -7;
	assert_int_equal(fd_send_one(p->a, "none", 4, -1, 0), 0);
	assert_int_equal(fd_receive_one(p->b, text, sizeof(text), &fd, 0), 4);
	assert_int_equal(fd, -1);
}

/* Two fit where there is room for one: the padding of a control message is as large. */
static void fd_receive_one__closes_all_when_more_come(void **state)
{
	static const size_t counts[] = { 2, 3, FD_PASS_MAX };
	struct pair *p = *state;
	char text[8] = "";
	int before = count_open();
	for (size_t i = 0; i < sizeof(counts) / sizeof(counts[0]); i++) {
		int fd = -7;
		send_n(p->a, counts[i], "x");
		assert_int_equal(fd_receive_one(p->b, text, sizeof(text), &fd, 0), -EPROTO);
		assert_int_equal(fd, -1);
		assert_int_equal(count_open(), before);
	}
}

static void fd_receive__takes_as_many_as_fit(void **state)
{
	struct pair *p = *state;
	char text[8] = "";
	int fds[FD_PASS_MAX];
	size_t n = 0;
	int before = count_open();
	send_n(p->a, FD_PASS_MAX, "all");
	assert_int_equal(fd_receive(p->b, text, sizeof(text), fds, FD_PASS_MAX, &n, 0), 3);
	assert_int_equal(n, FD_PASS_MAX);
	while (n > 0)
		fd_close(&fds[--n]);
	assert_int_equal(count_open(), before);
}

/* By somebody who does not use fd_send(). */
static void fd_receive__closes_what_the_kernel_had_no_room_for(void **state)
{
	union {
		struct cmsghdr head;
		char space[CMSG_SPACE((FD_PASS_MAX + 8) * sizeof(int))];
	} control;
	struct pair *p = *state;
	struct iovec part = { (void *)"x", 1 };
	struct msghdr msg = { .msg_iov = &part,
			      .msg_iovlen = 1,
			      .msg_control = &control,
			      .msg_controllen = sizeof(control) };
	int fds[FD_PASS_MAX], before = count_open();
	size_t n = 1;
	char text[8];
	memset(&control, 0, sizeof(control));
	control.head = (struct cmsghdr){ .cmsg_level = SOL_SOCKET,
					 .cmsg_type = SCM_RIGHTS,
					 .cmsg_len = CMSG_LEN((FD_PASS_MAX + 8) * sizeof(int)) };
	for (size_t i = 0; i < FD_PASS_MAX + 8; i++)
		memcpy(CMSG_DATA(&control.head) + i * sizeof(int), &p->a, sizeof(int));
	assert_int_equal(sendmsg(p->a, &msg, 0), 1);
	assert_int_equal(fd_receive(p->b, text, sizeof(text), fds, FD_PASS_MAX, &n, 0), -EPROTO);
	assert_int_equal(n, 0);
	assert_int_equal(count_open(), before);
}

static void fd_receive__refuses_a_packet_that_is_cut(void **state)
{
	struct pair *p = *state;
	char text[4];
	int fd = -7, before = count_open();
	assert_int_equal(fd_send_one(p->a, "too long", 8, p->a, 0), 0);
	assert_int_equal(fd_receive_one(p->b, text, sizeof(text), &fd, 0), -EPROTO);
	assert_int_equal(fd, -1);
	assert_int_equal(count_open(), before);
}

static void fd_receive__tells_the_end_and_that_nothing_is_there(void **state)
{
	struct pair *p = *state;
	char text[4];
	int fd = -7;
	assert_int_equal(fd_receive_one(p->b, text, sizeof(text), &fd, MSG_DONTWAIT), -EAGAIN);
	fd_close(&p->a);
	assert_int_equal(fd_receive_one(p->b, text, sizeof(text), &fd, 0), 0);
	assert_int_equal(fd, -1);
	assert_int_equal(fd_send_one(p->b, "x", 1, -1, 0), -EPIPE);
}

static void fd_send__refuses_too_many(void **state)
{
	struct pair *p = *state;
	int fds[FD_PASS_MAX + 1] = { 0 };
	const struct iovec part = { (void *)"x", 1 };
	assert_int_equal(fd_send(p->a, &part, 1, fds, FD_PASS_MAX + 1, 0), -E2BIG);
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(fd_receive_one__takes_one_close_on_exec),
		T(fd_receive_one__takes_none),
		T(fd_receive_one__closes_all_when_more_come),
		T(fd_receive__takes_as_many_as_fit),
		T(fd_receive__closes_what_the_kernel_had_no_room_for),
		T(fd_receive__refuses_a_packet_that_is_cut),
		T(fd_receive__tells_the_end_and_that_nothing_is_there),
		T(fd_send__refuses_too_many),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

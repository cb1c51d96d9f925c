/* SPDX-License-Identifier: Apache-2.0 */
/* console - pseudo terminals by descriptor. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "isola/console.h"
#include "isola/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>

static int open_pair(int *master, int *slave)
{
	struct err err = ERR_INIT;
	unsigned int index = 0;
	int rc = console_open(-1, master, slave, &index, &err);
	if (rc < 0) {
		print_message("no terminals here: %s\n", err.text);
		skip();
	}
	return rc;
}

static void console__connects_both_ends(void **state)
{
	(void)state;
	int m = -1, s = -1;
	open_pair(&m, &s);
	assert_int_equal(fcntl(m, F_GETFD), FD_CLOEXEC);
	assert_int_equal(fcntl(s, F_GETFD), FD_CLOEXEC);
	uint16_t rows = 0, columns = 0;
	assert_int_equal(console_resize(m, 25, 80), 0);
	assert_int_equal(console_size(s, &rows, &columns), 0);
	assert_int_equal(rows, 25);
	assert_int_equal(columns, 80);

	struct termios before, now;
	assert_int_equal(console_raw(s, &before), 0);
	char buf[16];
	assert_int_equal(write(m, "a\x03\n", 3), 3);
	assert_int_equal(read(s, buf, sizeof(buf)), 3);
	console_restore(s, &before);
	assert_int_equal(tcgetattr(s, &now), 0);
	assert_int_equal(now.c_lflag, before.c_lflag);
	(void)close(m);
	(void)close(s);
}

/* An image may bring a folder in place of a devpts, or files named ptmx. */
static void console__wants_a_devpts(void **state)
{
	(void)state;
	char dir[] = "/tmp/isola-console-XXXXXX";
	assert_non_null(mkdtemp(dir));
	cleanup_fd int fd = open(dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
	assert_int_equal(symlinkat("/dev/pts/ptmx", fd, "ptmx"), 0);
	int m = -1, s = -1;
	struct err err = ERR_INIT;
	assert_int_equal(console_open(fd, &m, &s, NULL, &err), -EINVAL);
	assert_string_equal(err.text, "cannot make a terminal: no devpts is mounted at /dev/pts");
	assert_int_equal(m, -1);
	(void)unlinkat(fd, "ptmx", 0);
	(void)rmdir(dir);
}

static void console__becomes_the_controlling_terminal(void **state)
{
	(void)state;
	int m = -1, s = -1, status = 0;
	open_pair(&m, &s);
	pid_t pid = fork();
	if (pid == 0) {
		if (console_become(s) < 0)
			_exit(1);
		cleanup_fd int tty = open("/dev/tty", O_RDWR | O_CLOEXEC);
		bool good = tty >= 0 && isatty(0) && isatty(1) && isatty(2) &&
			    fcntl(1, F_GETFD) == 0 && tcgetpgrp(0) == getpid();
		_exit(good ? 0 : 2);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	(void)close(m);
	(void)close(s);
}

static void console__is_sent_as_runc_does(void **state)
{
	(void)state;
	int m = -1, s = -1, pair[2];
	open_pair(&m, &s);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
	assert_int_equal(console_send(pair[0], m, "/dev/ptmx"), 0);
	char data[64] = "", control[CMSG_SPACE(sizeof(int))];
	struct iovec iov = { data, sizeof(data) };
	struct msghdr msg = { .msg_iov = &iov,
			      .msg_iovlen = 1,
			      .msg_control = control,
			      .msg_controllen = sizeof(control) };
	assert_int_equal(recvmsg(pair[1], &msg, MSG_CMSG_CLOEXEC), 9);
	assert_string_equal(data, "/dev/ptmx");
	struct cmsghdr *head = CMSG_FIRSTHDR(&msg);
	int got = -1;
	assert_non_null(head);
	if (head)
		memcpy(&got, CMSG_DATA(head), sizeof(got));
	uint16_t rows = 0, columns = 0;
	assert_int_equal(console_resize(got, 7, 9), 0);
	assert_int_equal(console_size(s, &rows, &columns), 0);
	assert_int_equal(rows, 7);
	int fds[] = { m, s, got, pair[0], pair[1] };
	for (size_t i = 0; i < sizeof(fds) / sizeof(fds[0]); i++)
		(void)close(fds[i]);
	assert_int_equal(console_send(-1, 0, "x"), -EBADF);
}

static void console__refuses_what_is_no_terminal(void **state)
{
	(void)state;
	cleanup_fd int fd = open("/dev/null", O_RDWR | O_CLOEXEC);
	struct termios before;
	uint16_t rows, columns;
	assert_int_equal(console_raw(fd, &before), -ENOTTY);
	assert_int_equal(console_size(fd, &rows, &columns), -ENOTTY);
	assert_int_equal(console_resize(fd, 1, 1), -ENOTTY);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(console__connects_both_ends),
		cmocka_unit_test(console__wants_a_devpts),
		cmocka_unit_test(console__becomes_the_controlling_terminal),
		cmocka_unit_test(console__is_sent_as_runc_does),
		cmocka_unit_test(console__refuses_what_is_no_terminal),
	};
	return cmocka_run_group_tests_name("console", tests, NULL, NULL);
}

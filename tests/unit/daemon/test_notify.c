/* SPDX-License-Identifier: Apache-2.0 */
/* notify - what systemd is told, and what it gives. The case plays systemd. */
#include "desk.h"

#include "isola/fd.h"
#include "daemon/notify.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>

/* A datagram socket with an abstract address of its own; its name in @ret. */
static int listen_abstract(char ret[64])
{
	struct sockaddr_un sa = { .sun_family = AF_UNIX };
	(void)snprintf(ret, 64, "@isola-test-%d", (int)getpid());
	memcpy(sa.sun_path + 1, ret + 1, strlen(ret) - 1);
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	socklen_t size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(ret));
	assert_int_equal(bind(fd, (struct sockaddr *)&sa, size), 0);
	return fd;
}

static const char *heard(int fd)
{
	static char buf[256];
	ssize_t n = recv(fd, buf, sizeof(buf) - 1, 0);
	buf[n > 0 ? n : 0] = '\0';
	return buf;
}

static void on_timer(void *arg)
{
	timer_stop(arg);
}

static void notify__speaks_when_asked_to(void **state)
{
	struct isolad *d = *state;
	char name[64];
	int fd = listen_abstract(name);
	(void)setenv("NOTIFY_SOCKET", name, 1);
	(void)setenv("WATCHDOG_USEC", "40000", 1);
	assert_int_equal(notify_init(&d->notify, &d->loop, NULL), 0);
	/* Children must not speak for us. */
	assert_null(getenv("NOTIFY_SOCKET"));
	assert_null(getenv("WATCHDOG_USEC"));
	notify_send(&d->notify, "READY=1\nSTATUS=%d", 5);
	assert_string_equal(heard(fd), "READY=1\nSTATUS=5");
	/* The loop is not kept alive by the watchdog alone. */
	struct timer *timer = timer_start(d, 60, on_timer, &timer);
	(void)uv_run(&d->loop, UV_RUN_DEFAULT);
	assert_string_equal(heard(fd), "WATCHDOG=1");
	notify_fini(&d->notify);
	(void)close(fd);
}

static void notify__is_quiet_without_systemd(void **state)
{
	struct isolad *d = *state;
	(void)unsetenv("NOTIFY_SOCKET");
	(void)setenv("WATCHDOG_USEC", "1000", 1);
	assert_int_equal(notify_init(&d->notify, &d->loop, NULL), 0);
	assert_false(d->notify.has_watchdog);
	notify_send(&d->notify, "READY=1");
	notify_fini(&d->notify);
}

static void notify__keeps_off_another_pids_watchdog(void **state)
{
	struct isolad *d = *state;
	char name[64];
	int fd = listen_abstract(name);
	(void)setenv("NOTIFY_SOCKET", name, 1);
	(void)setenv("WATCHDOG_USEC", "1000", 1);
	(void)setenv("WATCHDOG_PID", "1", 1);
	assert_int_equal(notify_init(&d->notify, &d->loop, NULL), 0);
	assert_false(d->notify.has_watchdog);
	notify_fini(&d->notify);
	(void)close(fd);
}

static void notify__names_a_socket_that_is_none(void **state)
{
	struct isolad *d = *state;
	struct err e = ERR_INIT;
	(void)setenv("NOTIFY_SOCKET", "relative", 1);
	assert_int_equal(notify_init(&d->notify, &d->loop, &e), -EINVAL);
	assert_non_null(strstr(e.text, "relative"));
	(void)unsetenv("NOTIFY_SOCKET");
}

/* In a child with @fd as descriptor 3: what notify_listen_fd() said. */
static int listen_fd_with(int fd, const char *n, bool right_pid)
{
	pid_t pid = fork();
	if (pid == 0) {
		char text[16];
		(void)snprintf(text, sizeof(text), "%d", right_pid ? (int)getpid() : 1);
		if (fd >= 0 && fd != 3)
			(void)dup2(fd, 3);
		(void)setenv("LISTEN_PID", text, 1);
		(void)setenv("LISTEN_FDS", n, 1);
		int rc = notify_listen_fd(NULL);
		bool clean = !getenv("LISTEN_FDS") && !getenv("LISTEN_PID");
		bool cloexec = rc < 0 || fcntl(rc, F_GETFD) == FD_CLOEXEC;
		_exit(!clean || !cloexec ? 99 : rc < 0 ? 50 - rc : rc);
	}
	int status;
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return WEXITSTATUS(status);
}

static void notify_listen_fd__takes_one_listening_unix_socket(void **state)
{
	(void)state;
	struct sockaddr_un sa = { .sun_family = AF_UNIX };
	int good = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	int idle = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	int file = open("/dev/null", O_RDWR | O_CLOEXEC);
	/* An autobound abstract address. */
	assert_int_equal(bind(good, (struct sockaddr *)&sa, sizeof(sa_family_t)), 0);
	assert_int_equal(listen(good, 1), 0);
	assert_int_equal(listen_fd_with(good, "1", true), 3);
	assert_int_equal(listen_fd_with(good, "1", false), 50 + ENOENT);
	assert_int_equal(listen_fd_with(good, "2", true), 50 + EINVAL);
	assert_int_equal(listen_fd_with(good, "x", true), 50 + ENOENT);
	assert_int_equal(listen_fd_with(idle, "1", true), 50 + EINVAL);
	assert_int_equal(listen_fd_with(file, "1", true), 50 + ENOTSOCK);
	(void)close(good);
	(void)close(idle);
	(void)close(file);
}

static int setup(void **state)
{
	(void)unsetenv("NOTIFY_SOCKET");
	(void)unsetenv("WATCHDOG_USEC");
	(void)unsetenv("WATCHDOG_PID");
	return desk_setup(state);
}

#define CASE(f) cmocka_unit_test_setup_teardown(f, setup, desk_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(notify__speaks_when_asked_to),
		CASE(notify__is_quiet_without_systemd),
		CASE(notify__keeps_off_another_pids_watchdog),
		CASE(notify__names_a_socket_that_is_none),
		CASE(notify_listen_fd__takes_one_listening_unix_socket),
	};
	return cmocka_run_group_tests_name("notify", tests, NULL, NULL);
}

/* SPDX-License-Identifier: Apache-2.0 */
/* notify - see notify.h. The protocols of sd_notify(3), sd_listen_fds(3) and
 * sd_watchdog_enabled(3) are a datagram and a few variables: no library needed.
 * isolad, loop thread. */
#include "notify.h"

#include "isola/fd.h"
#include "isola/num.h"

#include <errno.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

#define LISTEN_FDS_START 3

static int connect_to(const char *path, struct err *err)
{
	struct sockaddr_un sa = { .sun_family = AF_UNIX };
	size_t n = strlen(path);
	if (n < 2 || n >= sizeof(sa.sun_path) || (path[0] != '/' && path[0] != '@'))
		return err_set(err, EINVAL, "NOTIFY_SOCKET \"%s\" is no socket path", path);
	memcpy(sa.sun_path, path, n);
	if (path[0] == '@')
		sa.sun_path[0] = '\0';
	cleanup_fd int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0 || connect(fd, (struct sockaddr *)&sa,
			      (socklen_t)(offsetof(struct sockaddr_un, sun_path) + n)) < 0)
		return err_sys(err, "cannot connect to NOTIFY_SOCKET %s", path);
	return take_fd(&fd);
}

static void on_watchdog(uv_timer_t *handle)
{
	notify_send(handle->data, "WATCHDOG=1");
}

static bool is_for_us(const char *pid_text)
{
	int64_t pid;
	return !pid_text || (num_parse_i64(pid_text, &pid) == 0 && pid == getpid());
}

static void watchdog_init(struct notify *n, uv_loop_t *loop)
{
	const char *text = getenv("WATCHDOG_USEC");
	int64_t usec;
	if (n->fd < 0 || !text || !is_for_us(getenv("WATCHDOG_PID")) ||
	    num_parse_range(text, 1000, INT64_MAX, &usec) < 0)
		return;
	(void)uv_timer_init(loop, &n->watchdog);
	n->watchdog.data = n;
	uint64_t ms = (uint64_t)usec / 1000 / 2;
	(void)uv_timer_start(&n->watchdog, on_watchdog, ms, ms);
	uv_unref((uv_handle_t *)&n->watchdog);
	n->has_watchdog = true;
}

int notify_init(struct notify *n, uv_loop_t *loop, struct err *err)
{
	*n = (struct notify){ .fd = -1 };
	const char *path = getenv("NOTIFY_SOCKET");
	if (path && *path) {
		n->fd = connect_to(path, err);
		if (n->fd < 0)
			return n->fd;
	}
	watchdog_init(n, loop);
	/* Keepers must not speak for us. */
	(void)unsetenv("NOTIFY_SOCKET");
	(void)unsetenv("WATCHDOG_USEC");
	(void)unsetenv("WATCHDOG_PID");
	return 0;
}

void notify_fini(struct notify *n)
{
	if (n->has_watchdog)
		uv_close((uv_handle_t *)&n->watchdog, NULL);
	n->has_watchdog = false;
	fd_close(&n->fd);
}

void notify_send(struct notify *n, const char *fmt, ...)
{
	if (n->fd < 0)
		return;
	char buf[512];
	va_list ap;
	va_start(ap, fmt);
	int len = vsnprintf(buf, sizeof(buf), fmt, ap);
	va_end(ap);
	if (len > 0)
		(void)send(n->fd, buf, strlen(buf), MSG_NOSIGNAL);
}

static int check_listening(int fd, struct err *err)
{
	int type = 0, domain = 0, listening = 0;
	socklen_t size = sizeof(int);
	if (getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &size) < 0 ||
	    getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &size) < 0 ||
	    getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listening, &size) < 0)
		return err_sys(err, "the descriptor passed in LISTEN_FDS is no socket");
	if (domain != AF_UNIX || type != SOCK_STREAM || !listening)
		return err_set(err, EINVAL,
			       "the socket passed in LISTEN_FDS is no listening Unix stream "
			       "socket: check ListenStream= of isolad.socket");
	return 0;
}

int notify_listen_fd(struct err *err)
{
	const char *text = getenv("LISTEN_FDS");
	int64_t n = 0;
	bool given = text && getenv("LISTEN_PID") && is_for_us(getenv("LISTEN_PID")) &&
		     num_parse_range(text, 1, 64, &n) == 0;
	(void)unsetenv("LISTEN_FDS");
	(void)unsetenv("LISTEN_PID");
	(void)unsetenv("LISTEN_FDNAMES");
	if (!given)
		return -ENOENT;
	for (int i = 0; i < n; i++)
		(void)fd_set_cloexec(LISTEN_FDS_START + i, true);
	if (n > 1)
		return err_set(err, EINVAL,
			       "LISTEN_FDS passes %lld sockets: isolad serves one, check "
			       "isolad.socket",
			       (long long)n);
	int rc = check_listening(LISTEN_FDS_START, err);
	return rc < 0 ? rc : LISTEN_FDS_START;
}

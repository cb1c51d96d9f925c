/* SPDX-License-Identifier: Apache-2.0 */
/* vsock_dial - see vsock_dial.h. Both ends are ours, but the worker may have been
 * broken into: it can ask for a port, nothing else. */
#include "vsock_dial.h"

#include "isola/fd.h"
#include "isola/fd_pass.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>

struct question {
	uint64_t ticket;
	uint32_t port;
};

struct answer {
	uint64_t ticket;
	int32_t error; /* 0: a descriptor comes with it */
};

struct vsock_dial {
	uv_poll_t poll;
	int sock;
	vsock_dialled_fn *fn;
	void *arg;
};

/* --- the process that dials --- */

static int connect_to(const char *prefix, uint32_t port)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	int n = snprintf(addr.sun_path, sizeof(addr.sun_path), "%s_%u", prefix, port);
	if (n < 0 || (size_t)n >= sizeof(addr.sun_path))
		return -ENAMETOOLONG;
	cleanup_fd int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0 || connect(fd, (struct sockaddr *)&addr, sizeof(addr)) < 0)
		return -errno;
	return take_fd(&fd);
}

static void answer(int sock, uint64_t ticket, int fd)
{
	struct answer a = { .ticket = ticket, .error = fd < 0 ? -fd : 0 };
	if (fd_send_one(sock, &a, sizeof(a), fd, 0) < 0)
		_exit(0);
}

static _Noreturn void serve(int sock, const char *prefix)
{
	struct question q;
	(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
	(void)prctl(PR_SET_NAME, "vsock-dial");
	if (dup2(sock, 3) < 0 || close_range(4, ~0U, 0) < 0)
		_exit(1);
	while (recv(3, &q, sizeof(q), 0) == sizeof(q)) {
		cleanup_fd int fd = connect_to(prefix, q.port);
		answer(3, q.ticket, fd);
	}
	_exit(0);
}

/* --- the worker --- */

static void on_event(uv_poll_t *poll, int status, int events)
{
	struct vsock_dial *dial = poll->data;
	struct answer a;
	int fd = -1;
	(void)events;
	ssize_t n = status < 0 ? 0 : fd_receive_one(dial->sock, &a, sizeof(a), &fd, MSG_DONTWAIT);
	if (n == -EAGAIN || n == -EINTR)
		return;
	if (n != sizeof(a)) {
		fd_close(&fd);
		(void)uv_poll_stop(poll);
		return;
	}
	if (fd < 0)
		fd = a.error > 0 ? -a.error : -EPROTO;
	dial->fn(dial->arg, a.ticket, fd);
}

int vsock_dial_new(uv_loop_t *loop, const char *prefix, vsock_dialled_fn *fn, void *arg,
		   struct vsock_dial **ret, struct err *err)
{
	int pair[2];
	if (strlen(prefix) + sizeof("_4294967295") > sizeof(((struct sockaddr_un *)0)->sun_path))
		return err_set(err, ENAMETOOLONG, "%s: too long for the name of a socket", prefix);
	struct vsock_dial *dial = calloc(1, sizeof(*dial));
	if (!dial)
		return err_set(err, ENOMEM, "no memory to connect to %s", prefix);
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0) {
		free(dial);
		return err_sys(err, "cannot make a socket pair");
	}
	pid_t pid = fork();
	if (pid == 0)
		serve(pair[1], prefix);
	int rc = pid < 0 ? err_sys(err, "cannot fork who connects to %s", prefix) : 0;
	fd_close(&pair[1]);
	dial->sock = pair[0];
	dial->fn = fn;
	dial->arg = arg;
	if (rc == 0 && (rc = uv_poll_init(loop, &dial->poll, dial->sock)) < 0)
		(void)err_rc(err, rc, "cannot watch a socket pair");
	if (rc < 0) {
		fd_close(&dial->sock);
		free(dial);
		return rc;
	}
	dial->poll.data = dial;
	(void)uv_poll_start(&dial->poll, UV_READABLE, on_event);
	*ret = dial;
	return 0;
}

int vsock_dial_port(struct vsock_dial *dial, uint32_t port, uint64_t ticket)
{
	struct question q;
	memset(&q, 0, sizeof(q));
	q.ticket = ticket;
	q.port = port;
	return send(dial->sock, &q, sizeof(q), MSG_DONTWAIT | MSG_NOSIGNAL) < 0 ? -errno : 0;
}

static void on_closed(uv_handle_t *handle)
{
	free(handle->data);
}

void vsock_dial_free(struct vsock_dial *dial)
{
	if (!dial)
		return;
	uv_close((uv_handle_t *)&dial->poll, on_closed);
	fd_close(&dial->sock);
}

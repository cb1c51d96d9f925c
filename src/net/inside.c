/* SPDX-License-Identifier: Apache-2.0 */
/* inside - a moment in a container's network namespace, and the sockets at which its
 * resolver is asked. The process is named by a pidfd that is checked against its parent,
 * and its namespace entered by that pidfd: no path is looked up twice. Thread pool. */
#include "kernel.h"

#include "isola/fd.h"
#include "isola/pid.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#define BACKLOG 64

static bool is_child(int pidfd, pid_t pid, pid_t parent)
{
	char path[32], buf[512];
	(void)snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
	cleanup_fd int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : fd_read_all(fd, buf, sizeof(buf) - 1);
	if (n <= 0)
		return false;
	buf[n] = '\0';
	/* "42 (a name) S 7 ...": what was read is of the pidfd's process if that lives. */
	const char *tail = strrchr(buf, ')');
	return tail && strlen(tail) > 4 && atoi(tail + 4) == parent && pid_signal(pidfd, 0) == 0;
}

int kernel_inside(pid_t pid, pid_t parent, int (*run)(void *arg, struct err *err), void *arg,
		  int *ret_pidfd, struct err *err)
{
	cleanup_fd int pidfd = pid_open(pid);
	if (pidfd < 0 || !is_child(pidfd, pid, parent))
		return err_set(err, ESRCH, "the container ended before it got its network");
	cleanup_fd int home = open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);
	if (home < 0)
		return err_sys(err, "cannot open isolad's network namespace");
	if (setns(pidfd, CLONE_NEWNET) < 0)
		return err_sys(err, "cannot enter the container's network namespace");
	int rc = run(arg, err);
	/* Else this thread would do the next job in a container. */
	if (setns(home, CLONE_NEWNET) < 0)
		abort();
	if (rc == 0 && ret_pidfd)
		*ret_pidfd = take_fd(&pidfd);
	return rc;
}

/* ---- the resolver's sockets ---- */

/* Port 53 of all addresses stays the container's own, for a name server of its: what is
 * sent to the resolver's goes to another, the first of these that is free (detour.c). The
 * same ones each time, so that what is under way still arrives when another isolad has
 * come. */
static const uint16_t ports[] = { 40053, 41053, 42053, 43053, 44053 };
#define PORTS (sizeof(ports) / sizeof(ports[0]))

/* Shared with the sockets of a resolver that an earlier isolad left: both answer until
 * that one ends. */
static int bind_socket(int type, uint16_t port)
{
	struct sockaddr_in sa = { .sin_family = AF_INET, .sin_port = htons(port) };
	int on = 1;
	(void)inet_pton(AF_INET, NET_RESOLVER, &sa.sin_addr);
	cleanup_fd int fd = socket(AF_INET, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) < 0 ||
	    setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof(on)) < 0 ||
	    bind(fd, (struct sockaddr *)&sa, sizeof(sa)) < 0 ||
	    (type == SOCK_STREAM && listen(fd, BACKLOG) < 0))
		return -errno;
	return take_fd(&fd);
}

static int open_socket(int type, uint16_t *ret_port, struct err *err)
{
	int fd = -EADDRINUSE;
	for (size_t i = 0; fd == -EADDRINUSE && i < PORTS; i++) {
		*ret_port = ports[i];
		fd = bind_socket(type, ports[i]);
	}
	return fd < 0 ? err_rc(err, fd, "cannot listen at " NET_RESOLVER " in the container") : fd;
}

static int open_sockets(void *arg, struct err *err)
{
	int *fds = arg;
	uint16_t udp = 0, tcp = 0;
	fds[0] = open_socket(SOCK_DGRAM, &udp, err);
	fds[1] = fds[0] < 0 ? -1 : open_socket(SOCK_STREAM, &tcp, err);
	if (fds[1] >= 0 && kernel_detour(udp, tcp, err) == 0)
		return 0;
	fd_close(&fds[0]);
	fd_close(&fds[1]);
	return -err->code;
}

int net_resolver_open(pid_t pid, pid_t parent, int ret_fds[3], struct err *err)
{
	int fds[3] = { -1, -1, -1 };
	int rc = kernel_inside(pid, parent, open_sockets, fds, &fds[2], err);
	if (rc == 0)
		memcpy(ret_fds, fds, sizeof(fds));
	return rc;
}

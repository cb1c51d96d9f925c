/* SPDX-License-Identifier: Apache-2.0 */
/* fd_pass - see include/isola/fd_pass.h. unix(7), cmsg(3). */
#include "isola/fd_pass.h"

#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* Aligned as a header must be. */
union control {
	struct cmsghdr head;
	char space[CMSG_SPACE(FD_PASS_MAX * sizeof(int))];
};

ssize_t fd_send(int sock, const struct iovec *parts, size_t n_parts, const int *fds, size_t n_fds,
		int flags)
{
	union control control;
	struct msghdr msg = { .msg_iov = (struct iovec *)(uintptr_t)parts, .msg_iovlen = n_parts };
	if (n_fds > FD_PASS_MAX)
		return -E2BIG;
	if (n_fds > 0) {
		/* With its padding, which the kernel copies. */
		memset(&control, 0, CMSG_SPACE(n_fds * sizeof(int)));
		msg.msg_control = &control;
		msg.msg_controllen = CMSG_SPACE(n_fds * sizeof(int));
		struct cmsghdr *c = CMSG_FIRSTHDR(&msg);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(n_fds * sizeof(int));
		memcpy(CMSG_DATA(c), fds, n_fds * sizeof(int));
	}
	ssize_t n;
	do
		n = sendmsg(sock, &msg, flags | MSG_NOSIGNAL);
	while (n < 0 && errno == EINTR);
	return n < 0 ? -errno : n;
}

int fd_send_one(int sock, const void *data, size_t size, int fd, int flags)
{
	const struct iovec part = { (void *)(uintptr_t)data, size };
	ssize_t n = fd_send(sock, &part, 1, &fd, fd >= 0, flags);
	return n < 0 ? (int)n : (size_t)n < size ? -EMSGSIZE : 0;
}

/* Takes the descriptors out of @msg; false when there are more than @max, which are closed
 * with all others. */
static bool take(struct msghdr *msg, int *fds, size_t max, size_t *ret_n)
{
	size_t n = 0;
	for (struct cmsghdr *c = CMSG_FIRSTHDR(msg); c; c = CMSG_NXTHDR(msg, c)) {
		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
			continue;
		for (size_t at = 0; CMSG_LEN(at + sizeof(int)) <= c->cmsg_len; at += sizeof(int)) {
			int fd;
			memcpy(&fd, CMSG_DATA(c) + at, sizeof(int));
			if (n < max)
				fds[n] = fd;
			else
				(void)close(fd);
			n++;
		}
	}
	if (n <= max && !(msg->msg_flags & (MSG_TRUNC | MSG_CTRUNC))) {
		*ret_n = n;
		return true;
	}
	for (size_t i = 0; i < n && i < max; i++)
		(void)close(fds[i]);
	return false;
}

ssize_t fd_receive(int sock, void *data, size_t size, int *ret_fds, size_t max, size_t *ret_n,
		   int flags)
{
	union control control;
	struct iovec part = { data, size };
	struct msghdr msg = { .msg_iov = &part,
			      .msg_iovlen = 1,
			      .msg_control = &control,
			      .msg_controllen = sizeof(control) };
	*ret_n = 0;
	ssize_t n = recvmsg(sock, &msg, flags | MSG_CMSG_CLOEXEC);
	if (n < 0)
		return -errno;
	return take(&msg, ret_fds, max, ret_n) ? n : -EPROTO;
}

ssize_t fd_receive_one(int sock, void *data, size_t size, int *ret_fd, int flags)
{
	size_t n_fds = 0;
	ssize_t n = fd_receive(sock, data, size, ret_fd, 1, &n_fds, flags);
	if (n_fds == 0)
		*ret_fd = -1;
	return n;
}

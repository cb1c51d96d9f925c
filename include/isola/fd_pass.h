/* SPDX-License-Identifier: Apache-2.0 */
/* fd_pass - descriptors that go to another process with bytes of a Unix socket
 * (unix(7), SCM_RIGHTS). What a peer sends too many of is closed here: it must not
 * fill our table. Any thread; also in a child between clone and exec. */
#pragma once

#include <stddef.h>
#include <sys/types.h>
#include <sys/uio.h>

#define FD_PASS_MAX 64 /* in one message; the kernel's SCM_MAX_FD is 253 */

/* One sendmsg(2) of @parts with @n_fds descriptors (borrowed), never with SIGPIPE; @flags:
 * 0 or MSG_DONTWAIT. Tried again when interrupted. Returns how many bytes went, with all the
 * descriptors, or -errno. */
ssize_t fd_send(int sock, const struct iovec *parts, size_t n_parts, const int *fds, size_t n_fds,
		int flags);

/* The same for one block of bytes that must go whole (-EMSGSIZE), and one descriptor or none
 * (-1). 0 or -errno. */
int fd_send_one(int sock, const void *data, size_t size, int fd, int flags);

/* One recvmsg(2): up to @size bytes, and the descriptors that come with them, close-on-exec
 * and the caller's, *@ret_n of them. @flags: 0 or MSG_DONTWAIT. Returns the number of bytes,
 * 0 at the end, or -errno: -EPROTO when more than @max came, or a packet was longer than
 * @size. On failure there are none. -EINTR is the caller's, who may have been cancelled. */
ssize_t fd_receive(int sock, void *data, size_t size, int *ret_fds, size_t max, size_t *ret_n,
		   int flags);

/* The same for one descriptor or none (-1). */
ssize_t fd_receive_one(int sock, void *data, size_t size, int *ret_fd, int flags);

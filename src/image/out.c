/* SPDX-License-Identifier: Apache-2.0 */
/* out - see out.h. RFC 9112, 7.1. */
#include "out.h"

#include "isola/fd.h"
#include "isola/fd_pass.h"
#include "cancel.h"

#include <errno.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>

int out_receive(struct out *ret, struct err *err)
{
	char word = 0;
	ssize_t n;
	do
		n = fd_receive_one(STDIN_FILENO, &word, 1, &ret->fd, 0);
	while (n == -EINTR && !cancel_requested());
	if (n <= 0 || ret->fd < 0)
		return err_set(err, ECONNRESET, "the client went away");
	ret->chunked = word == 'c';
	return 0;
}

static int gone(struct err *err)
{
	return err_sys(err, "cannot send to the client");
}

static int write_parts(int fd, struct iovec *part, int n, struct err *err)
{
	while (n > 0) {
		if (cancel_requested())
			return err_set(err, EINTR, "cancelled");
		ssize_t sent = writev(fd, part, n);
		struct pollfd p = { .fd = fd, .events = POLLOUT };
		/* A signal just before the poll() must not be missed for ever. */
		if (sent < 0 && errno == EAGAIN)
			(void)poll(&p, 1, CANCEL_LOOK_MS);
		else if (sent < 0 && errno != EINTR)
			return gone(err);
		for (; sent > 0 && n > 0 && (size_t)sent >= part->iov_len; part++, n--)
			sent -= (ssize_t)part->iov_len;
		if (sent > 0) {
			part->iov_base = (char *)part->iov_base + sent;
			part->iov_len -= (size_t)sent;
		}
		while (n > 0 && part->iov_len == 0) {
			part++;
			n--;
		}
	}
	return 0;
}

int out_write(void *arg, const void *data, size_t size, struct err *err)
{
	struct out *o = arg;
	char line[24];
	int n = snprintf(line, sizeof(line), "%zx\r\n", size);
	struct iovec parts[] = { { line, o->chunked ? (size_t)n : 0 },
				 { (void *)(uintptr_t)data, size },
				 { (char *)"\r\n", o->chunked ? 2 : 0 } };
	return size > 0 ? write_parts(o->fd, parts, 3, err) : 0;
}

int out_end(struct out *o, struct err *err)
{
	struct iovec end = { (char *)"0\r\n\r\n", 5 };
	return o->chunked ? write_parts(o->fd, &end, 1, err) : 0;
}

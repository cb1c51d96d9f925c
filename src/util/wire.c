/* SPDX-License-Identifier: Apache-2.0 */
/* wire - see include/isola/wire.h. unix(7), SOCK_SEQPACKET. */
#include "isola/wire.h"

#include "isola/fd.h"
#include "isola/fd_pass.h"
#include "isola/json.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

int wire_pair(int ret_fds[2], struct err *err)
{
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ret_fds) < 0)
		return err_sys(err, "cannot make a socket pair");
	return 0;
}

int wire_send(int sock, json_object *msg, const int *fds, size_t n_fds, struct err *err)
{
	if (n_fds > WIRE_FDS_MAX)
		return err_set(err, EINVAL, "too many descriptors in a message");
	size_t size = 0;
	const char *text = json_object_to_json_string_length(msg, JSON_C_TO_STRING_PLAIN, &size);
	if (!text)
		return err_set(err, ENOMEM, "out of memory");
	if (size > WIRE_BYTES_MAX)
		return err_set(err, EMSGSIZE, "message of %zu bytes is too long", size);
	const struct iovec part = { (void *)(uintptr_t)text, size };
	ssize_t n = fd_send(sock, &part, 1, fds, n_fds, 0);
	return n < 0 ? err_rc(err, (int)n, "cannot send a message") : 0;
}

/* The length of the next message: a small one must not cost a large buffer. A peer
 * that closed with messages of ours unread leaves an error, told once, in front of
 * what it said before: those last words are still to be had. */
static ssize_t peek_size(int sock)
{
	for (bool told = false;;) {
		ssize_t n = recv(sock, NULL, 0, MSG_PEEK | MSG_TRUNC);
		if (n >= 0 || (errno != EINTR && (errno != ECONNRESET || told)))
			return n;
		told = told || errno == ECONNRESET;
	}
}

int wire_recv(int sock, json_object **ret_msg, int ret_fds[WIRE_FDS_MAX], size_t *ret_n_fds,
	      struct err *err)
{
	ssize_t n = peek_size(sock);
	if (n < 0)
		return errno == EAGAIN ? -EAGAIN : err_sys(err, "cannot receive a message");
	size_t size = n > WIRE_BYTES_MAX ? WIRE_BYTES_MAX : (size_t)n;
	cleanup_free char *buf = malloc(size + 1);
	if (!buf)
		return err_set(err, ENOMEM, "out of memory");
	int fds[WIRE_FDS_MAX];
	size_t n_fds = 0;
	do
		n = fd_receive(sock, buf, size + 1, fds, WIRE_FDS_MAX, &n_fds, 0);
	while (n == -EINTR);
	if (n < 0 && n != -EPROTO)
		return n == -EAGAIN ? -EAGAIN : err_rc(err, (int)n, "cannot receive a message");
	if (n == 0 && n_fds == 0)
		return 0;
	json_object *msg = NULL;
	int rc = -EPROTO;
	if (n >= 0)
		rc = json_parse(buf, (size_t)n, "message", &msg, err);
	if (rc == 0 && json_object_is_type(msg, json_type_object)) {
		*ret_msg = msg;
		memcpy(ret_fds, fds, sizeof(fds[0]) * n_fds);
		*ret_n_fds = n_fds;
		return 1;
	}
	json_object_put(msg);
	while (n_fds > 0)
		(void)close(fds[--n_fds]);
	return err_set(err, EPROTO, "malformed message from the other process");
}

/* SPDX-License-Identifier: Apache-2.0 */
/* logout - see logout.h. */
#include "logout.h"

#include "outq.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

/* Around the bytes of a chunk: its size in hex and CRLF, CRLF. */
#define CHUNK_HEAD 16
#define CHUNK_TAIL 2

int logout_init(struct logout *out, int fd, bool mux, bool chunked, int (*wait)(struct logout *out))
{
	*out = (struct logout){ .fd = fd, .mux = mux, .chunked = chunked, .wait = wait };
	out->buffer = malloc(CHUNK_HEAD + LOGOUT_BYTES + CHUNK_TAIL);
	return out->buffer ? 0 : -ENOMEM;
}

void logout_fini(struct logout *out)
{
	free(out->buffer);
}

static int send_all(struct logout *out, const char *bytes, size_t size)
{
	while (size > 0) {
		ssize_t n = send(out->fd, bytes, size, MSG_DONTWAIT | MSG_NOSIGNAL);
		if (n >= 0) {
			bytes += n;
			size -= (size_t)n;
			continue;
		}
		int rc = errno == EAGAIN ? out->wait(out) : errno == EINTR ? 0 : -errno;
		if (rc < 0)
			return rc;
	}
	return 0;
}

int logout_flush(struct logout *out)
{
	char *data = out->buffer + CHUNK_HEAD;
	size_t size = out->used;
	if (size == 0)
		return 0;
	out->used = 0;
	if (!out->chunked)
		return send_all(out, data, size);
	char head[CHUNK_HEAD + 1];
	size_t n = (size_t)snprintf(head, sizeof(head), "%zx\r\n", size);
	memcpy(data - n, head, n);
	memcpy(data + size, "\r\n", CHUNK_TAIL);
	return send_all(out, data - n, n + size + CHUNK_TAIL);
}

int logout_put(struct logout *out, const char *bytes, size_t size)
{
	while (size > 0) {
		size_t room = LOGOUT_BYTES - out->used;
		size_t n = size < room ? size : room;
		memcpy(out->buffer + CHUNK_HEAD + out->used, bytes, n);
		out->used += n;
		bytes += n;
		size -= n;
		int rc = out->used == LOGOUT_BYTES ? logout_flush(out) : 0;
		if (rc < 0)
			return rc;
	}
	return 0;
}

int logout_frame(struct logout *out, bool is_stderr, size_t size)
{
	char frame[FRAME_BYTES];
	if (!out->mux)
		return 0;
	frame_put(frame, is_stderr ? 2 : 1, (uint32_t)size);
	return logout_put(out, frame, sizeof(frame));
}

int logout_end(struct logout *out)
{
	int rc = logout_flush(out);
	if (rc == 0 && out->chunked)
		rc = send_all(out, "0\r\n\r\n", 5);
	return rc;
}

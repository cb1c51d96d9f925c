/* SPDX-License-Identifier: Apache-2.0 */
/* logout - the way of log records to a client: frames, HTTP chunks (RFC 9112,
 * 7.1), a buffer, and a socket that may be slow. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#define LOGOUT_BYTES ((size_t)32 * 1024)

struct logout {
	int fd; /* borrowed */
	bool mux, chunked;
	char *buffer;
	size_t used;
	/* Called while the socket is full; returns once it may take more (or
	 * there is something else to look at), -errno to give up. */
	int (*wait)(struct logout *out);
};

int logout_init(struct logout *out, int fd, bool mux, bool chunked,
		int (*wait)(struct logout *out));
void logout_fini(struct logout *out);

/* What is in front of a text: the frame of a record of @size bytes in all. */
int logout_frame(struct logout *out, bool is_stderr, size_t size);
/* Bytes of it. 0, or -errno when the client is gone. */
int logout_put(struct logout *out, const char *bytes, size_t size);
/* Sends what waits. */
int logout_flush(struct logout *out);
/* Flushes, and ends a chunked body. */
int logout_end(struct logout *out);

/* SPDX-License-Identifier: Apache-2.0 */
/* body - the rest of an HTTP request's body, read straight from the client's
 * socket, as the source of a tar archive (RFC 9112, 6 and 7): plain, gzip or zstd,
 * as stream.h tells them. Exactly the body is read, never a byte behind it. */
#pragma once

#include "isola/err.h"

#include <json-c/json.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct body {
	int fd; /* the socket, perhaps non-blocking */
	bool chunked;
	uint64_t left; /* of the body, or of the present chunk */
	bool ended, in_chunk;
	const char *head; /* read before; borrowed */
	size_t head_size;
	/* Waiting for the client ends, with -EPIPE, when this one can be read: 0 = none. */
	int other_fd;
	bool other_spoke;
};

/* Of a VIEW_SPEC (view.h), on standard input; borrows @head. */
struct body body_of(json_object *spec, const char *head, size_t head_size);

/* Up to @size bytes of content: their number, 0 at the body's end, -errno
 * (-EPROTO, -ECONNRESET) with @err set. */
ssize_t body_read(void *body, void *buf, size_t size, struct err *err);

/* SPDX-License-Identifier: Apache-2.0 */
/* out - an archive on its way to a client: the socket comes from isolad once the
 * head of the answer is written, the bytes go there without passing isolad. */
#pragma once

#include "isola/err.h"

#include <stdbool.h>
#include <stddef.h>

struct out {
	int fd;
	bool chunked; /* Transfer-Encoding of the answer */
};

/* Waits on standard input, a socket, for one message: a byte 'c' (chunked) or 'p'
 * (until the connection ends), and the client's socket. -ECONNRESET when isolad
 * closes it instead. */
int out_receive(struct out *ret, struct err *err);

/* A tarw_write_fn; @arg: a struct out. Waits as long as the client does not read.
 * -EPIPE when it went away. */
int out_write(void *arg, const void *data, size_t size, struct err *err);

/* The end of a whole answer. Without it a client sees that it was cut off. */
int out_end(struct out *o, struct err *err);

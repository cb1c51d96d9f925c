/* SPDX-License-Identifier: Apache-2.0 */
/* stream - a client attached to a payload, on a socket that isolad handed over
 * (Engine API, attach and exec start, after the hijack).
 *
 * Life: stream_new() -> output flows, input flows -> one of
 *   the payload ended        what waits is sent, SHUT_WR, close      "eof"
 *   the client closed        at once                                 "closed"
 *   the client's input ended, and it is not the payload's end of input:
 *                            as Docker, the stream ends              "closed"
 *   detach keys, or asked    at once                                 "detached"
 *
 * A client that only half-closes (SHUT_WR) goes on to get output when its end of
 * input is the payload's (stdin_once without a terminal), or when it did not
 * want stdin in the first place. */
#pragma once

#include "isola/detachkeys.h"
#include "isola/err.h"
#include "isola/id.h"
#include "isola/list.h"

#include "outq.h"
#include "payio.h"

#include <stdbool.h>
#include <stddef.h>

/* Output of the payload waits for a client with this much in its queue. */
#define STREAM_QUEUE_BYTES ((size_t)256 * 1024)
/* Clients of one payload. */
#define STREAMS_MAX 256

struct stream_args {
	const char *id;
	bool want_stdin, want_stdout, want_stderr;
	bool mux; /* frame the output */
	struct detachkeys detach;
	const unsigned char *head; /* input that came before */
	size_t head_size;
};

/* Attaches the connected socket @fd (taken on success only) to @io. */
int stream_new(struct payio *io, const struct stream_args *args, int fd, struct err *err);

/* NULL when there is none. */
struct stream *stream_find(struct payio *io, const char *id);
void stream_detach(struct stream *stream);

/* Output @which (0 stdout, 1 stderr) of @size bytes at @data, with room for a
 * frame in front of it, which is overwritten. To all streams of @io. */
void streams_output(struct payio *io, unsigned int which, char *data, size_t size);

/* Whether a stream that wants output @which has a full queue. */
bool streams_are_full(const struct payio *io, unsigned int which);

/* Bytes that wait for slow clients. */
size_t streams_waiting(const struct payio *io);

/* The sink takes input again. */
void streams_resume_input(struct payio *io);

/* No more output comes: each stream ends as soon as its queue is sent. */
void streams_finish(struct payio *io);

/* Closes all at once. */
void streams_close(struct payio *io);

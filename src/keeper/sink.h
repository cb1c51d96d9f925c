/* SPDX-License-Identifier: Apache-2.0 */
/* sink - a payload's stdin: a pipe, or the master of its terminal. What it does
 * not take at once waits here, and clients are not read meanwhile. */
#pragma once

#include "loop.h"

#include <stdbool.h>
#include <stddef.h>

struct sink {
	struct loop *loop;
	struct source src; /* watched only while bytes wait */
	int fd;            /* owned, non-blocking; -1: closed, input is thrown away */
	char *waiting;
	size_t size, from;
	bool closing; /* close once all was written */
	bool later;   /* its descriptor is still to come: all input waits */
	/* Called when waiting bytes have gone. May not free the sink. */
	void (*on_ready)(struct sink *sink);
};

/* @fd: taken; -1 = no stdin. */
void sink_init(struct sink *sink, struct loop *loop, int fd, void (*on_ready)(struct sink *));
void sink_fini(struct sink *sink);

/* For one that was made with sink_init(-1) and whose descriptor is still to come. */
void sink_expect(struct sink *sink);
/* Here it is: taken; -1: there is none after all. What waits is written from the loop. */
void sink_open(struct sink *sink, int fd);

/* Whether a write would not have to wait. */
static inline bool sink_is_ready(const struct sink *sink)
{
	return sink->size == 0;
}

/* Writes or keeps all of @data. A payload that closed its stdin, and memory that
 * is out, close the sink. */
void sink_write(struct sink *sink, const char *data, size_t size);

/* No more input comes: the payload reads end of file behind what waits. */
void sink_close(struct sink *sink);

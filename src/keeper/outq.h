/* SPDX-License-Identifier: Apache-2.0 */
/* outq - output waiting for one slow client. The bytes themselves are chunks
 * that all slow clients of a payload share. */
#pragma once

#include "isola/list.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Docker's frame around output when stdout and stderr share a connection:
 * { stream, 0, 0, 0, size big-endian } (Engine API, "Stream format"). */
#define FRAME_BYTES 8
void frame_put(char *ret, unsigned int stream, uint32_t size);

/* A frame and the bytes in it, counted by its users. */
struct chunk {
	unsigned int refs;
	size_t size; /* with the frame */
	char bytes[];
};

/* Copies @size bytes, of which the first FRAME_BYTES are the frame. Returned
 * with one reference; NULL when memory is out. */
struct chunk *chunk_new(const char *bytes, size_t size);
void chunk_unref(struct chunk *chunk); /* NULL is fine */

struct outq {
	struct list parts;
	size_t cost; /* memory that its chunks take, shared or not */
	size_t left; /* bytes to send */
};

void outq_init(struct outq *q);
void outq_fini(struct outq *q);

static inline bool outq_is_empty(const struct outq *q)
{
	return list_is_empty(&q->parts);
}

/* Adds @chunk (a new reference is taken) from byte @from on. 0 or -ENOMEM. */
int outq_add(struct outq *q, struct chunk *chunk, size_t from);

/* Sends what the socket @fd takes without waiting. 1 when the queue is empty
 * now, 0 when the socket is full, -errno when the client is gone. */
int outq_send(struct outq *q, int fd);

/* SPDX-License-Identifier: Apache-2.0 */
/* outq - see outq.h. */
#include "outq.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

struct part {
	struct list node;
	struct chunk *chunk;
	size_t from;
};

void frame_put(char *ret, unsigned int stream, uint32_t size)
{
	const unsigned char frame[FRAME_BYTES] = { (unsigned char)stream,
						   0,
						   0,
						   0,
						   (unsigned char)(size >> 24),
						   (unsigned char)(size >> 16),
						   (unsigned char)(size >> 8),
						   (unsigned char)size };
	memcpy(ret, frame, sizeof(frame));
}

struct chunk *chunk_new(const char *bytes, size_t size)
{
	struct chunk *c = malloc(sizeof(*c) + size);
	if (!c)
		return NULL;
	c->refs = 1;
	c->size = size;
	memcpy(c->bytes, bytes, size);
	return c;
}

void chunk_unref(struct chunk *chunk)
{
	if (chunk && --chunk->refs == 0)
		free(chunk);
}

void outq_init(struct outq *q)
{
	list_init(&q->parts);
	q->cost = q->left = 0;
}

static size_t part_cost(const struct part *p)
{
	return sizeof(*p) + sizeof(*p->chunk) + p->chunk->size;
}

static void part_free(struct outq *q, struct part *p)
{
	q->cost -= part_cost(p);
	q->left -= p->chunk->size - p->from;
	list_del(&p->node);
	chunk_unref(p->chunk);
	free(p);
}

void outq_fini(struct outq *q)
{
	list_for_each_safe (n, &q->parts)
		part_free(q, container_of(n, struct part, node));
}

int outq_add(struct outq *q, struct chunk *chunk, size_t from)
{
	struct part *p = malloc(sizeof(*p));
	if (!p)
		return -ENOMEM;
	p->chunk = chunk;
	p->from = from;
	chunk->refs++;
	list_add_tail(&q->parts, &p->node);
	q->cost += part_cost(p);
	q->left += chunk->size - from;
	return 0;
}

int outq_send(struct outq *q, int fd)
{
	while (!outq_is_empty(q)) {
		struct part *p = container_of(q->parts.next, struct part, node);
		ssize_t n = send(fd, p->chunk->bytes + p->from, p->chunk->size - p->from,
				 MSG_DONTWAIT | MSG_NOSIGNAL);
		if (n < 0) {
			if (errno == EINTR)
				continue;
			return errno == EAGAIN ? 0 : -errno;
		}
		p->from += (size_t)n;
		q->left -= (size_t)n;
		if (p->from == p->chunk->size)
			part_free(q, p);
	}
	return 1;
}

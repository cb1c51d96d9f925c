/* SPDX-License-Identifier: Apache-2.0 */
/* stream - DNS over TCP (RFC 7766), see client.h: a connection has one question at a
 * time, of a bounded length, and little time. isola-resolver. */
#include "client.h"

#include "isola/fd.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#define ALL_STREAMS_MAX 1024
#define IDLE_MS         10000

struct stream {
	struct list node; /* in client->streams */
	struct client *client;
	struct watch watch;
	int64_t since_ms; /* something happened */
	bool asked;       /* an answer is on its way */
	size_t n_in, n_out, sent;
	uint8_t in[2 + DNS_UDP_MAX];
	uint8_t *out; /* owned */
};

void stream_free(struct stream *s)
{
	if (!s)
		return;
	client_forget_stream(s->client, s);
	loop_remove(&s->client->r->loop, &s->watch);
	fd_close(&s->watch.fd);
	s->client->r->streams--;
	list_del(&s->node);
	free(s->out);
	free(s);
}

void streams_free(struct client *c)
{
	while (!list_is_empty(&c->streams))
		stream_free(container_of(c->streams.next, struct stream, node));
}

static size_t question_size(const struct stream *s)
{
	return s->n_in < 2 ? 0 : 2 + ((size_t)s->in[0] << 8 | s->in[1]);
}

static void want(struct stream *s, uint32_t events)
{
	loop_change(&s->client->r->loop, &s->watch, events);
}

/* False when @s is gone. */
static bool flush(struct stream *s)
{
	ssize_t n = send(s->watch.fd, s->out + s->sent, s->n_out - s->sent,
			 MSG_DONTWAIT | MSG_NOSIGNAL);
	if (n < 0 && errno != EAGAIN && errno != EINTR) {
		stream_free(s);
		return false;
	}
	s->sent += n > 0 ? (size_t)n : 0;
	if (s->sent < s->n_out) {
		want(s, EPOLLOUT);
		return true;
	}
	free(s->out);
	s->out = NULL;
	s->asked = false;
	want(s, EPOLLIN);
	return true;
}

void stream_answer(struct stream *s, const uint8_t *data, size_t size)
{
	s->out = malloc(2 + size);
	if (!s->out || size > DNS_TCP_MAX) {
		stream_free(s);
		return;
	}
	s->out[0] = (uint8_t)(size >> 8);
	s->out[1] = (uint8_t)size;
	memcpy(s->out + 2, data, size);
	s->n_out = 2 + size;
	s->sent = 0;
	s->since_ms = s->client->r->loop.now_ms;
	want(s, EPOLLOUT);
}

/* Whole questions that are there, one after the other. */
static void ask(struct stream *s)
{
	static uint8_t question[DNS_UDP_MAX];
	size_t size = question_size(s);
	if (s->asked || size < 2 || s->n_in < size)
		return;
	memcpy(question, s->in + 2, size - 2);
	s->n_in -= size;
	memmove(s->in, s->in + size, s->n_in);
	s->asked = true;
	want(s, 0);
	client_query(s->client, &(struct peer){ .stream = s }, question, size - 2);
}

static void on_ready(struct watch *w, uint32_t events)
{
	struct stream *s = container_of(w, struct stream, watch);
	s->since_ms = s->client->r->loop.now_ms;
	if (s->out) {
		if (flush(s) && !s->out)
			ask(s);
		return;
	}
	if (s->asked) { /* broken, or hung up on: nobody reads the answer */
		stream_free(s);
		return;
	}
	(void)events;
	ssize_t n = recv(w->fd, s->in + s->n_in, sizeof(s->in) - s->n_in, MSG_DONTWAIT);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	s->n_in += n > 0 ? (size_t)n : 0;
	if (n <= 0 || question_size(s) > sizeof(s->in))
		stream_free(s);
	else
		ask(s);
}

void stream_new(struct client *c, int fd)
{
	size_t n = 0;
	list_for_each (node, &c->streams)
		n++;
	struct stream *s = n < CLIENT_STREAMS_MAX && c->r->streams < ALL_STREAMS_MAX
				   ? calloc(1, sizeof(*s))
				   : NULL;
	if (!s) {
		fd_close(&fd);
		return;
	}
	s->client = c;
	s->watch = (struct watch){ fd, on_ready };
	s->since_ms = c->r->loop.now_ms;
	list_add_tail(&c->streams, &s->node);
	c->r->streams++;
	if (loop_add(&c->r->loop, &s->watch, EPOLLIN) < 0)
		stream_free(s);
}

void stream_accept(struct client *c)
{
	int fd = loop_accept(&c->r->loop, &c->tcp, NULL, NULL);
	if (fd >= 0)
		stream_new(c, fd);
}

void streams_check(struct resolver *r)
{
	if (!r->streams)
		return;
	list_for_each (at, &r->clients) {
		struct client *c = container_of(at, struct client, node);
		list_for_each_safe (node, &c->streams) {
			struct stream *s = container_of(node, struct stream, node);
			if (r->loop.now_ms - s->since_ms > IDLE_MS && (s->out || !s->asked))
				stream_free(s);
		}
	}
}

/* SPDX-License-Identifier: Apache-2.0 */
/* stream - see stream.h. The client is foreign: it may send anything, read
 * nothing, or vanish at any moment, and only ever harms itself. */
#include "stream.h"

#include "isola/fd.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#define INPUT_BYTES  ((size_t)16 * 1024)
#define READS_A_TURN 4

struct stream {
	struct list node; /* payio.streams */
	struct source src;
	struct payio *io;
	char id[ID_SIZE];
	bool wants[PAYIO_OUTPUTS];
	bool mux;
	bool reads_input; /* until its end */
	bool full;        /* its queue holds the payload up */
	bool gone;        /* hung up: what it sent before still counts as input */
	const char *ending;
	struct detachkeys detach;
	struct outq q;
};

/* ---- the end ---- */

/* A socket closed with unread bytes in it resets the connection, and the client
 * may lose output that it has not read yet (TCP), or see ECONNRESET in place of
 * the end (Unix). */
static void close_gently(int fd)
{
	char sink[512];
	(void)shutdown(fd, SHUT_WR);
	for (int i = 0; i < 1024 && recv(fd, sink, sizeof(sink), MSG_DONTWAIT) > 0; i++)
		;
	(void)close(fd);
}

/* Frees @s. */
static void stream_end(struct stream *s, const char *why)
{
	struct payio *io = s->io;
	loop_unwatch(io->loop, &s->src);
	close_gently(s->src.fd);
	list_del(&s->node);
	io->n_streams--;
	outq_fini(&s->q);
	if (s->full)
		payio_pressure_changed(io);
	if (io->on_stream_end)
		io->on_stream_end(io, s->id, why);
	free(s);
}

/* Ends @s, maybe at once, when its queue is sent. Returns whether it is freed. */
static bool stream_finish(struct stream *s, const char *why)
{
	s->reads_input = false;
	if (!s->ending)
		s->ending = why;
	if (!outq_is_empty(&s->q) && !s->gone) {
		(void)loop_watch(s->io->loop, &s->src, EPOLLOUT);
		return false;
	}
	stream_end(s, s->ending);
	return true;
}

/* The client can take no more output. Returns whether @s is freed. */
static bool hung_up(struct stream *s)
{
	s->gone = true;
	outq_fini(&s->q);
	if (s->full) {
		s->full = false;
		payio_pressure_changed(s->io);
	}
	if (s->reads_input)
		return false;
	stream_end(s, s->ending ? s->ending : "closed");
	return true;
}

static void watch_stream(struct stream *s)
{
	bool may_read = s->reads_input && sink_is_ready(&s->io->in);
	uint32_t events = may_read ? EPOLLIN : 0;
	if (!outq_is_empty(&s->q))
		events |= EPOLLOUT;
	/* A hang-up is reported again and again, wanted or not. */
	if (s->gone && !may_read)
		loop_unwatch(s->io->loop, &s->src);
	else
		(void)loop_watch(s->io->loop, &s->src, events);
}

/* ---- input ---- */

/* Returns whether @s is freed. */
static bool input_ended(struct stream *s)
{
	s->reads_input = false;
	if (!s->io->stdin_once || s->io->tty)
		return stream_finish(s, "closed");
	sink_close(&s->io->in);
	return s->gone && stream_finish(s, "closed");
}

/* Passes typed bytes on. @out: room for @size + DETACHKEYS_MAX. Returns whether
 * @s is freed, as they held the detach keys. */
static bool pass_input(struct stream *s, const unsigned char *in, size_t size, unsigned char *out)
{
	if (!s->io->tty) {
		sink_write(&s->io->in, (const char *)in, size);
		return false;
	}
	size_t n = 0;
	int found = detachkeys_scan(&s->detach, in, size, out, &n);
	sink_write(&s->io->in, (const char *)out, n);
	if (found)
		stream_end(s, "detached");
	return found;
}

/* Returns whether @s is freed. */
static bool read_input(struct stream *s)
{
	unsigned char *buf = (unsigned char *)loop_scratch(s->io->loop);
	for (int i = 0; buf && i < READS_A_TURN && sink_is_ready(&s->io->in); i++) {
		ssize_t n = recv(s->src.fd, buf, INPUT_BYTES, MSG_DONTWAIT);
		if (n < 0 && (errno == EAGAIN || errno == EINTR))
			break;
		if (n <= 0)
			return input_ended(s);
		if (pass_input(s, buf, (size_t)n, buf + INPUT_BYTES))
			return true;
	}
	return false;
}

static bool send_waiting(struct stream *s)
{
	int rc = outq_send(&s->q, s->src.fd);
	if (rc < 0)
		return hung_up(s);
	if (s->full && s->q.cost < STREAM_QUEUE_BYTES / 2) {
		s->full = false;
		payio_pressure_changed(s->io);
	}
	return rc > 0 && s->ending && stream_finish(s, s->ending);
}

static void on_event(struct source *src, uint32_t events)
{
	struct stream *s = container_of(src, struct stream, src);
	if ((events & (EPOLLHUP | EPOLLERR)) && !s->gone && hung_up(s))
		return;
	if ((events & EPOLLOUT) && !s->gone && send_waiting(s))
		return;
	if (s->reads_input && ((events & EPOLLIN) || s->gone) && read_input(s))
		return;
	watch_stream(s);
}

void streams_resume_input(struct payio *io)
{
	list_for_each_safe (n, &io->streams) {
		struct stream *s = container_of(n, struct stream, node);
		if (!s->gone || !s->reads_input || !read_input(s))
			watch_stream(s);
	}
}

/* ---- output ---- */

/* Sends or queues; @shared becomes the chunk that all slow clients share.
 * Returns whether @s is freed. */
static bool output_to(struct stream *s, const char *frame, size_t size, struct chunk **shared)
{
	size_t from = s->mux ? 0 : FRAME_BYTES, end = size + FRAME_BYTES;
	if (outq_is_empty(&s->q)) {
		ssize_t n = send(s->src.fd, frame + from, end - from, MSG_DONTWAIT | MSG_NOSIGNAL);
		if (n < 0 && errno != EAGAIN && errno != EINTR)
			return hung_up(s);
		from += n > 0 ? (size_t)n : 0;
		if (from == end)
			return false;
	}
	if (!*shared)
		*shared = chunk_new(frame, end);
	if (!*shared || outq_add(&s->q, *shared, from) < 0)
		return hung_up(s); /* bytes would be missing in what it gets */
	if (s->q.cost > STREAM_QUEUE_BYTES)
		s->full = true; /* the reader of the output looks, when it is done */
	watch_stream(s);
	return false;
}

void streams_output(struct payio *io, unsigned int which, char *data, size_t size)
{
	struct chunk *shared = NULL;
	char *frame = data - FRAME_BYTES;
	frame_put(frame, which + 1, (uint32_t)size);
	list_for_each_safe (n, &io->streams) {
		struct stream *s = container_of(n, struct stream, node);
		if (s->wants[which] && !s->ending && !s->gone)
			(void)output_to(s, frame, size, &shared);
	}
	chunk_unref(shared);
}

bool streams_are_full(const struct payio *io, unsigned int which)
{
	list_for_each (n, &io->streams) {
		const struct stream *s = container_of(n, struct stream, node);
		if (s->full && s->wants[which])
			return true;
	}
	return false;
}

size_t streams_waiting(const struct payio *io)
{
	size_t sum = 0;
	list_for_each (n, &io->streams)
		sum += container_of(n, struct stream, node)->q.left;
	return sum;
}

/* ---- begin, finish ---- */

struct stream *stream_find(struct payio *io, const char *id)
{
	list_for_each (n, &io->streams) {
		struct stream *s = container_of(n, struct stream, node);
		if (!strcmp(s->id, id))
			return s;
	}
	return NULL;
}

/* Input that came together with the HTTP request. */
static void take_head(struct stream *s, const struct stream_args *args)
{
	if (!s->reads_input || args->head_size == 0)
		return;
	unsigned char *out = malloc(args->head_size + DETACHKEYS_MAX);
	bool freed = false;
	if (out)
		freed = pass_input(s, args->head, args->head_size, out);
	free(out);
	if (!freed)
		watch_stream(s);
}

int stream_new(struct payio *io, const struct stream_args *args, int fd, struct err *err)
{
	if (stream_find(io, args->id))
		return err_set(err, EEXIST, "stream %s exists already", args->id);
	if (io->n_streams >= STREAMS_MAX)
		return err_set(err, EBUSY, "%d clients are attached already", STREAMS_MAX);
	struct stream *s = calloc(1, sizeof(*s));
	if (!s)
		return err_set(err, ENOMEM, "out of memory");
	(void)snprintf(s->id, sizeof(s->id), "%s", args->id);
	s->io = io;
	s->src = (struct source){ .fd = fd, .on_event = on_event };
	s->wants[0] = args->want_stdout;
	s->wants[1] = args->want_stderr;
	s->mux = args->mux && !io->tty;
	s->reads_input = args->want_stdin;
	s->detach = args->detach;
	outq_init(&s->q);
	int rc = loop_watch(io->loop, &s->src, s->reads_input ? EPOLLIN : 0);
	if (rc < 0) {
		free(s);
		return err_rc(err, rc, "cannot watch the client's socket");
	}
	list_add_tail(&io->streams, &s->node);
	io->n_streams++;
	take_head(s, args);
	return 0;
}

void stream_detach(struct stream *stream)
{
	stream_end(stream, "detached");
}

void streams_finish(struct payio *io)
{
	list_for_each_safe (n, &io->streams)
		(void)stream_finish(container_of(n, struct stream, node), "eof");
}

void streams_close(struct payio *io)
{
	list_for_each_safe (n, &io->streams)
		stream_end(container_of(n, struct stream, node), "closed");
}

/* SPDX-License-Identifier: Apache-2.0 */
/* sink - see sink.h. */
#include "sink.h"

#include "isola/fd.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static void drop_waiting(struct sink *sink)
{
	free(sink->waiting);
	sink->waiting = NULL;
	sink->size = sink->from = 0;
}

static void close_now(struct sink *sink)
{
	loop_unwatch(sink->loop, &sink->src);
	fd_close(&sink->fd);
	sink->src.fd = -1;
	sink->later = false;
	drop_waiting(sink);
}

/* Bytes written, maybe 0 when it is full; a broken sink is closed and has
 * "written" all. EIO and EPIPE: nobody reads it any more. */
static size_t try_write(struct sink *sink, const char *data, size_t size)
{
	size_t done = 0;
	while (done < size) {
		ssize_t n = write(sink->fd, data + done, size - done);
		if (n > 0)
			done += (size_t)n;
		else if (n == 0 || errno == EAGAIN)
			break;
		else if (errno != EINTR) {
			close_now(sink);
			return size;
		}
	}
	return done;
}

static void on_writable(struct source *src, uint32_t events)
{
	struct sink *sink = container_of(src, struct sink, src);
	(void)events; /* what they mean, write(2) tells */
	sink->from += try_write(sink, sink->waiting + sink->from, sink->size - sink->from);
	if (sink->fd >= 0 && sink->from < sink->size)
		return;
	drop_waiting(sink);
	if (sink->closing)
		close_now(sink);
	loop_unwatch(sink->loop, src);
	sink->on_ready(sink);
}

void sink_init(struct sink *sink, struct loop *loop, int fd, void (*on_ready)(struct sink *))
{
	*sink = (struct sink){ .loop = loop,
			       .src = { .fd = fd, .on_event = on_writable },
			       .fd = fd,
			       .on_ready = on_ready };
}

void sink_fini(struct sink *sink)
{
	if (sink->loop)
		close_now(sink);
}

/* Keeps what could not be written. */
static int wait_with(struct sink *sink, const char *data, size_t size)
{
	char *more = realloc(sink->waiting, sink->size + size);
	if (!more)
		return -ENOMEM;
	memcpy(more + sink->size, data, size);
	sink->waiting = more;
	sink->size += size;
	return sink->later ? 0 : loop_watch(sink->loop, &sink->src, EPOLLOUT);
}

void sink_expect(struct sink *sink)
{
	sink->later = true;
}

void sink_open(struct sink *sink, int fd)
{
	sink->later = false;
	sink->fd = sink->src.fd = fd;
	if (fd < 0)
		close_now(sink);
	else if (sink->size > 0 && loop_watch(sink->loop, &sink->src, EPOLLOUT) == 0)
		return;
	else if (sink->closing || sink->size > 0)
		close_now(sink);
	sink->on_ready(sink);
}

void sink_write(struct sink *sink, const char *data, size_t size)
{
	if ((sink->fd < 0 && !sink->later) || sink->closing)
		return;
	size_t n = sink_is_ready(sink) && !sink->later ? try_write(sink, data, size) : 0;
	if (n < size && (sink->fd >= 0 || sink->later) && wait_with(sink, data + n, size - n) < 0)
		close_now(sink);
}

void sink_close(struct sink *sink)
{
	if (sink->size > 0 || sink->later)
		sink->closing = true;
	else
		close_now(sink);
}

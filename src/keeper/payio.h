/* SPDX-License-Identifier: Apache-2.0 */
/* payio - one payload's stdin, stdout and stderr (of the container's first
 * process, or of an exec): output is read once, logged, and copied to each
 * attached client (stream.h) that wants it.
 *
 *   pipes or pty --> output.c --> jlog
 *                             \-> stream, stream, ... (socket, or its queue)
 *   pipe or pty  <-- sink.c   <-- stream, stream, ... (only while sink is ready)
 *
 * Back-pressure: while the queue of a client is full, the outputs it wants are
 * not read, so that the payload waits in write(2), as with Docker. The log never
 * holds anybody up. */
#pragma once

#include "isola/list.h"

#include "jlog.h"
#include "loop.h"
#include "sink.h"

#include <stdbool.h>
#include <stddef.h>

struct payio;
struct stream;

#define PAYIO_OUTPUTS 2 /* stdout or terminal, stderr */

struct output {
	struct source src; /* fd -1: none, or ended */
	struct payio *io;
	struct timer retry; /* runs while it cannot be read for a reason without an event */
	unsigned int retry_ms;
};

struct payio {
	struct loop *loop;
	struct jlog *log; /* borrowed; NULL = not logged */
	struct output out[PAYIO_OUTPUTS];
	struct sink in;
	struct list streams;
	size_t n_streams;
	bool tty;
	bool stdin_once; /* the first client's end of input is the payload's */
	bool ended;      /* the payload is gone: no back-pressure any more */
	/* A stream is gone; @why as in keeper.h. */
	void (*on_stream_end)(struct payio *io, const char *stream_id, const char *why);
	/* The last output has been read to its end; not at payio_end(). May be NULL. */
	void (*on_output_end)(struct payio *io);
};

/* Our ends of the payload's stdio; -1 where there is none. With a terminal,
 * [0] is its master and the others are -1. */
struct payio_fds {
	int fd[3];
};

/* @fds are taken and made non-blocking. -errno: then all is closed. */
int payio_init(struct payio *io, struct loop *loop, struct payio_fds *fds, bool tty);

/* For a payload whose stdio comes later: clients can be there before it, and their input
 * waits, if it is to have one. */
void payio_prepare(struct payio *io, struct loop *loop, bool tty, bool has_stdin);
/* Here it is, once: as payio_init(). On failure @io is as it was, @fds are closed. */
int payio_open(struct payio *io, struct payio_fds *fds);

/* The payload has ended: reads what it left behind, without waiting for anybody
 * else who holds the other end, and closes. Streams stay, with their queues. */
void payio_end(struct payio *io);

/* Closes all, streams too. NULL members are fine. */
void payio_fini(struct payio *io);

/* Terminal size. 0, -ENOTTY without a terminal. */
int payio_resize(struct payio *io, unsigned int rows, unsigned int columns);

/* Streams tell that how much they can take has changed. */
void payio_pressure_changed(struct payio *io);

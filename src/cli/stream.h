/* SPDX-License-Identifier: Apache-2.0 */
/* stream - the terminal or pipes of the user on one side, a hijacked connection
 * on the other, until one of them ends. */
#pragma once

#include "isola/detachkeys.h"
#include "isola/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Takes 8-byte frames apart: stream 2 to standard error, else standard output. */
struct stream_demux {
	unsigned char head[8]; /* of the frame that is being read */
	size_t head_size;
	uint32_t left; /* payload bytes of the frame still to come */
};
/* 0, or -errno: -EPROTO for a malformed frame. Zero-initialise @d once. */
int stream_demux(struct stream_demux *d, const void *data, size_t size, struct err *err);

struct stream {
	int sock;    /* connected to the payload; not closed here */
	bool mux;    /* output comes in 8-byte frames */
	bool stdin_; /* copy our standard input */
	bool tty;    /* raw mode, resize, detach keys */
	bool proxy;  /* forward signals to the payload */
	struct detachkeys detach;
	/* Called for SIGWINCH (also once at the start) and for signals to be
	 * forwarded. May be NULL. */
	void (*on_resize)(void *arg, int h, int w);
	void (*on_signal)(void *arg, int signo);
	/* A second connection, watched for its end only; on_hangup() gives the
	 * next one to watch, or STREAM_WATCH_RETRY to be called again later. */
	int watch_fd; /* or one of the constants below */
	int (*on_hangup)(void *arg);
	void *arg;
};

#define STREAM_WATCH_RETRY (-1)
#define STREAM_WATCH_NONE  (-2)

enum stream_end { STREAM_EOF, STREAM_DETACHED };

/* Blocks the signals that stream_pump() takes, so that none is lost between the
 * creation of a container and the pump. @proxy as in struct stream. */
void stream_block_signals(bool proxy);

/* Returns how it ended, or -errno. */
int stream_pump(struct stream *s, struct err *err);

/* SPDX-License-Identifier: Apache-2.0 */
/* reader - a process that reads a stranger's bytes for the job and says what is in them:
 *
 *   isola-image                          reader (confine_feed())
 *   has the store, takes what comes,     has the bytes to read and two pipes, no file, no
 *   believes none of it            <---  right: decompresses, parses
 *
 * A bug in a decompressor or a parser can make it say something wrong, and no more. */
#pragma once

#include "store.h"

#include <stdbool.h>
#include <sys/types.h>

/* In the reader: writes to @out_fd what it makes of @in_fd. */
typedef int reader_fn(int in_fd, int out_fd, const void *arg, struct err *err);

struct reader {
	pid_t pid;            /* 0 = none */
	int data_fd, word_fd; /* what it writes; its last word */
};

#define READER_INIT                                                                                \
	{                                                                                          \
		.data_fd = -1, .word_fd = -1                                                       \
	}

/* @in_fd is borrowed for the call; @arg, too: the reader has a copy of all that is here. */
int reader_start(const struct job *job, int in_fd, reader_fn *run, const void *arg,
		 struct reader *ret, struct err *err);

/* Up to @size bytes, as fd_read_all(): less only at the end. -EINTR when the job is cancelled. */
ssize_t reader_data(const struct reader *r, void *buf, size_t size, struct err *err);

/* Has it said its last word, or gone without? */
bool reader_has_ended(const struct reader *r);

/* When its data were taken, or are not wanted any more: waits for it, and its failure is the
 * result. -EPIPE without a text: it wrote to nobody. Not waited for in a cancelled job: it
 * goes when that does. */
int reader_end(struct reader *r, const char *what, struct err *err);

/* Without a word. */
void reader_fini(struct reader *r);
#define cleanup_reader __attribute__((cleanup(reader_fini)))

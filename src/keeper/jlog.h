/* SPDX-License-Identifier: Apache-2.0 */
/* jlog - the json-file log of a payload, as Docker writes it:
 *
 *   {"log":"a line\n","stream":"stdout","time":"2026-01-02T03:04:05.000000006Z"}
 *
 * A line longer than JLOG_LINE_MAX is split, all pieces but the last without
 * the "\n". Whole records only are written, several with one write(2). When the
 * file would grow past max_size it becomes <name>.1, that <name>.2 and so on.
 *
 * Invariants a reader may rely on (logread.c):
 *   1. A file that ends in "\n" at offset x is never changed before x.
 *   2. Once <name> is another inode, the former one is complete.
 *   3. A record is in exactly one file.
 *
 * Nothing here ever blocks the payload or fails it: what cannot be written (a
 * full disk) is dropped and counted, and one record tells when it works again. */
#pragma once

#include "isola/err.h"

#include <json-c/json.h>
#include <stddef.h>
#include <stdint.h>

#define JLOG_LINE_MAX (16 * 1024)

struct jlog;

enum jlog_stream { JLOG_STDOUT, JLOG_STDERR };

struct jlog_limits {
	int64_t max_size;       /* bytes a file; <= 0 = no rotation */
	unsigned int max_files; /* files in all, at least 1 */
};

/* Opens, or makes, @path (absolute) to append to. A record that a crash cut off
 * is closed with a line end first. @attrs: object put into each record as
 * "attrs", borrowed, may be NULL. Returns owned. */
int jlog_open(const char *path, const struct jlog_limits *limits, json_object *attrs,
	      struct jlog **ret, struct err *err);

/* Writes what is left (jlog_end() for both) and frees. NULL is fine. */
void jlog_close(struct jlog *log);

/* Logs @size bytes of output. An unfinished line is kept until its rest comes. */
void jlog_write(struct jlog *log, enum jlog_stream stream, const char *data, size_t size);

/* The stream has ended: its unfinished line is logged as it is. */
void jlog_end(struct jlog *log, enum jlog_stream stream);

/* Gives back memory that only a next write needs. */
void jlog_trim(struct jlog *log);

/* New limits, from the next record on. */
void jlog_limit(struct jlog *log, const struct jlog_limits *limits);

/* Records dropped since the file was opened; the errno of the last failure. */
uint64_t jlog_dropped(const struct jlog *log, int *ret_errno);

/* SPDX-License-Identifier: Apache-2.0 */
/* jlogfile - the file of a json-file log and its rotation; the invariants are
 * in jlog.h. */
#pragma once

#include "isola/err.h"

#include "jlog.h"

#include <stdbool.h>
#include <stddef.h>

struct jlogfile;

int jlogfile_open(const char *path, const struct jlog_limits *limits, struct jlogfile **ret,
		  struct err *err);
void jlogfile_close(struct jlogfile *file); /* NULL is fine */

/* Appends whole records. When not all of it can be written, what made it is
 * cut back to whole records; *@ret_written (may be NULL) says how much that
 * is. 0 or -errno. */
int jlogfile_write(struct jlogfile *file, const char *records, size_t size, size_t *ret_written);

/* Whether a record of @size bytes is too much for the current file once @before
 * bytes are written that wait for it. Never of an empty one, so that any record
 * fits somewhere. */
bool jlogfile_is_full(const struct jlogfile *file, size_t before, size_t size);

/* Moves the files up by one and begins a new one. 0 or -errno: then the current
 * file goes on, or, if only the new one could not be made, each later write
 * tries again to make it. */
int jlogfile_rotate(struct jlogfile *file);

void jlogfile_limit(struct jlogfile *file, const struct jlog_limits *limits);

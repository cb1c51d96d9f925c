/* SPDX-License-Identifier: Apache-2.0 */
/* tarw - writes a tar archive: POSIX ustar with pax extended headers (IEEE 1003.1
 * pax) for what has no room there: long names, large numbers, nanoseconds,
 * extended attributes (SCHILY.xattr.*). What tar.h reads comes back the same.
 *
 * Bytes leave in pieces of up to TARW_BUFFER_BYTES; content of files is read
 * straight into the piece, so it is copied once. */
#pragma once

#include "isola/err.h"
#include "isola/tar.h"

#include <stddef.h>
#include <stdint.h>

#define TARW_BUFFER_BYTES (512 * 1024)

struct tarw;

/* Takes all @size bytes, or -errno with @err set. */
typedef int tarw_write_fn(void *arg, const void *data, size_t size, struct err *err);

/* @arg is borrowed until the free. */
int tarw_new(tarw_write_fn *write, void *arg, struct tarw **ret, struct err *err);
void tarw_free(struct tarw *t);

static inline void tarw_cleanup(struct tarw **t)
{
	tarw_free(*t);
	*t = NULL;
}

#define cleanup_tarw __attribute__((cleanup(tarw_cleanup)))

/* The header of an entry. A folder's path gets its slash here. Behind a TAR_FILE
 * exactly e->size bytes must follow by the calls below. An attribute whose name
 * pax cannot spell is left out. */
int tarw_entry(struct tarw *t, const struct tar_entry *e, struct err *err);

/* Content: from memory, or @size bytes of @fd from its offset on; a file that has
 * become shorter meanwhile is -EIO. Any number of calls per entry. */
int tarw_data(struct tarw *t, const void *data, size_t size, struct err *err);
int tarw_file(struct tarw *t, int fd, uint64_t size, struct err *err);

/* @size bytes of another archive, as tarw_flush() let them leave there: whole entries, but
 * only the sizes are compared, and only those of the blocks. */
int tarw_raw(struct tarw *t, const void *data, size_t size, struct err *err);

/* What is whole leaves; no end mark. */
int tarw_flush(struct tarw *t, struct err *err);

/* End mark, and the last bytes out. */
int tarw_end(struct tarw *t, struct err *err);

/* SPDX-License-Identifier: Apache-2.0 */
/* tar - reads a tar archive entry by entry: POSIX ustar and pax (IEEE 1003.1
 * pax, extended headers), GNU (long names, base-256 numbers, sparse files in
 * all four forms), star, v7.
 *
 * Our own and not libarchive's because names must come out byte for byte:
 * libarchive composes decomposed Unicode in pax names, so two files of an
 * image may become one. Memory is bounded whatever the archive says: a pax or
 * long-name body has at most TAR_SPECIAL_BYTES_MAX, a sparse map
 * TAR_REGIONS_MAX. Global pax headers are skipped, as Docker does. Names are
 * not judged here; see unpack.h. */
#pragma once

#include "isola/err.h"

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define TAR_SPECIAL_BYTES_MAX (1024 * 1024)
#define TAR_REGIONS_MAX       (512 * 1024)
#define TAR_XATTRS_MAX        256

enum tar_kind {
	TAR_FILE,
	TAR_DIR,
	TAR_SYMLINK,
	TAR_HARDLINK,
	TAR_CHAR,
	TAR_BLOCK,
	TAR_FIFO,
};

struct tar_xattr {
	const char *name;
	const void *value;
	size_t size;
};

/* Borrowed from the reader until the next tar_next(). */
struct tar_entry {
	enum tar_kind kind;
	const char *path, *link; /* as they stand in the archive; never NULL */
	mode_t mode;             /* 07777 */
	uid_t uid;
	gid_t gid;
	int64_t mtime_s;
	uint32_t mtime_ns;
	uint64_t size; /* of a file, holes included */
	unsigned int major, minor;
	const struct tar_xattr *xattrs; /* SCHILY.xattr.* */
	size_t n_xattrs;
};

struct tar;

/* The next bytes of the archive, valid until the next call: their number and *@ret;
 * 0 at the end, or -errno with @err set. */
typedef ssize_t tar_read_fn(void *arg, const unsigned char **ret, struct err *err);

/* @arg is borrowed until the free. */
int tar_new(tar_read_fn *read, void *arg, struct tar **ret, struct err *err);
void tar_free(struct tar *t);

static inline void tar_cleanup(struct tar **t)
{
	tar_free(*t);
	*t = NULL;
}

#define cleanup_tar __attribute__((cleanup(tar_cleanup)))

/* Goes to the next entry, skipping what is unread of this one. 1 and *@ret; 0
 * behind the last one, when the stream was read to its end and only zeros were
 * left; -EINVAL for a malformed or cut-off archive, or an error of the stream. */
int tar_next(struct tar *t, const struct tar_entry **ret, struct err *err);

/* A run of the present file's content: 1, *@ret_data, *@ret_size (> 0) and the
 * offset where it belongs (holes are left out); 0 behind the last. */
int tar_data(struct tar *t, const unsigned char **ret_data, size_t *ret_size, uint64_t *ret_offset,
	     struct err *err);

/* A name of an archive as a path below a folder: leading slashes, "." and empty
 * components go; ".." anywhere is refused. "" is the folder itself. -EINVAL or
 * -ENAMETOOLONG. */
int tar_clean_name(const char *text, char ret[PATH_MAX], struct err *err);

/* After tar_next() said 0: was there an end mark? Without one, an archive cut
 * off between two entries looks complete. */
bool tar_has_end_mark(const struct tar *t);

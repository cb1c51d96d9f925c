/* SPDX-License-Identifier: Apache-2.0 */
/* parts - how a reader (reader.h) passes on the files of an image archive: a frame for each
 * entry, and frames with a file's content behind it. The side that takes them believes
 * nothing: whatever lies here lies about an archive that is a stranger's anyway. */
#pragma once

#include "isola/tar.h"
#include "reader.h"

#include <stdint.h>

#define PARTS_DATA_MAX ((size_t)256 * 1024)   /* bytes in a frame */
#define PARTS_NAME_MAX ((size_t)2 * PATH_MAX) /* of a name or a link, which are judged later */

/* In the reader: the whole archive at @in_fd (tar, perhaps compressed); @arg: uint64_t, the
 * most bytes that it may have unpacked. */
int parts_write(int in_fd, int out_fd, const void *arg, struct err *err);

struct parts {
	const struct reader *reader;
	/* What parts_next() found, borrowed until the next: an entry (@data NULL)... */
	enum tar_kind kind;
	const char *name, *link;
	uint64_t size;
	/* ...or content of the last one. */
	const unsigned char *data;
	size_t data_size;
	unsigned char buf[PARTS_DATA_MAX];
};

/* 1, 0 at the end (then reader_end() knows whether it was one), or -errno. */
int parts_next(struct parts *p, struct err *err);

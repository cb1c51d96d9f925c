/* SPDX-License-Identifier: Apache-2.0 */
/* later - what happens to a layer's folders when all entries are there: times
 * (making an entry changes its folder's), default ACLs (new entries inherit
 * them), opaque marks, looks of folders that were only implied. A million of them
 * must not cost memory, so they wait in an unlinked file, written and read in one
 * sweep. */
#pragma once

#include "isola/err.h"

#include <stddef.h>
#include <stdint.h>

enum later_kind {
	LATER_TIME,  /* of a folder that looks right already */
	LATER_LOOK,  /* owner, mode, time */
	LATER_BELOW, /* the same, as it looks in the layers below */
	LATER_XATTR,
	LATER_OPAQUE,
	LATER_ANEW, /* it is another than those that the items before are about */
};

struct later_item {
	enum later_kind kind;
	const char *path; /* below the layer's folder, "" = itself */
	uint32_t mode, uid, gid;
	int64_t mtime_s;
	uint32_t mtime_ns;
	const char *xattr; /* NULL or the attribute's name */
	const void *value;
	size_t size;
};

struct later;

/* @fd: an empty file, borrowed until the free. */
int later_new(int fd, struct later **ret, struct err *err);
void later_free(struct later *l);

static inline void later_cleanup(struct later **l)
{
	later_free(*l);
	*l = NULL;
}

#define cleanup_later __attribute__((cleanup(later_cleanup)))

int later_add(struct later *l, const struct later_item *item, struct err *err);

/* Writes out what is buffered: before another process reads the file. */
int later_flush(struct later *l, struct err *err);

/* Reads the items in @fd from its start, in order, and calls @each for them; a
 * result < 0 of it ends the walk. The file's bytes are judged as foreign: a
 * malformed one is -EPROTO. */
typedef int later_fn(const struct later_item *item, void *arg, struct err *err);
int later_each(int fd, later_fn *each, void *arg, struct err *err);

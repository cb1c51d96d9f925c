/* SPDX-License-Identifier: Apache-2.0 */
/* verify - the check of the whole store (`ctrctl system check`), for verify*.c:
 *
 *   look     lock      what the index and the records say
 *   measure  no lock   every blob's digest, every layer's shape, with --deep each file
 *                      of it against the blob: takes long, and none ever changes
 *   judge    lock      what is wrong now; --repair takes the broken out of the way
 *   rebuild  no lock   --repair: records and layers again, from the blobs
 *   sweep    lock      --repair: what is still not needed by any image goes
 *
 * What is broken is moved to quarantine/, never deleted; what no image needs and
 * no job holds is deleted. A blob that an image has lost cannot be made again: that
 * takes a load or pull. */
#pragma once

#include "collect.h"
#include "image.h"

enum finding_kind {
	FOUND_LAYOUT,
	FOUND_LEFTOVER,
	FOUND_INDEX,
	FOUND_RECORD,
	FOUND_NAME,
	FOUND_BLOB,
	FOUND_LAYER,
	FOUND_ROOT,
	FOUND_ORPHAN,
};

struct verify {
	const struct job *job;
	const struct limits *limits;
	bool repair, deep;
	/* Of the look under the lock, renewed by judge; owned. */
	json_object *index;       /* NULL = cannot be read */
	json_object *records;     /* array of the readable ones */
	json_object *bad_records; /* {"<hex>.json": why} */
	json_object *index_why;   /* a string, or NULL */
	/* Of the measuring; owned. */
	json_object *bad_blobs;  /* {digest: why} */
	json_object *bad_layers; /* {chain hex: why} */
	json_object *bad_roots;  /* {chain hex of the topmost layer: why} */
	json_object *bad_bytes;  /* {chain hex: [why, inode of fs]}: the shape is right */
	uint64_t n_blobs, n_layers, n_roots, bytes;
	/* What came out; owned. */
	json_object *problems; /* [{"Kind","Object","Text","Repaired"}] */
	json_object *rebuild;  /* {manifest: [problems]} */
	unsigned int n_problems, n_left;
	unsigned int n_lost; /* images in the index without a record */
};

/* Notes a problem; returns it, borrowed. NULL when there are too many to list. */
json_object *verify_note(struct verify *v, enum finding_kind kind, const char *object,
			 bool repaired, const char *fmt, ...) __attribute__((format(printf, 5, 6)));

/* @problem (may be NULL) is repaired after all. */
void verify_mend(struct verify *v, json_object *problem);

/* @problem goes away when the image of @manifest is made again from its blobs. */
void verify_want_rebuild(struct verify *v, const char *manifest, json_object *problem);

/* Reads index and records as they are now. Holds store_lock(). */
int verify_look(struct verify *v, struct err *err);

/* verify_judge.c; holds store_lock(). */
int verify_judge(struct verify *v, struct err *err);

/* What no image needs; the sweep removes it. Holds store_lock(). */
int verify_judge_orphans(struct verify *v, struct err *err);

/* verify_repair.c: after the judging; takes locks itself. */
int verify_rebuild(struct verify *v, struct err *err);

/* Moves @name of folder @dir_fd to quarantine/@as, or @as.1... */
int verify_quarantine(struct verify *v, int dir_fd, const char *name, const char *as,
		      struct err *err);

/* SPDX-License-Identifier: Apache-2.0 */
/* unpack_priv - what the files of unpack share. */
#pragma once

#include "later.h"
#include "name.h"
#include "unpack.h"

#include <stdbool.h>
#include <sys/stat.h>

struct unpack {
	const struct unpack_args *args;
	struct later *later;
	struct unpack_result result;
	/* The folder of the entry before: most entries share it with the next. */
	int dir_fd; /* O_PATH, -1 = none */
	char dir_path[PATH_MAX];
	bool dir_setgid;   /* new entries inherit its group */
	bool folders_gone; /* folders were replaced: items may be about these */
};

/* Overlayfs's whiteout: nothing of the archive becomes one. */
static inline bool is_whiteout(const struct stat *st)
{
	return S_ISCHR(st->st_mode) && st->st_rdev == 0;
}

/* Counts one more entry against the limit. */
int unpack_count(struct unpack *u, struct err *err);

/* Notes @kind (without more to say) for @path. */
int unpack_note(struct unpack *u, enum later_kind kind, const char *path, struct err *err);

/* Notes that the folder @path was made: what waits for one that was there before is not
 * its. */
int unpack_note_made(struct unpack *u, const char *path, struct err *err);

/* ---- unpack_dir.c ---- */

/* The folder @path, O_PATH, borrowed until the next call; made where it is
 * missing (rule 2). -ENOTDIR when a link or file of this layer is in the way. */
int unpack_enter(struct unpack *u, const char *path, struct err *err);

/* Makes the folder @name->path for entry @e. */
int unpack_put_dir(struct unpack *u, const struct name *name, const struct tar_entry *e,
		   struct err *err);

/* ---- unpack_meta.c ---- */

/* Owner, mode, attributes and time of an open file. */
int unpack_file_meta(struct unpack *u, int fd, const struct tar_entry *e, struct err *err);

/* Owner, mode, attributes of a folder; its time is noted for later. @fresh: just
 * made with the entry's mode. */
int unpack_dir_meta(struct unpack *u, int dir_fd, const char *last, const char *path,
		    const struct tar_entry *e, bool fresh, struct err *err);

/* Owner, mode and time of anything else. */
int unpack_node_meta(struct unpack *u, int dir_fd, const char *last, const struct tar_entry *e,
		     struct err *err);

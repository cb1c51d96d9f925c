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
	struct later *later, *opaque;
	struct unpack_result result;
	/* The folder of the entry before: most entries share it with the next. */
	int dir_fd; /* O_PATH, -1 = none */
	char dir_path[PATH_MAX];
	bool dir_setgid; /* new entries inherit its group */
};

/* Owner, mode and time alone. */
struct unpack_attr {
	mode_t mode;
	uid_t uid;
	gid_t gid;
	int64_t mtime_s;
	uint32_t mtime_ns;
};

/* Overlayfs's whiteout: nothing of the archive becomes one. */
static inline bool is_whiteout(const struct stat *st)
{
	return S_ISCHR(st->st_mode) && st->st_rdev == 0;
}

/* Counts one more entry against the limit. */
int unpack_count(struct unpack *u, struct err *err);

/* Notes that @path is opaque. */
int unpack_note_opaque(struct unpack *u, const char *path, struct err *err);

/* Notes the time of folder @path. */
int unpack_note_time(struct unpack *u, const char *path, int64_t mtime_s, uint32_t mtime_ns,
		     struct err *err);

/* ---- unpack_dir.c ---- */

/* The folder @path, O_PATH, borrowed until the next call; made where it is
 * missing (rule 2). -ENOTDIR when a link or file of this layer is in the way. */
int unpack_enter(struct unpack *u, const char *path, struct err *err);

/* Makes the layer's root folder look as it does below. */
int unpack_root(struct unpack *u, struct err *err);

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

/* What was noted, when all entries are there. */
int unpack_finish(struct unpack *u, struct err *err);

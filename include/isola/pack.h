/* SPDX-License-Identifier: Apache-2.0 */
/* pack - a file or a tree becomes entries of a tar archive.
 *
 * The tree is not trusted and may change meanwhile. Everything is opened by
 * descriptor below its folder and no link is ever followed. Nothing but folders
 * and regular files is opened: what a name means is looked at through O_PATH, and
 * that same file is opened again through /proc/self/fd, so no swap in between
 * makes us open a FIFO or a device. Files with several names become hard links;
 * sockets are left out, tar has none. Memory and one descriptor a level grow with the
 * depth, memory also with files of several names. */
#pragma once

#include "isola/err.h"
#include "isola/tarw.h"

#include <stdbool.h>
#include <sys/stat.h>

#define PACK_LINKS_MAX (4 * 1024 * 1024) /* more files of several names are an error */

struct pack_options {
	struct tarw *out;
	int proc_fd; /* O_PATH of our own /proc/self/fd; borrowed */
	/* The upper folder of an overlay becomes a layer (image-spec layer.md):
	 * device 0:0 is written as ".wh.x", a folder marked opaque gets
	 * ".wh..wh..opq". Marks are trusted: CAP_SYS_ADMIN. */
	bool layer;
	bool user_marks;              /* with layer: its marks are a user's, "user.overlay.*" */
	bool root_owned;              /* all belongs to 0:0 */
	bool fixed_owner, fixed_mode; /* all gets these; links keep their mode */
	uid_t uid;
	gid_t gid;
	mode_t mode;
	bool shallow; /* of a folder only its own entry */
	/* Leaves out what it says true for (of a folder: only when it is empty). */
	bool (*skip)(const char *as, const struct stat *st, void *arg);
	void *skip_arg; /* borrowed */
};

/* Packs what @name in @dir_fd is, as @as ("a" -> "a", "a/b"...). @name "" is the
 * folder itself; with @as "" its entries get a leading slash ("/", "/b"), with
 * "." they get "./". */
int pack_tree(const struct pack_options *options, int dir_fd, const char *name, const char *as,
	      struct err *err);

/* The same piece by piece, in one archive: a file of several names that was packed
 * already becomes a hard link. */
struct pack;
int pack_new(const struct pack_options *options, struct pack **ret, struct err *err);
int pack_add(struct pack *pack, int dir_fd, const char *name, const char *as, struct err *err);
void pack_free(struct pack *pack); /* NULL is fine */

/* The same for the entries below the folder @dir_fd, without the folder's own, as
 * "b", "b/c": a layer, an export. */
int pack_below(const struct pack_options *options, int dir_fd, struct err *err);

/* Extended attributes that travel: "user." (not "user.overlay."),
 * security.capability and POSIX ACLs. Others belong to the host, or steer it. */
bool pack_keeps_xattr(const char *name);

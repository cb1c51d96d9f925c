/* SPDX-License-Identifier: Apache-2.0 */
/* copy_local - the user's side of cp: what a local path is, local files as a tar
 * stream, and a tar stream as local files. */
#pragma once

#include "isola/err.h"
#include "isola/tar.h"

#include <limits.h>
#include <stdbool.h>
#include <sys/types.h>

/* A path taken apart as Docker does it: "a/b" -> "a" and "b"; "a/b/." means what is
 * in b: "a/b" and ".". */
struct local_path {
	char dir[PATH_MAX], base[NAME_MAX + 1];
	bool contents;       /* ends in "/." */
	bool slash;          /* ends in a slash */
	bool exists, is_dir; /* of what it leads to, links followed */
};

/* Pure but for a look at the file system. -ENAMETOOLONG. */
int local_path_read(const char *path, struct local_path *ret, struct err *err);

/* Starts a child that packs the file or tree @path as @as ("." = only what is in
 * it) and returns the read end of its pipe, owned. @follow: @path itself may be a
 * link. @owners: as on disk; else all belongs to root. */
int local_pack(const char *path, const char *as, bool follow, bool owners, pid_t *ret_pid,
	       struct err *err);
/* Waits for it; its error was printed. */
int local_pack_end(pid_t pid, struct err *err);

/* Extracts what @read gives into the folder @dir; the first component of names
 * becomes @first unless NULL. @owners: of the archive, else ours. */
int local_extract(tar_read_fn *read, void *arg, const char *dir, const char *first, bool owners,
		  struct err *err);

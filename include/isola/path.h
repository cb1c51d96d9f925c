/* SPDX-License-Identifier: Apache-2.0 */
/* path - opening names inside a root that is not trusted.
 *
 * No function here takes a rootfs as a string: a root is a descriptor, and a
 * name under it is resolved by openat2(2) with RESOLVE_IN_ROOT (links stay
 * inside, as chroot would have it) or RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS.
 * Magic links (/proc/self/fd/N) are never followed. */
#pragma once

#include "isola/err.h"

#include <sys/types.h>

/* Opens @path inside @root_fd as a process chrooted there would; flags and
 * mode as for open(2), O_CLOEXEC is added. Returns the fd or -errno. */
int path_open_in_root(int root_fd, const char *path, int flags, mode_t mode);

/* Opens @path below @dir_fd; any symlink or ".." that leaves is -ELOOP/-EXDEV. */
int path_open_beneath(int dir_fd, const char *path, int flags, mode_t mode);

/* Makes the folders of @path inside @root_fd where they are missing (mode
 * @mode, links inside the root followed) and returns an O_PATH fd of the last. */
int path_mkdir_in_root(int root_fd, const char *path, mode_t mode, struct err *err);

/* Makes an empty regular file (and its folders) at @path inside @root_fd where
 * nothing is; returns an O_PATH fd of it. What exists is left alone; a final
 * symlink is followed inside the root. */
int path_mkfile_in_root(int root_fd, const char *path, mode_t mode, struct err *err);

/* Lexically cleans an absolute path: "//", ".", ".." (never above "/").
 * -EINVAL if @path is not absolute, -ENAMETOOLONG; else 0 and @ret filled. */
int path_clean(const char *path, char *ret, size_t size);

/* Makes all folders of an ordinary host path (like mkdir -p). 0 or -errno. */
int path_mkdir_all(const char *path, mode_t mode, struct err *err);

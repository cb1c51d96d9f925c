/* SPDX-License-Identifier: Apache-2.0 */
/* quota - limits for a folder's files by project quotas (ext4, XFS): what is made in a
 * folder inherits its project, and the kernel counts what belongs to one
 * (Documentation/filesystems/quota.rst, quotactl_fd(2): Linux 5.14). Any thread. */
#pragma once

#include "isola/err.h"

#include <stdint.h>

struct quota {
	uint64_t used_bytes, used_files;
	uint64_t limit_bytes; /* 0 = none */
};

/* What the file system of @fd counts for @project. -EOPNOTSUPP: it has no project quotas
 * on; the text says how to get them, @path names it there. */
int quota_get(int fd, uint32_t project, const char *path, struct quota *ret, struct err *err);

/* @bytes 0: no limit any more. */
int quota_limit(int fd, uint32_t project, uint64_t bytes, const char *path, struct err *err);

/* The empty folder @dir_fd (not O_PATH), and what will be made in it, belongs to @project. */
int quota_assign(int dir_fd, uint32_t project, struct err *err);

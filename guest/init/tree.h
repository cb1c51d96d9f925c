/* SPDX-License-Identifier: Apache-2.0 */
/* tree - mounts as descriptors: open_tree(2), move_mount(2), mount_setattr(2), which our C
 * library does not know. In processes of init's own. */
#pragma once

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <unistd.h>

#define TREE_RECURSIVE  0x8000 /* AT_RECURSIVE */
#define TREE_READ_ONLY  0x1    /* MOUNT_ATTR_RDONLY, and so on */
#define TREE_NOSUID     0x2
#define TREE_NODEV      0x4
#define TREE_NOEXEC     0x8
#define TREE_NOATIME    0x10
#define TREE_ATIME      0x70 /* mask */
#define TREE_NODIRATIME 0x80

/* A detached copy of what is mounted at @path, "" for @dir_fd itself. Owned, or -errno. */
static inline int tree_clone(int dir_fd, const char *path, bool recursive)
{
	unsigned int flags = 1 /* OPEN_TREE_CLONE */ | O_CLOEXEC |
			     (recursive ? TREE_RECURSIVE : 0) | (*path ? 0 : AT_EMPTY_PATH);
	long fd = syscall(428 /* open_tree */, dir_fd, path, flags);
	return fd < 0 ? -errno : (int)fd;
}

/* Attaches it at @path below @to, "" for @to itself. */
static inline int tree_move(int fd, int to, const char *path)
{
	unsigned int flags = 0x4 /* by its descriptor */ | (*path ? 0 : 0x40 /* to one */);
	return syscall(429 /* move_mount */, fd, "", to, path, flags) < 0 ? -errno : 0;
}

/* Sets @set, which are TREE_*; with @recursive also on what is mounted below. */
static inline int tree_restrict(int fd, uint64_t set, bool recursive)
{
	const struct {
		uint64_t set, clear, propagation, userns_fd;
	} attr = { .set = set, .clear = set & TREE_NOATIME ? TREE_ATIME : 0 };
	unsigned int flags = AT_EMPTY_PATH | (recursive ? TREE_RECURSIVE : 0);
	return syscall(442 /* mount_setattr */, fd, "", flags, &attr, sizeof(attr)) < 0 ? -errno
											: 0;
}

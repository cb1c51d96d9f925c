/* SPDX-License-Identifier: Apache-2.0 */
/* extfs - kernels on an ext2/3/4 file system inside a disk, by libext2fs. */
#pragma once

#include "disk.h"

#include "isola/err.h"

struct extfs;

/* A kernel with its initial RAM disk. */
struct extfs_kernel {
	char version[128];   /* "6.1.0-56-cloud-amd64" */
	unsigned int kernel; /* inode numbers */
	unsigned int initrd; /* 0 = none */
};

/* Opens the file system in @part, read-only. NULL when there is none that is known;
 * @part and @disk are borrowed until extfs_close(). */
struct extfs *extfs_open(const struct disk *disk, const struct part *part);
void extfs_close(struct extfs *fs);
/* Whether it looks like a root: it has /sbin/init or /etc/fstab. */
bool extfs_is_root(struct extfs *fs);
/* The newest kernel in /boot, or in / of a boot partition; false when there is none. */
bool extfs_newest(struct extfs *fs, struct extfs_kernel *ret);
/* Copies the file of @inode to @fd; -EFBIG beyond @max bytes. */
int extfs_copy(struct extfs *fs, unsigned int inode, uint64_t max, int fd, struct err *err);

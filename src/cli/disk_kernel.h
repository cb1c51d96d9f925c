/* SPDX-License-Identifier: Apache-2.0 */
/* disk_kernel - a kernel and its initial RAM disk out of a disk, by isola-bootdisk,
 * kept in the store of kernels (kernel_store.h). Runs in vmctl. */
#pragma once

#include "isola/err.h"
#include "kernel_store.h"

/* Looks into the disk image at @path. 1 with a stored kernel; 0 when there is none,
 * then @ret->root may still tell what the root is; -errno. The store is @store, or one
 * of the user's own where that cannot be written. */
int disk_kernel(const char *store, const char *path, struct kernel *ret, struct err *err);
/* Only what the root of the disk at @path is, as a kernel parameter ("" = not known);
 * nothing is stored. */
int disk_root(const char *store, const char *path, char *ret, size_t size, struct err *err);

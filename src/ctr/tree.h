/* SPDX-License-Identifier: Apache-2.0 */
/* tree - mounts as descriptors: the new mount API (Linux 5.2; mount_setattr
 * 5.12, idmaps 5.12). A "tree" is the fd of a detached mount: it belongs to no
 * folder until tree_attach(), and is gone when the last fd closes. */
#pragma once

#include "isola/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A bind: detached clone of what @fd (O_PATH) refers to; @recursive takes the
 * mounts below with it. Owned fd or -errno. */
int tree_clone(int fd, bool recursive);

/* Changes attributes (MOUNT_ATTR_*) and propagation (MS_SHARED..., 0 = keep);
 * @userns_fd >= 0 idmaps with that user namespace. 0 or -errno. */
int tree_set(int tree, bool recursive, uint64_t set, uint64_t clr, unsigned long propagation);
int tree_idmap(int tree, bool recursive, int userns_fd);

/* Moves @tree onto what @target_fd refers to. 0 or -errno. */
int tree_attach(int tree, int target_fd);

/* A new file system of @type as a tree. @params: n pairs of key and value (a
 * NULL value is a flag); "source" first if there is one. -errno with the
 * kernel's own words when it has some. -E2BIG: a value too long for fsconfig(2). */
struct ctr_mount_param;
int tree_new(const char *type, const char *source, const struct ctr_mount_param *params,
	     size_t n_params, uint64_t attr, struct err *err);

/* The last step of tree_new() for those who configure @fs themselves. */
int tree_create(int fs, const char *type, uint64_t attr, struct err *err);

/* Puts what the kernel said about @fs behind @rc's text. */
int tree_fs_error(int fs, int rc, struct err *err, const char *fmt, ...)
	__attribute__((format(printf, 4, 5)));

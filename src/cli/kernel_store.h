/* SPDX-License-Identifier: Apache-2.0 */
/* kernel_store - the guest kernels of this host: <state>/kernels/NAME with kernel.json
 * ({"name", "kind", "release", "source", "kernel", "initrd", "root", "key"}), the kernel
 * and its initial RAM disk; "default" is a link to the one in use. A kernel appears
 * whole or not at all. Runs in vmctl, with the rights of its caller. */
#pragma once

#include "isola/err.h"

#include <json-c/json.h>
#include <limits.h>
#include <stdbool.h>

#define KERNEL_DEFAULT "default"

struct kernel {
	char name[128];
	char kernel[PATH_MAX];
	char initrd[PATH_MAX]; /* "" = none */
	char root[64];         /* "root=..." of a kernel out of a disk, or "" */
};

/* NAME, or what is in use for KERNEL_DEFAULT. -ENOENT with what to do. */
int kernel_find(const char *store, const char *name, struct kernel *ret, struct err *err);
/* All of them, sorted by name: kernel.json's fields, "size" in bytes, and "default". */
json_object *kernel_list(const char *store, struct err *err);
/* Copies the kernel in folder @from (a cache's) and makes its initial RAM disk. Becomes
 * the default where there is none. @ret_name may be NULL. */
int kernel_install(const char *store, const char *from, struct kernel *ret, struct err *err);
int kernel_use(const char *store, const char *name, struct err *err);
int kernel_remove(const char *store, const char *name, struct err *err);

/* SPDX-License-Identifier: Apache-2.0 */
/* boot - what a disk wants to boot: its newest kernel, and which part is its root. */
#pragma once

#include "disk.h"

#include "isola/err.h"

#include <json-c/json.h>

/* Looks for a kernel and writes it to @kernel_fd, its initial RAM disk to @initrd_fd.
 * @ret, owned: { "root": "root=PARTUUID=..." where a root was found, "release" where a
 * kernel was, "initrd": bool }. 0, or -errno for a kernel that cannot be read. */
int boot_find(const struct disk *disk, int kernel_fd, int initrd_fd, json_object **ret,
	      struct err *err);

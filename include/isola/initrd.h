/* SPDX-License-Identifier: Apache-2.0 */
/* initrd - writes an initial RAM disk: an init of ours and a kernel's modules as a cpio
 * archive (newc; Linux, driver-api/early-userspace/buffer-format). vmctl makes one of a
 * stored kernel and isola-boot-init; isolad one of a kernel and isola-init. */
#pragma once

#include "isola/err.h"

/* Writes to @fd: @init as /init; the files of the folder @modules, if not NULL, in
 * /m, among them "list", by which the init loads them. 0 or -errno. */
int initrd_write(int fd, const char *init, const char *modules, struct err *err);

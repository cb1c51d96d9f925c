/* SPDX-License-Identifier: Apache-2.0 */
/* initrd - writes the initial RAM disk of a stored kernel: our init and the kernel's
 * modules as a cpio archive (newc; Linux, driver-api/early-userspace/buffer-format).
 * Runs in vmctl. */
#pragma once

#include "isola/err.h"

/* Writes to @fd: @init as /init; the files of the folder @modules, if not NULL, in
 * /m. */
int initrd_write(int fd, const char *init, const char *modules, struct err *err);

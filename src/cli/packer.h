/* SPDX-License-Identifier: Apache-2.0 */
/* packer - a child that writes an archive of the user's files to a pipe, while the
 * command sends what comes out of it. Runs in ctrctl. */
#pragma once

#include "isola/err.h"

#include <stddef.h>
#include <sys/types.h>

/* Writes all of it to @out. The child prints what it returns in @err, but for -EPIPE:
 * then nobody reads. */
typedef int packer_fn(int out, const void *arg, struct err *err);

/* Starts it; @what it packs is for the error. Returns the read end, owned. */
int packer_start(packer_fn *fn, const void *arg, const char *what, pid_t *ret_pid, struct err *err);
/* Waits for it. -EIO with the text @failed when it said on standard error what was wrong. */
int packer_end(pid_t pid, const char *failed, struct err *err);

/* A tarw_write_fn: @arg is the int @out. */
int packer_write(void *arg, const void *data, size_t size, struct err *err);

/* SPDX-License-Identifier: Apache-2.0 */
/* tarball - a folder as a tar stream, so that `load -i FOLDER` sends an OCI
 * layout as an archive. */
#pragma once

#include "isola/err.h"

#include <sys/types.h>

/* Starts a child that writes the regular files and folders below @path as a
 * POSIX ustar archive to a pipe; returns the read end (owned) and the child's
 * pid, to be waited for. -errno when it cannot start. */
int tarball_open(const char *path, pid_t *ret_pid, struct err *err);
/* Waits for the child: 0, or -EIO when a file could not be read or has no place
 * in the format (it has said so on standard error). */
int tarball_close(pid_t pid, struct err *err);

/* SPDX-License-Identifier: Apache-2.0 */
/* compare - is a folder still what a layer's tar says? The other half of unpack.h: each
 * entry against what lies there, kind, owner, mode, time, attributes and every byte.
 * Not looked at: folders that no entry names, marks of opaque folders (they are trusted
 * attributes), POSIX ACLs (the kernel keeps them in its own words), times before 1970 and
 * beyond 2038 (not every file system has them). */
#pragma once

#include "isola/err.h"
#include "isola/tar.h"

#include <stdbool.h>

/* Reads all of @tar. @once: no entry replaced another when it was unpacked, so hard
 * links lead where they led then. -EIO with the first difference; else the archive's
 * error. Borrows all; opens nothing but regular files and folders below @root_fd. */
int compare_layer(struct tar *tar, int root_fd, bool once, struct err *err);

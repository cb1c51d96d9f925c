/* SPDX-License-Identifier: Apache-2.0 */
/* place - where the files that belong to vmctl are. Runs in vmctl. */
#pragma once

#include "isola/err.h"

#include <stddef.h>

/* The path of the helper program or folder @name: beside our own executable (in a
 * build folder), else where it was installed. -ENOENT names both places. */
int place_find(const char *name, char *ret, size_t size, struct err *err);

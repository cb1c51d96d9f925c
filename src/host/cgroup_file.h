/* SPDX-License-Identifier: Apache-2.0 */
/* cgroup_file - what the cgroup_*.c files share: the mount's root and small
 * kernel files. */
#pragma once

#include "isola/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* The mount's root folder, borrowed (it stays open); -errno when there is none. */
int cgroup_root(struct err *err);

/* "/a/b" as a name below the root ("a/b", "." for "/"); -EINVAL for "..". */
int cgroup_relative(const char *path, const char **ret, struct err *err);

/* Reads @file whole into @buf, with a NUL behind; what does not fit is cut off.
 * The length or -errno. */
ssize_t cgroup_read(int dir, const char *file, char *buf, size_t size);

/* Value of "@key <number>" in flat keyed text; @fallback when it is not there. */
uint64_t cgroup_key(const char *text, const char *key, uint64_t fallback);

/* Whether the @n bytes at @word are one of the words of @list. */
bool cgroup_has_word(const char *list, const char *word, size_t n);

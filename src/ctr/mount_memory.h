/* SPDX-License-Identifier: Apache-2.0 */
/* mount_memory - a file that is in memory alone, for secrets: CTR_MEMORY of ctr.h. A ramfs
 * is never swapped, and no user namespace may make one that is not. */
#pragma once

#include "spec.h"

/* In the parent: a ramfs of its own with a copy of m->source, as a tree whose only file is
 * "file". Owned fd. */
int mount_memory_make(int base, const struct ctr_mount *m, struct err *err);

/* In init, while it is at home in its mount namespace: the file of @tree as a tree. The
 * kernel clones only what is attached (before 6.15), so @tree is mounted over @place for
 * that moment. Owned fd. */
int mount_memory_file(int tree, int place, struct err *err);

/* SPDX-License-Identifier: Apache-2.0 */
/* scratch - mounts that need a named place before they can be cloned (Linux
 * before 6.15 clones no part of a detached mount).
 *
 * A helper process with a mount namespace of its own makes them in a tmpfs that
 * nobody else sees; with the helper all is gone but the trees it hands over, also
 * when it or we are killed. */
#pragma once

#include "isola/err.h"

#include <stddef.h>

/* Calls @make(arg, i) for i = 0 .. n-1 in the helper, as the host's root, with an
 * empty tmpfs as the current folder; each returns an owned tree (tree.h) or
 * -errno. The trees go to @ret_trees, owned; on failure none. */
int scratch_trees(int (*make)(void *arg, size_t i, struct err *err), void *arg, size_t n,
		  int *ret_trees, struct err *err);

/* SPDX-License-Identifier: Apache-2.0 */
/* stub - mount points that a start makes where an image has none: they are in the
 * writable layer, and nobody's change. */
#pragma once

#include <stdbool.h>
#include <sys/stat.h>

/* Whether @path ("/a/b") of the writable layer, which the image has not, is one: a
 * folder or an empty file where isolad mounts what every container has. */
bool stub_is(const char *path, const struct stat *st);

/* SPDX-License-Identifier: Apache-2.0 */
/* gzip - a layer that the store has plain, compressed (RFC 1952): the same bytes give
 * the same result, which bears no time and no name. */
#pragma once

#include "blob.h"

/* Compresses @fd from its present place to its end into @to (begun). @each (may be
 * NULL) is called now and then, with the bytes read so far; its failure ends it. */
int gzip_write(int fd, struct blob_write *to,
	       int (*each)(void *arg, uint64_t done, struct err *err), void *arg, struct err *err);

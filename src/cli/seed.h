/* SPDX-License-Identifier: Apache-2.0 */
/* seed - the small disk from which cloud-init takes its orders (NoCloud): an ISO 9660
 * image labelled "cidata", made in memory. Runs in vmctl. */
#pragma once

#include "isola/err.h"
#include "isola/strbuf.h"

#include <stddef.h>

#define SEED_FILE_BYTES_MAX  (512 * 1024)
#define SEED_IMAGE_BYTES_MAX (768 * 1024) /* as much as a request takes */

struct seed_file {
	const char *name; /* lower case, as cloud-init knows it */
	const void *data;
	size_t size;
};

/* Appends the image with @n files (at most 8) to @image. -E2BIG names a file that is
 * too large. */
int seed_build(const struct seed_file *files, size_t n, struct strbuf *image, struct err *err);

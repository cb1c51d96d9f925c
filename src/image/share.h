/* SPDX-License-Identifier: Apache-2.0 */
/* share - what another job waits for gets its name before the image is whole. The names
 * are on disk with what they stand for, as an image's are (add.c); as long as no record
 * needs them, this job's leases and locks keep them, and then those of the other job. */
#pragma once

#include "blob.h"
#include "layer.h"

#include <stddef.h>

/* The lowest @n layers of an image, unpacked, and their blobs, compared: places what has
 * no name yet and goes on with shared locks. @blobs[i] is NULL for one that is there. */
int share_layers(const struct job *job, struct layer *layers, struct blob_write *const *blobs,
		 size_t n, struct err *err);

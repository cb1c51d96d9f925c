/* SPDX-License-Identifier: Apache-2.0 */
/* root - layers/<chain>/root.erofs: the merged tree of an image in one file, for guests.
 *
 * It lies in the folder of the image's topmost layer, whose chain id says what is in it,
 * and lives as long as an image has that layer on top. It is whole, or not there:
 *
 *   mkfs.erofs (mkfs.h) writes it in the job's folder --> hashed, padded, on disk
 *     --> root.json { "version": 1, "digest", "size" } --> renamed to its place
 *
 * Who makes one holds root.lock beside it alone, and the image's layers as anybody who
 * uses them (layer.h): nobody makes it twice, and no layer goes meanwhile. It can always
 * be made again, so what is broken or not needed is simply removed; a guest that has it
 * open keeps it. */
#pragma once

#include "image.h"

#define ROOT_FILE  "root.erofs"
#define ROOT_FACTS "root.json"
/* What a device of persistent memory is made of (virtio 1.2, 5.19; 2 MiB pages). */
#define ROOT_ALIGN (2ULL * 1024 * 1024)

/* The job; mkfs_start() was before. Waits for another that makes the same. */
int job_root(const struct store *s, const struct limits *limits, const char *id,
	     json_object **ret_aux, struct err *err);

/* Bytes of the file of layer @chain_hex, 0 = there is none. */
uint64_t root_bytes(const struct store *s, const char *chain_hex);

/* Is it what was made, byte for byte? -EIO with what is wrong, -EINTR; 0 also when there
 * is none. *@ret_bytes grows by what was read. */
int root_verify(const struct store *s, const char *chain_hex, uint64_t *ret_bytes, struct err *err);

/* Removes it: 1, or 0 when there was none, or a job is making it. With store_lock(). */
int root_remove(const struct store *s, const char *chain_hex, uint64_t *ret_bytes, struct err *err);

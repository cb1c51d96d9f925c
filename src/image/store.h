/* SPDX-License-Identifier: Apache-2.0 */
/* store - the folders of the image store (isola/image.h has the picture), the
 * locks on them, and a job's own place in tmp/.
 *
 * What is kept of an image, and who looks it up:
 *
 *   blob     blob.h     manifest, config and every layer just as they came (a
 *                       layer plain, gzip or zstd), under the digest of their
 *                       bytes. An archive without a manifest gets one made of its
 *                       config and these very bytes: what goes out again is the
 *                       same, and so is the image's id, the config's digest
 *   layer    layer.h    unpacked, under the chain id of its diff ids
 *   root     root.h     the layers of an image as one file, for guests
 *   record   below      one per image: says which blobs and layers it needs. Its
 *                       "blobs" are the layers' in their order, then config, then
 *                       manifest; "diff_ids" has the layers' in the same order
 *   name     names.h    index.json
 *
 * An image enters by image_commit() (image.h); what no record needs, collect.h
 * removes. Order on disk: content, then its name, then the folder's fsync; layers
 * and blobs before the record, the record before the name.
 *
 * Locks, in the order in which they are taken:
 *   tmp/<job>       flock, exclusive, as long as the job lives: `check` removes
 *                   only what nobody holds
 *   leases          blob.h: while a blob is made, or must stay
 *   layers/<chain>  flock on the folder: exclusive while fs is made or removed,
 *                   shared while an image that needs it is not yet recorded;
 *                   always from the bottom of a chain upwards, so that two
 *                   jobs cannot wait for each other
 *   layers/<chain>/root.lock  flock, exclusive: while root.erofs is made or removed; who
 *                   makes it has its layers
 *   images/.lock    flock, exclusive: changes to names, records, blobs. Who has
 *                   it waits for no other lock
 * All of them go with the process. */
#pragma once

#include "isola/err.h"

#include <json-c/json.h>
#include <stdbool.h>
#include <stddef.h>

/* A manifest or config beyond this is refused (Docker and containerd: the same). */
#define STORE_JSON_BYTES_MAX (4 * 1024 * 1024)
/* As many as overlayfs stacks (OVL_MAX_STACK). */
#define STORE_LAYERS_MAX 500

struct store {
	int root_fd, images_fd, blobs_fd, layers_fd, records_fd, tmp_fd;
};

#define STORE_INIT                                                                                 \
	{                                                                                          \
		.root_fd = -1, .images_fd = -1, .blobs_fd = -1, .layers_fd = -1, .records_fd = -1, \
		.tmp_fd = -1                                                                       \
	}

/* Opens the store in the folder @path, making what is missing. */
int store_open(const char *path, struct store *ret, struct err *err);
void store_fini(struct store *s);

/* Takes images/.lock, waiting. Returns an fd; closing it lets go. */
int store_lock(const struct store *s, struct err *err);

/* Flushes everything written to the store so far. */
int store_sync(const struct store *s, struct err *err);

/* A folder of this job alone in tmp/. */
struct job {
	const struct store *store;
	int fd;
	int lease_fd; /* of images/.leases, see blob.h */
	char name[32];
};

#define JOB_INIT                                                                                   \
	{                                                                                          \
		.fd = -1, .lease_fd = -1                                                           \
	}

int job_open(const struct store *s, struct job *ret, struct err *err);
/* Removes it with all that is in it. */
void job_fini(struct job *j);
#define cleanup_job __attribute__((cleanup(job_fini)))

/* An empty file in the job's folder that has no name. Returns the fd. */
int job_temp(const struct job *j, struct err *err);

/* ---- records/<hex>.json ---- */

/* @id: "sha256:...". 1 and *@ret (owned), 0 when there is none. One that
 * cannot be read is an error. */
int record_read(const struct store *s, const char *id, json_object **ret, struct err *err);
int record_write(const struct store *s, json_object *record, struct err *err);
int record_remove(const struct store *s, const char *id, struct err *err);

/* Calls @each for every record; < 0 ends the walk. */
typedef int record_fn(json_object *record, void *arg, struct err *err);
int record_each(const struct store *s, record_fn *each, void *arg, struct err *err);

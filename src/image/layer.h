/* SPDX-License-Identifier: Apache-2.0 */
/* layer - layers/<chain>/fs: from a blob to a folder, once.
 *
 *   claim --- there already --------------------------> use it (shared lock)
 *     |
 *     +------ absent (exclusive lock) --> unpack into the job's folder
 *                --> [sync of the store] --> publish (rename) --> use it
 *
 * A layer's fs is complete or not there at all: it is renamed into place only
 * after its content is on disk. Its tar is read by a process of its own, that
 * has no other folder and fewer rights; what it is fed is hashed before by us. */
#pragma once

#include "store.h"
#include "digest.h"
#include "unpack.h"

#include <stdint.h>
#include <sys/types.h>

struct layer {
	char chain[DIGEST_SIZE], diff_id[DIGEST_SIZE];
	int lock_fd;  /* layers/<chain>, locked */
	int fs_fd;    /* O_PATH of the folder, wherever it is now */
	bool present; /* in layers/ already */
	bool opaque;  /* hides all layers below */
	uint64_t bytes;
	struct unpack_shape shape;
	unsigned int number; /* of the folder in the job's, when unpacked there */
};

#define LAYER_INIT                                                                                 \
	{                                                                                          \
		.lock_fd = -1, .fs_fd = -1, .shape = {.unknown = true }                            \
	}

/* Lets go of it; what was not published is forgotten. */
void layer_fini(const struct store *s, struct layer *l);

/* Waits until nobody else makes this layer; sets present, and bytes, opaque and
 * fs_fd when it is. @l->chain must be set. */
int layer_claim(const struct store *s, struct layer *l, struct err *err);

struct layer_input {
	int fd; /* the blob, at its start; borrowed */
	/* Reads the blob in place of @fd, as struct stream_options has it; or NULL. */
	ssize_t (*read)(void *arg, void *buf, size_t size, struct err *err);
	void *arg;
	const char *what;   /* for errors and progress */
	const char *id;     /* "sha256:..." shown in progress, or NULL = none */
	const char *status; /* beside it; NULL = "Loading layer" */
	const bool *silent; /* NULL, or no progress as long as it is true */
	uint64_t size;      /* of the blob */
	/* The blob's bytes are the diff id's: compared already, and no
	 * decompression is to be done. */
	bool verified;
	/* No digest came with the blob: only the tar's end mark shows that it is
	 * whole. */
	bool need_end_mark;
	const int *lower_fds; /* of the layers below, topmost first */
	size_t n_lower;
	uint64_t bytes_max, entries_max;
};

/* Unpacks into folder @l->number of the job. With a diff id in @l the content
 * must have it; else @l's is set. */
int layer_unpack(const struct job *job, const struct layer_input *input, struct layer *l,
		 struct err *err);

/* Writes layers/<chain>/layer.json (diff id, bytes, shape) for a claimed and unpacked
 * layer: before the store_sync(). */
int layer_write_facts(const struct layer *l, struct err *err);

/* Moves the folder to layers/<chain>/fs. store_sync() must lie in between, for
 * all layers of an image at once. */
int layer_publish(const struct job *job, struct layer *l, struct err *err);

/* Compares layers/<chain>/fs with its layer.json by walking the tree: 0, or -EIO with
 * what is wrong; -ENOENT when there is no such layer. Files are not read. */
int layer_verify(const struct store *s, const char *chain_hex, struct err *err);

/* Compares the folder @l->fs_fd with the tar in @input, whose diff id @l has: 0, or -EIO
 * with the first difference (compare.h). In a process as layer_unpack()'s. */
int layer_compare(const struct layer_input *input, struct layer *l, struct err *err);

/* layer_verify(), and then every byte against the layer's blob, @input (with @diff_id).
 * *@ret_ino is the folder's inode: whether it is still the one that was looked at. */
int layer_verify_deep(const struct store *s, const char *chain_hex, const char *diff_id,
		      const struct layer_input *input, uint64_t *ret_ino, struct err *err);

/* The inode of the layer's folder, 0 when there is none. */
uint64_t layer_ino(const struct store *s, const char *chain_hex);

/* Removes a layer that no image needs; 1, or 0 when a job holds it. @ret_bytes (may
 * be NULL): what its files held. */
int layer_remove(const struct job *job, const char *chain_hex, uint64_t *ret_bytes,
		 struct err *err);

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
 * has no other folder and fewer rights; what it is fed is hashed before by another. */
#pragma once

#include "store.h"
#include "digest.h"
#include "unpack.h"

#include <poll.h>
#include <stdint.h>
#include <sys/types.h>

struct layer {
	char chain[DIGEST_SIZE], diff_id[DIGEST_SIZE];
	int lock_fd;  /* layers/<chain>, locked */
	int fs_fd;    /* O_PATH of the folder, wherever it is now */
	bool present; /* in layers/ already */
	bool moved;   /* put there by this job */
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
	/* The blob still grows: read end of a pipe, into which a byte goes when there is more
	 * of it, and whose end is the blob's. Borrowed; no blob is whole without it. */
	bool grows;
	int grow_fd;
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

/* The same in steps, so that several layers are unpacked at one time (layer_queue.h): begin,
 * step until it returns 1, end. What @input names is borrowed for the first call, but for id,
 * status and silent. The lower layers' folders are looked at in layer_end() alone, which is to
 * be called for the lowest layer first. */
struct layer_work;
int layer_begin(const struct job *job, const struct layer_input *input, struct layer *l,
		struct layer_work **ret, struct err *err);

#define LAYER_FDS 2
/* Sets those to be waited for and returns their number. */
size_t layer_work_fds(const struct layer_work *w, struct pollfd ret[LAYER_FDS]);
#define LAYER_WAIT_MS 100 /* no longer, for the sake of the progress */

/* Takes what its processes have said, without waiting. 1 = all is unpacked, 0 = not yet, < 0 = it
 * failed. */
int layer_step(struct layer_work *w, struct err *err);
bool layer_is_running(const struct layer_work *w); /* else layer_step() returned 1 */
int layer_end(struct layer_work *w, const int *lower_fds, size_t n_lower, struct err *err);

/* Also before its end, when layers_give_up() was called and the pipe of a growing blob is
 * closed. NULL is fine. Waits for the processes. */
void layer_work_free(struct layer_work *w);

/* Tells all layer processes of this job that they work in vain. */
void layers_give_up(void);

/* Writes layers/<chain>/layer.json (diff id, bytes, shape) for a claimed and unpacked
 * layer: before the store_sync(). */
int layer_write_facts(const struct layer *l, struct err *err);

/* Moves the folders of those of @n layers that are not present to layers/<chain>/fs.
 * store_sync() must lie in between, for all layers of an image at once. */
int layers_publish(const struct job *job, struct layer *l, size_t n, struct err *err);

/* Goes on with a shared lock on one that is in its place: others may use it, too. With
 * store_lock(), against who removes it. */
int layer_share(struct layer *l, struct err *err);

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

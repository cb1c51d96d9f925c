/* SPDX-License-Identifier: Apache-2.0 */
/* add - an image enters the store. In this order, so that a crash at any point
 * leaves nothing that looks complete and is not:
 *
 *  1. layers and blobs are made in the job's folder, which has no names
 *  2. one syncfs: all content is on disk
 *  3. layers and blobs get their names
 *  4. the record is written: the image exists
 *  5. index.json is written: it has its names
 *
 * What a crash between 3 and 5 leaves, `check` finds unnamed and removes. */
#include "image.h"

#include "isola/fd.h"
#include "isola/image.h"
#include "isola/json.h"
#include "blob.h"
#include "layer_queue.h"
#include "names.h"
#include "progress.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct adding {
	const struct job *job;
	const struct spool *spool;
	const struct limits *limits;
	struct source *src;
	struct layer *layers; /* bottom first */
	size_t n;
};

/* ---- layers ---- */

static int queue_one(struct adding *a, struct layer_queue *q, struct err *err)
{
	size_t i = q->begun;
	struct layer *l = &a->layers[i];
	const struct source_layer *from = &a->src->layers[i];
	static unsigned int number;
	char what[64];
	uint64_t size = 0;
	strcpy(l->diff_id, from->diff_id);
	int rc = digest_chain(i ? a->layers[i - 1].chain : NULL, l->diff_id, l->chain, err);
	if (rc == 0)
		rc = layer_claim(a->job->store, l, err);
	if (rc < 0 || l->present)
		return rc < 0 ? rc : layer_queue_add(q, a->job, NULL, err);
	(void)snprintf(what, sizeof(what), "layer %zu (%.12s)", i + 1, digest_hex(from->digest));
	cleanup_fd int fd = source_open_layer(a->src, i, a->job->store, a->spool, &size, err);
	if (fd < 0)
		return fd;
	const struct layer_input input = {
		.fd = fd,
		.what = what,
		.id = from->diff_id,
		.size = size,
		.verified = !strcmp(from->digest, from->diff_id),
		.bytes_max = a->limits->bytes,
		.entries_max = a->limits->entries,
	};
	l->number = number++;
	return layer_queue_add(q, a->job, &input, err);
}

static int make_layers(struct adding *a, struct err *err)
{
	cleanup_layer_queue struct layer_queue q = { 0 };
	struct pollfd fds[LAYER_QUEUE_FDS];
	int rc = layer_queue_init(&q, a->layers, a->n, err);
	while (rc == 0 && q.settled < a->n) {
		while (rc == 0 && layer_queue_has_room(&q))
			rc = queue_one(a, &q, err);
		if (rc == 0 && q.running)
			(void)poll(fds, layer_queue_fds(&q, fds), LAYER_WAIT_MS);
		if (rc == 0)
			rc = layer_queue_step(&q, err);
	}
	return rc;
}

/* ---- blobs ---- */

/* A blob is part of the spool, or text made here, or there already. */
static int put_blob(struct adding *a, const char *digest, const struct spool_file *f,
		    const char *text, size_t size, struct err *err)
{
	const struct store *s = a->job->store;
	char name[32];
	if (blob_exists(s, digest))
		return 0;
	if (!f && !text)
		return err_set(err, ENOENT, "the store lacks blob %s", digest);
	if (!f)
		return fd_write_atomic(s->blobs_fd, digest_hex(digest), text, size, 0, FD_SYNC_YES,
				       err);
	spool_name(f, name, sizeof(name));
	/* Not renamed: another image of the archive may share it. */
	if (linkat(a->job->fd, name, s->blobs_fd, digest_hex(digest), 0) < 0)
		return err_sys(err, "cannot put blob %s in place", digest);
	return 0;
}

static int put_blobs(struct adding *a, struct err *err)
{
	struct source *src = a->src;
	int rc = put_blob(a, src->id, src->config_file, src->config_text,
			  src->config_text ? strlen(src->config_text) : 0, err);
	if (rc == 0)
		rc = put_blob(a, src->manifest, src->manifest_file, src->manifest_text,
			      src->manifest_size, err);
	for (size_t i = 0; rc == 0 && i < a->n; i++) {
		const struct source_layer *l = &src->layers[i];
		rc = l->blob ? blob_place(l->blob, err)
			     : put_blob(a, l->digest, l->file, NULL, 0, err);
	}
	if (rc == 0 && fsync(a->job->store->blobs_fd) < 0)
		rc = err_sys(err, "cannot write the blobs to disk");
	return rc;
}

/* ---- record and names ---- */

static void add_text(json_object *array, const char *text)
{
	(void)json_object_array_add(array, json_object_new_string(text));
}

static json_object *make_record(const struct adding *a)
{
	const struct source *src = a->src;
	json_object *record = json_copy(src->record);
	json_object *layers = json_object_new_array(), *blobs = json_object_new_array();
	uint64_t bytes = 0;
	size_t bottom = 0;
	if (!record)
		return NULL;
	for (size_t i = 0; i < a->n; i++) {
		bytes += a->layers[i].bytes;
		add_text(blobs, src->layers[i].digest);
		if (a->layers[i].opaque)
			bottom = i;
	}
	/* Overlayfs does not ask the root folders whether they are opaque. */
	for (size_t i = bottom; i < a->n; i++)
		add_text(layers, digest_hex(a->layers[i].chain));
	add_text(blobs, src->id);
	add_text(blobs, src->manifest);
	json_add_i64(record, "version", 1);
	json_add_str(record, "id", src->id);
	json_add_str(record, "manifest", src->manifest);
	json_add_str(record, "manifest_type", src->manifest_type);
	json_add_i64(record, "manifest_size", (int64_t)src->manifest_size);
	json_add_i64(record, "size", (int64_t)bytes);
	json_add(record, "layers", layers);
	json_add(record, "blobs", blobs);
	return record;
}

/* Gives the names; the images that lose one hear of it. */
static int name_it(const struct adding *a, json_object *record, struct err *err)
{
	cleanup_json json_object *index = NULL, *descriptor = names_descriptor(record);
	int rc = names_read(a->job->store, &index, err);
	for (size_t i = 0; rc == 0 && i < json_len(a->src->refs); i++) {
		char old[256] = "", shown[IMAGE_REF_MAX];
		const char *ref = json_item_str(a->src->refs, i);
		rc = names_set(index, ref, descriptor, old, sizeof(old), err);
		image_ref_familiar(ref, shown, sizeof(shown));
		if (rc == 0 && *old)
			progress_stream("The image %s already exists, renaming the old one with "
					"manifest %s to empty string\n",
					shown, old);
	}
	if (rc == 0)
		rc = names_keep(index, descriptor, err);
	return rc < 0 ? rc : names_write(a->job->store, index, err);
}

static int commit_new(struct adding *a, struct err *err)
{
	cleanup_json json_object *record = make_record(a);
	if (!record)
		return err_set(err, ENOMEM, "out of memory");
	int rc = layers_publish(a->job, a->layers, a->n, err);
	if (rc == 0)
		rc = put_blobs(a, err);
	if (rc == 0)
		rc = record_write(a->job->store, record, err);
	return rc < 0 ? rc : name_it(a, record, err);
}

static int commit(struct adding *a, struct err *err)
{
	cleanup_json json_object *record = NULL;
	int rc = store_sync(a->job->store, err);
	cleanup_fd int lock = rc < 0 ? -1 : store_lock(a->job->store, err);
	if (lock < 0)
		return rc < 0 ? rc : lock;
	int known = record_read(a->job->store, a->src->id, &record, err);
	if (known < 0)
		return known;
	/* The same image under another manifest (recompressed, say) keeps the
	 * one it has; its layers are the same by their digests. */
	if (known > 0) {
		rc = layers_publish(a->job, a->layers, a->n, err);
		/* What it has lost comes back. */
		if (rc == 0 && !strcmp(json_str_or(record, "manifest", ""), a->src->manifest))
			rc = put_blobs(a, err);
		return rc < 0 ? rc : name_it(a, record, err);
	}
	rc = commit_new(a, err);
	if (rc < 0) {
		for (size_t i = 0; i < a->n; i++)
			layer_fini(a->job->store, &a->layers[i]);
		(void)image_forget(a->job, a->src->id, NULL, NULL);
	}
	return rc;
}

static void tell(const struct source *src)
{
	char shown[IMAGE_REF_MAX];
	for (size_t i = 0; i < json_len(src->refs); i++) {
		image_ref_familiar(json_item_str(src->refs, i), shown, sizeof(shown));
		progress_stream("Loaded image: %s\n", shown);
	}
	if (json_len(src->refs) == 0)
		progress_stream("Loaded image ID: %s\n", src->id);
}

int image_add(const struct job *job, const struct spool *spool, const struct limits *limits,
	      struct source *src, struct err *err)
{
	struct adding a = {
		.job = job, .spool = spool, .limits = limits, .src = src, .n = src->n_layers
	};
	a.layers = calloc(a.n ? a.n : 1, sizeof(*a.layers));
	if (!a.layers)
		return err_set(err, ENOMEM, "out of memory");
	for (size_t i = 0; i < a.n; i++)
		a.layers[i] = (struct layer)LAYER_INIT;
	int rc = make_layers(&a, err);
	if (rc == 0)
		rc = commit(&a, err);
	for (size_t i = a.n; i-- > 0;)
		layer_fini(job->store, &a.layers[i]);
	free(a.layers);
	if (rc == 0 && !src->quiet)
		tell(src);
	return rc;
}

int image_commit(const struct job *job, const struct spool *spool, struct source *src,
		 struct layer *layers, struct err *err)
{
	struct adding a = {
		.job = job, .spool = spool, .src = src, .layers = layers, .n = src->n_layers
	};
	return commit(&a, err);
}

int image_add_unpacked(const struct job *job, const struct spool *spool, struct source *src,
		       struct layer *layer, struct err *err)
{
	struct adding a = { .job = job, .spool = spool, .src = src, .layers = layer, .n = 1 };
	int fs_fd = take_fd(&layer->fs_fd);
	int rc = layer_claim(job->store, layer, err);
	if (rc == 0 && !layer->present)
		rc = layer_write_facts(layer, err);
	if (rc == 0)
		rc = commit(&a, err);
	fd_close(&fs_fd);
	return rc;
}

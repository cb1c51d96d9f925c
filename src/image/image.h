/* SPDX-License-Identifier: Apache-2.0 */
/* image - the jobs of isola-image (isola/image.h has their command lines). Each
 * prints its progress; the last line is main's. On failure nothing half-made
 * stays; what is left of a killed job is job_check()'s to remove. */
#pragma once

#include "source.h"
#include "store.h"

#include <json-c/json.h>
#include <stdbool.h>
#include <stdint.h>

struct limits {
	uint64_t bytes;   /* of an archive or a layer, unpacked */
	uint64_t entries; /* of a layer */
};

struct import_options {
	const char *ref; /* or NULL */
	const char *message, *platform;
	char *const *changes;
	size_t n_changes;
};

/* @ret_aux: the content of the last line, owned. Archives come on standard
 * input. */
int job_load(const struct store *s, const struct limits *limits, json_object **ret_aux,
	     struct err *err);
int job_import(const struct store *s, const struct limits *limits,
	       const struct import_options *options, json_object **ret_aux, struct err *err);
int job_tag(const struct store *s, const char *id, const char *ref, json_object **ret_aux,
	    struct err *err);
int job_untag(const struct store *s, const char *ref, json_object **ret_aux, struct err *err);
/* Removes @n images and then, once for all of them, what no other needs. */
int job_delete(const struct store *s, const char (*ids)[DIGEST_SIZE], size_t n,
	       json_object **ret_aux, struct err *err);
int job_check(const struct store *s, json_object **ret_aux, struct err *err);
int job_verify(const struct store *s, const struct limits *limits, bool repair, bool deep,
	       json_object **ret_aux, struct err *err);

/* ---- what they share ---- */

/* Puts an image with all its layers in the store and names it (add.c). The blobs
 * are taken out of the spool, those that @src has no file for are in the store. */
int image_add(const struct job *job, const struct spool *spool, const struct limits *limits,
	      struct source *src, struct err *err);

/* The same when its only layer is unpacked already, in folder @layer->number of
 * the job. */
struct layer;
int image_add_unpacked(const struct job *job, const struct spool *spool, struct source *src,
		       struct layer *layer, struct err *err);

/* The last step alone, for a job that has claimed, unpacked and described (see
 * layer_write_facts()) all @src->n_layers @layers itself: store_sync(), then layers,
 * blobs, record and names. @spool may be NULL. On failure the layers are let go of
 * and what the job made is gone, but for what it committed by blob_commit(): that
 * takes a collect_sweep(). */
int image_commit(const struct job *job, const struct spool *spool, struct source *src,
		 struct layer *layers, struct err *err);

/* Removes a record and all that no other record needs (collect.c). Holds
 * store_lock(); the index must not name it any more. @ret may be NULL. */
struct swept;
int image_forget(const struct job *job, const char *id, struct swept *ret, struct err *err);

/* SPDX-License-Identifier: Apache-2.0 */
/* source - which images a spooled archive holds. Three forms:
 *
 *   OCI image layout     oci-layout, index.json, blobs/   (image-spec)
 *   docker-archive       manifest.json                    (docker save)
 *   docker-archive, old  repositories, <id>/json          (before Docker 1.10)
 *
 * Newer archives are two of these at once; the first in this order is read. All
 * of it is JSON from strangers: bounded, type-checked, digests compared. */
#pragma once

#include "blob.h"
#include "spool.h"

#include <json-c/json.h>
#include <stdbool.h>

/* Names of one image in an archive; each costs a walk over the store's index. */
#define SOURCE_NAMES_MAX 1000
/* In a JSON text of an archive; of 500 layers' all are in memory at once. */
#define SOURCE_VALUES_MAX 300000

struct source_layer {
	const struct spool_file *file; /* borrowed from the spool, or NULL */
	struct blob_write *blob;       /* borrowed, or NULL: a download of this job, compared */
	/* Neither: a blob of the store. */
	char digest[DIGEST_SIZE]; /* of the blob */
	char diff_id[DIGEST_SIZE];
};

/* One image: what the store needs to know of it. */
struct source {
	json_object *record; /* as config_parse() made it; owned */
	char id[DIGEST_SIZE];
	char manifest[DIGEST_SIZE];
	const char *manifest_type; /* static */
	/* The blobs: a file of the spool, or text that was made here (owned), or
	 * neither: a blob of the store already, leased by the job. */
	const struct spool_file *config_file, *manifest_file;
	char *config_text, *manifest_text;
	size_t manifest_size;
	struct source_layer *layers; /* owned, bottom first */
	size_t n_layers;
	json_object *refs; /* full names, owned array */
	bool quiet;        /* image_add() tells nobody "Loaded image" */
};

void source_fini(struct source *src);
#define cleanup_source __attribute__((cleanup(source_fini)))

/* Finds the images and calls @each for every one, in the archive's order; a
 * result < 0 of it ends the walk. */
typedef int source_fn(struct source *src, void *arg, struct err *err);
int source_each(const struct spool *spool, source_fn *each, void *arg, struct err *err);

/* The image of the store whose manifest is blob @manifest, of media type
 * @manifest_type (kept). Has no names; its layers' blobs are there, their bytes not
 * compared. */
int source_from_store(const struct store *s, const char *manifest, const char *manifest_type,
		      struct source *ret, struct err *err);

/* ---- what the three forms share (source.c) ---- */

/* Takes @text as the config: sets record, id and the layers' diff_ids (their
 * blobs stay NULL). */
int source_set_config(struct source *src, const char *text, size_t size, struct err *err);

/* Takes @file as layer @i. */
void source_set_layer(struct source *src, size_t i, const struct spool_file *file);

/* Opens the blob of layer @i in @spool (NULL when no layer is there) or the
 * store; @ret_size may be NULL. Returns the fd. */
int source_open_layer(const struct source *src, size_t i, const struct store *s,
		      const struct spool *spool, uint64_t *ret_size, struct err *err);

/* Makes an OCI manifest from config and layers, for forms that have none; the
 * layers' media types are told by their first bytes. */
int source_make_manifest(struct source *src, const struct store *s, const struct spool *spool,
			 size_t config_size, struct err *err);

/* Adds a name as an archive has it; one that is no valid name is an error. */
int source_add_ref(struct source *src, const char *text, struct err *err);

int source_oci_each(const struct spool *spool, source_fn *each, void *arg, struct err *err);
int source_docker_each(const struct spool *spool, source_fn *each, void *arg, struct err *err);
int source_legacy_each(const struct spool *spool, source_fn *each, void *arg, struct err *err);

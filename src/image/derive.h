/* SPDX-License-Identifier: Apache-2.0 */
/* derive - a new image that goes on from another one: its config changed, and at
 * most one layer on top. For commit, and for each step of a build.
 *
 *   derive_from() -> the owner edits config -> [layer_out: one layer] -> derive_commit() */
#pragma once

#include "image.h"
#include "blob.h"
#include "source.h"

#include "isola/tarw.h"

struct derive {
	const struct job *job;
	struct source base;
	json_object *record;     /* of the base, owned; NULL = none */
	json_object *config;     /* the new image's document (image-spec config.md), owned */
	char layer[DIGEST_SIZE]; /* "" = no new one */
	/* Of a step of a build, for the next one's cache; or NULL. Borrowed. */
	const char *parent, *key;
};

#define DERIVE_INIT                                                                                \
	{                                                                                          \
		.job = NULL                                                                        \
	}

/* @id: a base of the store, whose blobs stay for the job's life; "" = none, a
 * document of this host's platform without layers. */
int derive_from(const struct job *job, const char *id, struct derive *ret, struct err *err);
void derive_fini(struct derive *d);
#define cleanup_derive __attribute__((cleanup(derive_fini)))

/* What Docker calls the config: "Env", "Cmd"... of the document, made if missing. */
json_object *derive_config(struct derive *d);

/* Puts the image in the store with @step (taken) added to its history ("created" and
 * "empty_layer" are set here). @ref may be NULL or "". On failure nothing stays. */
int derive_commit(struct derive *d, const struct limits *limits, json_object *step, const char *ref,
		  char ret_id[DIGEST_SIZE], struct err *err);

/* ---- the layer: a tar that is written entry by entry ---- */

struct layer_out {
	struct blob_write blob;
	struct tarw *tar; /* write entries here */
	uint64_t bytes, bytes_max;
};

#define LAYER_OUT_INIT                                                                             \
	{                                                                                          \
		.blob = BLOB_WRITE_INIT                                                            \
	}

int layer_out_begin(const struct job *job, uint64_t bytes_max, struct layer_out *ret,
		    struct err *err);
/* Sets @d->layer, or leaves it "" when no entry was written. */
int layer_out_end(struct layer_out *out, struct derive *d, struct err *err);
void layer_out_fini(struct layer_out *out);
#define cleanup_layer_out __attribute__((cleanup(layer_out_fini)))

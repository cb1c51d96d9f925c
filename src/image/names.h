/* SPDX-License-Identifier: Apache-2.0 */
/* names - index.json, the one place that says which names images have
 * (image-spec image-layout.md). Every image in the store has a descriptor here,
 * one for each name, or a bare one. Callers hold store_lock() from the read to
 * the write. */
#pragma once

#include "store.h"

/* The parsed index.json (a new one when there is none); owned. */
int names_read(const struct store *s, json_object **ret, struct err *err);
int names_write(const struct store *s, json_object *index, struct err *err);

/* A descriptor of the image of @record, without a name; owned. */
json_object *names_descriptor(json_object *record);

/* Makes @ref (full) name the image of @descriptor (borrowed). @ret_old gets the
 * manifest digest that had the name before, if it is another one, else "". */
int names_set(json_object *index, const char *ref, json_object *descriptor, char *ret_old,
	      size_t old_size, struct err *err);

/* Takes a name away; the descriptor stays, bare, when it was the last one. 1,
 * or 0 when there is no such name; @ret_digest gets the manifest's digest. */
int names_unset(json_object *index, const char *ref, char *ret_digest, size_t size,
		struct err *err);

/* Adds a bare descriptor if @descriptor's image has none at all. */
int names_keep(json_object *index, json_object *descriptor, struct err *err);

/* Removes all descriptors of a manifest. */
void names_drop(json_object *index, const char *manifest);

/* The full names of a manifest, in order; owned array. */
json_object *names_of(json_object *index, const char *manifest);

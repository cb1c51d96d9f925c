/* SPDX-License-Identifier: Apache-2.0 */
/* collect - what some image needs, and the removal of what none does. The
 * records are the references: a blob or layer that no record names belongs to a
 * running job (which has leased or locked it) or to nobody. */
#pragma once

#include "store.h"

#include <json-c/json.h>
#include <stdint.h>

/* Everything that some record needs: sets, whose members are an object's keys. */
struct references {
	json_object *blobs;     /* "sha256:..." */
	json_object *layers;    /* chain ids, the digits alone */
	json_object *tops;      /* the layer that lies on top of an image; as above */
	json_object *manifests; /* "sha256:..." */
};

/* @ret must be zero; to be finished even on failure. A record that cannot be read
 * is an error: what it needs is not known. */
int references_read(const struct store *s, struct references *ret, struct err *err);
void references_fini(struct references *r);
#define cleanup_references __attribute__((cleanup(references_fini)))

/* Is @text in a set of them? */
bool references_has(json_object *set, const char *text);

struct swept {
	unsigned int blobs, layers;
	uint64_t bytes;
};

/* Removes every blob, layer and root image (root.h) that no record needs and no other job holds: after
 * a record is gone, or when a job that committed blobs fails. Holds store_lock().
 * @ret (may be NULL) also on failure. */
int collect_sweep(const struct job *job, struct swept *ret, struct err *err);

/* Reads the record of image @id (*@ret_record owned) and keeps all its blobs for
 * the job's life, also when the image is deleted meanwhile. -ENOENT when there is
 * no such image; an error when a blob is missing. Takes store_lock() itself. */
int collect_hold(const struct job *job, const char *id, json_object **ret_record, struct err *err);

/* Calls @each for the names in folder @dir_fd, except "." and "..". */
typedef int name_fn(const char *name, void *arg, struct err *err);
int each_name(int dir_fd, name_fn *each, void *arg, struct err *err);

/* SPDX-License-Identifier: Apache-2.0 */
/* folders - the folders of a container's root: the lower ones, and its own state
 * folder, with the writable part of a container's
 * root. Making one takes three mkdirs, 65 us each on ext4, so there is always one
 * spare, made behind a removal and taken by the next creation with a rename. Every
 * folder is new when it is taken: none is used twice. */
#pragma once

#include "roots.h"

#include "isola/err.h"
#include "isola/instance.h"

#include <json-c/json.h>

/* The lower folders of @image's containers as paths below @state, topmost first:
 * its layers, then what all roots have (roots.c). Returns owned. */
json_object *folders_lower(const char *state, json_object *image);

/* Where in its folder an instance has its writable layer and what overlayfs needs beside it.
 * Those of a microVM lie in a folder that has nothing else, which its guest may be served. */
#define FOLDERS_LAYER "layer"
const char *folders_upper(const struct instance *inst);
const char *folders_work(const struct instance *inst);

/* Makes <state>/instances/<id>; @layer: for a microVM's container. On failure part of it may be
 * there. Any thread. */
int folders_make(const struct roots *roots, const char *id, enum instance_kind kind, bool layer,
		 struct err *err);

/* Its writable layer, still unused, may hold @bytes: as @project of quotas. Any thread. */
int folders_limit(const struct roots *roots, const char *id, bool layer, uint32_t project,
		  int64_t bytes, struct err *err);

/* Makes the spare folder if there is none; its failure is nobody's. Any thread. */
void folders_make_spare(const struct roots *roots);

/* Removes what an earlier isolad had made ahead, whole or not. */
void folders_clear_spare(const struct roots *roots);

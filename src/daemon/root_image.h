/* SPDX-License-Identifier: Apache-2.0 */
/* root_image - what gives a microVM with an image its root, and the file that may: the
 * merged tree of the image's layers as EROFS, which isola-image makes (isola/image.h).
 *
 * The choice is made once, at creation, and stands in the record: by virtio-fs the
 * writable layer is an overlay of the host's, with EROFS one of the guest's, whose marks
 * look different. The file is made before the first start that needs it; who starts
 * meanwhile waits for the same one. isolad, loop thread. */
#pragma once

#include "op.h"

#include "isola/instance.h"

#include <json-c/json.h>
#include <stddef.h>

struct isolad;

/* "erofs", "virtiofs"; "" for NONE. */
const char *guest_root_name(enum guest_root root);
/* Of a container in a microVM, also of a record that says nothing: by virtio-fs, as all
 * were. */
const char *root_image_kind(const struct instance *inst);
/* The inverse; NONE for what is neither. */
enum guest_root guest_root_parse(const char *name);

/* Writes to @ret where the file of the image with IMAGE_RECORD @record is: 1 when it is
 * there, whole; 0 when it has not been made, or an image without layers has none. */
int root_image_find(const struct isolad *d, json_object *record, char *ret, size_t size);

/* Settles what gives @inst, with all else settled, its root: what StorageOpt says, or
 * the daemon's default. -EINVAL when it is in no microVM, -EOPNOTSUPP when it wants EROFS,
 * which this host or its kernel for guests has not. May begin to make the file. What it
 * will lack is added to @warnings. */
int root_image_choose(struct instance *inst, json_object *warnings, struct err *err);

/* Before a start: true when there is nothing to wait for, else @done comes, with the reason
 * when the file cannot be made - but where the choice was ours, and nothing is written yet,
 * @inst has virtio-fs from then on. */
bool root_image_prepare(struct instance *inst, op_done_fn *done, void *arg);

/* Ends such a wait, if there is one: @done comes with -ECANCELED, and the file is made all the
 * same, for others. */
bool root_image_cut(struct instance *inst);

/* ---- storage_opt.c ---- */

/* Of a HostConfig's StorageOpt: "size" in bytes, 0 = none; -EINVAL, -EOPNOTSUPP. */
int storage_size(json_object *host_config, int64_t *ret, struct err *err);

/* A new container's: takes a project for a size, and chooses the root. */
int storage_settle(struct instance *inst, json_object *warnings, struct err *err);

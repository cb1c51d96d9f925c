/* SPDX-License-Identifier: Apache-2.0 */
/* overlay - the container's root out of layers (overlayfs.rst), by descriptors. */
#pragma once

#include "isola/ctr.h"

/* How the layers are shown in the container's user namespace. */
struct overlay_ids {
	int userns_fd; /* -1: as they are */
	uid_t uid;     /* the host's ids of the container's root */
	gid_t gid;
};

/* Mounts @root as a tree (tree.h), private. With a user namespace each layer and
 * the upper folder are idmapped: on disk, files keep the image's own ids.
 *
 * From Linux 6.13 on (6.15 with idmaps) overlayfs takes the descriptors
 * themselves; before, a helper process attaches the layers under short names
 * in a mount namespace of its own, so that the options fit one page (about 500
 * layers, the kernel's own limit). Returns the owned fd. */
int overlay_make(const struct ctr_root *root, const struct overlay_ids *ids, struct err *err);

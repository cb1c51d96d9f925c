/* SPDX-License-Identifier: Apache-2.0 */
/* overlay_legacy - overlayfs for kernels that want the layers' names (< 6.15). */
#pragma once

#include "overlay.h"

#include <limits.h>

/* Detached, idmapped clones of what struct ctr_root names. */
struct overlay_layers {
	int *lower; /* NULL: none were needed */
	size_t n;
	int writable; /* folder of upper and work, or -1 */
	char upper[NAME_MAX + 1], work[NAME_MAX + 1];
};

struct overlay_option {
	const char *key, *value;
};
extern const struct overlay_option overlay_options[];

/* Takes the ids that the upper mount maps, for the call that mounts. */
void overlay_become(const struct overlay_ids *ids);

/* As overlay_make(), in a helper process; uses up the clones of @l. */
int overlay_mount_by_name(const struct ctr_root *root, const struct overlay_ids *ids,
			  const struct overlay_layers *l, struct err *err);

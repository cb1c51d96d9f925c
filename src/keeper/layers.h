/* SPDX-License-Identifier: Apache-2.0 */
/* layers - what a container's root is made of, by keeper.json: the folders of its overlay
 * as descriptors, and folders of the host that are made before it. */
#pragma once

#include "isola/ctr.h"
#include "isola/err.h"

#include "keepspec.h"

#include <stddef.h>

struct layers {
	int *lower;
	size_t n;
	int upper, work;
};

#define LAYERS_INIT                                                                                \
	{                                                                                          \
		.upper = -1, .work = -1                                                            \
	}

/* What is open is closed by layers_close() in any case. */
int layers_open(const struct keepspec *spec, struct layers *layers, struct err *err);
void layers_close(struct layers *layers);

/* For ctr_create(); borrows. */
struct ctr_root layers_root(const struct layers *layers, const struct keepspec *spec);

/* "make_dirs". */
int layers_make_dirs(const struct keepspec *spec, struct err *err);

/* SPDX-License-Identifier: Apache-2.0 */
/* layer_queue - the layers of one image become folders, several at one time. They are begun
 * from the lowest upwards and settled in that order, for each settles by what shows of those
 * below it. */
#pragma once

#include "layer.h"

#include <stdbool.h>
#include <stddef.h>

/* Twice as many processes, at most a few MiB each. */
#define LAYERS_AT_ONCE  4
#define LAYER_QUEUE_FDS (LAYERS_AT_ONCE * LAYER_FDS)

struct layer_queue {
	struct layer *layers; /* borrowed, bottom first */
	struct layer_work **works;
	size_t n, begun, settled; /* the lowest @settled are done, facts written */
	unsigned int running;
};

int layer_queue_init(struct layer_queue *q, struct layer *layers, size_t n, struct err *err);

/* May the next one, layers[begun], be added now? */
bool layer_queue_has_room(const struct layer_queue *q);

/* Adds it: it is claimed, and unpacked unless it is present (@input may be NULL then).
 * What @input names is borrowed for the call, but for id, status and silent. */
int layer_queue_add(struct layer_queue *q, const struct job *job, const struct layer_input *input,
		    struct err *err);

/* Those to be waited for, for LAYER_WAIT_MS at most; their number. */
size_t layer_queue_fds(const struct layer_queue *q, struct pollfd ret[LAYER_QUEUE_FDS]);

/* Takes what has come and settles what can be. */
int layer_queue_step(struct layer_queue *q, struct err *err);

/* Also half-way; then no pipe of a growing blob may be open. */
void layer_queue_fini(struct layer_queue *q);
#define cleanup_layer_queue __attribute__((cleanup(layer_queue_fini)))

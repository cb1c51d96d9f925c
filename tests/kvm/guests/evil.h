/* SPDX-License-Identifier: Apache-2.0 */
/* evil - does something bad to every queue of every device and judges what came
 * of it; afterwards each device must be alive after a reset. */
#pragma once

#include "proto.h"

enum verdict {
	REFUSED,  /* NEEDS_RESET (where the device looks at the queue by itself) */
	SURVIVED, /* whatever the device makes of it, it is alive after a reset */
};

/* The direction that requests on @q have: WRITE, or 0. */
unsigned int vq_direction(const struct vq *q);
/* Brings each device up with @features, has @lay write its evil on one queue
 * (descriptor 0 is offered by us if @lay did not offer), kicks, judges. */
void each_queue(uint64_t features, enum verdict verdict, void (*lay)(struct vq *q));
/* The same once per device; @lay does everything after a reset. */
void each_device(enum verdict verdict, void (*lay)(struct vdev *d));
/* One evil on one device: judged and shown as @what. */
void one_evil(struct vdev *d, enum verdict verdict, const char *what);
/* Resets and proves that the device works. */
bool works_again(struct vdev *d, const char *what);

/* SPDX-License-Identifier: Apache-2.0 */
/* events - what happened, in Docker's shape: a ring of the last 256 and those
 * who listen. Emitters and subscription are in include/isola/daemon.h. */
#pragma once

#include "isola/daemon.h"

#define EVENTS_RING 256

struct events {
	json_object *ring[EVENTS_RING]; /* the oldest at next - count */
	unsigned int next, count;
	struct list subscriptions;
};

void events_init(struct events *events);
void events_fini(struct events *events);

/* 1 when @event passes @filters (checked before), else 0. */
int events_match(json_object *event, json_object *filters);

/* SPDX-License-Identifier: Apache-2.0 */
/* events - what happened, in Docker's shape: a ring of the last 256 and those
 * who listen. Emitters and subscription are in include/isola/daemon.h. */
#pragma once

#include "isola/daemon.h"

#define EVENTS_RING 256

/* The ring holds text: a tenth of what the same in json-c's tables takes. */
struct events {
	char *ring[EVENTS_RING]; /* owned; the oldest is at next - count */
	unsigned int next, count;
	struct list subscriptions;
};

void events_init(struct events *events);
/* Subscriptions must be gone. */
void events_fini(struct events *events);

/* Whether @event passes @filters, which events_check() let through. */
bool events_match(json_object *event, json_object *filters);
/* -EINVAL names the unknown or malformed filter. NULL is fine. */
int events_check(json_object *filters, struct err *err);

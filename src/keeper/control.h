/* SPDX-License-Identifier: Apache-2.0 */
/* control - the connections of isolad: descriptor 3 and keeper.sock. A peer is
 * root, but still a stranger: what is malformed ends its connection, and a peer
 * that does not read is cut off. Nothing it does harms the payload. */
#pragma once

#include "life.h"

#include <json-c/json.h>

/* A connected socket, taken. Says hello. NULL on failure (it is closed). */
void control_add(struct keeper *k, int fd);

/* Makes keeper.sock and listens. */
int control_listen(struct keeper *k, struct err *err);

/* Sends @event to every connection. Taken; NULL (no memory) is dropped. */
void control_event(struct keeper *k, json_object *event);

/* Answers a request that was put off; nothing happens when its connection is gone.
 * @reply: taken, further members of the answer, or NULL. @err: NULL = it worked. */
void control_answer(struct keeper *k, const struct asker *asker, json_object *reply,
		    const struct err *err);

/* {"event": name}; NULL when memory is out. */
json_object *control_event_new(const char *name);

/* For the operator, through isolad: {"event":"warn","text"}. */
void control_warn(struct keeper *k, const char *text);

/* Closes all connections and keeper.sock, whose name is removed. */
void control_close(struct keeper *k);

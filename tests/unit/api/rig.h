/* SPDX-License-Identifier: Apache-2.0 */
/* rig - the API server on a socket in a temporary folder, with the stand-in
 * daemon behind it and blocking-looking clients in front, all in one thread. */
#pragma once

#include "fake_daemon.h"

#include <stddef.h>

struct rig {
	uv_loop_t loop;
	struct isolad daemon;
	struct api_server *server;
	char dir[64], path[96];
	bool closed;
	char answer[512 * 1024]; /* of the last rig_read() and rig_ask() */
	size_t answer_size;
};

/* cmocka fixture: *state is a struct rig. */
int rig_setup(void **state);
int rig_teardown(void **state);

int rig_connect(struct rig *rig);
/* Turns the loop until nothing is ready (at least a few times). */
void rig_turn(struct rig *rig);
void rig_turn_ms(struct rig *rig, int ms);
void rig_send(struct rig *rig, int fd, const char *data, size_t size);
void rig_puts(struct rig *rig, int fd, const char *text);
/* Reads what comes into answer, until @until appears in it (NULL: until the
 * end of stream) or two seconds passed. 1 when it appeared or the stream ended
 * as wanted, 0 otherwise. */
int rig_read(struct rig *rig, int fd, const char *until);
/* Has the other side closed? (Takes no bytes.) */
bool rig_is_closed(struct rig *rig, int fd);
/* A whole exchange on a connection of its own: sends, reads to the end of the
 * stream (the request gets "Connection: close"), returns the status; the body
 * begins at rig_body(). */
int rig_ask(struct rig *rig, const char *method, const char *target, const char *body);
const char *rig_body(struct rig *rig);

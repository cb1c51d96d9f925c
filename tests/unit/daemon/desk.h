/* SPDX-License-Identifier: Apache-2.0 */
/* desk - a struct isolad without folders, helpers or API: loop, registry, events
 * and deferred calls, which is all that most of the daemon's parts look at. Each
 * case has its own. */
#pragma once

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "daemon/isolad.h"
#include "daemon/link.h"

/* cmocka fixture: *state is a struct isolad. Teardown closes all handles and
 * fails when one is left. */
int desk_setup(void **state);
int desk_teardown(void **state);

/* Runs deferred calls and what is ready. */
void desk_turn(struct isolad *d);

/* Registered, state CREATED, from @host_config (JSON text, NULL = {}). */
struct instance *desk_instance(struct isolad *d, const char *name, const char *host_config);

/* @link (closed by the caller) to a keeper whose end is @ret_peer: the case plays it. */
int desk_link(struct isolad *d, const struct link_handler *handler, void *arg, struct link **link,
	      int *ret_peer);

/* What the keeper at @peer says, and what isolad makes of it. */
void desk_say(struct isolad *d, int peer, const char *text);

/* A json_object of @text with ' for ". */
json_object *desk_json(const char *text);

/* SPDX-License-Identifier: Apache-2.0 */
/* waiter - asks isolad for a payload's exit code on a connection of its own, and
 * asks again when isolad was started anew meanwhile. Blocking; runs in the CLIs. */
#pragma once

#include "cli.h"

struct waiter {
	struct cli *cli;
	const char *id;        /* of the container, or its name; borrowed */
	const char *condition; /* of POST /containers/ID/wait */
	struct client *client; /* where the answer comes; NULL while nobody listens */
	int code;              /* -1 until known */
};

/* What waiter_again() may return in place of a descriptor. */
#define WAITER_RETRY (-1) /* nobody listens: to be called again */
#define WAITER_DONE  (-2) /* an answer was read: no more to do */

/* Sends the question; the answer is awaited later. 0 or -errno. */
int waiter_open(struct waiter *w, struct cli *cli, const char *id, const char *condition,
		struct err *err);
/* The connection to watch for its end (POLLRDHUP), or -1. */
int waiter_fd(const struct waiter *w);
/* The connection ended, or nobody listened: reads the answer if it came, else
 * asks on a new connection. Does not wait for the answer. Returns a descriptor,
 * WAITER_RETRY or WAITER_DONE. */
int waiter_again(struct waiter *w);
/* Waits for the answer; for a daemon that went away ten seconds. The exit code,
 * or -errno. */
int waiter_receive(struct waiter *w, struct err *err);
void waiter_fini(struct waiter *w);

/* client_call() with GET that bears a restart of isolad, for ten seconds. */
int waiter_get(struct cli *cli, const char *target, json_object **ret_result, struct err *err);

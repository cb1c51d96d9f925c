/* SPDX-License-Identifier: Apache-2.0 */
/* link - a connection to a keeper: requests with answers, and events, as
 * include/isola/keeper.h has them. The keeper is judged as foreign: malformed
 * messages close the link. Loop thread. */
#pragma once

#include "isola/daemon.h"

struct link;

/* @err is NULL on success; @reply is borrowed. Called exactly once, with
 * ECONNRESET when the link ends first. */
typedef void link_reply_fn(void *arg, const struct err *err, json_object *reply);

struct link_handler {
	void (*on_event)(void *arg, const char *event, json_object *msg);
	void (*on_closed)(void *arg); /* the other side is gone; to be freed now or later */
};

/* @sock: connected SOCK_SEQPACKET socket, taken. */
int link_new(struct isolad *d, int sock, const struct link_handler *handler, void *arg,
	     struct link **ret, struct err *err);

/* Sends { "op": @op, "seq", ...@msg }. @msg (may be NULL) and @fd (-1 = none) are
 * taken, also on failure; @reply may be NULL and never comes before the return. */
void link_call(struct link *link, const char *op, json_object *msg, int fd, link_reply_fn *reply,
	       void *arg);

/* The same for a request whose success is all that counts: @done is called as the
 * API's are. */
void link_call_done(struct link *link, const char *op, json_object *msg, op_done_fn *done,
		    void *arg);

/* Events go to somebody else from now on; who waits for an answer hears ECONNRESET now. */
void link_hand_over(struct link *link, const struct link_handler *handler, void *arg);

/* Handles what has arrived already: before a dead keeper's last words are lost. */
void link_drain(struct link *link);

/* Fails the calls that wait, closes; NULL inside is fine. No event afterwards. */
void link_free(struct link **link);

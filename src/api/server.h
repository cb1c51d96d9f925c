/* SPDX-License-Identifier: Apache-2.0 */
/* server - the listening socket, all connections and the sweep, in isolad.
 *
 * Ownership: the server owns its connections (conn.h), a connection owns the
 * exchange it is busy with (exchange.h), an exchange may also be referenced by
 * whoever was asked to call back. Everything runs on the loop thread. */
#pragma once

#include "isola/daemon.h"
#include "isola/list.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>
#include <uv.h>

/* Limits, with what each stops. */
#define API_CONNS_MAX     1024              /* descriptors eaten by idle clients */
#define API_HEAD_BYTES    (64 * 1024)       /* endless header fields */
#define API_URL_BYTES     (16 * 1024)       /* endless targets */
#define API_JSON_BYTES    (4 * 1024 * 1024) /* bodies that do not end */
#define API_PENDING_BYTES (64 * 1024)       /* requests sent before the last is answered */
#define API_QUEUE_BYTES   (1024 * 1024)     /* a stream's reader that does not read */
#define API_HEAD_MS       10000             /* slow heads; from the head's first byte */
#define API_BODY_MS       60000             /* slow JSON bodies; the whole of it */
#define API_ANSWER_MS     60000             /* an answer nobody takes */
#define API_LINGER_MS     10000             /* the rest of a body nobody wants */
#define API_SWEEP_MS      1000

struct api_server {
	struct isolad *isolad;
	uv_loop_t *loop;
	uv_pipe_t listener;
	uv_timer_t sweep; /* runs only while a connection has a deadline */
	struct list conns;
	unsigned int n_conns;
	unsigned int n_handles; /* open uv handles, ours and of streams */
	bool stopping, accept_again;
	void (*closed)(void *arg);
	void *closed_arg;

	time_t date_s; /* the second that date holds */
	char date[40];

	uint64_t requests[6]; /* by status class, [0] = 101; for /metrics */
	uint64_t accepted, refused, dropped;
};

/* Every uv handle that must be closed before the server may go. */
void server_handle_opened(struct api_server *server);
void server_handle_closed(struct api_server *server);

/* Makes sure that the sweep runs: some connection has a deadline now. */
void server_watch(struct api_server *server);

/* "Date" for an answer (RFC 9110, 6.6.1), made once a second. */
const char *server_date(struct api_server *server);

/* SPDX-License-Identifier: Apache-2.0 */
/* exchange - one HTTP request and its answer, as the route handlers see it.
 *
 * Life: made by the connection at a request's first byte; the handler runs
 * when the request is complete (for a streamed body: when its head is) and
 * answers, now or later, with exactly one of the reply_ functions below (or a
 * stream: reply_begin ... reply_end). If the client vanishes first,
 * exchange->conn becomes NULL, on_gone is called, and the reply_ functions do
 * nothing from then on. Who is called back later holds a reference. */
#pragma once

#include "isola/daemon.h"

#include "query.h"

#include <json-c/json.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "isola/strbuf.h"

struct api_server;
struct conn;
struct route;

#define ROUTE_PARAMS_MAX 1 /* {variables} in a route's pattern */

enum exchange_header {
	HEADER_NONE,
	HEADER_HOST,
	HEADER_CONTENT_TYPE,
	HEADER_EXPECT,
	HEADER_REGISTRY_AUTH,
};

struct exchange {
	unsigned int refs;
	struct conn *conn;     /* NULL: the client is gone, or all is answered */
	struct isolad *isolad; /* for handlers */

	/* ---- the request ---- */
	unsigned int method; /* enum http_method */
	unsigned int http_minor;
	unsigned int api_minor; /* of /v1.NN, or the newest */
	bool wants_upgrade;     /* Connection: upgrade and an Upgrade field */
	bool expects_continue;
	bool has_body;
	const struct route *route;
	char *param[ROUTE_PARAMS_MAX]; /* decoded, owned */
	struct query query;
	struct strbuf url, body;
	char content_type[64];
	struct strbuf registry_auth; /* X-Registry-Auth or -Config as it came */
	unsigned int n_hosts;
	/* the header field being read */
	enum exchange_header header;
	bool in_value;
	char field[24];
	size_t field_len;
	size_t n_dropped; /* body bytes nobody wants */

	/* A refusal that waits for the request's end: status 0 = none. */
	int refuse_status;
	char *refuse_text;

	/* Of a streamed body, set by its handler: bytes (borrowed), then once the
	 * end. */
	void (*on_body)(struct exchange *x, const char *data, size_t size);
	void (*on_body_end)(struct exchange *x);

	/* ---- the answer ---- */
	bool replied;      /* its head was sent */
	bool chunked;      /* reply_chunk() frames */
	char fields[160];  /* further header fields, each with CRLF; our own text */
	char *long_fields; /* the same, of any length; owned, may be NULL */

	/* ---- the handler's own ---- */
	void *user;
	void (*free_user)(void *user);
	/* The client vanished, or the request broke off: cancel what runs. */
	void (*on_gone)(struct exchange *x);
};

struct exchange *exchange_new(struct conn *conn); /* one reference; NULL = no memory */
struct exchange *exchange_ref(struct exchange *x);
void exchange_unref(struct exchange *x);

/* ---- reading the request (request.c) ---- */

/* The JSON body as an object, owned. 1; 0 when there is none; -EINVAL. */
int request_json(struct exchange *x, json_object **ret, struct err *err);
/* As Docker reads booleans: "", 0, no, false, none are false. */
bool request_bool(const struct exchange *x, const char *key, bool fallback);
/* Decimal, with an inclusive range; @fallback when absent or empty. */
int request_i64(const struct exchange *x, const char *key, int64_t min, int64_t max,
		int64_t fallback, int64_t *ret, struct err *err);
/* RFC 3339 or seconds since the epoch -> ns; 0 when absent, empty or "0". */
int request_time(const struct exchange *x, const char *key, int64_t *ret_ns, struct err *err);
/* A signal's name (with or without SIG) or number; 0 when absent or empty. */
int request_signal(const struct exchange *x, const char *key, int *ret, struct err *err);
/* All values of a repeated parameter, an owned array of strings (upload.c). */
json_object *query_list(const struct exchange *x, const char *key);
/* "filters", normalised to an object of string arrays, owned; NULL when there
 * are none. */
int request_filters(const struct exchange *x, json_object **ret, struct err *err);

/* ---- answering (reply.c) ---- */

void reply_json(struct exchange *x, int status, json_object *taken);
void reply_text(struct exchange *x, int status, const char *content_type, const char *text,
		size_t size);
void reply_empty(struct exchange *x, int status);
/* {"message"} with the status that belongs to err->code (daemon.h). */
void reply_err(struct exchange *x, const struct err *err);
void reply_error(struct exchange *x, int status, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
/* Head at once, then pieces of any number, then the end. A client that leaves
 * more than API_QUEUE_BYTES unread is dropped (and on_gone called). */
void reply_begin(struct exchange *x, int status, const char *content_type);
void reply_chunk(struct exchange *x, const void *data, size_t size);
void reply_chunk_line(struct exchange *x, const char *text, size_t size); /* and a newline */
void reply_chunk_json(struct exchange *x, json_object *borrowed);         /* and a newline */
void reply_end(struct exchange *x);

/* op_done_fn callbacks for the common ends; @arg is a referenced exchange. */
void done_no_content(void *arg, const struct err *err, json_object *result); /* 204 */
void done_ok_empty(void *arg, const struct err *err, json_object *result);   /* 200 */
void done_ok_json(void *arg, const struct err *err, json_object *result);    /* 200 */
void done_created_json(void *arg, const struct err *err, json_object *result);
void done_created_empty(void *arg, const struct err *err, json_object *result);

/* ---- giving the socket away (stream.c) ---- */

/* Writes the head of a raw stream (101 where the client asked for an upgrade,
 * else 200) and takes the socket: fills @ret's fd (owned), head (owned, to be
 * freed after the call it is passed to) and head_size. -errno when the client
 * is gone; there is nothing left to answer then either. */
int stream_hijack(struct exchange *x, bool mux, struct stream_request *ret, char **ret_head);
/* Writes the head of a counted-in-chunks answer and takes the socket;
 * @ret_chunked false for HTTP/1.0. Returns the descriptor or -errno. */
int stream_take_chunked(struct exchange *x, bool mux, bool *ret_chunked);

/* The same for an answer of @content_type, with x->long_fields in its head. */
int stream_take_plain(struct exchange *x, const char *content_type, bool *ret_chunked);
/* For a handler of a streamed body that gives the reading of it away: the socket
 * (duplicated, owned) and what was read of the body already (borrowed until the
 * handler returns). The answer is given as ever, and the connection then closes. */
int stream_take_body(struct exchange *x, int *ret_fd, const char **ret_head, size_t *ret_head_size,
		     struct err *err);

/* 101, one line of JSON and the descriptors (all borrowed) with its first byte, by SCM_RIGHTS
 * (unix(7)). The connection stays ours: x->on_gone tells of its end, which exchange_end()
 * brings about. -errno: the client is gone. */
int stream_lend(struct exchange *x, json_object *o, const int *fds, size_t n_fds);
void exchange_end(struct exchange *x);

/* ---- a timer that belongs to an exchange (timer.c) ---- */

struct exchange_timer;
typedef void exchange_tick_fn(struct exchange *x);
/* Holds a reference until stopped. @repeat_ms 0 = once. NULL = no memory. */
struct exchange_timer *exchange_timer_start(struct exchange *x, uint64_t after_ms,
					    uint64_t repeat_ms, exchange_tick_fn *tick);
void exchange_timer_stop(struct exchange_timer **timer);

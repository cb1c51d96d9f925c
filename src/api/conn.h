/* SPDX-License-Identifier: Apache-2.0 */
/* conn - one client connection: reads requests one after the other, hands each
 * to the router, and sends what the handlers answer, in order.
 *
 *           bytes                head parsed            message complete
 *   IDLE ----------> HEAD -------------------> BODY ----------------------> BUSY
 *    ^                                          |  (handler of a streamed     |
 *    |                                          |   body runs already)        |
 *    +------------------------------------------+<----------------------------+
 *                    answer written              answer complete
 *
 * In BUSY further bytes are kept (up to API_PENDING_BYTES) and not looked at,
 * so pipelined requests are answered in order; the end of the stream is seen,
 * so that whoever works for a vanished client is told. An idle connection owns
 * this struct and nothing else. Freed only in its handle's close callback, so
 * it may be closed from anywhere. Loop thread. */
#pragma once

#include "isola/list.h"

#include <http_parser.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <uv.h>

struct api_server;
struct exchange;

enum conn_state { CONN_IDLE, CONN_HEAD, CONN_BODY, CONN_BUSY };

struct conn {
	uv_pipe_t pipe;
	struct list node;
	struct api_server *server;
	http_parser parser;
	enum conn_state state;
	struct exchange *exchange; /* from the first byte to the last of the answer */
	char *pending;             /* bytes read beyond the current request; owned */
	size_t pending_size;
	const char *rest; /* what follows the request being dispatched; borrowed */
	size_t rest_size;
	uint64_t deadline_ms; /* by uv_now(); 0 = may wait for ever */
	bool closing;
	bool close_after; /* no further request on this connection */
	bool at_eof;      /* the client sends no more */
	bool lingers;     /* answered before the body's end: drop the rest of it */
	bool body_taken;  /* somebody else reads the rest of the body */
	bool held;        /* reading is stopped until conn_resume() */
	bool feeding;     /* conn_feed() is on the stack */
};

/* A connection object, not yet connected; conn_close() ends it in any state.
 * NULL when memory is out. */
struct conn *conn_new(struct api_server *server);
/* Nothing that still comes matters: it is closed, or closes once all is written. */
static inline bool conn_is_over(const struct conn *conn)
{
	return conn->closing || (conn->close_after && !conn->exchange);
}

/* Begins to read. */
void conn_start(struct conn *conn);
/* Answers 503 and closes. */
void conn_refuse(struct conn *conn);
/* Its deadline passed. */
void conn_overdue(struct conn *conn);
/* Ends it now; its exchange learns that the client is gone. */
void conn_close(struct conn *conn);

/* ---- for answers (reply.c, stream.c) ---- */

/* Sends, without waiting; what the socket does not take is copied and queued.
 * -errno (and the connection is closed) when the client is gone. */
int conn_write(struct conn *conn, const uv_buf_t *part, unsigned int n_parts);
size_t conn_queued(const struct conn *conn);
/* The exchange's answer is complete (perhaps still queued). */
void conn_finish(struct conn *conn);

/* Takes the socket out: a duplicate descriptor (owned by the caller) and the
 * bytes already read (owned). The connection closes without a shutdown of the
 * socket and lets go of its exchange silently. -errno (then closed too). */
int conn_take_socket(struct conn *conn, char **ret_head, size_t *ret_head_size);

/* Back-pressure of a streamed body. */
void conn_hold(struct conn *conn);
void conn_resume(struct conn *conn);

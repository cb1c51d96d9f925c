/* SPDX-License-Identifier: Apache-2.0 */
/* conn - reading requests and writing answers on one connection; see conn.h.
 * libhttp-parser takes the bytes apart, its callbacks (parse.c) only record;
 * what a request means is decided between its calls. isolad, loop thread. */
#include "conn.h"

#include "exchange.h"
#include "parse.h"
#include "server.h"

#include "isola/fd.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

/* A queued rest of an answer. */
struct pending_write {
	uv_write_t req;
	struct conn *conn;
	char data[];
};

static void on_closed(uv_handle_t *handle)
{
	struct conn *conn = container_of((uv_pipe_t *)handle, struct conn, pipe);
	struct api_server *server = conn->server;
	free(conn->pending);
	free(conn);
	server_handle_closed(server);
}

struct conn *conn_new(struct api_server *server)
{
	struct conn *conn = calloc(1, sizeof(*conn));
	if (!conn)
		return NULL;
	(void)uv_pipe_init(server->loop, &conn->pipe, 0);
	server_handle_opened(server);
	conn->server = server;
	http_parser_init(&conn->parser, HTTP_REQUEST);
	conn->parser.data = conn;
	list_add_tail(&server->conns, &conn->node);
	server->n_conns++;
	return conn;
}

/* Lets go of the exchange; whoever works for it sees that the client is gone. */
static void drop_exchange(struct conn *conn, bool tell)
{
	struct exchange *x = take_ptr(conn->exchange);
	if (!x)
		return;
	x->conn = NULL;
	if (tell && x->on_gone)
		x->on_gone(x);
	exchange_unref(x);
}

void conn_close(struct conn *conn)
{
	if (conn->closing)
		return;
	conn->closing = true;
	conn->deadline_ms = 0;
	list_del(&conn->node);
	conn->server->n_conns--;
	drop_exchange(conn, true);
	uv_close((uv_handle_t *)&conn->pipe, on_closed);
}

static void set_deadline(struct conn *conn, uint64_t after_ms)
{
	conn->deadline_ms = uv_now(conn->server->loop) + after_ms;
	server_watch(conn->server);
}

/* ---- reading ---- */

static void on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *buf)
{
	struct conn *conn = handle->data;
	/* A request's head and a small body come in one read; archives do not. */
	size_t size = conn->state == CONN_BODY ? suggested : 8192;
	buf->base = malloc(size);
	buf->len = buf->base ? size : 0;
}

static void read_stop(struct conn *conn)
{
	(void)uv_read_stop((uv_stream_t *)&conn->pipe);
}

/* Keeps bytes that come while an answer is under way. */
static void keep_pending(struct conn *conn, const char *data, size_t size)
{
	if (size == 0 || conn_is_over(conn))
		return;
	bool too_many = conn->pending_size + size > API_PENDING_BYTES;
	char *bigger = too_many && parse_is_open_ended(conn)
			       ? NULL
			       : realloc(conn->pending, conn->pending_size + size);
	if (!bigger) {
		conn_close(conn);
		return;
	}
	memcpy(bigger + conn->pending_size, data, size);
	conn->pending = bigger;
	conn->pending_size += size;
	if (too_many)
		read_stop(conn);
}

/* Feeds bytes until a request must be answered first; the rest is kept. */
static void feed(struct conn *conn, const char *data, size_t size)
{
	size_t used = 0;
	conn->feeding = true;
	while (used < size && !conn_is_over(conn) && conn->state != CONN_BUSY &&
	       conn_queued(conn) == 0)
		used += parse_some(conn, data + used, size - used);
	conn->feeding = false;
	keep_pending(conn, data + used, size - used);
}

/* Waiting for the client's bytes must not last; IDLE and handlers may. */
static void update_deadline(struct conn *conn, enum conn_state before)
{
	if (conn_is_over(conn) || conn_queued(conn) > 0)
		return;
	if (conn->state == before && conn->deadline_ms != 0)
		return;
	if (conn->state == CONN_HEAD)
		set_deadline(conn, API_HEAD_MS);
	else if (conn->state == CONN_BODY && !conn->exchange->on_body)
		set_deadline(conn, API_BODY_MS);
	else
		conn->deadline_ms = 0;
}

/* Did the client close both directions? A half-close is no POLLHUP (af_unix.c), and
 * what it had sent has been read, as an end was read. */
static bool is_hung_up(const struct conn *conn)
{
	struct pollfd p = { .fd = -1 };
	return uv_fileno((const uv_handle_t *)&conn->pipe, &p.fd) == 0 && poll(&p, 1, 0) == 1 &&
	       (p.revents & (POLLHUP | POLLERR)) != 0;
}

static void on_eof(struct conn *conn)
{
	conn->at_eof = true;
	read_stop(conn);
	/* Else a client that was killed would be noticed at the next write only: a push
	 * whose registry is silent has nothing to write. */
	if (conn->state == CONN_BUSY && !conn->pending && is_hung_up(conn)) {
		conn_close(conn);
		return;
	}
	/* A half-closed client still gets the answers to what it asked in full. */
	if (conn->state == CONN_BUSY ? parse_is_open_ended(conn)
				     : conn_queued(conn) == 0 && !conn->pending)
		conn_close(conn);
}

static void on_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf)
{
	struct conn *conn = stream->data;
	cleanup_free char *data = buf->base;
	if (n == 0 || conn->closing)
		return;
	if (n == UV_ENOBUFS || (n < 0 && n != UV_EOF)) {
		conn_close(conn);
		return;
	}
	if (n == UV_EOF) {
		on_eof(conn);
		return;
	}
	enum conn_state before = conn->state;
	if (conn->state == CONN_BUSY || conn_queued(conn) > 0 || conn->pending_size > 0)
		keep_pending(conn, data, (size_t)n);
	else
		feed(conn, data, (size_t)n);
	update_deadline(conn, before);
}

static void read_start(struct conn *conn)
{
	if (conn->closing || conn->at_eof || conn->held)
		return;
	int rc = uv_read_start((uv_stream_t *)&conn->pipe, on_alloc, on_read);
	if (rc < 0 && rc != UV_EALREADY)
		conn_close(conn);
}

void conn_start(struct conn *conn)
{
	conn->pipe.data = conn;
	read_start(conn);
}

/* All is answered and written. A client that is still sending a body would see
 * a broken pipe instead of its answer, so its bytes are taken for a while. */
static void end(struct conn *conn)
{
	uv_os_fd_t fd;
	if (!conn->lingers || conn->at_eof || uv_fileno((uv_handle_t *)&conn->pipe, &fd) < 0) {
		conn_close(conn);
		return;
	}
	(void)shutdown(fd, SHUT_WR);
	read_start(conn);
	if (!conn->closing)
		set_deadline(conn, API_LINGER_MS);
}

/* Goes on with what was read while the last answer was under way. */
static void next_request(struct conn *conn)
{
	if (conn->closing || conn->feeding || conn_queued(conn) > 0)
		return;
	if (conn_is_over(conn)) {
		end(conn);
		return;
	}
	while (conn->pending && !conn_is_over(conn) && conn->state != CONN_BUSY &&
	       conn_queued(conn) == 0) {
		cleanup_free char *data = take_ptr(conn->pending);
		size_t size = conn->pending_size;
		conn->pending_size = 0;
		enum conn_state before = conn->state;
		feed(conn, data, size);
		update_deadline(conn, before);
	}
	if (conn_is_over(conn))
		return;
	if (conn->at_eof && conn->state != CONN_BUSY && conn_queued(conn) == 0)
		conn_close(conn);
	else if (conn->pending_size <= API_PENDING_BYTES)
		read_start(conn);
}

void conn_hold(struct conn *conn)
{
	conn->held = true;
	read_stop(conn);
}

void conn_resume(struct conn *conn)
{
	conn->held = false;
	read_start(conn);
}

/* ---- writing ---- */

size_t conn_queued(const struct conn *conn)
{
	return uv_stream_get_write_queue_size((const uv_stream_t *)&conn->pipe);
}

static void on_written(uv_write_t *req, int status)
{
	struct pending_write *w = container_of(req, struct pending_write, req);
	struct conn *conn = w->conn;
	free(w);
	if (conn->closing)
		return;
	if (status < 0) {
		conn_close(conn);
		return;
	}
	if (conn_queued(conn) > 0) {
		set_deadline(conn, API_ANSWER_MS);
		return;
	}
	conn->deadline_ms = 0;
	next_request(conn);
}

static int queue_rest(struct conn *conn, const uv_buf_t *part, unsigned int n_parts, size_t skip)
{
	size_t total = 0, at = 0;
	for (unsigned int i = 0; i < n_parts; i++)
		total += part[i].len;
	struct pending_write *w = malloc(sizeof(*w) + total - skip);
	if (!w)
		return -ENOMEM;
	for (unsigned int i = 0; i < n_parts; i++) {
		size_t gone = skip < part[i].len ? skip : part[i].len;
		memcpy(w->data + at, part[i].base + gone, part[i].len - gone);
		at += part[i].len - gone;
		skip -= gone;
	}
	w->conn = conn;
	uv_buf_t buf = { .base = w->data, .len = at };
	int rc = uv_write(&w->req, (uv_stream_t *)&conn->pipe, &buf, 1, on_written);
	if (rc < 0) {
		free(w);
		return rc;
	}
	/* A stream's reader may be slow; its queue is bounded instead. */
	if (!parse_is_open_ended(conn))
		set_deadline(conn, API_ANSWER_MS);
	return 0;
}

int conn_write(struct conn *conn, const uv_buf_t *part, unsigned int n_parts)
{
	if (conn->closing)
		return -EPIPE;
	size_t total = 0;
	for (unsigned int i = 0; i < n_parts; i++)
		total += part[i].len;
	int sent = uv_try_write((uv_stream_t *)&conn->pipe, part, n_parts);
	if (sent >= 0 && (size_t)sent == total)
		return 0;
	int rc = sent;
	if (sent >= 0 || sent == UV_EAGAIN)
		rc = queue_rest(conn, part, n_parts, sent < 0 ? 0 : (size_t)sent);
	if (rc < 0)
		conn_close(conn);
	return rc;
}

void conn_finish(struct conn *conn)
{
	if (conn->closing)
		return;
	/* Answered before the request's end (a refused upload): what follows is
	 * no request. */
	if (conn->state != CONN_BUSY)
		conn->close_after = true;
	conn->lingers = conn->state == CONN_BODY;
	conn->state = CONN_IDLE;
	conn->held = false;
	conn->deadline_ms = 0;
	/* A handler that is still at work (its body turned out malformed) is
	 * told; one that ended its answer itself has nothing left to cancel. */
	drop_exchange(conn, true);
	if (conn_queued(conn) > 0)
		set_deadline(conn, API_ANSWER_MS);
	/* From a handler that runs in feed(), that loop goes on by itself. */
	if (conn->feeding && !conn->close_after)
		return;
	if (conn_queued(conn) > 0)
		return;
	if (conn->close_after)
		end(conn);
	else
		next_request(conn);
}

void conn_overdue(struct conn *conn)
{
	struct exchange *x = conn->exchange;
	conn->deadline_ms = 0;
	conn->close_after = true;
	if (x && !x->replied && conn->state != CONN_BUSY && conn_queued(conn) == 0)
		reply_error(x, 408, "the request did not arrive in time");
	else
		conn_close(conn);
}

void conn_refuse(struct conn *conn)
{
	static const char text[] = "HTTP/1.1 503 Service Unavailable\r\n"
				   "Content-Type: application/json\r\nContent-Length: 42\r\n"
				   "Connection: close\r\n\r\n"
				   "{\"message\":\"too many connections at once\"}";
	uv_buf_t part = { .base = (char *)(uintptr_t)text, .len = sizeof(text) - 1 };
	(void)uv_try_write((uv_stream_t *)&conn->pipe, &part, 1);
	conn_close(conn);
}

int conn_take_socket(struct conn *conn, char **ret_head, size_t *ret_head_size)
{
	uv_os_fd_t fd = -1;
	read_stop(conn);
	int rc = uv_fileno((uv_handle_t *)&conn->pipe, &fd);
	if (rc == 0)
		rc = fd_dup(fd);
	if (rc >= 0 && conn->rest_size > 0)
		keep_pending(conn, conn->rest, conn->rest_size);
	if (rc >= 0 && ret_head) {
		*ret_head_size = conn->pending ? conn->pending_size : 0;
		*ret_head = take_ptr(conn->pending);
	}
	drop_exchange(conn, false);
	conn_close(conn);
	return rc;
}

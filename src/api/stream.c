/* SPDX-License-Identifier: Apache-2.0 */
/* stream - heads of streams whose sockets then go to another process, so that
 * they outlive isolad (Docker Engine API, "Attach to a container": hijacking
 * and the stream format). isolad, loop thread. */
#include "conn.h"
#include "exchange.h"
#include "router.h"
#include "server.h"

#include "isola/fd.h"
#include "isola/fd_pass.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#define MUX_SINCE_MINOR 42 /* API version that tells the two kinds apart */

static const char *stream_type(const struct exchange *x, bool mux)
{
	return mux && x->api_minor >= MUX_SINCE_MINOR ? "application/vnd.docker.multiplexed-stream"
						      : "application/vnd.docker.raw-stream";
}

/* A head is small and nothing is queued before it, so it fits the socket's
 * buffer, unless the client has left hundreds of answers unread. */
static int write_head(struct exchange *x, const char *head)
{
	uv_buf_t part = { .base = (char *)(uintptr_t)head, .len = strlen(head) };
	int rc = conn_write(x->conn, &part, 1);
	if (rc == 0 && conn_queued(x->conn) > 0) {
		conn_close(x->conn);
		rc = -EPIPE;
	}
	return rc;
}

int stream_hijack(struct exchange *x, bool mux, struct stream_request *ret, char **ret_head)
{
	char head[256];
	if (!x->conn || x->replied)
		return -EPIPE;
	x->replied = true;
	x->conn->server->requests[x->wants_upgrade ? 0 : 2]++;
	if (x->wants_upgrade)
		(void)snprintf(head, sizeof(head),
			       "HTTP/1.1 101 UPGRADED\r\nContent-Type: %s\r\n"
			       "Connection: Upgrade\r\nUpgrade: tcp\r\nApi-Version: %s\r\n\r\n",
			       stream_type(x, mux), API_VERSION);
	else
		(void)snprintf(head, sizeof(head),
			       "HTTP/1.1 200 OK\r\nContent-Type: "
			       "application/vnd.docker.raw-stream\r\nApi-Version: %s\r\n\r\n",
			       API_VERSION);
	int rc = write_head(x, head);
	if (rc < 0)
		return rc;
	size_t size = 0;
	int fd = conn_take_socket(x->conn, ret_head, &size);
	if (fd < 0)
		return fd;
	ret->fd = fd;
	ret->head = *ret_head;
	ret->head_size = size;
	ret->mux = mux;
	return 0;
}

int stream_take_plain(struct exchange *x, const char *content_type, bool *ret_chunked)
{
	cleanup_strbuf struct strbuf head = STRBUF_INIT;
	if (!x->conn || x->replied)
		return -EPIPE;
	*ret_chunked = x->http_minor > 0;
	strbuf_printf(&head,
		      "HTTP/1.1 200 OK\r\nContent-Type: %s\r\nApi-Version: %s\r\nOstype: linux\r\n"
		      "%s%sConnection: close\r\n\r\n",
		      content_type, API_VERSION, x->long_fields ? x->long_fields : "",
		      *ret_chunked ? "Transfer-Encoding: chunked\r\n" : "");
	if (!strbuf_ok(&head))
		return -ENOMEM;
	x->replied = true;
	x->conn->server->requests[2]++;
	int rc = write_head(x, head.text);
	return rc < 0 ? rc : conn_take_socket(x->conn, NULL, NULL);
}

/* Past libuv, which sends handles of its own only; what is queued cannot be overtaken. */
static int send_with_fds(struct conn *conn, const char *text, size_t size, const int *fds,
			 size_t n_fds)
{
	const struct iovec part = { (char *)(uintptr_t)text, size };
	uv_os_fd_t fd = -1;
	int rc = conn_queued(conn) > 0 ? -E2BIG : uv_fileno((uv_handle_t *)&conn->pipe, &fd);
	if (rc < 0)
		return rc;
	ssize_t sent = fd_send(fd, &part, 1, fds, n_fds, MSG_DONTWAIT);
	return sent < 0 ? (int)sent : (size_t)sent < size ? -EPIPE : 0;
}

int stream_lend(struct exchange *x, json_object *o, const int *fds, size_t n_fds)
{
	cleanup_strbuf struct strbuf s = STRBUF_INIT;
	if (!x->conn || x->replied)
		return -EPIPE;
	strbuf_printf(&s,
		      "HTTP/1.1 101 UPGRADED\r\nContent-Type: application/json\r\n"
		      "Connection: Upgrade\r\nUpgrade: tap\r\nApi-Version: %s\r\n\r\n%s\n",
		      API_VERSION,
		      json_object_to_json_string_ext(o, JSON_C_TO_STRING_PLAIN |
								JSON_C_TO_STRING_NOSLASHESCAPE));
	x->replied = true;
	x->conn->server->requests[0]++;
	int rc = strbuf_ok(&s) ? send_with_fds(x->conn, s.text, s.len, fds, n_fds) : -ENOMEM;
	if (rc < 0)
		conn_close(x->conn);
	return rc;
}

void exchange_end(struct exchange *x)
{
	if (x->conn)
		conn_close(x->conn);
}

static void ignore_body(struct exchange *x, const char *data, size_t size)
{
	(void)x;
	(void)data;
	(void)size;
}

int stream_take_body(struct exchange *x, int *ret_fd, const char **ret_head, size_t *ret_head_size,
		     struct err *err)
{
	struct conn *conn = x->conn;
	uv_os_fd_t fd = -1;
	int rc = conn ? uv_fileno((uv_handle_t *)&conn->pipe, &fd) : -EPIPE;
	if (rc == 0)
		rc = fd_dup(fd);
	if (rc < 0)
		return err_rc(err, rc, "cannot take the connection");
	*ret_fd = rc;
	/* The parser stopped at the last byte of the head. */
	bool begun = x->has_body && conn->rest_size > 0;
	*ret_head = begun ? conn->rest + 1 : "";
	*ret_head_size = begun ? conn->rest_size - 1 : 0;
	/* What follows on it cannot be told from the body any more. */
	conn->close_after = true;
	conn->body_taken = true;
	x->on_body = ignore_body;
	conn_hold(conn);
	return 0;
}

int stream_take_chunked(struct exchange *x, bool mux, bool *ret_chunked)
{
	char head[320];
	if (!x->conn || x->replied)
		return -EPIPE;
	x->replied = true;
	x->conn->server->requests[2]++;
	*ret_chunked = x->http_minor > 0;
	(void)snprintf(head, sizeof(head),
		       "HTTP/1.1 200 OK\r\nContent-Type: %s\r\nApi-Version: %s\r\nOstype: linux\r\n"
		       "%sConnection: close\r\n\r\n",
		       stream_type(x, mux), API_VERSION,
		       *ret_chunked ? "Transfer-Encoding: chunked\r\n" : "");
	int rc = write_head(x, head);
	return rc < 0 ? rc : conn_take_socket(x->conn, NULL, NULL);
}

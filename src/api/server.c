/* SPDX-License-Identifier: Apache-2.0 */
/* server - accepts connections on isolad's Unix socket, sweeps slow ones away,
 * and ends them all at shutdown. Runs in isolad, loop thread. */
#include "server.h"

#include "isola/fd.h"
#include "isola/log.h"

#include "conn.h"

#include <errno.h>
#include <http_parser.h>
#include <string.h>
#include <sys/socket.h>

void server_handle_opened(struct api_server *server)
{
	server->n_handles++;
}

void server_handle_closed(struct api_server *server)
{
	if (--server->n_handles > 0)
		return;
	void (*closed)(void *) = server->closed;
	void *arg = server->closed_arg;
	free(server);
	if (closed)
		closed(arg);
}

const char *server_date(struct api_server *server)
{
	time_t now = time(NULL);
	if (now != server->date_s) {
		struct tm tm;
		(void)gmtime_r(&now, &tm);
		(void)strftime(server->date, sizeof(server->date), "%a, %d %b %Y %H:%M:%S GMT",
			       &tm);
		server->date_s = now;
	}
	return server->date;
}

static void log_peer(struct conn *conn)
{
	uv_os_fd_t fd;
	struct ucred peer;
	socklen_t size = sizeof(peer);
	if (uv_fileno((uv_handle_t *)&conn->pipe, &fd) == 0 &&
	    getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) == 0)
		log_debug(NULL, "api: connection from pid %d, uid %u", (int)peer.pid,
			  (unsigned int)peer.uid);
}

static void accept_one(struct api_server *server)
{
	struct conn *conn = conn_new(server);
	/* What is not accepted now libuv keeps; it asks nobody again. */
	if (!conn) {
		server->accept_again = true;
		server_watch(server);
		return;
	}
	int rc = uv_accept((uv_stream_t *)&server->listener, (uv_stream_t *)&conn->pipe);
	if (rc < 0) {
		conn_close(conn);
		return;
	}
	server->accepted++;
	log_peer(conn);
	if (server->n_conns > API_CONNS_MAX) {
		server->refused++;
		conn_refuse(conn);
		return;
	}
	conn_start(conn);
}

static void on_connection(uv_stream_t *listener, int status)
{
	struct api_server *server = listener->data;
	if (status < 0)
		log_warn(NULL, "api: cannot accept a connection: %s", uv_strerror(status));
	else if (!server->stopping)
		accept_one(server);
}

static void on_sweep(uv_timer_t *timer)
{
	struct api_server *server = timer->data;
	if (server->accept_again) {
		server->accept_again = false;
		accept_one(server);
	}
	uint64_t now = uv_now(server->loop);
	bool more = server->accept_again;
	list_for_each_safe (node, &server->conns) {
		struct conn *conn = container_of(node, struct conn, node);
		if (conn->deadline_ms == 0 || conn->closing)
			continue;
		if (conn->deadline_ms <= now)
			conn_overdue(conn);
		else
			more = true;
	}
	if (!more)
		(void)uv_timer_stop(timer);
}

void server_watch(struct api_server *server)
{
	if (!server->stopping && !uv_is_active((uv_handle_t *)&server->sweep))
		(void)uv_timer_start(&server->sweep, on_sweep, API_SWEEP_MS, API_SWEEP_MS);
}

static void on_handle_closed(uv_handle_t *handle)
{
	server_handle_closed(handle->data);
}

int api_server_start(struct isolad *d, int listen_fd, struct api_server **ret, struct err *err)
{
	struct api_server *server = calloc(1, sizeof(*server));
	if (!server) {
		fd_close(&listen_fd);
		return err_set(err, ENOMEM, "cannot start the API: out of memory");
	}
	server->isolad = d;
	server->loop = isolad_loop(d);
	list_init(&server->conns);
	/* Of the whole process, but nobody else in it parses HTTP. */
	http_parser_set_max_header_size(API_HEAD_BYTES);
	(void)uv_timer_init(server->loop, &server->sweep);
	(void)uv_pipe_init(server->loop, &server->listener, 0);
	server->sweep.data = server->listener.data = server;
	server->n_handles = 2;
	int rc = uv_pipe_open(&server->listener, listen_fd);
	if (rc < 0)
		fd_close(&listen_fd);
	else
		rc = uv_listen((uv_stream_t *)&server->listener, SOMAXCONN, on_connection);
	if (rc < 0) {
		/* Freed by the last handle's close callback. */
		uv_close((uv_handle_t *)&server->listener, on_handle_closed);
		uv_close((uv_handle_t *)&server->sweep, on_handle_closed);
		return err_rc(err, rc, "cannot listen on the API's socket");
	}
	*ret = server;
	return 0;
}

void api_server_stop(struct api_server *server, void (*closed)(void *arg), void *arg)
{
	server->stopping = true;
	server->closed = closed;
	server->closed_arg = arg;
	list_for_each_safe (node, &server->conns)
		conn_close(container_of(node, struct conn, node));
	uv_close((uv_handle_t *)&server->listener, on_handle_closed);
	uv_close((uv_handle_t *)&server->sweep, on_handle_closed);
}

/* SPDX-License-Identifier: Apache-2.0 */
/* fuzz_http - whatever a client may send to isolad's socket: parser, router and
 * handlers, with a stand-in for the daemon's core. The first byte says in how
 * many pieces the rest arrives. Nothing may be left when the client is gone. */
#include "api/conn.h"
#include "api/server.h"
#include "fake_daemon.h"

#include "isola/fd.h"

#include <signal.h>
#include <stdlib.h>
#include <sys/socket.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static uv_loop_t loop;
static struct isolad fake;
static struct api_server server;

static void setup(void)
{
	(void)signal(SIGPIPE, SIG_IGN);
	(void)uv_loop_init(&loop);
	fake_init(&fake, &loop);
	server.isolad = &fake;
	server.loop = &loop;
	server.n_handles = 1;
	list_init(&server.conns);
	(void)uv_timer_init(&loop, &server.sweep);
	server.sweep.data = &server;
	http_parser_set_max_header_size(API_HEAD_BYTES);
}

static void turn(int fd)
{
	char sink[65536];
	for (int i = 0; i < 4; i++) {
		(void)uv_run(&loop, UV_RUN_NOWAIT);
		while (recv(fd, sink, sizeof(sink), MSG_DONTWAIT) > 0)
			;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	int pair[2];
	if (!server.loop)
		setup();
	if (size < 1 || socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
		return 0;
	struct conn *conn = conn_new(&server);
	if (!conn || uv_pipe_open(&conn->pipe, pair[0]) < 0)
		abort();
	conn_start(conn);
	size_t pieces = 1 + data[0] % 8, step = (size - 1) / pieces + 1;
	for (size_t at = 1; at < size; at += step) {
		size_t n = size - at < step ? size - at : step;
		(void)send(pair[1], data + at, n, MSG_NOSIGNAL | MSG_DONTWAIT);
		turn(pair[1]);
	}
	if (data[0] & 0x80)
		(void)shutdown(pair[1], SHUT_WR);
	turn(pair[1]);
	fd_close(&pair[1]);
	for (int i = 0; i < 100 && (server.n_handles > 1 || fake.job); i++)
		(void)uv_run(&loop, UV_RUN_NOWAIT);
	if (server.n_conns || server.n_handles != 1 || fake.n_subscribed ||
	    !list_is_empty(&fake.waiters) || fake.job)
		abort();
	return 0;
}

/* SPDX-License-Identifier: Apache-2.0 */
/* HTTP on the wire: framing, order, limits, clients that misbehave or vanish. */
#include "api/server.h"
#include "api/conn.h"
#include "api/exchange.h"
#include "rig.h"

#include "isola/fd.h"
#include "isola/json.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include <cmocka.h>

#define HOST "Host: x\r\n"

static void ping__answers_with_the_headers_clients_read(void **state)
{
	struct rig *rig = *state;
	assert_int_equal(rig_ask(rig, "GET", "/_ping", NULL), 200);
	assert_string_equal(rig_body(rig), "OK");
	assert_non_null(strstr(rig->answer, "\r\nApi-Version: 1.47\r\n"));
	assert_non_null(strstr(rig->answer, "\r\nOstype: linux\r\n"));
	assert_non_null(strstr(rig->answer, "\r\nDocker-Experimental: false\r\n"));
	assert_non_null(strstr(rig->answer, "\r\nSwarm: inactive\r\n"));
	assert_int_equal(rig_ask(rig, "HEAD", "/v1.41/_ping", NULL), 200);
	assert_string_equal(rig_body(rig), "");
}

static void keep_alive__serves_many_on_one_connection(void **state)
{
	struct rig *rig = *state;
	cleanup_fd int fd = rig_connect(rig);
	for (int i = 0; i < 50; i++) {
		rig_puts(rig, fd, "GET /_ping HTTP/1.1\r\n" HOST "\r\n");
		assert_int_equal(rig_read(rig, fd, "\r\n\r\nOK"), 1);
	}
	assert_false(rig_is_closed(rig, fd));
	assert_int_equal(rig->server->n_conns, 1);
}

static void pipelining__keeps_the_order(void **state)
{
	struct rig *rig = *state;
	cleanup_fd int fd = rig_connect(rig);
	/* The first needs a turn of the loop, the others none. */
	rig_puts(rig, fd,
		 "POST /containers/web/stop HTTP/1.1\r\n" HOST "\r\n"
		 "GET /nothing HTTP/1.1\r\n" HOST "\r\n"
		 "GET /_ping HTTP/1.1\r\n" HOST "\r\n"
		 "POST /containers/create HTTP/1.1\r\n" HOST
		 "Content-Type: application/json\r\nContent-Length: 2\r\n\r\n{}"
		 "GET /version HTTP/1.1\r\n" HOST "Connection: close\r\n\r\n");
	assert_int_equal(rig_read(rig, fd, NULL), 1);
	const char *a = strstr(rig->answer, " 204 "), *b = strstr(rig->answer, " 404 ");
	const char *c = strstr(rig->answer, "\r\n\r\nOK"), *d = strstr(rig->answer, " 201 ");
	const char *e = strstr(rig->answer, "{\"ApiVersion\"");
	assert_true(a && b && c && d && e);
	assert_true(a < b && b < c && c < d && d < e);
}

static void a_request__may_come_byte_by_byte(void **state)
{
	static const char text[] = "POST /containers/create?name=n HTTP/1.1\r\n" HOST
				   "Content-Type: application/json\r\n"
				   "Transfer-Encoding: chunked\r\n\r\n"
				   "7\r\n{\"a\":1,\r\n6\r\n\"b\":2}\r\n0\r\n\r\n";
	struct rig *rig = *state;
	cleanup_fd int fd = rig_connect(rig);
	for (size_t i = 0; i < sizeof(text) - 1; i++)
		rig_send(rig, fd, text + i, 1);
	assert_int_equal(rig_read(rig, fd, "}"), 1);
	assert_non_null(strstr(rig->answer, " 201 Created"));
	assert_int_equal(json_i64_or(rig->daemon.body, "b", 0), 2);
	assert_string_equal(rig->daemon.text, "n");
}

static void http_1_0__is_closed_after_the_answer(void **state)
{
	struct rig *rig = *state;
	cleanup_fd int fd = rig_connect(rig);
	rig_puts(rig, fd, "GET /_ping HTTP/1.0\r\n\r\n");
	assert_int_equal(rig_read(rig, fd, NULL), 1);
	assert_string_equal(rig_body(rig), "OK");
}

static void expect__gets_a_go_ahead(void **state)
{
	struct rig *rig = *state;
	cleanup_fd int fd = rig_connect(rig);
	rig_puts(rig, fd,
		 "POST /containers/create HTTP/1.1\r\n" HOST
		 "Content-Type: application/json\r\nExpect: 100-continue\r\n"
		 "Content-Length: 2\r\n\r\n");
	assert_int_equal(rig_read(rig, fd, "100 Continue\r\n\r\n"), 1);
	rig_puts(rig, fd, "{}");
	assert_int_equal(rig_read(rig, fd, " 201 "), 1);
}

static void expect__gets_a_refusal_instead(void **state)
{
	struct rig *rig = *state;
	cleanup_fd int fd = rig_connect(rig);
	rig_puts(rig, fd,
		 "POST /nothing HTTP/1.1\r\n" HOST "Expect: 100-continue\r\n"
		 "Content-Length: 2\r\n\r\n");
	assert_int_equal(rig_read(rig, fd, NULL), 1);
	assert_null(strstr(rig->answer, "100 Continue"));
	assert_non_null(strstr(rig->answer, " 404 "));
}

static int status_of(struct rig *rig, const char *request)
{
	cleanup_fd int fd = rig_connect(rig);
	rig_puts(rig, fd, request);
	if (!rig_read(rig, fd, NULL) || strncmp(rig->answer, "HTTP/1.1 ", 9) != 0)
		return -1;
	return atoi(rig->answer + 9);
}

static void malformed_requests__get_400_and_a_close(void **state)
{
	static const char *const bad[] = {
		"\x16\x03\x01\x02\x00\x01\r\n\r\n",
		"GET\r\n\r\n",
		"FOO /_ping HTTP/1.1\r\n" HOST "\r\n",
		"GET /_ping HTTP/1.1\r\nHost x\r\n\r\n",
		"GET /_ping HTTP/1.1\r\n" HOST "Bad Name: x\r\n\r\n",
		"POST /a HTTP/1.1\r\n" HOST "Content-Length : 1\r\n\r\na",
		"GET /_ping HTTP/1.1\r\n" HOST "X: a\x01\x02\r\n\r\n",
		"GET /a\tb HTTP/1.1\r\n" HOST "\r\n",
		"GET /_ping HTTP/1.1\r\n\r\n",
		"GET /_ping HTTP/1.1\r\n" HOST HOST "\r\n",
		"POST /a HTTP/1.1\r\n" HOST "Content-Length: x\r\n\r\n",
		"POST /a HTTP/1.1\r\n" HOST "Content-Length: -1\r\n\r\n",
		"POST /a HTTP/1.1\r\n" HOST "Content-Length: 1\r\nContent-Length: 2\r\n\r\nab",
		"POST /a HTTP/1.1\r\n" HOST "Content-Length: 1\r\nContent-Length: 1\r\n\r\na",
		"POST /a HTTP/1.1\r\n" HOST
		"Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
		"POST /a HTTP/1.1\r\n" HOST
		"Transfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n0\r\n\r\n",
		"POST /_ping HTTP/1.1\r\n" HOST "Content-Length: 99999999999999999999999\r\n\r\n",
		"POST /containers/create HTTP/1.1\r\n" HOST
		"Transfer-Encoding: chunked\r\n\r\nzz\r\n",
		"POST /containers/create HTTP/1.1\r\n" HOST
		"Transfer-Encoding: chunked\r\n\r\n1\r\nab\r\n",
	};
	struct rig *rig = *state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		char text[512];
		(void)snprintf(text, sizeof(text), "%s", bad[i]);
		if (!strstr(bad[i], "Content-Length") && !strstr(bad[i], "chunked"))
			assert_int_equal(status_of(rig, text), 400);
		else
			assert_in_range(status_of(rig, text), 400, 413);
		rig_turn(rig);
		assert_int_equal(rig->server->n_conns, 0);
	}
	assert_int_equal(
		status_of(rig, "POST /a HTTP/1.1\r\n" HOST "Transfer-Encoding: gzip\r\n\r\n"), 501);
	assert_int_equal(status_of(rig, "GET /_ping HTTP/2.0\r\n\r\n"), 505);
	assert_int_equal(status_of(rig, "GET /_ping\r\n\r\n"), 505);
	assert_int_equal(status_of(rig, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"), 400);
}

static void limits__hold_for_heads(void **state)
{
	struct rig *rig = *state;
	static char text[API_HEAD_BYTES + 4096];
	int n = sprintf(text, "GET /_ping?");
	memset(text + n, 'a', API_URL_BYTES);
	(void)strcpy(text + n + API_URL_BYTES, " HTTP/1.1\r\n" HOST "\r\n");
	assert_int_equal(status_of(rig, text), 414);
	n = sprintf(text, "GET /_ping HTTP/1.1\r\n" HOST "X: ");
	memset(text + n, 'a', API_HEAD_BYTES);
	(void)strcpy(text + n + API_HEAD_BYTES, "\r\n\r\n");
	assert_int_equal(status_of(rig, text), 431);
	assert_int_equal(rig->server->n_conns, 0);
}

static void limits__hold_for_bodies(void **state)
{
	struct rig *rig = *state;
	char text[512];
	(void)snprintf(text, sizeof(text),
		       "POST /containers/create HTTP/1.1\r\n" HOST
		       "Content-Type: application/json\r\nContent-Length: %d\r\n\r\n{",
		       API_JSON_BYTES + 1);
	assert_int_equal(status_of(rig, text), 413);
	/* Without saying so before. */
	cleanup_fd int fd = rig_connect(rig);
	rig_puts(rig, fd,
		 "POST /containers/create HTTP/1.1\r\n" HOST
		 "Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n");
	static char chunk[65536 + 16];
	int n = sprintf(chunk, "10000\r\n");
	memset(chunk + n, ' ', 65536);
	(void)strcpy(chunk + n + 65536, "\r\n");
	for (int i = 0; i <= API_JSON_BYTES / 65536; i++)
		rig_send(rig, fd, chunk, strlen(chunk));
	assert_int_equal(rig_read(rig, fd, NULL), 1);
	assert_non_null(strstr(rig->answer, " 413 "));
	/* Bodies that nobody wants are dropped, up to the same limit. */
	(void)snprintf(text, sizeof(text),
		       "POST /containers/web/stop HTTP/1.1\r\n" HOST
		       "Connection: close\r\nContent-Length: 5\r\n\r\nhello");
	assert_int_equal(status_of(rig, text), 204);
}

static void deep_and_truncated_json__is_refused(void **state)
{
	struct rig *rig = *state;
	char deep[4096];
	memset(deep, '[', sizeof(deep) - 1);
	deep[sizeof(deep) - 1] = '\0';
	assert_int_equal(rig_ask(rig, "POST", "/containers/create", deep), 400);
	assert_int_equal(rig_ask(rig, "POST", "/containers/create", "{\"a\":"), 400);
	assert_int_equal(rig_ask(rig, "POST", "/containers/create", "{}{}"), 400);
	assert_int_equal(rig_ask(rig, "POST", "/containers/create", "[]"), 400);
	assert_int_equal(rig_ask(rig, "POST", "/containers/create", "{\"a\":\"\xff\"}"), 400);
	assert_int_equal(rig_ask(rig, "POST", "/containers/create", NULL), 400);
	assert_non_null(strstr(rig_body(rig), "config cannot be empty"));
}

static void content_type__must_be_json(void **state)
{
	struct rig *rig = *state;
	assert_int_equal(status_of(rig, "POST /containers/create HTTP/1.1\r\n" HOST
					"Content-Type: text/plain\r\nConnection: close\r\n"
					"Content-Length: 2\r\n\r\n{}"),
			 400);
	assert_non_null(strstr(rig->answer, "unsupported Content-Type header (text/plain)"));
	assert_int_equal(status_of(rig, "POST /containers/create HTTP/1.1\r\n" HOST
					"Content-Type: Application/JSON; charset=utf-8\r\n"
					"Connection: close\r\nContent-Length: 2\r\n\r\n{}"),
			 201);
}

static void slow_heads__are_ended_by_the_sweep(void **state)
{
	struct rig *rig = *state;
	cleanup_fd int slow = rig_connect(rig);
	cleanup_fd int idle = rig_connect(rig);
	rig_puts(rig, slow, "GET /_ping HT");
	assert_true(uv_is_active((uv_handle_t *)&rig->server->sweep));
	/* Its time is over. */
	struct conn *conn = container_of(rig->server->conns.next, struct conn, node);
	assert_true(conn->deadline_ms > 0);
	conn->deadline_ms = 1;
	rig_turn_ms(rig, API_SWEEP_MS + 200);
	assert_int_equal(rig_read(rig, slow, NULL), 1);
	assert_non_null(strstr(rig->answer, " 408 "));
	/* An idle one may stay, and the sweep sleeps again. */
	assert_false(rig_is_closed(rig, idle));
	assert_false(uv_is_active((uv_handle_t *)&rig->server->sweep));
}

static void idle_connections__have_no_deadline(void **state)
{
	struct rig *rig = *state;
	cleanup_fd int fd = rig_connect(rig);
	rig_puts(rig, fd, "GET /_ping HTTP/1.1\r\n" HOST "\r\n");
	assert_int_equal(rig_read(rig, fd, "OK"), 1);
	assert_false(uv_is_active((uv_handle_t *)&rig->server->sweep));
	struct conn *conn = container_of(rig->server->conns.next, struct conn, node);
	assert_null(conn->exchange);
	assert_null(conn->pending);
	assert_in_range(sizeof(*conn), 1, 1024);
	assert_in_range(sizeof(struct exchange), 1, 1024);
}

static void too_many_connections__get_503(void **state)
{
	struct rig *rig = *state;
	rig->server->n_conns = API_CONNS_MAX;
	cleanup_fd int fd = rig_connect(rig);
	assert_int_equal(rig_read(rig, fd, NULL), 1);
	assert_non_null(strstr(rig->answer, "503 Service Unavailable"));
	assert_non_null(strstr(rig->answer, "{\"message\":"));
	assert_int_equal(strlen(rig_body(rig)), atoi(strstr(rig->answer, "Content-Length: ") + 16));
	assert_int_equal(rig->server->n_conns, API_CONNS_MAX);
	rig->server->n_conns = 0;
}

static void vanished_client__cancels_its_wait(void **state)
{
	struct rig *rig = *state;
	int fd = rig_connect(rig);
	rig_puts(rig, fd, "POST /containers/web/wait HTTP/1.1\r\n" HOST "\r\n");
	assert_int_equal(rig_read(rig, fd, "\r\n\r\n"), 1);
	assert_int_equal(rig->daemon.n_waits_cancelled, 0);
	fd_close(&fd);
	rig_turn(rig);
	assert_int_equal(rig->daemon.n_waits_cancelled, 1);
	assert_int_equal(rig->server->n_conns, 0);
}

static void vanished_client__leaves_an_operation_alone(void **state)
{
	struct rig *rig = *state;
	int fd = rig_connect(rig);
	rig_puts(rig, fd, "POST /containers/web/stop HTTP/1.1\r\n" HOST "\r\n");
	fd_close(&fd);
	rig_turn_ms(rig, 20);
	assert_string_equal(rig->daemon.last, "stop");
	assert_int_equal(rig->server->n_conns, 0);
}

static void half_closed_client__gets_its_answers(void **state)
{
	struct rig *rig = *state;
	cleanup_fd int fd = rig_connect(rig);
	rig_puts(rig, fd,
		 "POST /containers/web/stop HTTP/1.1\r\n" HOST "\r\n"
		 "GET /_ping HTTP/1.1\r\n" HOST "\r\n");
	(void)shutdown(fd, SHUT_WR);
	assert_int_equal(rig_read(rig, fd, NULL), 1);
	assert_non_null(strstr(rig->answer, " 204 "));
	assert_non_null(strstr(rig->answer, "\r\n\r\nOK"));
}

static void slow_reader_of_a_stream__is_dropped(void **state)
{
	struct rig *rig = *state;
	cleanup_fd int fd = rig_connect(rig);
	rig_puts(rig, fd, "GET /events HTTP/1.1\r\n" HOST "\r\n");
	assert_int_equal(rig_read(rig, fd, "\r\n\r\n"), 1);
	json_object *event = json_object_new_object();
	static char big[65536];
	memset(big, 'x', sizeof(big) - 1);
	json_add_str(event, "text", big);
	for (int i = 0; i < 64; i++) {
		fake_emit(&rig->daemon, event);
		rig_turn(rig);
	}
	json_object_put(event);
	assert_int_equal(rig->daemon.n_subscribed, 0);
	assert_int_equal(rig->server->n_conns, 0);
	assert_int_equal(rig->server->dropped, 1);
}

static void flood_behind_a_stream__is_dropped(void **state)
{
	struct rig *rig = *state;
	cleanup_fd int fd = rig_connect(rig);
	rig_puts(rig, fd, "GET /events HTTP/1.1\r\n" HOST "\r\n");
	assert_int_equal(rig_read(rig, fd, "\r\n\r\n"), 1);
	static char junk[API_PENDING_BYTES + 8192];
	rig_send(rig, fd, junk, sizeof(junk));
	rig_turn(rig);
	assert_int_equal(rig->server->n_conns, 0);
	assert_int_equal(rig->daemon.n_subscribed, 0);
}

static void unread_answers__stop_the_reading_of_requests(void **state)
{
	struct rig *rig = *state;
	cleanup_fd int fd = rig_connect(rig);
	/* Far more answers than the socket holds; nobody reads them yet. */
	const int count = 4000;
	for (int i = 0; i < count; i++) {
		static const char request[] = "GET /nothing HTTP/1.1\r\n" HOST "\r\n";
		ssize_t n = send(fd, request, sizeof(request) - 1, MSG_NOSIGNAL);
		if (n != (ssize_t)sizeof(request) - 1) {
			assert_int_equal(n, -1);
			break;
		}
		if (i % 50 == 0)
			rig_turn(rig);
	}
	struct conn *conn = container_of(rig->server->conns.next, struct conn, node);
	assert_in_range(conn->pending_size, 0, API_PENDING_BYTES + 65536);
	assert_in_range(conn_queued(conn), 1, 4096);
	/* Reading them brings all. */
	int got = 0;
	for (int i = 0; i < 2000; i++) {
		rig_turn(rig);
		ssize_t n = read(fd, rig->answer, sizeof(rig->answer) - 1);
		if (n <= 0)
			break;
		rig->answer[n] = '\0';
		for (const char *p = rig->answer; (p = strstr(p, "page not found")); p++)
			got++;
	}
	assert_in_range(got, 700, count);
	assert_false(rig_is_closed(rig, fd));
}

static void stop__closes_busy_connections(void **state)
{
	/* Left open for the teardown, which fails if a handle stays. */
	struct rig *rig = *state;
	int a = rig_connect(rig), b = rig_connect(rig), c = rig_connect(rig);
	rig_puts(rig, a, "GET /events HTTP/1.1\r\n" HOST "\r\n");
	rig_puts(rig, b, "GET /containers/web/stats HTTP/1.1\r\n" HOST "\r\n");
	rig_puts(rig, c, "POST /containers/web/sto");
	rig_turn(rig);
	assert_int_equal(rig->server->n_conns, 3);
	int copies[3] = { a, b, c };
	rig_teardown(state);
	for (int i = 0; i < 3; i++)
		(void)close(copies[i]);
	assert_int_equal(rig_setup(state), 0);
}

#define rig_test(f) cmocka_unit_test_setup_teardown(f, rig_setup, rig_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		rig_test(ping__answers_with_the_headers_clients_read),
		rig_test(keep_alive__serves_many_on_one_connection),
		rig_test(pipelining__keeps_the_order),
		rig_test(a_request__may_come_byte_by_byte),
		rig_test(http_1_0__is_closed_after_the_answer),
		rig_test(expect__gets_a_go_ahead),
		rig_test(expect__gets_a_refusal_instead),
		rig_test(malformed_requests__get_400_and_a_close),
		rig_test(limits__hold_for_heads),
		rig_test(limits__hold_for_bodies),
		rig_test(deep_and_truncated_json__is_refused),
		rig_test(content_type__must_be_json),
		rig_test(slow_heads__are_ended_by_the_sweep),
		rig_test(idle_connections__have_no_deadline),
		rig_test(too_many_connections__get_503),
		rig_test(vanished_client__cancels_its_wait),
		rig_test(vanished_client__leaves_an_operation_alone),
		rig_test(half_closed_client__gets_its_answers),
		rig_test(slow_reader_of_a_stream__is_dropped),
		rig_test(flood_behind_a_stream__is_dropped),
		rig_test(unread_answers__stop_the_reading_of_requests),
		rig_test(stop__closes_busy_connections),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

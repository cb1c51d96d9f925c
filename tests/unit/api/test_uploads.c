/* SPDX-License-Identifier: Apache-2.0 */
/* Archives on their way through: bytes, back-pressure, progress, failures. */
#include "api/conn.h"
#include "api/server.h"
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
#define BIG  (3 * 1024 * 1024)

static void send_load(struct rig *rig, int fd, const char *query, size_t size)
{
	char head[256];
	(void)snprintf(head, sizeof(head),
		       "POST /images/load%s HTTP/1.1\r\n" HOST
		       "Content-Type: application/x-tar\r\nContent-Length: %zu\r\n\r\n",
		       query, size);
	rig_puts(rig, fd, head);
}

static char *zeros(void)
{
	static char text[BIG];
	return text;
}

static void load__passes_all_bytes(void **state)
{
	struct rig *rig = *state;
	cleanup_fd int fd = rig_connect(rig);
	rig->daemon.job_talks = true;
	send_load(rig, fd, "", BIG);
	rig_send(rig, fd, zeros(), BIG);
	assert_int_equal(rig_read(rig, fd, "0\r\n\r\n"), 1);
	assert_int_equal(rig->daemon.job_bytes, BIG);
	assert_non_null(strstr(rig->answer, "200 OK"));
	assert_non_null(strstr(rig->answer, "\"progressDetail\""));
	assert_non_null(strstr(rig->answer, "{\"stream\":\"Loaded image: x\"}\n"));
	rig_puts(rig, fd, "GET /_ping HTTP/1.1\r\n" HOST "\r\n");
	assert_int_equal(rig_read(rig, fd, "\r\n\r\nOK"), 1);
}

static void load__takes_chunks(void **state)
{
	struct rig *rig = *state;
	cleanup_fd int fd = rig_connect(rig);
	rig_puts(rig, fd,
		 "POST /images/load HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n"
		 "5\r\nhello\r\n6\r\n world\r\n");
	rig_turn(rig);
	assert_int_equal(rig->daemon.job_bytes, 11);
	rig_puts(rig, fd, "0\r\n\r\n");
	assert_int_equal(rig_read(rig, fd, "0\r\n\r\n"), 1);
}

static void load__may_have_no_body(void **state)
{
	struct rig *rig = *state;
	assert_int_equal(rig_ask(rig, "POST", "/images/load", NULL), 200);
	assert_int_equal(rig->daemon.job_bytes, 0);
	assert_int_equal(rig->daemon.n_jobs, 1);
}

static void quiet__leaves_out_bars(void **state)
{
	struct rig *rig = *state;
	rig->daemon.job_talks = true;
	assert_int_equal(rig_ask(rig, "POST", "/images/load?quiet=1", NULL), 200);
	assert_null(strstr(rig->answer, "progressDetail"));
	assert_non_null(strstr(rig->answer, "Loaded image"));
}

static void slow_job__stops_the_reading(void **state)
{
	struct rig *rig = *state;
	cleanup_fd int fd = rig_connect(rig);
	rig->daemon.job_stalls = true;
	send_load(rig, fd, "", BIG);
	size_t sent = 0;
	for (int i = 0; i < 300 && sent < BIG; i++) {
		ssize_t n = send(fd, zeros(), BIG - sent, MSG_NOSIGNAL);
		if (n > 0)
			sent += (size_t)n;
		rig_turn(rig);
	}
	/* The pipe's, the socket's, and one read's worth. */
	assert_in_range(sent, 1, 1024 * 1024);
	assert_int_equal(rig->daemon.job_bytes, 0);
	fake_unstall(&rig->daemon);
	rig_send(rig, fd, zeros(), BIG - sent);
	assert_int_equal(rig_read(rig, fd, "0\r\n\r\n"), 1);
	assert_int_equal(rig->daemon.job_bytes, BIG);
}

static void failing_job__is_answered_at_once(void **state)
{
	struct rig *rig = *state;
	cleanup_fd int fd = rig_connect(rig);
	rig->daemon.job_fails_after = 1000;
	send_load(rig, fd, "", BIG);
	rig_send(rig, fd, zeros(), 100 * 1024);
	assert_int_equal(rig_read(rig, fd, NULL), 1);
	assert_non_null(strstr(rig->answer, " 400 "));
	assert_non_null(strstr(rig->answer, "{\"message\":\"not an archive\"}"));
	/* The rest is taken and dropped, so that no broken pipe hides that. */
	struct conn *conn = container_of(rig->server->conns.next, struct conn, node);
	assert_true(conn->lingers && conn->deadline_ms > 0);
	rig_send(rig, fd, zeros(), BIG - 100 * 1024);
	assert_false(conn->pending);
	(void)shutdown(fd, SHUT_WR);
	rig_turn(rig);
	assert_int_equal(rig->server->n_conns, 0);
}

static void failing_job__is_told_in_the_stream(void **state)
{
	struct rig *rig = *state;
	cleanup_fd int fd = rig_connect(rig);
	rig->daemon.job_fails_after = 5;
	rig->daemon.job_talks = true;
	send_load(rig, fd, "", 5);
	rig_puts(rig, fd, "abcde");
	assert_int_equal(rig_read(rig, fd, "0\r\n\r\n"), 1);
	assert_non_null(strstr(rig->answer, "{\"errorDetail\":{\"message\":\"not an archive\"},"
					    "\"error\":\"not an archive\"}\n"));
}

static void vanished_client__cancels_the_job(void **state)
{
	struct rig *rig = *state;
	int fd = rig_connect(rig);
	send_load(rig, fd, "", BIG);
	rig_send(rig, fd, zeros(), 1000);
	fd_close(&fd);
	rig_turn(rig);
	assert_int_equal(rig->daemon.n_cancelled, 1);
	assert_int_equal(rig->server->n_conns, 0);
}

/* skopeo reads the answer's head and leaves. */
static void vanished_client__who_sent_all_has_its_job_done(void **state)
{
	struct rig *rig = *state;
	int fd = rig_connect(rig);
	rig->daemon.job_stalls = true;
	send_load(rig, fd, "", 5);
	rig_puts(rig, fd, "abcde");
	fd_close(&fd);
	rig_turn(rig);
	assert_int_equal(rig->daemon.n_cancelled, 0);
	assert_int_equal(rig->server->n_conns, 0);
}

static void broken_chunks__cancel_the_job(void **state)
{
	struct rig *rig = *state;
	cleanup_fd int fd = rig_connect(rig);
	rig_puts(rig, fd,
		 "POST /images/load HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n"
		 "5\r\nhello\r\nnonsense\r\n");
	assert_int_equal(rig_read(rig, fd, NULL), 1);
	assert_non_null(strstr(rig->answer, " 400 "));
	assert_int_equal(rig->daemon.n_cancelled, 1);
}

static void expect__gets_a_go_ahead(void **state)
{
	struct rig *rig = *state;
	cleanup_fd int fd = rig_connect(rig);
	rig_puts(rig, fd,
		 "POST /images/load HTTP/1.1\r\n" HOST
		 "Expect: 100-continue\r\nContent-Length: 5\r\n\r\n");
	assert_int_equal(rig_read(rig, fd, "100 Continue\r\n\r\n"), 1);
	rig_puts(rig, fd, "abcde");
	assert_int_equal(rig_read(rig, fd, "0\r\n\r\n"), 1);
}

static void import__passes_its_parameters(void **state)
{
	struct rig *rig = *state;
	assert_int_equal(rig_ask(rig, "POST",
				 "/images/create?fromSrc=-&repo=a/b&tag=c&message=m&platform=linux/"
				 "arm64&changes=CMD+x&changes=USER+y",
				 NULL),
			 200);
	assert_string_equal(rig->daemon.text, "a/b:c|m|linux/arm64|2");
	assert_int_equal(rig_ask(rig, "POST", "/images/create?fromSrc=-", NULL), 200);
	assert_string_equal(rig->daemon.text, "|Imported from -||0");
	rig->daemon.fail_code = EINVAL;
	rig->daemon.fail_text = "bad ref";
	assert_int_equal(rig_ask(rig, "POST", "/images/create?fromSrc=-&repo=%20", NULL), 400);
}

#define rig_test(f) cmocka_unit_test_setup_teardown(f, rig_setup, rig_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		rig_test(load__passes_all_bytes),
		rig_test(load__takes_chunks),
		rig_test(load__may_have_no_body),
		rig_test(quiet__leaves_out_bars),
		rig_test(slow_job__stops_the_reading),
		rig_test(failing_job__is_answered_at_once),
		rig_test(failing_job__is_told_in_the_stream),
		rig_test(vanished_client__cancels_the_job),
		rig_test(vanished_client__who_sent_all_has_its_job_done),
		rig_test(broken_chunks__cancel_the_job),
		rig_test(expect__gets_a_go_ahead),
		rig_test(import__passes_its_parameters),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

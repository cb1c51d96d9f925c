/* SPDX-License-Identifier: Apache-2.0 */
/* The handlers: what they ask of the daemon's core and what they answer. */
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

#include <cmocka.h>

#define HOST "Host: x\r\n"

static bool says(struct rig *rig, const char *text)
{
	if (strstr(rig->answer, text))
		return true;
	print_error("no \"%s\" in: %s\n", text, rig->answer);
	return false;
}

static void versions__are_checked(void **state)
{
	struct rig *rig = *state;
	assert_int_equal(rig_ask(rig, "GET", "/v1.24/version", NULL), 200);
	assert_int_equal(rig_ask(rig, "GET", "/v1.47/version", NULL), 200);
	assert_int_equal(rig_ask(rig, "GET", "/v1.23/version", NULL), 400);
	assert_true(says(rig, "client version 1.23 is too old. Minimum supported API version is "
			      "1.24, please upgrade your client to a newer version"));
	assert_int_equal(rig_ask(rig, "GET", "/v1.48/version", NULL), 400);
	assert_true(says(rig, "client version 1.48 is too new. Maximum supported API version is "
			      "1.47"));
	assert_int_equal(rig_ask(rig, "GET", "/v9/version", NULL), 400);
}

static void unknown_paths__are_told_apart(void **state)
{
	struct rig *rig = *state;
	assert_int_equal(rig_ask(rig, "GET", "/nothing", NULL), 404);
	assert_true(says(rig, "{\"message\":\"page not found\"}"));
	assert_int_equal(rig_ask(rig, "PUT", "/version", NULL), 405);
	assert_true(says(rig, "\r\nAllow: GET\r\n"));
	assert_int_equal(rig_ask(rig, "POST", "/secrets/create", NULL), 501);
	assert_true(says(rig, "not supported yet: Swarm secrets (POST /secrets/create)"));
	assert_int_equal(rig_ask(rig, "GET", "/v1.41/distribution/a/b/json", NULL), 501);
	assert_int_equal(rig_ask(rig, "DELETE", "/networks/none", NULL), 403);
	assert_int_equal(rig_ask(rig, "POST", "/networks/create", "{\"Name\":\"lan\"}"), 201);
	assert_int_equal(rig_ask(rig, "POST", "/networks/create", NULL), 400);
	assert_int_equal(rig_ask(rig, "POST", "/networks/lan/connect", "{}"), 404);
	assert_int_equal(rig_ask(rig, "POST", "/networks/host/disconnect", "{}"), 403);
}

static void bad_urls__are_refused(void **state)
{
	struct rig *rig = *state;
	assert_int_equal(rig_ask(rig, "GET", "/containers/%zz/json", NULL), 400);
	assert_int_equal(rig_ask(rig, "GET", "/containers/%00/json", NULL), 400);
	assert_int_equal(rig_ask(rig, "GET", "/containers/json?a=%", NULL), 400);
	assert_int_equal(rig_ask(rig, "GET", "http://docker/containers/json", NULL), 200);
	assert_int_equal(rig_ask(rig, "GET", "http://docker", NULL), 404);
	assert_int_equal(rig_ask(rig, "OPTIONS", "*", NULL), 400);
	assert_int_equal(rig_ask(rig, "CONNECT", "docker:80", NULL), 400);
}

static void unsupported_parameters__are_named(void **state)
{
	struct rig *rig = *state;
	assert_int_equal(rig_ask(rig, "POST", "/containers/web/start?checkpoint=x", NULL), 400);
	assert_true(says(rig, "checkpoint is not supported yet"));
	assert_int_equal(rig_ask(rig, "POST", "/containers/web/start?checkpoint=", NULL), 204);
	assert_int_equal(rig_ask(rig, "POST", "/containers/web/start?whatever=x", NULL), 204);
	assert_int_equal(rig_ask(rig, "DELETE", "/containers/web?link=1", NULL), 400);
}

static void errors__become_statuses(void **state)
{
	static const struct {
		int code, status;
	} rows[] = {
		{ ENOENT, 404 },   { EINVAL, 400 },     { EEXIST, 409 }, { EBUSY, 409 },
		{ EALREADY, 304 }, { EOPNOTSUPP, 501 }, { ENOSPC, 500 }, { EIO, 500 },
	};
	struct rig *rig = *state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		rig->daemon.fail_code = rows[i].code;
		rig->daemon.fail_text = "why \"it\" failed";
		assert_int_equal(rig_ask(rig, "POST", "/containers/web/start", NULL),
				 rows[i].status);
		if (rows[i].status == 304)
			assert_string_equal(rig_body(rig), "");
		else
			assert_string_equal(rig_body(rig),
					    "{\"message\":\"why \\\"it\\\" failed\"}");
	}
}

static void containers__are_found_or_not(void **state)
{
	static const struct {
		const char *method, *target;
	} rows[] = {
		{ "GET", "/containers/x/json" },
		{ "GET", "/containers/x/top" },
		{ "GET", "/containers/x/logs?stdout=1" },
		{ "GET", "/containers/x/stats" },
		{ "POST", "/containers/x/start" },
		{ "POST", "/containers/x/stop" },
		{ "POST", "/containers/x/restart" },
		{ "POST", "/containers/x/kill" },
		{ "POST", "/containers/x/pause" },
		{ "POST", "/containers/x/unpause" },
		{ "POST", "/containers/x/wait" },
		{ "POST", "/containers/x/resize" },
		{ "POST", "/containers/x/attach" },
		{ "POST", "/containers/x/update" },
		{ "POST", "/containers/x/rename" },
		{ "POST", "/containers/x/exec" },
		{ "DELETE", "/containers/x" },
	};
	struct rig *rig = *state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		assert_int_equal(rig_ask(rig, rows[i].method, rows[i].target, NULL), 404);
		assert_string_equal(rig_body(rig), "{\"message\":\"No such container: x\"}");
	}
}

static void list__shows_running_ones(void **state)
{
	struct rig *rig = *state;
	assert_int_equal(rig_ask(rig, "GET", "/containers/json", NULL), 200);
	assert_true(strstr(rig->answer, "web") && !strstr(rig->answer, "term"));
	assert_int_equal(rig_ask(rig, "GET", "/containers/json?all=1", NULL), 200);
	assert_true(strstr(rig->answer, "term") < strstr(rig->answer, "web"));
	assert_int_equal(rig_ask(rig, "GET", "/containers/json?limit=1", NULL), 200);
	assert_true(strstr(rig->answer, "term") && !strstr(rig->answer, "web"));
	assert_int_equal(rig_ask(rig, "GET", "/containers/json?all=true&size=1", NULL), 200);
	assert_true(says(rig, "\"SizeRw\":100"));
	assert_int_equal(rig_ask(rig, "GET", "/containers/json?filters={\"x\":[\"y\"]}", NULL),
			 400);
	assert_int_equal(rig_ask(rig, "GET", "/containers/json?filters=x", NULL), 400);
	assert_int_equal(rig_ask(rig, "GET", "/containers/json?limit=x", NULL), 400);
	assert_int_equal(rig_ask(rig, "GET",
				 "/containers/json?filters=%7B%22status%22:%5B%22exited%22%5D%7D",
				 NULL),
			 200);
	assert_true(says(rig, "term"));
}

static void create__passes_name_and_body(void **state)
{
	struct rig *rig = *state;
	assert_int_equal(rig_ask(rig, "POST", "/containers/create?name=/n", "{\"Image\":\"i\"}"),
			 201);
	assert_string_equal(rig->daemon.text, "n");
	assert_string_equal(json_str_or(rig->daemon.body, "Image", ""), "i");
	assert_true(says(rig, "{\"Id\":\"" FAKE_ID "\",\"Warnings\":[]}"));
	rig->daemon.fail_code = ENOENT;
	rig->daemon.fail_text = "No such image: i";
	assert_int_equal(rig_ask(rig, "POST", "/containers/create", "{\"Image\":\"i\"}"), 404);
	assert_string_equal(rig_body(rig), "{\"message\":\"No such image: i\"}");
}

static void create__checks_the_platform(void **state)
{
	static const struct {
		const char *platform;
		int status;
	} rows[] = {
		{ "linux%2Famd64", 201 },  { "linux/amd64", 201 },
		{ "amd64", 201 },          { "", 201 },
		{ "linux/amd64/v3", 201 }, { "linux/arm64", 404 },
		{ "windows/amd64", 400 },  { "x86_64", 201 },
		{ "a/b/c/d", 400 },
	};
	struct rig *rig = *state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		char target[128];
		(void)snprintf(target, sizeof(target), "/containers/create?platform=%s",
			       rows[i].platform);
		assert_int_equal(rig_ask(rig, "POST", target, "{\"Image\":\"busybox\"}"),
				 rows[i].status);
	}
}

static void stop__takes_signal_and_time(void **state)
{
	struct rig *rig = *state;
	assert_int_equal(rig_ask(rig, "POST", "/containers/web/stop", NULL), 204);
	assert_int_equal(rig->daemon.timeout_s, -2);
	assert_int_equal(rig->daemon.signal, 0);
	assert_int_equal(rig_ask(rig, "POST", "/containers/web/stop?t=5&signal=sigint", NULL), 204);
	assert_int_equal(rig->daemon.timeout_s, 5);
	assert_int_equal(rig->daemon.signal, 2);
	assert_int_equal(rig_ask(rig, "POST", "/containers/web/restart?t=-7", NULL), 204);
	assert_int_equal(rig->daemon.timeout_s, -1);
	assert_string_equal(rig->daemon.last, "restart");
	assert_int_equal(rig_ask(rig, "POST", "/containers/web/stop?t=soon", NULL), 400);
	assert_true(says(rig, "t must be a whole number, not \\\"soon\\\""));
	assert_int_equal(rig_ask(rig, "POST", "/containers/web/stop?signal=SIGFOO", NULL), 400);
	assert_true(says(rig, "invalid signal: SIGFOO"));
}

static void kill__defaults_to_sigkill(void **state)
{
	struct rig *rig = *state;
	assert_int_equal(rig_ask(rig, "POST", "/containers/web/kill", NULL), 204);
	assert_int_equal(rig->daemon.signal, 9);
	assert_int_equal(rig_ask(rig, "POST", "/containers/web/kill?signal=15", NULL), 204);
	assert_int_equal(rig->daemon.signal, 15);
	assert_int_equal(rig_ask(rig, "POST", "/containers/web/kill?signal=RTMIN%2B3", NULL), 204);
	assert_int_equal(rig->daemon.signal, 37);
	assert_int_equal(rig_ask(rig, "POST", "/containers/web/kill?signal=0", NULL), 400);
	assert_int_equal(rig_ask(rig, "POST", "/containers/web/kill?signal=65", NULL), 400);
}

static void simple_operations__reach_the_core(void **state)
{
	static const struct {
		const char *method, *target, *body;
		int status;
		const char *last;
	} rows[] = {
		{ "POST", "/containers/web/start", NULL, 204, "start" },
		{ "POST", "/containers/web/start", "{}", 204, "start" },
		{ "POST", "/containers/web/pause", NULL, 204, "pause" },
		{ "POST", "/containers/web/unpause", NULL, 204, "unpause" },
		{ "POST", "/containers/web/rename?name=b", NULL, 204, "rename" },
		{ "POST", "/containers/web/update", "{\"Memory\":1}", 200, "update" },
		{ "POST", "/containers/web/resize?h=24&w=80", NULL, 200, "resize" },
		{ "DELETE", "/containers/web?force=1&v=true", NULL, 204, "remove" },
		{ "POST", "/containers/web/exec", "{\"Cmd\":[\"a\"]}", 201, "exec create" },
		{ "POST", "/exec/" FAKE_ID "/resize?h=1&w=2", NULL, 200, "exec resize" },
		{ "POST", "/exec/" FAKE_ID "/start", "{\"Detach\":true}", 200, "exec detached" },
		{ "POST", "/images/a/b/tag?repo=c&tag=d", NULL, 201, "tag" },
		{ "DELETE", "/images/a/b:c?force=1", NULL, 200, "image remove" },
		{ "POST", "/images/prune", NULL, 200, "image prune" },
		{ "GET", "/system/df", NULL, 200, "df" },
		{ "GET", "/system/df?type=image&type=volume", NULL, 200, "df some" },
		{ "POST", "/system/check", NULL, 200, "image check" },
		{ "POST", "/system/check?repair=1", NULL, 200, "image repair" },
	};
	struct rig *rig = *state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		assert_int_equal(rig_ask(rig, rows[i].method, rows[i].target, rows[i].body),
				 rows[i].status);
		assert_string_equal(rig->daemon.last, rows[i].last);
	}
	assert_true(rig->daemon.force && rig->daemon.volumes);
	assert_string_equal(rig->daemon.text, "a/b:c");
}

static void wrong_requests__name_what_is_wrong(void **state)
{
	static const struct {
		const char *method, *target, *body, *text;
	} rows[] = {
		{ "POST", "/containers/web/start", "{\"Binds\":[]}", "non-empty request body" },
		{ "POST", "/containers/web/rename", NULL, "names may be empty" },
		{ "POST", "/containers/web/update", NULL, "has no body" },
		{ "POST", "/containers/web/wait?condition=tired", NULL,
		  "invalid condition: \\\"tired\\\"" },
		{ "POST", "/containers/web/resize?h=-1&w=2", NULL, "h must be from 0" },
		{ "POST", "/containers/web/resize?h=1&w=70000", NULL, "w must be from 0" },
		{ "POST", "/containers/web/exec", NULL, "No exec command specified" },
		{ "GET", "/containers/web/logs", NULL, "at least one stream" },
		{ "GET", "/containers/web/logs?stdout=1&tail=few", NULL, "tail must be" },
		{ "GET", "/containers/web/logs?stdout=1&since=then", NULL,
		  "invalid value for 'since'" },
		{ "POST", "/containers/web/attach?stream=1&detachKeys=ctrl-%3F%3F", NULL,
		  "ctrl-??" },
		{ "POST", "/containers/web/attach?stdin=1", NULL, "logs and stream" },
		{ "POST", "/containers/web/attach?stdin=1&logs=1", NULL,
		  "logs together with stdin" },
		{ "GET", "/events?since=20&until=10", NULL, "cannot be after" },
		{ "GET", "/events?until=x", NULL, "invalid value for 'until'" },
		{ "POST", "/images/a/tag", NULL, "repo is missing" },
		{ "POST", "/images/create", NULL, "fromSrc and fromImage" },
		{ "POST", "/exec/" FAKE_ID "/start", "{\"Detach\":1}", "Detach must be" },
		{ "POST", "/exec/" FAKE_ID "/start", "{\"Tty\":true,\"ConsoleSize\":[1]}",
		  "ConsoleSize must be" },
		{ "POST", "/containers/prune?filters={\"x\":[\"y\"]}", NULL, "invalid filter 'x'" },
		{ "GET", "/networks?filters={\"x\":[\"y\"]}", NULL, "invalid filter 'x'" },
	};
	struct rig *rig = *state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		assert_int_equal(rig_ask(rig, rows[i].method, rows[i].target, rows[i].body), 400);
		assert_true(says(rig, rows[i].text));
	}
}

static void wait__sends_its_head_at_once(void **state)
{
	struct rig *rig = *state;
	cleanup_fd int fd = rig_connect(rig);
	rig_puts(rig, fd, "POST /containers/web/wait?condition=next-exit HTTP/1.1\r\n" HOST "\r\n");
	assert_int_equal(rig_read(rig, fd, "\r\n\r\n"), 1);
	assert_true(says(rig, "200 OK"));
	assert_string_equal(rig->daemon.last, "wait next-exit");
	fake_exit(&rig->daemon, 3);
	assert_int_equal(rig_read(rig, fd, "0\r\n\r\n"), 1);
	assert_true(says(rig, "{\"StatusCode\":3}\n"));
	/* The connection can be used again. */
	rig_puts(rig, fd, "GET /_ping HTTP/1.1\r\n" HOST "\r\n");
	assert_int_equal(rig_read(rig, fd, "\r\n\r\nOK"), 1);
	assert_int_equal(rig->daemon.n_waits_cancelled, 0);
}

static void attach__hands_the_socket_over(void **state)
{
	struct rig *rig = *state;
	cleanup_fd int fd = rig_connect(rig);
	rig_puts(rig, fd,
		 "POST /v1.41/containers/web/attach?stream=1&stdin=1&stdout=1&detachKeys=a,b "
		 "HTTP/1.1\r\n" HOST "Connection: Upgrade\r\nUpgrade: tcp\r\n\r\ntyped early");
	assert_int_equal(rig_read(rig, fd, NULL), 1);
	assert_int_equal(strncmp(rig->answer, "HTTP/1.1 101 UPGRADED\r\n", 23), 0);
	assert_true(says(rig, "Content-Type: application/vnd.docker.raw-stream\r\n"));
	assert_true(says(rig, "Connection: Upgrade\r\nUpgrade: tcp\r\n"));
	assert_string_equal(rig_body(rig), "from the keeper");
	assert_string_equal(rig->daemon.head, "typed early");
	assert_true(rig->daemon.stream.want_stdin && rig->daemon.stream.want_stdout);
	assert_false(rig->daemon.stream.want_stderr);
	assert_true(rig->daemon.stream.mux);
	assert_string_equal(rig->daemon.text, "a,b");
	assert_int_equal(rig->server->n_conns, 0);
}

static void attach__tells_the_kind_of_stream(void **state)
{
	struct rig *rig = *state;
	static const struct {
		const char *target, *status, *type;
	} rows[] = {
		{ "/v1.42/containers/web/attach?stream=1", "101", "multiplexed-stream" },
		{ "/containers/web/attach?stream=1", "101", "multiplexed-stream" },
		{ "/containers/term/attach?stream=1", "101", "raw-stream" },
		{ "/v1.24/containers/web/attach?stream=1&stdout=1&logs=1", "101", "raw-stream" },
	};
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		cleanup_fd int fd = rig_connect(rig);
		char text[256];
		(void)snprintf(text, sizeof(text),
			       "POST %s HTTP/1.1\r\n" HOST
			       "Connection: Upgrade\r\nUpgrade: tcp\r\n\r\n",
			       rows[i].target);
		rig_puts(rig, fd, text);
		assert_int_equal(rig_read(rig, fd, NULL), 1);
		assert_true(says(rig, rows[i].status));
		assert_true(says(rig, rows[i].type));
	}
	assert_string_equal(rig->daemon.last, "logs");
	assert_true(rig->daemon.logs.follow && !rig->daemon.logs.chunked);
	assert_int_equal(rig_ask(rig, "POST", "/containers/web/attach?stream=1", NULL), 200);
	assert_true(says(rig, "application/vnd.docker.raw-stream"));
}

static void attach__waits_for_its_turn(void **state)
{
	struct rig *rig = *state;
	cleanup_fd int fd = rig_connect(rig);
	rig_puts(rig, fd,
		 "POST /containers/web/start HTTP/1.1\r\n" HOST "\r\n"
		 "POST /containers/web/attach?stream=1&stdin=1 HTTP/1.1\r\n" HOST
		 "Connection: Upgrade\r\nUpgrade: tcp\r\n\r\nrest");
	assert_int_equal(rig_read(rig, fd, NULL), 1);
	assert_true(strstr(rig->answer, " 204 ") < strstr(rig->answer, "101 UPGRADED"));
	assert_string_equal(rig->daemon.head, "rest");
}

static void attach__refuses_the_paused(void **state)
{
	struct rig *rig = *state;
	rig->daemon.web.state = INSTANCE_PAUSED;
	assert_int_equal(rig_ask(rig, "POST", "/containers/web/attach?stream=1", NULL), 409);
	assert_true(says(rig, "is paused"));
}

static void logs__hand_the_socket_over(void **state)
{
	struct rig *rig = *state;
	assert_int_equal(rig_ask(rig, "GET",
				 "/containers/web/logs?stdout=1&follow=1&since=10.5&until=20&tail=7"
				 "&timestamps=1",
				 NULL),
			 200);
	assert_true(says(rig, "Transfer-Encoding: chunked\r\n"));
	assert_true(says(rig, "Connection: close\r\n"));
	assert_true(says(rig, "multiplexed-stream"));
	const struct logs_request *req = &rig->daemon.logs;
	assert_true(req->follow && req->want_stdout && !req->want_stderr && req->timestamps);
	assert_true(req->mux && req->chunked);
	assert_int_equal(req->tail, 7);
	assert_int_equal(req->since_ns, 10500000000);
	assert_int_equal(req->until_ns, 20000000000);
	assert_int_equal(rig_ask(rig, "GET", "/containers/term/logs?stderr=1&tail=all", NULL), 200);
	assert_false(rig->daemon.logs.mux);
	assert_int_equal(rig->daemon.logs.tail, -1);
	/* What can be known before is told before. */
	rig->daemon.fail_code = EOPNOTSUPP;
	rig->daemon.fail_text = "log driver none";
	assert_int_equal(rig_ask(rig, "GET", "/containers/web/logs?stdout=1", NULL), 501);
}

static void exec_start__hands_the_socket_over(void **state)
{
	struct rig *rig = *state;
	cleanup_fd int fd = rig_connect(rig);
	rig_puts(rig, fd,
		 "POST /exec/" FAKE_ID "/start HTTP/1.1\r\n" HOST
		 "Connection: Upgrade\r\nUpgrade: tcp\r\nContent-Type: application/json\r\n"
		 "Content-Length: 39\r\n\r\n{\"Tty\":true,\"ConsoleSize\":[24,80]}     input");
	assert_int_equal(rig_read(rig, fd, NULL), 1);
	assert_true(says(rig, "101 UPGRADED"));
	assert_true(says(rig, "raw-stream"));
	assert_string_equal(rig->daemon.head, "input");
	assert_int_equal(rig->daemon.h, 24);
	assert_int_equal(rig->daemon.w, 80);
	assert_false(rig->daemon.stream.mux);
	rig->daemon.fail_code = EBUSY;
	rig->daemon.fail_text = "paused";
	assert_int_equal(rig_ask(rig, "POST", "/exec/" FAKE_ID "/start", "{}"), 409);
	assert_int_equal(rig_ask(rig, "POST", "/exec/unknown/start", "{}"), 404);
}

static void exec_inspect__looks_twice_at_what_runs(void **state)
{
	struct rig *rig = *state;
	rig->daemon.exec_runs = 1;
	assert_int_equal(rig_ask(rig, "GET", "/exec/" FAKE_ID "/json", NULL), 200);
	assert_true(says(rig, "\"Running\":false,\"ExitCode\":9"));
	int fd = rig_connect(rig);
	rig->daemon.exec_runs = 2;
	rig_puts(rig, fd, "GET /exec/" FAKE_ID "/json HTTP/1.1\r\n" HOST "\r\n");
	assert_int_equal(rig_read(rig, fd, "\"Running\":true"), 1);
	fd_close(&fd);
	rig_turn(rig);
	assert_int_equal(rig->server->n_conns, 0);
}

static void stats__once_or_twice(void **state)
{
	struct rig *rig = *state;
	assert_int_equal(rig_ask(rig, "GET", "/containers/web/stats?stream=0&one-shot=1", NULL),
			 200);
	assert_true(says(rig, "\"has_prev\":false"));
	assert_int_equal(rig_ask(rig, "GET", "/containers/web/stats?stream=false", NULL), 200);
	assert_true(says(rig, "\"has_prev\":true"));
	assert_int_equal(rig_ask(rig, "GET", "/containers/term/stats?stream=0", NULL), 200);
	rig->daemon.fail_code = EOPNOTSUPP;
	rig->daemon.fail_text = "no controllers";
	assert_int_equal(rig_ask(rig, "GET", "/containers/web/stats", NULL), 501);
}

static void stats__come_every_second(void **state)
{
	struct rig *rig = *state;
	cleanup_fd int fd = rig_connect(rig);
	rig_puts(rig, fd, "GET /containers/web/stats HTTP/1.1\r\n" HOST "\r\n");
	assert_int_equal(rig_read(rig, fd, "\"has_prev\":false"), 1);
	assert_int_equal(rig_read(rig, fd, "\"has_prev\":true"), 1);
	fd_close(&fd);
	rig_turn(rig);
	assert_int_equal(rig->server->n_conns, 0);
}

static json_object *make_event(int64_t time_ns)
{
	json_object *o = json_object_new_object(), *actor = json_object_new_object();
	json_add_str(o, "Type", "container");
	json_add_str(o, "Action", "start");
	json_add_str(actor, "ID", FAKE_ID);
	json_add(o, "Actor", actor);
	json_add_i64(o, "timeNano", time_ns);
	return o;
}

static void events__are_streamed(void **state)
{
	struct rig *rig = *state;
	cleanup_fd int fd = rig_connect(rig);
	rig_puts(rig, fd, "GET /events HTTP/1.1\r\n" HOST "\r\n");
	assert_int_equal(rig_read(rig, fd, "\r\n\r\n"), 1);
	json_object *event = make_event(5);
	fake_emit(&rig->daemon, event);
	json_object_put(event);
	assert_int_equal(rig_read(rig, fd, "}\n\r\n"), 1);
	assert_true(says(rig, "\"status\":\"start\""));
	assert_true(says(rig, "\"id\":\"" FAKE_ID "\""));
	assert_int_equal(rig->daemon.n_subscribed, 1);
	fd_close(&fd);
	rig_turn(rig);
	assert_int_equal(rig->daemon.n_subscribed, 0);
}

static void events__end_at_until(void **state)
{
	struct rig *rig = *state;
	cleanup_fd int fd = rig_connect(rig);
	rig_puts(rig, fd, "GET /events?since=1&until=10 HTTP/1.1\r\n" HOST "\r\n");
	assert_int_equal(rig_read(rig, fd, "\r\n\r\n"), 1);
	json_object *in = make_event(5000000000), *out = make_event(11000000000);
	/* "until" was over long ago, but the past comes late. */
	rig_turn_ms(rig, 60);
	fake_emit(&rig->daemon, in);
	fake_emit(&rig->daemon, out);
	assert_int_equal(rig->daemon.n_subscribed, 1);
	fake_emit(&rig->daemon, NULL);
	json_object_put(in);
	json_object_put(out);
	assert_int_equal(rig_read(rig, fd, "0\r\n\r\n"), 1);
	assert_true(says(rig, "5000000000"));
	assert_null(strstr(rig->answer, "11000000000"));
	assert_int_equal(rig->daemon.n_subscribed, 0);
}

static void prune__removes_the_stopped_that_fit(void **state)
{
	struct rig *rig = *state;
	assert_int_equal(
		rig_ask(rig, "POST", "/containers/prune?filters={\"label\":[\"role=web\"]}", NULL),
		200);
	assert_string_equal(rig_body(rig), "{\"ContainersDeleted\":[],\"SpaceReclaimed\":0}");
	assert_int_equal(
		rig_ask(rig, "POST", "/containers/prune?filters={\"until\":[\"1h\"]}", NULL), 200);
	assert_true(says(rig, rig->daemon.term.id));
	assert_true(says(rig, "\"SpaceReclaimed\":100"));
	assert_int_equal(
		rig_ask(rig, "POST", "/containers/prune?filters={\"label!\":[\"role\"]}", NULL),
		200);
	assert_string_equal(rig_body(rig), "{\"ContainersDeleted\":[],\"SpaceReclaimed\":0}");
	assert_int_equal(
		rig_ask(rig, "POST", "/containers/prune?filters={\"until\":[\"x\"]}", NULL), 400);
}

static void images__fit_the_clients_version(void **state)
{
	struct rig *rig = *state;
	assert_int_equal(rig_ask(rig, "GET", "/v1.41/images/json", NULL), 200);
	assert_true(says(rig, "\"VirtualSize\":7"));
	assert_true(says(rig, "<none>:<none>"));
	assert_int_equal(rig_ask(rig, "GET", "/v1.47/images/json", NULL), 200);
	assert_null(strstr(rig->answer, "VirtualSize"));
	assert_null(strstr(rig->answer, "<none>"));
	assert_int_equal(rig_ask(rig, "GET", "/images/localhost:5000%2Fa/b:c/json", NULL), 200);
	assert_true(says(rig, "\"ref\":\"localhost:5000/a/b:c\""));
}

static void pull__is_a_job(void **state)
{
	struct rig *rig = *state;
	assert_int_equal(rig_ask(rig, "POST", "/images/create?fromImage=busybox&tag=latest", NULL),
			 200);
	assert_string_equal(rig->daemon.text, "busybox:latest|||0");
	assert_int_equal(rig_ask(rig, "POST", "/images/create?fromSrc=http://x/y", NULL), 501);
}

static void networks__show_what_there_is(void **state)
{
	struct rig *rig = *state;
	assert_int_equal(rig_ask(rig, "GET", "/networks", NULL), 200);
	assert_true(says(rig, "\"Name\":\"none\"") && says(rig, "\"Name\":\"host\""));
	assert_int_equal(rig_ask(rig, "GET", "/networks?filters={\"name\":{\"host\":true}}", NULL),
			 200);
	assert_null(strstr(rig->answer, "\"none\""));
	assert_int_equal(rig_ask(rig, "GET", "/networks/none", NULL), 200);
	assert_int_equal(rig_ask(rig, "GET", "/networks/686f7374", NULL), 200);
	assert_int_equal(rig_ask(rig, "GET", "/networks/bridge", NULL), 404);
}

static void volumes__reach_the_core(void **state)
{
	struct rig *rig = *state;
	assert_int_equal(rig_ask(rig, "GET", "/volumes", NULL), 200);
	assert_string_equal(rig_body(rig), "{\"Volumes\":[],\"Warnings\":null}");
	assert_int_equal(rig_ask(rig, "GET", "/volumes/data", NULL), 404);
	assert_int_equal(rig_ask(rig, "POST", "/volumes/create", "{\"Name\":\"data\"}"), 201);
	assert_string_equal(rig->daemon.last, "volume create");
	assert_string_equal(json_str_or(rig->daemon.body, "Name", ""), "data");
	assert_int_equal(rig_ask(rig, "DELETE", "/volumes/data?force=1", NULL), 204);
	assert_string_equal(rig->daemon.last, "volume remove");
	assert_true(rig->daemon.force);
	assert_string_equal(rig->daemon.text, "data");
	assert_int_equal(rig_ask(rig, "POST", "/volumes/prune", NULL), 200);
	assert_false(rig->daemon.volumes);
	assert_int_equal(rig_ask(rig, "POST", "/v1.41/volumes/prune", NULL), 200);
	assert_true(rig->daemon.volumes);
	assert_int_equal(rig_ask(rig, "GET", "/volumes?filters=x", NULL), 400);
	assert_int_equal(rig_ask(rig, "PUT", "/volumes/data", NULL), 501);
}

static void metrics__have_cadvisors_names(void **state)
{
	struct rig *rig = *state;
	rig->daemon.web.image_ref = (char *)"a\"b\\c";
	assert_int_equal(rig_ask(rig, "GET", "/metrics", NULL), 200);
	assert_true(says(rig, "# TYPE container_cpu_usage_seconds_total counter\n"
			      "container_cpu_usage_seconds_total{cpu=\"total\",id=\"/isola/"));
	assert_true(says(rig, "image=\"a\\\"b\\\\c\",name=\"web\"} 1.5\n"));
	assert_true(says(rig, "isola_containers{state=\"running\"} 1\n"));
	assert_true(says(rig, "isola_containers{state=\"exited\"} 1\n"));
	assert_true(says(rig, "process_resident_memory_bytes "));
	assert_null(strstr(rig->answer, "container_memory_usage_bytes"));
}

static void views__are_passed_on(void **state)
{
	struct rig *rig = *state;
	assert_int_equal(rig_ask(rig, "GET", "/containers/a1b2/json?size=1", NULL), 200);
	assert_true(says(rig, "\"SizeRootFs\":1000"));
	assert_int_equal(rig_ask(rig, "GET", "/containers/web/json", NULL), 200);
	assert_int_equal(rig_ask(rig, "GET", "/containers/web/top?ps_args=-ef", NULL), 200);
	assert_true(says(rig, "\"args\":\"-ef\""));
	assert_int_equal(rig_ask(rig, "GET", "/exec/" FAKE_ID "/json", NULL), 200);
	assert_int_equal(rig_ask(rig, "GET", "/info", NULL), 200);
	assert_int_equal(rig_ask(rig, "GET", "/openapi.json", NULL), 200);
	assert_true(says(rig, "\"openapi\":\"3.1.0\""));
}

#define rig_test(f) cmocka_unit_test_setup_teardown(f, rig_setup, rig_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		rig_test(versions__are_checked),
		rig_test(unknown_paths__are_told_apart),
		rig_test(bad_urls__are_refused),
		rig_test(unsupported_parameters__are_named),
		rig_test(errors__become_statuses),
		rig_test(containers__are_found_or_not),
		rig_test(list__shows_running_ones),
		rig_test(create__passes_name_and_body),
		rig_test(create__checks_the_platform),
		rig_test(stop__takes_signal_and_time),
		rig_test(kill__defaults_to_sigkill),
		rig_test(simple_operations__reach_the_core),
		rig_test(wrong_requests__name_what_is_wrong),
		rig_test(wait__sends_its_head_at_once),
		rig_test(attach__hands_the_socket_over),
		rig_test(attach__tells_the_kind_of_stream),
		rig_test(attach__waits_for_its_turn),
		rig_test(attach__refuses_the_paused),
		rig_test(logs__hand_the_socket_over),
		rig_test(exec_start__hands_the_socket_over),
		rig_test(exec_inspect__looks_twice_at_what_runs),
		rig_test(stats__once_or_twice),
		rig_test(stats__come_every_second),
		rig_test(events__are_streamed),
		rig_test(events__end_at_until),
		rig_test(prune__removes_the_stopped_that_fit),
		rig_test(images__fit_the_clients_version),
		rig_test(pull__is_a_job),
		rig_test(networks__show_what_there_is),
		rig_test(volumes__reach_the_core),
		rig_test(metrics__have_cadvisors_names),
		rig_test(views__are_passed_on),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: Apache-2.0 */
/* The blocking client against a scripted daemon: a child process that reads one
 * request a script and writes the script's bytes. */
#include "isola/client.h"

#include "isola/fd.h"
#include "isola/json.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>

#include <cmocka.h>

struct script {
	char dir[64];
	struct client_host host;
	struct client *client;
	pid_t pid;
};

static struct script script;

/* Each answer is for one connection's one request, unless @keep. */
static void serve(int listener, const char *const *answers, bool keep)
{
	int fd = -1;
	for (; *answers; answers++) {
		char request[8192] = "";
		size_t n = 0;
		if (fd < 0)
			fd = accept(listener, NULL, NULL);
		while (n < sizeof(request) - 1 && !strstr(request, "\r\n\r\n")) {
			ssize_t r = read(fd, request + n, sizeof(request) - 1 - n);
			if (r <= 0)
				break;
			n += (size_t)r;
			request[n] = '\0';
		}
		/* One byte at a time finds what depends on whole reads. */
		for (const char *p = *answers; *p; p++)
			if (write(fd, p, 1) != 1)
				break;
		if (!keep)
			fd_close(&fd);
	}
	fd_close(&fd);
}

static void play(const char *const *answers, bool keep)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	memcpy(addr.sun_path, script.host.path, sizeof(addr.sun_path));
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	(void)unlink(addr.sun_path);
	assert_int_equal(bind(fd, (struct sockaddr *)&addr, sizeof(addr)), 0);
	assert_int_equal(listen(fd, 8), 0);
	script.pid = fork();
	if (script.pid == 0) {
		(void)signal(SIGPIPE, SIG_IGN);
		(void)alarm(30);
		serve(fd, answers, keep);
		_exit(0);
	}
	(void)close(fd);
}

static void play_one(const char *answer)
{
	const char *const answers[] = { answer, NULL };
	play(answers, false);
}

static int setup(void **state)
{
	(void)state;
	const char *tmp = getenv("ISOLA_TMP");
	memset(&script, 0, sizeof(script));
	(void)snprintf(script.dir, sizeof(script.dir), "%s/client.XXXXXX",
		       tmp && strlen(tmp) < 40 ? tmp : "/tmp");
	if (!mkdtemp(script.dir))
		return -1;
	(void)snprintf(script.host.path, sizeof(script.host.path), "%s/s", script.dir);
	script.client = client_new(&script.host);
	return script.client ? 0 : -1;
}

static int teardown(void **state)
{
	(void)state;
	client_free(script.client);
	if (script.pid > 0) {
		(void)kill(script.pid, SIGKILL);
		(void)waitpid(script.pid, NULL, 0);
	}
	(void)unlink(script.host.path);
	(void)rmdir(script.dir);
	return 0;
}

static void host__is_parsed(void **state)
{
	struct client_host host;
	struct err err = ERR_INIT;
	char long_path[200];
	(void)state;
	(void)unsetenv("DOCKER_HOST");
	(void)unsetenv("ISOLA_SOCKET");
	assert_int_equal(client_host_parse(NULL, &host, &err), 0);
	assert_string_equal(host.path, CLIENT_SOCKET_DEFAULT);
	(void)setenv("DOCKER_HOST", "unix:///a/docker.sock", 1);
	assert_int_equal(client_host_parse("", &host, &err), 0);
	assert_string_equal(host.path, "/a/docker.sock");
	(void)setenv("ISOLA_SOCKET", "/a/isola.sock", 1);
	assert_int_equal(client_host_parse(NULL, &host, &err), 0);
	assert_string_equal(host.path, "/a/isola.sock");
	assert_int_equal(client_host_parse("unix://b.sock", &host, &err), 0);
	assert_string_equal(host.path, "b.sock");
	assert_int_equal(client_host_parse("tcp://1.2.3.4:5", &host, &err), -EINVAL);
	assert_non_null(strstr(err.text, "--host: tcp:// is not supported"));
	(void)setenv("ISOLA_SOCKET", "ssh://x", 1);
	assert_int_equal(client_host_parse(NULL, &host, &err), -EINVAL);
	assert_non_null(strstr(err.text, "ISOLA_SOCKET: ssh://"));
	assert_int_equal(client_host_parse("unix://", &host, &err), -EINVAL);
	memset(long_path, 'a', sizeof(long_path));
	long_path[sizeof(long_path) - 1] = '\0';
	assert_int_equal(client_host_parse(long_path, &host, &err), -EINVAL);
	(void)unsetenv("DOCKER_HOST");
	(void)unsetenv("ISOLA_SOCKET");
}

static void targets__are_escaped(void **state)
{
	cleanup_strbuf struct strbuf b = STRBUF_INIT;
	(void)state;
	client_target_path(&b, "containers");
	client_target_path(&b, "../a b/?#%");
	client_target_path(&b, "..");
	client_target_query(&b, "x", "1&y=2");
	client_target_query(&b, "z", "ä");
	assert_string_equal(b.text,
			    "/containers/..%2Fa%20b%2F%3F%23%25/%2E%2E?x=1%26y%3D2&z=%C3%A4");
}

static void no_daemon__says_how_to_start_one(void **state)
{
	struct err err = ERR_INIT;
	char want[256];
	(void)state;
	assert_int_equal(client_call(script.client, "GET", "/x", NULL, NULL, &err), -ENOENT);
	(void)snprintf(want, sizeof(want),
		       "cannot reach isolad at %s: No such file or directory (is it running? start "
		       "it with: systemctl start isolad, or isolad &)",
		       script.host.path);
	assert_string_equal(err.text, want);
}

static void call__gives_the_document(void **state)
{
	cleanup_json json_object *o = NULL;
	struct err err = ERR_INIT;
	(void)state;
	play_one("HTTP/1.1 201 Created\r\nContent-Type: application/json; charset=utf-8\r\n"
		 "content-length:  8 \r\n\r\n{\"a\": 1}");
	assert_int_equal(client_call(script.client, "POST", "/x", NULL, &o, &err), 201);
	assert_int_equal(json_i64_or(o, "a", 0), 1);
}

static void call__reuses_and_reopens_the_connection(void **state)
{
	static const char ok[] = "HTTP/1.1 204 No Content\r\n\r\n";
	const char *const answers[] = { ok, ok, ok, NULL };
	struct err err = ERR_INIT;
	(void)state;
	play(answers, true);
	for (int i = 0; i < 3; i++)
		assert_int_equal(client_call(script.client, "POST", "/x", NULL, NULL, &err), 204);
}

static void call__reconnects_after_a_close(void **state)
{
	static const char ok[] =
		"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n";
	const char *const answers[] = { ok, ok, NULL };
	struct err err = ERR_INIT;
	(void)state;
	play(answers, false);
	for (int i = 0; i < 2; i++)
		assert_int_equal(client_call(script.client, "POST", "/x", NULL, NULL, &err), 200);
}

static void errors__carry_the_daemons_message(void **state)
{
	struct err err = ERR_INIT;
	(void)state;
	play_one("HTTP/1.1 404 Not Found\r\nContent-Type: application/json\r\n"
		 "Content-Length: 35\r\n\r\n{\"message\":\"No such container: xyz\"}"
		 "        ");
	assert_int_equal(client_call(script.client, "GET", "/x", NULL, NULL, &err), -ENOENT);
	assert_int_equal(client_status(script.client), 404);
}

static void errors__without_a_message_have_a_status(void **state)
{
	struct err err = ERR_INIT;
	(void)state;
	play_one("HTTP/1.1 503 Busy\r\nContent-Length: 2\r\n\r\nhm");
	assert_int_equal(client_call(script.client, "GET", "/x", NULL, NULL, &err), -EAGAIN);
	assert_string_equal(err.text, "isolad answered with status 503");
}

static void chunks__are_taken_apart(void **state)
{
	struct err err = ERR_INIT;
	char buf[64];
	size_t n = 0;
	ssize_t r;
	(void)state;
	play_one("HTTP/1.1 100 Continue\r\n\r\n"
		 "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
		 "5\r\nhello\r\n00A;x=y\r\n brave new\r\n1\r\n!\r\n0\r\nTrailer: x\r\n\r\n");
	assert_int_equal(client_send(script.client, "GET", "/x", NULL, &err), 0);
	assert_int_equal(client_receive(script.client, &err), 200);
	while ((r = client_read(script.client, buf + n, sizeof(buf) - n, &err)) > 0)
		n += (size_t)r;
	assert_int_equal(r, 0);
	assert_memory_equal(buf, "hello brave new!", 16);
	assert_int_equal(client_read(script.client, buf, sizeof(buf), &err), 0);
}

static void streams__give_one_document_at_a_time(void **state)
{
	struct err err = ERR_INIT;
	(void)state;
	play_one(
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
		"8\r\n{\"n\":1}\n\r\n4\r\n{\"n\"\r\n4\r\n:2}{\r\n6\r\n\"n\":3}\r\n2\r\n\r\n\r\n0\r\n\r\n");
	assert_int_equal(client_send(script.client, "GET", "/x", NULL, &err), 0);
	assert_int_equal(client_receive(script.client, &err), 200);
	for (int i = 1; i <= 3; i++) {
		json_object *o = NULL;
		assert_int_equal(client_next_json(script.client, &o, &err), 1);
		assert_int_equal(json_i64_or(o, "n", 0), i);
		json_object_put(o);
	}
	json_object *o = NULL;
	assert_int_equal(client_next_json(script.client, &o, &err), 0);
}

static void malformed_answers__are_errors(void **state)
{
	static const char *const bad[] = {
		"",
		"HTTP/1.1 20\r\n\r\n",
		"HTTP/2.0 200 OK\r\n\r\n",
		"ICY 200 OK\r\n\r\n",
		"HTTP/1.1 200 OK\n\n",
		"HTTP/1.1 200 OK\r\nX\r\n\r\n",
		"HTTP/1.1 200 OK\r\n X: y\r\n\r\n",
		"HTTP/1.1 200 OK\r\nX : y\r\n\r\n",
		"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n",
		"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
		"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\na",
		"HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999999\r\n\r\n",
		"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nx\r\n",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nab\r\n",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffff\r\n",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab",
		"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nab",
		"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{]",
	};
	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct err err = ERR_INIT;
		play_one(bad[i]);
		assert_in_range(-client_call(script.client, "GET", "/x", NULL, NULL, &err), 1, 200);
		assert_string_not_equal(err.text, "");
		(void)waitpid(script.pid, NULL, 0);
		script.pid = 0;
	}
}

static void endless_heads__are_bounded(void **state)
{
	static char text[20000];
	struct err err = ERR_INIT;
	(void)state;
	int n = sprintf(text, "HTTP/1.1 200 OK\r\nX: ");
	memset(text + n, 'a', sizeof(text) - (size_t)n - 1);
	play_one(text);
	assert_int_equal(client_call(script.client, "GET", "/x", NULL, NULL, &err), -EPROTO);
}

static void hijack__leaves_the_stream_in_the_socket(void **state)
{
	struct err err = ERR_INIT;
	cleanup_fd int fd = -1;
	bool mux = false;
	char buf[64];
	(void)state;
	play_one("HTTP/1.1 101 UPGRADED\r\n"
		 "Content-Type: application/vnd.docker.multiplexed-stream\r\n"
		 "Connection: Upgrade\r\nUpgrade: tcp\r\n\r\nthe stream");
	assert_int_equal(client_hijack(script.client, "/x", NULL, &fd, &mux, &err), 101);
	assert_true(mux);
	assert_int_equal(fd_read_all(fd, buf, sizeof(buf)), 10);
	assert_memory_equal(buf, "the stream", 10);
	assert_int_equal(client_fd(script.client), -1);
}

static void hijack__reports_a_refusal(void **state)
{
	struct err err = ERR_INIT;
	int fd = -1;
	(void)state;
	play_one("HTTP/1.1 409 Conflict\r\nContent-Type: application/json\r\n"
		 "Content-Length: 20\r\n\r\n{\"message\":\"paused\"}");
	assert_int_equal(client_hijack(script.client, "/x", NULL, &fd, NULL, &err), -EBUSY);
	assert_string_equal(err.text, "paused");
	assert_int_equal(fd, -1);
}

/* The daemon talks all the time and reads late: neither may block the other. */
static void serve_upload(int listener, size_t want)
{
	static char buf[65536];
	int fd = accept(listener, NULL, NULL);
	static const char head[] = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
	(void)fd_write_all(fd, head, sizeof(head) - 1);
	char line[1100];
	memset(line, ' ', sizeof(line));
	memcpy(line, "400\r\n{}", 7);
	memcpy(line + 5 + 1024, "\r\n", 2);
	for (int i = 0; i < 1000; i++)
		(void)fd_write_all(fd, line, 5 + 1024 + 2);
	size_t got = 0;
	while (got < want) {
		ssize_t n = read(fd, buf, sizeof(buf));
		if (n <= 0)
			break;
		got += (size_t)n;
	}
	(void)fd_write_all(fd, "0\r\n\r\n", 5);
	fd_close(&fd);
	_exit(got >= want ? 0 : 1);
}

static void upload(int src, size_t size)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	struct err err = ERR_INIT;
	memcpy(addr.sun_path, script.host.path, sizeof(addr.sun_path));
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	(void)unlink(addr.sun_path);
	assert_int_equal(bind(fd, (struct sockaddr *)&addr, sizeof(addr)), 0);
	assert_int_equal(listen(fd, 8), 0);
	script.pid = fork();
	if (script.pid == 0) {
		(void)alarm(30);
		serve_upload(fd, size);
	}
	(void)close(fd);
	assert_int_equal(
		client_send_fd(script.client, "POST", "/load", "application/x-tar", src, &err), 0);
	assert_int_equal(client_receive(script.client, &err), 200);
	json_object *o = NULL;
	int n = 0;
	while (client_next_json(script.client, &o, &err) > 0) {
		json_object_put(o);
		n++;
	}
	assert_int_equal(n, 1000);
	int status = -1;
	(void)waitpid(script.pid, &status, 0);
	script.pid = 0;
	assert_int_equal(status, 0);
}

#define UPLOAD_BYTES (4 * 1024 * 1024)

static void upload__sends_a_file_while_it_reads(void **state)
{
	(void)state;
	cleanup_fd int fd = open(script.dir, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	assert_int_equal(ftruncate(fd, UPLOAD_BYTES), 0);
	upload(fd, UPLOAD_BYTES);
}

static void upload__sends_a_pipe_in_chunks(void **state)
{
	int fds[2];
	(void)state;
	assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
	pid_t writer = fork();
	if (writer == 0) {
		static char zeros[65536];
		for (int i = 0; i < UPLOAD_BYTES / 65536; i++)
			(void)fd_write_all(fds[1], zeros, sizeof(zeros));
		_exit(0);
	}
	(void)close(fds[1]);
	upload(fds[0], UPLOAD_BYTES);
	(void)close(fds[0]);
	(void)waitpid(writer, NULL, 0);
}

static void upload__reads_the_refusal(void **state)
{
	struct err err = ERR_INIT;
	(void)state;
	cleanup_fd int fd = open(script.dir, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	assert_int_equal(ftruncate(fd, UPLOAD_BYTES), 0);
	play_one("HTTP/1.1 400 Bad Request\r\nContent-Type: application/json\r\n"
		 "Connection: close\r\nContent-Length: 17\r\n\r\n{\"message\":\"bad\"}");
	assert_int_equal(
		client_send_fd(script.client, "POST", "/load", "application/x-tar", fd, &err), 0);
	assert_int_equal(client_receive(script.client, &err), 400);
	assert_int_equal(client_fail(script.client, &err), -EINVAL);
	assert_string_equal(err.text, "bad");
}

#define script_test(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		script_test(host__is_parsed),
		script_test(targets__are_escaped),
		script_test(no_daemon__says_how_to_start_one),
		script_test(call__gives_the_document),
		script_test(call__reuses_and_reopens_the_connection),
		script_test(call__reconnects_after_a_close),
		script_test(errors__carry_the_daemons_message),
		script_test(errors__without_a_message_have_a_status),
		script_test(chunks__are_taken_apart),
		script_test(streams__give_one_document_at_a_time),
		script_test(malformed_answers__are_errors),
		script_test(endless_heads__are_bounded),
		script_test(hijack__leaves_the_stream_in_the_socket),
		script_test(hijack__reports_a_refusal),
		script_test(upload__sends_a_file_while_it_reads),
		script_test(upload__sends_a_pipe_in_chunks),
		script_test(upload__reads_the_refusal),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: Apache-2.0 */
/* stream - frames taken apart wherever the pieces break, and the pump. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "cli/stream.h"
#include "isola/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>

/* Runs @fn in a child whose output and error streams are pipes; fills both. */
static int captured(int (*fn)(void *arg), void *arg, char *out, char *errs, size_t size)
{
	int o[2], e[2], status;
	assert_int_equal(pipe(o), 0);
	assert_int_equal(pipe(e), 0);
	pid_t pid = fork();
	if (pid == 0) {
		(void)dup2(o[1], 1);
		(void)dup2(e[1], 2);
		(void)close(o[1]);
		(void)close(e[1]);
		_exit(fn(arg));
	}
	(void)close(o[1]);
	(void)close(e[1]);
	ssize_t n = fd_read_all(o[0], out, size - 1), m = fd_read_all(e[0], errs, size - 1);
	out[n < 0 ? 0 : n] = errs[m < 0 ? 0 : m] = '\0';
	(void)close(o[0]);
	(void)close(e[0]);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

static const char frames[] = "\1\0\0\0\0\0\0\5hello\2\0\0\0\0\0\0\3bad\1\0\0\0\0\0\0\0"
			     "\1\0\0\0\0\0\0\1!";

static int demux_steps(void *arg)
{
	size_t step = *(size_t *)arg, size = sizeof(frames) - 1;
	struct stream_demux d = { 0 };
	struct err err = ERR_INIT;
	for (size_t i = 0; i < size; i += step)
		if (stream_demux(&d, frames + i, step < size - i ? step : size - i, &err) < 0)
			return 1;
	return 0;
}

static void stream_demux__takes_any_pieces(void **state)
{
	(void)state;
	for (size_t step = 1; step <= sizeof(frames); step++) {
		char out[64], errs[64];
		assert_int_equal(captured(demux_steps, &step, out, errs, sizeof(out)), 0);
		assert_string_equal(out, "hello!");
		assert_string_equal(errs, "bad");
	}
}

static void stream_demux__refuses_unknown_streams(void **state)
{
	(void)state;
	struct stream_demux d = { 0 };
	struct err err = ERR_INIT;
	assert_int_equal(stream_demux(&d, "\7\0\0\0\0\0\0\1x", 9, &err), -EPROTO);
}

/* An echoing payload and more data than any socket buffer holds: a pump that
 * blocks on sending would never end. */
static int pump_echo(void *arg)
{
	(void)arg;
	int sv[2], in[2];
	const size_t total = 4 << 20;
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sv) < 0 || pipe(in) < 0)
		return 1;
	if (fork() == 0) { /* payload: reads only as fast as its output is taken */
		char buf[4096];
		ssize_t n;
		(void)close(sv[0]);
		(void)close(in[0]);
		(void)close(in[1]); /* or the input would never end */
		while ((n = read(sv[1], buf, sizeof(buf))) > 0)
			if (fd_write_all(sv[1], buf, (size_t)n) < 0)
				_exit(1);
		_exit(0);
	}
	(void)close(sv[1]);
	if (fork() == 0) {
		static char chunk[65536];
		memset(chunk, 'x', sizeof(chunk));
		(void)close(in[0]);
		for (size_t i = 0; i < total; i += sizeof(chunk))
			if (fd_write_all(in[1], chunk, sizeof(chunk)) < 0)
				_exit(1);
		_exit(0);
	}
	(void)close(in[1]);
	(void)dup2(in[0], 0);
	(void)close(in[0]);
	struct stream s = { .sock = sv[0], .stdin_ = true, .watch_fd = STREAM_WATCH_NONE };
	struct err err = ERR_INIT;
	(void)alarm(30);
	return stream_pump(&s, &err) == STREAM_EOF ? 0 : 2;
}

static void stream_pump__never_deadlocks_on_echo(void **state)
{
	(void)state;
	static char out[(4 << 20) + 2], errs[(4 << 20) + 2];
	assert_int_equal(captured(pump_echo, NULL, out, errs, sizeof(out)), 0);
	assert_int_equal(strlen(out), 4 << 20);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(stream_demux__takes_any_pieces),
		cmocka_unit_test(stream_demux__refuses_unknown_streams),
		cmocka_unit_test(stream_pump__never_deadlocks_on_echo),
	};
	return cmocka_run_group_tests_name("stream", tests, NULL, NULL);
}

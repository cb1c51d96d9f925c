/* SPDX-License-Identifier: Apache-2.0 */
/* logread - the logs mode as isolad runs it: a process with a socket, here made
 * by fork. Writers are real ones (jlog). */
#include "fixture.h"

#include "keeper/jlog.h"
#include "keeper/logargs.h"
#include "keeper/logread.h"

#include "isola/num.h"
#include "isola/strbuf.h"

#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/wait.h>

struct reader {
	pid_t pid;
	int sock;
};

/* Starts a reader of "log" with more @flags (ends with NULL). */
static struct reader start_reader(const char *const *flags)
{
	char fd[16], path[300];
	const char *argv[24] = { "logs", "--fd", fd, "--path", path, NULL };
	int argc = 5, pair[2];
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
	(void)snprintf(fd, sizeof(fd), "%d", pair[1]);
	(void)snprintf(path, sizeof(path), "%s", in_folder("log"));
	while (flags && *flags)
		argv[argc++] = *flags++;
	struct reader r = { .pid = fork(), .sock = pair[0] };
	if (r.pid == 0) {
		(void)close(pair[0]);
		_exit(logread_main(argc, (char **)(uintptr_t)argv));
	}
	(void)close(pair[1]);
	const struct timeval limit = { .tv_sec = 20 };
	assert_int_equal(setsockopt(r.sock, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit)), 0);
	return r;
}

/* Reads until @stop was seen, or the end. */
static void read_more(struct reader *r, struct strbuf *b, const char *stop)
{
	char buf[4096];
	ssize_t n = 1;
	while (n > 0 && !(stop && b->text && strstr(b->text, stop))) {
		n = read(r->sock, buf, sizeof(buf));
		assert_true(n >= 0);
		strbuf_add(b, buf, (size_t)n);
	}
}

static int end_reader(struct reader *r)
{
	int status = -1;
	(void)close(r->sock);
	assert_int_equal(waitpid(r->pid, &status, 0), r->pid);
	assert_true(WIFEXITED(status));
	return WEXITSTATUS(status);
}

/* All that a reader with @flags prints; owned. */
static char *logs_of(const char *const *flags)
{
	struct strbuf b = STRBUF_INIT;
	struct reader r = start_reader(flags);
	read_more(&r, &b, NULL);
	assert_int_equal(end_reader(&r), 0);
	return strbuf_take(&b);
}

#define LOGS(...) logs_of((const char *const[]){ __VA_ARGS__, NULL })

static void assert_logs(char *got, const char *want)
{
	assert_string_equal(got, want);
	free(got);
}

static struct jlog *open_log(int64_t max_size, unsigned int max_files)
{
	const struct jlog_limits limits = { max_size, max_files };
	struct jlog *log = NULL;
	assert_int_equal(jlog_open(in_folder("log"), &limits, NULL, &log, NULL), 0);
	return log;
}

static void puts_log(struct jlog *log, enum jlog_stream stream, const char *text)
{
	jlog_write(log, stream, text, strlen(text));
}

#define REC(text, stream, when)                                                                    \
	"{\"log\":\"" text "\",\"stream\":\"" stream "\",\"time\":\"2026-01-01T00:00:" when        \
	".000000000Z\"}\n"
#define T0 "1767225"

/* Three files: one to three, four to six, and seven to nine. */
static void write_three(void)
{
	write_text("log.2", REC("1\\n", "stdout", "01") REC("2\\n", "stderr", "02")
				    REC("3\\n", "stdout", "03"));
	write_text("log.1", REC("4\\n", "stdout", "04") REC("5\\n", "stdout", "05")
				    REC("6\\n", "stderr", "06"));
	write_text("log", REC("7\\n", "stdout", "07") REC("8\\n", "stderr", "08")
				  REC("9\\n", "stdout", "09"));
}

static void logs__go_from_oldest_to_newest(void **state)
{
	(void)state;
	write_three();
	assert_logs(LOGS("--stdout", "--stderr"), "1\n2\n3\n4\n5\n6\n7\n8\n9\n");
	assert_logs(LOGS("--stdout"), "1\n3\n4\n5\n7\n9\n");
	assert_logs(LOGS("--stderr"), "2\n6\n8\n");
	assert_logs(logs_of(NULL), "");
}

static void logs__tail_counts_lines_of_both(void **state)
{
	(void)state;
	write_three();
	assert_logs(LOGS("--stdout", "--stderr", "--tail", "all"), "1\n2\n3\n4\n5\n6\n7\n8\n9\n");
	assert_logs(LOGS("--stdout", "--stderr", "--tail", "0"), "");
	assert_logs(LOGS("--stdout", "--stderr", "--tail", "1"), "9\n");
	assert_logs(LOGS("--stdout", "--stderr", "--tail", "3"), "7\n8\n9\n");
	assert_logs(LOGS("--stdout", "--stderr", "--tail", "4"), "6\n7\n8\n9\n");
	assert_logs(LOGS("--stdout", "--stderr", "--tail", "6"), "4\n5\n6\n7\n8\n9\n");
	assert_logs(LOGS("--stdout", "--stderr", "--tail", "9"), "1\n2\n3\n4\n5\n6\n7\n8\n9\n");
	assert_logs(LOGS("--stdout", "--stderr", "--tail", "1000"), "1\n2\n3\n4\n5\n6\n7\n8\n9\n");
	assert_logs(LOGS("--stdout", "--tail", "4"), "7\n9\n");
}

static void logs__since_and_until_bound_the_time(void **state)
{
	(void)state;
	write_three();
	assert_logs(LOGS("--stdout", "--stderr", "--since", T0 "608000000000"), "8\n9\n");
	assert_logs(LOGS("--stdout", "--stderr", "--since", T0 "607000000001"), "8\n9\n");
	assert_logs(LOGS("--stdout", "--stderr", "--until", "1767225602000000000"), "1\n2\n");
	assert_logs(LOGS("--stdout", "--stderr", "--since", "1767225603000000000", "--until",
			 "1767225604500000000"),
		    "3\n4\n");
}

static void logs__skips_files_older_than_since(void **state)
{
	(void)state;
	write_three();
	/* Written, says the file system, before what is asked for. */
	const struct timeval old[2] = { { .tv_sec = 1767225603 }, { .tv_sec = 1767225603 } };
	assert_int_equal(utimes(in_folder("log.2"), old), 0);
	assert_logs(LOGS("--stdout", "--since", "1767225604000000000"), "4\n5\n7\n9\n");
}

static void logs__decorates_as_docker(void **state)
{
	(void)state;
	write_text("log",
		   REC("a\\n", "stdout",
		       "01") "{\"log\":\"b\\n\",\"stream\":\"stderr\",\"attrs\":{\"x\":\"y z\"},"
			     "\"time\":\"2026-01-01T00:00:02.5Z\"}\n");
	assert_logs(LOGS("--stdout", "--stderr", "--timestamps"),
		    "2026-01-01T00:00:01.000000000Z a\n2026-01-01T00:00:02.500000000Z b\n");
	assert_logs(LOGS("--stdout", "--stderr", "--details"), " a\nx=y+z b\n");
	assert_logs(LOGS("--stderr", "--details", "--timestamps"),
		    "2026-01-01T00:00:02.500000000Z x=y+z b\n");
	assert_logs(LOGS("--stdout", "--stderr", "--chunked"), "4\r\na\nb\n\r\n0\r\n\r\n");
	struct reader r =
		start_reader((const char *const[]){ "--stdout", "--stderr", "--mux", NULL });
	char got[64];
	size_t n = 0;
	for (ssize_t k; (k = read(r.sock, got + n, sizeof(got) - n)) > 0;)
		n += (size_t)k;
	assert_int_equal(n, 20);
	assert_memory_equal(got, "\1\0\0\0\0\0\0\2a\n\2\0\0\0\0\0\0\2b\n", 20);
	assert_int_equal(end_reader(&r), 0);
}

static void logs__skips_what_is_damaged(void **state)
{
	(void)state;
	struct strbuf b = STRBUF_INIT;
	strbuf_puts(&b, REC("1\\n", "stdout", "01") "{\"log\":\"ha\n\n\xff\x01\n");
	strbuf_puts(&b, REC("2\\n", "stdout", "02"));
	/* Longer than any line that is looked at. */
	for (int i = 0; i < 3 << 20; i += 64)
		strbuf_puts(&b, "0123456789012345678901234567890123456789012345678901234567890123");
	strbuf_puts(&b, "\n" REC("3\\n", "stdout", "03") "{\"log\":\"cut o");
	write_text("log", b.text);
	strbuf_fini(&b);
	assert_logs(LOGS("--stdout"), "1\n2\n3\n");
	assert_logs(LOGS("--stdout", "--tail", "1"), "3\n");
}

static void logs__of_nothing_are_empty(void **state)
{
	(void)state;
	assert_logs(LOGS("--stdout"), "");
	assert_logs(LOGS("--stdout", "--tail", "5", "--chunked"), "0\r\n\r\n");
	write_text("log", "");
	assert_logs(LOGS("--stdout", "--tail", "5"), "");
}

static void logs__follow_to_the_exit_record(void **state)
{
	(void)state;
	assert_int_equal(mkdir(in_folder("run"), 0700), 0);
	char run[300];
	(void)snprintf(run, sizeof(run), "%s", in_folder("run"));
	struct jlog *log = open_log(0, 1);
	puts_log(log, JLOG_STDOUT, "before\n");
	struct strbuf b = STRBUF_INIT;
	struct reader r = start_reader(
		(const char *const[]){ "--stdout", "--follow", "--run-dir", run, NULL });
	read_more(&r, &b, "before\n");
	puts_log(log, JLOG_STDOUT, "half");
	puts_log(log, JLOG_STDOUT, " and half\n");
	read_more(&r, &b, "half and half\n");
	puts_log(log, JLOG_STDOUT, "last");
	jlog_close(log);
	write_text("run/exit.json", "{}");
	read_more(&r, &b, NULL);
	assert_int_equal(end_reader(&r), 0);
	assert_string_equal(b.text, "before\nhalf and half\nlast");
	strbuf_fini(&b);
	/* It is over: following ends at once. So it does without a run folder. */
	assert_logs(LOGS("--stdout", "--follow", "--run-dir", run), "before\nhalf and half\nlast");
	assert_logs(LOGS("--stdout", "--follow", "--run-dir", "/nonexistent", "--tail", "1"),
		    "last");
}

/* A writer is ahead of its reader by so many lines, which are fewer than the files hold. */
#define AHEAD 400
#define STEP  100

static void write_ahead(int lines, int credit_fd)
{
	struct jlog *log = open_log(20000, 4);
	char c;
	(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
	for (int i = 0; i < lines; i++) {
		char line[32];
		if (i >= AHEAD && i % STEP == 0 && read(credit_fd, &c, 1) != 1)
			_exit(1);
		(void)snprintf(line, sizeof(line), "%d\n", i);
		puts_log(log, JLOG_STDOUT, line);
	}
	jlog_close(log);
	_exit(close(open(in_folder("run/exit.json"), O_CREAT | O_WRONLY, 0600)));
}

/* Reads to the end, and lets the writer go on. */
static void read_ahead(struct reader *r, struct strbuf *b, int credit_fd)
{
	char buf[4096];
	ssize_t n;
	int lines = 0, told = 0;
	while ((n = read(r->sock, buf, sizeof(buf))) > 0) {
		strbuf_add(b, buf, (size_t)n);
		for (ssize_t i = 0; i < n; i++)
			lines += buf[i] == '\n';
		for (; lines - told >= STEP; told += STEP)
			assert_int_equal(write(credit_fd, "", 1), 1);
	}
	assert_int_equal(n, 0);
}

/* Every line once and in order, however fast the files move. */
static void logs__follow_across_rotation(void **state)
{
	(void)state;
	enum { LINES = 20000 };
	int credit[2];
	assert_int_equal(mkdir(in_folder("run"), 0700), 0);
	assert_int_equal(pipe2(credit, O_CLOEXEC), 0);
	char run[300];
	(void)snprintf(run, sizeof(run), "%s", in_folder("run"));
	struct reader r = start_reader(
		(const char *const[]){ "--stdout", "--follow", "--run-dir", run, NULL });
	pid_t writer = fork();
	if (writer == 0)
		write_ahead(LINES, credit[0]);
	struct strbuf b = STRBUF_INIT;
	read_ahead(&r, &b, credit[1]);
	assert_int_equal(end_reader(&r), 0);
	assert_int_equal(waitpid(writer, NULL, 0), writer);
	(void)close(credit[0]);
	(void)close(credit[1]);
	const char *p = b.text;
	for (int i = 0; i < LINES; i++) {
		char want[32];
		size_t n = (size_t)snprintf(want, sizeof(want), "%d\n", i);
		if (strncmp(p, want, n))
			fail_msg("wanted %d, got %.20s", i, p);
		p += n;
	}
	assert_string_equal(p, "");
	strbuf_fini(&b);
}

static void logs__follow_ends_when_the_client_leaves(void **state)
{
	(void)state;
	assert_int_equal(mkdir(in_folder("run"), 0700), 0);
	char run[300];
	(void)snprintf(run, sizeof(run), "%s", in_folder("run"));
	struct jlog *log = open_log(0, 1);
	puts_log(log, JLOG_STDOUT, "x\n");
	struct strbuf b = STRBUF_INIT;
	struct reader r = start_reader(
		(const char *const[]){ "--stdout", "--follow", "--run-dir", run, NULL });
	read_more(&r, &b, "x\n");
	assert_int_equal(end_reader(&r), 0); /* closes, and waits for it */
	jlog_close(log);
	strbuf_fini(&b);
}

static void logs__follow_ends_at_until(void **state)
{
	(void)state;
	assert_int_equal(mkdir(in_folder("run"), 0700), 0);
	char run[300], until[32];
	(void)snprintf(run, sizeof(run), "%s", in_folder("run"));
	(void)snprintf(until, sizeof(until), "%lld", (long long)num_now_ns() + 2000000000);
	struct jlog *log = open_log(0, 1);
	puts_log(log, JLOG_STDOUT, "x\n");
	assert_logs(LOGS("--stdout", "--follow", "--run-dir", run, "--until", until), "x\n");
	jlog_close(log);
}

/* A reader that nobody reads from does not keep all rotated files alive. */
static void logs__slow_follower_loses_files_and_says_so(void **state)
{
	(void)state;
	assert_int_equal(mkdir(in_folder("run"), 0700), 0);
	char run[300];
	(void)snprintf(run, sizeof(run), "%s", in_folder("run"));
	struct jlog *log = open_log(100000, 2);
	cleanup_free char *big = malloc(10001);
	memset(big, 'x', 10000);
	big[9999] = '\n';
	struct reader r = start_reader((const char *const[]){ "--stdout", "--stderr", "--follow",
							      "--run-dir", run, NULL });
	for (int i = 0; i < 400; i++) {
		jlog_write(log, JLOG_STDOUT, big, 10000);
		(void)usleep(1000);
	}
	puts_log(log, JLOG_STDOUT, "the end\n");
	jlog_close(log);
	write_text("run/exit.json", "{}");
	struct strbuf b = STRBUF_INIT;
	read_more(&r, &b, NULL);
	assert_int_equal(end_reader(&r), 0);
	assert_non_null(strstr(b.text, "log files were skipped: this reader is too slow\n"));
	assert_non_null(strstr(b.text, "\nthe end\n"));
	strbuf_fini(&b);
}

static void logargs_parse__names_the_bad_flag(void **state)
{
	(void)state;
	static const struct {
		const char *argv[8];
		const char *text;
	} rows[] = {
		{ { "logs" }, "--fd and --path" },
		{ { "logs", "--fd", "3" }, "--fd and --path" },
		{ { "logs", "--fd", "x", "--path", "/a" }, "--fd" },
		{ { "logs", "--fd", "3", "--path", "a" }, "--path" },
		{ { "logs", "--fd", "3", "--path" }, "needs a value" },
		{ { "logs", "--fd", "3", "--path", "/a", "--tail", "-1" }, "--tail" },
		{ { "logs", "--fd", "3", "--path", "/a", "--nonsense" }, "\"--nonsense\"" },
		{ { "logs", "--fd", "3", "--path", "/a", "--follow" }, "--run-dir" },
	};
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct logargs a;
		struct err err = ERR_INIT;
		int argc = 0;
		while (argc < 8 && rows[i].argv[argc])
			argc++;
		assert_int_equal(logargs_parse(argc, (char **)(uintptr_t)rows[i].argv, &a, &err),
				 -EINVAL);
		assert_non_null(strstr(err.text, rows[i].text));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define T(f) cmocka_unit_test_setup_teardown(f, make_folder, remove_folder)
		T(logs__go_from_oldest_to_newest),
		T(logs__tail_counts_lines_of_both),
		T(logs__since_and_until_bound_the_time),
		T(logs__skips_files_older_than_since),
		T(logs__decorates_as_docker),
		T(logs__skips_what_is_damaged),
		T(logs__of_nothing_are_empty),
		T(logs__follow_to_the_exit_record),
		T(logs__follow_across_rotation),
		T(logs__follow_ends_when_the_client_leaves),
		T(logs__follow_ends_at_until),
		T(logs__slow_follower_loses_files_and_says_so),
		T(logargs_parse__names_the_bad_flag),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

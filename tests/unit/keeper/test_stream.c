/* SPDX-License-Identifier: Apache-2.0 */
/* stream, with payio, output, sink and outq: a payload made of pipes (the test's
 * ends) and clients made of socket pairs, driven by the real loop. */
#include "fixture.h"

#include "keeper/payio.h"
#include "keeper/stream.h"

#include <poll.h>
#include <pty.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

static struct loop loop;
static struct payio io;
static int payload[3]; /* the payload's descriptors */
static char ends[300]; /* "id why, " for each stream that ended */

static void on_stream_end(struct payio *p, const char *id, const char *why)
{
	(void)p;
	strcat(strcat(strcat(strcat(ends, id), " "), why), ",");
}

static void on_pause(struct timer *t)
{
	(void)t;
	loop_stop(&loop);
}

/* Lets the loop run for a moment. */
static void turn(int ms)
{
	struct timer t = { .on_time = on_pause };
	loop_timer(&loop, &t, ms);
	loop.stopped = false;
	assert_int_equal(loop_run(&loop), 0);
}

static int begin(bool tty)
{
	struct payio_fds ours = { { -1, -1, -1 } };
	(void)signal(SIGPIPE, SIG_IGN);
	ends[0] = '\0';
	if (loop_init(&loop, NULL) < 0)
		return -1;
	for (int i = 0; i < 3; i++)
		payload[i] = -1;
	if (tty) {
		struct termios raw;
		if (openpty(&ours.fd[0], &payload[0], NULL, NULL, NULL) < 0)
			return -1;
		tcgetattr(payload[0], &raw);
		cfmakeraw(&raw);
		tcsetattr(payload[0], TCSANOW, &raw);
	}
	for (int i = 0; i < 3 && !tty; i++) {
		int p[2];
		if (pipe2(p, O_CLOEXEC) < 0)
			return -1;
		ours.fd[i] = i == 0 ? p[1] : p[0];
		payload[i] = i == 0 ? p[0] : p[1];
	}
	int rc = payio_init(&io, &loop, &ours, tty);
	io.on_stream_end = on_stream_end;
	return rc;
}

static int begin_pipes(void **state)
{
	(void)state;
	return begin(false);
}

static int begin_tty(void **state)
{
	(void)state;
	return begin(true);
}

static int end(void **state)
{
	(void)state;
	payio_fini(&io);
	for (int i = 0; i < 3; i++)
		fd_close(&payload[i]);
	loop_fini(&loop);
	return 0;
}

/* Attaches; returns the client's end. @how: letters of i o e m (mux). */
static int attach(const char *id, const char *how, const char *head)
{
	int pair[2];
	struct err err = ERR_INIT;
	struct stream_args args = { .id = id,
				    .want_stdin = strchr(how, 'i'),
				    .want_stdout = strchr(how, 'o'),
				    .want_stderr = strchr(how, 'e'),
				    .mux = strchr(how, 'm'),
				    .head = (const unsigned char *)head,
				    .head_size = head ? strlen(head) : 0 };
	assert_int_equal(detachkeys_parse(DETACHKEYS_DEFAULT, &args.detach, &err), 0);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
	if (stream_new(&io, &args, pair[0], &err) < 0)
		fail_msg("%s", err.text);
	return pair[1];
}

static void put(int fd, const char *text)
{
	assert_int_equal(write(fd, text, strlen(text)), strlen(text));
}

/* What can be read now; "<end>" behind it at the end of the stream. */
static const char *got(int fd)
{
	static char text[4][4096];
	static unsigned int next;
	char *t = text[next++ % 4];
	size_t n = 0;
	struct pollfd p = { .fd = fd, .events = POLLIN };
	while (poll(&p, 1, 0) > 0 && n < 4000) {
		ssize_t k = read(fd, t + n, 4000 - n);
		if (k <= 0) {
			strcpy(t + n, k == 0 ? "<end>" : "<error>");
			return t;
		}
		n += (size_t)k;
	}
	t[n] = '\0';
	return t;
}

static void stream__gets_what_it_asked_for(void **state)
{
	(void)state;
	int both = attach("both", "oe", NULL), out = attach("out", "o", NULL);
	int err = attach("err", "e", NULL), mux = attach("mux", "oem", NULL);
	put(payload[1], "out\n");
	turn(5);
	put(payload[2], "err\n");
	turn(5);
	assert_string_equal(got(both), "out\nerr\n");
	assert_string_equal(got(out), "out\n");
	assert_string_equal(got(err), "err\n");
	char frames[32] = "";
	assert_int_equal(read(mux, frames, sizeof(frames)), 24);
	assert_memory_equal(frames, "\1\0\0\0\0\0\0\4out\n\2\0\0\0\0\0\0\4err\n", 24);
	(void)close(both), (void)close(out), (void)close(err), (void)close(mux);
	turn(5);
	assert_int_equal(io.n_streams, 0);
	assert_string_equal(ends, "both closed,out closed,err closed,mux closed,");
}

static void stream__ends_with_the_output(void **state)
{
	(void)state;
	int a = attach("a", "oe", NULL), b = attach("b", "ioe", NULL);
	put(payload[1], "last words");
	payio_end(&io); /* what is in the pipe counts, though its end is open */
	streams_finish(&io);
	assert_string_equal(got(a), "last words<end>");
	assert_string_equal(got(b), "last words<end>");
	assert_string_equal(ends, "a eof,b eof,");
	(void)close(a), (void)close(b);
}

static void stream__input_reaches_the_payload(void **state)
{
	(void)state;
	int a = attach("a", "io", "first "), b = attach("b", "i", NULL), c = attach("c", "o", NULL);
	put(a, "second ");
	turn(5);
	put(b, "third");
	put(c, "never");
	turn(5);
	assert_string_equal(got(payload[0]), "first second third");
	(void)close(a), (void)close(b), (void)close(c);
}

static void stream__half_close_ends_stdin_once(void **state)
{
	(void)state;
	io.stdin_once = true;
	int a = attach("a", "io", NULL), b = attach("b", "io", NULL);
	put(a, "bye");
	assert_int_equal(shutdown(a, SHUT_WR), 0);
	turn(5);
	assert_string_equal(got(payload[0]), "bye<end>");
	put(payload[1], "still here");
	turn(5);
	assert_string_equal(got(a), "still here");
	put(b, "too late"); /* thrown away, not an error */
	turn(5);
	assert_string_equal(got(b), "still here");
	assert_string_equal(ends, "");
	(void)close(a), (void)close(b);
}

static void stream__half_close_ends_the_stream_otherwise(void **state)
{
	(void)state;
	int a = attach("a", "io", NULL), quiet = attach("quiet", "o", NULL);
	put(a, "command");
	assert_int_equal(shutdown(a, SHUT_WR), 0);
	assert_int_equal(shutdown(quiet, SHUT_WR), 0); /* as docker attach --no-stdin */
	turn(5);
	assert_string_equal(got(payload[0]), "command"); /* not closed */
	assert_string_equal(got(a), "<end>");
	assert_string_equal(ends, "a closed,");
	put(payload[1], "on");
	turn(5);
	assert_string_equal(got(quiet), "on");
	(void)close(a), (void)close(quiet);
}

/* Vanished with input on the way: all of it arrives, even if the payload does not
 * read at first. */
static void stream__vanished_client_leaves_its_input(void **state)
{
	(void)state;
	io.stdin_once = true;
	enum { BYTES = 300000 };
	int a = attach("a", "io", NULL);
	char block[1000];
	memset(block, 'x', sizeof(block));
	assert_int_equal(fcntl(a, F_SETFL, O_NONBLOCK), 0);
	size_t sent = 0;
	while (sent < BYTES) {
		ssize_t n = write(a, block, sizeof(block));
		if (n <= 0)
			break;
		sent += (size_t)n;
		turn(0);
	}
	(void)close(a);
	turn(20);
	assert_string_equal(ends, ""); /* its input is not at the end yet */
	size_t seen = 0;
	ssize_t n;
	(void)fcntl(payload[0], F_SETFL, O_NONBLOCK);
	do {
		char buf[5000];
		n = read(payload[0], buf, sizeof(buf));
		if (n > 0)
			seen += (size_t)n;
		if (n < 0)
			turn(1);
	} while (n != 0);
	assert_int_equal(seen, sent);
	assert_string_equal(ends, "a closed,");
}

static size_t drain(int fd)
{
	char buf[65536];
	size_t total = 0;
	ssize_t n;
	while ((n = recv(fd, buf, sizeof(buf), MSG_DONTWAIT)) > 0)
		total += (size_t)n;
	return total;
}

/* Fills stdout until nothing moves any more; the bytes it took. */
static size_t fill_stdout(void)
{
	char block[4096];
	size_t total = 0;
	memset(block, 'o', sizeof(block));
	(void)fcntl(payload[1], F_SETFL, O_NONBLOCK);
	for (int idle = 0; idle < 3;) {
		ssize_t n = write(payload[1], block, sizeof(block));
		if (n > 0) {
			total += (size_t)n;
			idle = 0;
		} else {
			idle++;
		}
		turn(1);
	}
	return total;
}

static void stream__slow_client_slows_the_payload(void **state)
{
	(void)state;
	int slow = attach("slow", "om", NULL), fast = attach("fast", "o", NULL);
	size_t sent = 0, seen = 0;
	char block[4096] = { 0 };
	(void)fcntl(payload[1], F_SETFL, O_NONBLOCK);
	for (int idle = 0; idle < 3;) {
		ssize_t n = write(payload[1], block, sizeof(block));
		idle = n > 0 ? 0 : idle + 1;
		sent += n > 0 ? (size_t)n : 0;
		turn(1);
		seen += drain(fast);
	}
	/* A socket buffer, a queue, a pipe: bounded. */
	assert_in_range(sent, STREAM_QUEUE_BYTES, 1 << 20);
	assert_true(seen < sent);
	/* stderr is not held up. */
	int err = attach("err", "e", NULL);
	put(payload[2], "err");
	turn(5);
	assert_string_equal(got(err), "err");
	/* It reads on, and all moves on. */
	size_t slow_seen = 0;
	for (int i = 0; i < 200 && (seen < sent || slow_seen < sent); i++) {
		slow_seen += drain(slow);
		turn(1);
		seen += drain(fast);
	}
	assert_int_equal(seen, sent);
	assert_true(slow_seen > sent);
	(void)close(slow), (void)close(fast), (void)close(err);
}

static void stream__vanished_slow_client_frees_the_payload(void **state)
{
	(void)state;
	int slow = attach("slow", "o", NULL);
	(void)fill_stdout();
	(void)close(slow);
	turn(20);
	assert_string_equal(ends, "slow closed,");
	int next = attach("next", "o", NULL);
	turn(20);
	(void)drain(next);
	put(payload[1], "free");
	turn(5);
	const char *text = got(next);
	assert_non_null(strstr(text, "free"));
	(void)close(next);
}

static void stream__slow_client_gets_all_after_the_end(void **state)
{
	(void)state;
	int slow = attach("slow", "o", NULL);
	size_t sent = fill_stdout();
	payio_end(&io);
	streams_finish(&io);
	assert_string_equal(ends, "");
	size_t seen = 0, waiting = streams_waiting(&io);
	assert_in_range(waiting, 1, sent);
	seen += drain(slow);
	turn(1);
	assert_true(streams_waiting(&io) < waiting); /* that is progress */
	for (int i = 0; i < 200 && !ends[0]; i++) {
		seen += drain(slow);
		turn(1);
	}
	seen += drain(slow);
	assert_int_equal(seen, sent);
	assert_string_equal(ends, "slow eof,");
	assert_int_equal(streams_waiting(&io), 0);
	(void)close(slow);
}

static void stream__input_waits_for_the_payload(void **state)
{
	(void)state;
	int a = attach("a", "i", NULL);
	char block[4096];
	size_t sent = 0;
	memset(block, 'i', sizeof(block));
	for (int idle = 0; idle < 3;) {
		ssize_t n = send(a, block, sizeof(block), MSG_DONTWAIT);
		idle = n > 0 ? 0 : idle + 1;
		sent += n > 0 ? (size_t)n : 0;
		turn(1);
	}
	assert_true(sent < 2 << 20);
	size_t seen = 0;
	(void)fcntl(payload[0], F_SETFL, O_NONBLOCK);
	for (int i = 0; i < 1000 && seen < sent; i++) {
		char buf[65536];
		ssize_t n = read(payload[0], buf, sizeof(buf));
		seen += n > 0 ? (size_t)n : 0;
		turn(0);
	}
	assert_int_equal(seen, sent);
	(void)close(a);
}

static void stream__payload_that_closed_stdin_is_fine(void **state)
{
	(void)state;
	int a = attach("a", "io", NULL);
	fd_close(&payload[0]);
	put(a, "nobody listens");
	turn(5);
	put(a, "still nobody");
	turn(5);
	put(payload[1], "but I talk");
	turn(5);
	assert_string_equal(got(a), "but I talk");
	(void)close(a);
}

static void stream_new__refuses_a_used_id_and_too_many(void **state)
{
	(void)state;
	struct err err = ERR_INIT;
	struct stream_args args = { .id = "a" };
	int a = attach("a", "o", NULL);
	assert_int_equal(stream_new(&io, &args, a, &err), -EEXIST);
	(void)close(a);
	turn(5);
	static int fds[STREAMS_MAX];
	for (int i = 0; i < STREAMS_MAX; i++) {
		char id[16];
		(void)snprintf(id, sizeof(id), "s%d", i);
		fds[i] = attach(id, "o", NULL);
	}
	assert_int_equal(stream_new(&io, &args, 0, &err), -EBUSY);
	put(payload[1], "to all");
	turn(20);
	for (int i = 0; i < STREAMS_MAX; i++) {
		assert_string_equal(got(fds[i]), "to all");
		(void)close(fds[i]);
	}
	io.on_stream_end = NULL;
}

static void stream_detach__closes(void **state)
{
	(void)state;
	int a = attach("a", "io", NULL);
	assert_non_null(stream_find(&io, "a"));
	assert_null(stream_find(&io, "b"));
	stream_detach(stream_find(&io, "a"));
	assert_string_equal(got(a), "<end>");
	assert_string_equal(ends, "a detached,");
	(void)close(a);
}

static void tty__is_raw_and_one_stream(void **state)
{
	(void)state;
	int a = attach("a", "ioem", NULL);
	put(payload[0], "prompt> ");
	put(a, "typed");
	turn(20);
	assert_string_equal(got(a), "prompt> "); /* no frames */
	assert_string_equal(got(payload[0]), "typed");
	assert_int_equal(payio_resize(&io, 30, 100), 0);
	struct winsize size;
	assert_int_equal(ioctl(payload[0], TIOCGWINSZ, &size), 0);
	assert_int_equal(size.ws_row, 30);
	assert_int_equal(size.ws_col, 100);
	(void)close(a);
}

static void tty__detach_keys_leave(void **state)
{
	(void)state;
	int a = attach("a", "io", NULL), b = attach("b", "io", NULL);
	put(a, "x\x10");
	turn(5);
	put(a, "y\x10\x10");
	turn(5);
	put(b, "\x11"); /* another client's keys do not count */
	turn(5);
	assert_string_equal(got(payload[0]), "x\x10y\x10\x11");
	put(a, "\x11z");
	turn(5);
	assert_string_equal(got(a), "<end>");
	assert_string_equal(ends, "a detached,");
	assert_string_equal(got(payload[0]), "");
	int c = attach("c", "io", "now \x10\x11"); /* in the head, too */
	turn(5);
	assert_string_equal(got(c), "<end>");
	assert_string_equal(got(payload[0]), "now ");
	(void)close(a), (void)close(b), (void)close(c);
}

static void tty__end_of_input_is_no_hang_up(void **state)
{
	(void)state;
	io.stdin_once = true;
	int a = attach("a", "io", NULL), b = attach("b", "io", NULL);
	assert_int_equal(shutdown(a, SHUT_WR), 0);
	turn(5);
	assert_string_equal(ends, "a closed,");
	put(b, "fine");
	turn(5);
	assert_string_equal(got(payload[0]), "fine");
	(void)close(a), (void)close(b);
}

/* Nobody has it open for a while (a daemon that closed its terminal). */
static void tty__survives_without_a_slave(void **state)
{
	(void)state;
	int a = attach("a", "io", NULL), unlock = 0;
	char *name = ptsname(io.out[0].src.fd);
	assert_non_null(name);
	assert_int_equal(ioctl(io.out[0].src.fd, TIOCSPTLCK, &unlock), 0);
	fd_close(&payload[0]);
	turn(100);
	payload[0] = open(name, O_RDWR | O_NOCTTY | O_CLOEXEC);
	assert_true(payload[0] >= 0);
	put(payload[0], "back");
	turn(300);
	assert_string_equal(got(a), "back");
	(void)close(a);
}

static void tty__end_drains(void **state)
{
	(void)state;
	int a = attach("a", "o", NULL);
	put(payload[0], "last");
	payio_end(&io);
	streams_finish(&io);
	assert_string_equal(got(a), "last<end>");
	(void)close(a);
}

/* As a guest can, whose terminal is a socket and whose other end nobody closes. */
static void tty__end_does_not_wait_for_one_who_never_stops(void **state)
{
	(void)state;
	put(payload[0], "first");
	pid_t pid = fork();
	if (pid == 0)
		(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
	while (pid == 0) {
		if (write(payload[0], "x", 1) < 0)
			_exit(0);
		(void)usleep(5000);
	}
	assert_true(pid > 0);
	(void)alarm(60);
	payio_end(&io);
	(void)alarm(0);
	(void)kill(pid, SIGKILL);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
	assert_int_equal(io.out[0].src.fd, -1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define P(f) cmocka_unit_test_setup_teardown(f, begin_pipes, end)
#define Y(f) cmocka_unit_test_setup_teardown(f, begin_tty, end)
		P(stream__gets_what_it_asked_for),
		P(stream__ends_with_the_output),
		P(stream__input_reaches_the_payload),
		P(stream__half_close_ends_stdin_once),
		P(stream__half_close_ends_the_stream_otherwise),
		P(stream__vanished_client_leaves_its_input),
		P(stream__slow_client_slows_the_payload),
		P(stream__vanished_slow_client_frees_the_payload),
		P(stream__slow_client_gets_all_after_the_end),
		P(stream__input_waits_for_the_payload),
		P(stream__payload_that_closed_stdin_is_fine),
		P(stream_new__refuses_a_used_id_and_too_many),
		P(stream_detach__closes),
		Y(tty__is_raw_and_one_stream),
		Y(tty__detach_keys_leave),
		Y(tty__end_of_input_is_no_hang_up),
		Y(tty__survives_without_a_slave),
		Y(tty__end_drains),
		Y(tty__end_does_not_wait_for_one_who_never_stops),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: Apache-2.0 */
/* The host's side of isola/guest.h against guests that keep to it, and that do not. */
#include "isola/fd.h"

#include "keeper/guest_link.h"

#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include <cmocka.h>

struct fixture {
	struct guest_link l;
	struct loop loop;
	struct timer stop;
	int guest; /* its end of the control connection */
	char heard[2048], text[ERR_TEXT_BYTES];
	int replies, code;
	int streams[3];
};

static void note(struct fixture *f, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static void note(struct fixture *f, const char *fmt, ...)
{
	size_t n = strlen(f->heard);
	va_list ap;
	va_start(ap, fmt);
	(void)vsnprintf(f->heard + n, sizeof(f->heard) - n, fmt, ap);
	va_end(ap);
}

static struct fixture *of(struct guest_link *l)
{
	return container_of(l, struct fixture, l);
}

static void on_ready(struct guest_link *l, const char *release, uint64_t boot_us)
{
	note(of(l), "ready %s %d;", release, (int)boot_us);
}

static void on_stream(struct guest_link *l, uint64_t process, enum guest_stream stream, int fd)
{
	note(of(l), "stream %d.%d;", (int)process, (int)stream);
	of(l)->streams[stream] = fd;
}

static void on_exited(struct guest_link *l, uint64_t process, int status, uint64_t oom_kills)
{
	note(of(l), "exited %d %d %d;", (int)process, status, (int)oom_kills);
}

static void on_notice(struct guest_link *l, const char *text)
{
	note(of(l), "notice %s;", text);
}

static void on_oom(struct guest_link *l, uint64_t kills)
{
	note(of(l), "oom %d;", (int)kills);
}

static void on_broken(struct guest_link *l, const struct err *err)
{
	note(of(l), "broken %d;", err->code);
	(void)snprintf(of(l)->text, sizeof(of(l)->text), "%s", err->text);
}

static const struct guest_link_ops ops = { on_ready,  on_stream, on_exited,
					   on_notice, on_oom,    on_broken };

static void on_reply(void *arg, const uint8_t *body, size_t size, const struct err *err)
{
	struct fixture *f = arg;
	(void)body;
	f->replies++;
	f->code = err ? err->code : 0;
	note(f, "reply %d %d;", f->code, (int)size);
	if (err)
		(void)snprintf(f->text, sizeof(f->text), "%s", err->text);
}

static void on_stop(struct timer *timer)
{
	loop_stop(&container_of(timer, struct fixture, stop)->loop);
}

/* Handles all that is there, in turns that do not wait: no matter how slow the machine. */
static void run_all(struct fixture *f)
{
	for (int turn = 0; turn < 64; turn++) {
		f->loop.stopped = false;
		loop_timer(&f->loop, &f->stop, 0);
		assert_int_equal(loop_run(&f->loop), 0);
	}
}

static void say_hello(int fd, unsigned int version, uint8_t kind, uint8_t stream, uint64_t process)
{
	uint8_t hello[GUEST_HELLO_BYTES] = GUEST_MAGIC;
	tlv_store(hello + 4, 2, version);
	hello[6] = kind;
	hello[7] = stream;
	tlv_store(hello + 8, 8, process);
	assert_int_equal(fd_write_all(fd, hello, sizeof(hello)), 0);
}

static int connect_as(struct fixture *f, uint8_t kind, uint8_t stream, uint64_t process)
{
	struct err err = ERR_INIT;
	int fd = guest_link_connect(&f->l, &err);
	assert_true(fd >= 0);
	say_hello(fd, GUEST_VERSION, kind, stream, process);
	return fd;
}

static void say_frame(struct fixture *f, unsigned int type, uint64_t seq, struct tlv_writer *w)
{
	uint8_t head[GUEST_FRAME_BYTES] = { 0 };
	tlv_store(head, 4, w ? w->size : 0);
	tlv_store(head + 4, 2, type);
	tlv_store(head + 8, 8, seq);
	assert_int_equal(fd_write_all(f->guest, head, sizeof(head)), 0);
	if (w)
		assert_int_equal(fd_write_all(f->guest, w->data, w->size), 0);
	if (w)
		tlv_writer_fini(w);
}

static void say_ready(struct fixture *f)
{
	struct tlv_writer w = { 0 };
	tlv_put_text(&w, GF_RELEASE, "6.1\033");
	tlv_put_u64(&w, GF_BOOT_US, 77);
	say_frame(f, GUEST_READY, 0, &w);
}

static void say_exited(struct fixture *f, uint64_t process, uint64_t status)
{
	struct tlv_writer w = { 0 };
	tlv_put_u64(&w, GF_PROCESS, process);
	tlv_put_u64(&w, GF_STATUS, status);
	say_frame(f, GUEST_EXITED, 0, &w);
}

static void ask_run(struct fixture *f, uint64_t process, unsigned int streams, int64_t within_ms)
{
	struct err err = ERR_INIT;
	cleanup_tlv struct tlv_writer w = { 0 };
	tlv_put_u64(&w, GF_PROCESS, process);
	tlv_put_u64(&w, GF_STREAMS, streams);
	assert_int_equal(guest_link_call(&f->l, GUEST_EXEC, &w, within_ms, on_reply, f, &err), 0);
}

/* What the guest hears next: its type; the body is skipped. */
static unsigned int hear(struct fixture *f, uint64_t *ret_seq)
{
	uint8_t head[GUEST_FRAME_BYTES], body[512];
	assert_int_equal(recv(f->guest, head, sizeof(head), MSG_DONTWAIT), sizeof(head));
	size_t size = (size_t)tlv_load(head, 4);
	assert_true(size <= sizeof(body));
	if (size)
		assert_int_equal(recv(f->guest, body, size, MSG_DONTWAIT), size);
	if (ret_seq)
		*ret_seq = tlv_load(head + 8, 8);
	return (unsigned int)tlv_load(head + 4, 2);
}

static int setup(void **state)
{
	static struct fixture f;
	struct err err = ERR_INIT;
	f = (struct fixture){ .stop = { .on_time = on_stop },
			      .guest = -1,
			      .streams = { -1, -1, -1 } };
	assert_int_equal(loop_init(&f.loop, &err), 0);
	guest_link_init(&f.l, &f.loop, &ops);
	*state = &f;
	return 0;
}

static int setup_ready(void **state)
{
	(void)setup(state);
	struct fixture *f = *state;
	f->guest = connect_as(f, GUEST_CONTROL, 0, 0);
	say_ready(f);
	run_all(f);
	assert_string_equal(f->heard, "ready 6.1? 77;");
	f->heard[0] = '\0';
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;
	guest_link_fini(&f->l);
	loop_timer_stop(&f->stop);
	loop_fini(&f->loop);
	fd_close(&f->guest);
	for (int i = 0; i < 3; i++)
		fd_close(&f->streams[i]);
	return 0;
}

static void guest_link__tells_a_life(void **state)
{
	struct fixture *f = *state;
	uint64_t seq = 0;
	char text[8] = "";
	ask_run(f, 5, 1 << GUEST_STDIN | 1 << GUEST_STDOUT, 10000);
	assert_int_equal(hear(f, &seq), GUEST_EXEC);
	cleanup_fd int in = connect_as(f, GUEST_STREAM, GUEST_STDIN, 5);
	cleanup_fd int out = connect_as(f, GUEST_STREAM, GUEST_STDOUT, 5);
	assert_int_equal(write(out, "hello", 5), 5);
	say_frame(f, GUEST_ANSWER, seq, NULL);
	say_exited(f, 5, 3 << 8);
	run_all(f);
	assert_string_equal(f->heard, "stream 5.0;stream 5.1;reply 0 0;exited 5 768 0;");
	assert_int_equal(read(f->streams[GUEST_STDOUT], text, sizeof(text)), 5);
	assert_string_equal(text, "hello");
}

static void guest_link__passes_errors_on(void **state)
{
	struct fixture *f = *state;
	struct tlv_writer w = { 0 };
	uint64_t seq = 0;
	ask_run(f, 5, 0, 10000);
	(void)hear(f, &seq);
	tlv_put_u64(&w, GF_ERROR, ENOENT);
	tlv_put_text(&w, GF_TEXT, "no \"such\" \n program \xff");
	say_frame(f, GUEST_ANSWER, seq, &w);
	run_all(f);
	assert_string_equal(f->text, "no \"such\" ? program ?");
	assert_int_equal(f->code, ENOENT);
	ask_run(f, 5, 0, 10000); /* its number is free again */
	assert_int_equal(f->replies, 1);
}

static void guest_link__gives_up_and_kills_what_comes_late(void **state)
{
	struct fixture *f = *state;
	uint64_t seq = 0;
	ask_run(f, 5, 1 << GUEST_STDOUT, 1);
	(void)hear(f, &seq);
	(void)usleep(5000);
	run_all(f);
	assert_int_equal(f->code, ETIMEDOUT);
	cleanup_fd int out = connect_as(f, GUEST_STREAM, GUEST_STDOUT, 5);
	say_frame(f, GUEST_ANSWER, seq, NULL);
	run_all(f);
	assert_int_equal(hear(f, NULL), GUEST_SIGNAL);
	say_exited(f, 5, SIGKILL);
	run_all(f);
	assert_string_equal(f->heard, "reply 110 0;");
}

/* Its asker is freed; then the answer comes, or the link ends. */
static void guest_link__forgets_who_is_gone(void **state)
{
	struct fixture *f = *state;
	uint64_t seq = 0;
	ask_run(f, 7, 0, 10000);
	(void)hear(f, &seq);
	guest_link_forget(&f->l, f);
	say_frame(f, GUEST_ANSWER, seq, NULL);
	run_all(f);
	assert_int_equal(hear(f, NULL), GUEST_SIGNAL);
	ask_run(f, 8, 0, 10000);
	guest_link_forget(&f->l, f);
	guest_link_fini(&f->l);
	assert_int_equal(f->replies, 0);
}

static void guest_link__bounds_requests(void **state)
{
	struct fixture *f = *state;
	struct err err = ERR_INIT;
	int rc = 0, n = 0;
	for (; rc == 0 && n < 1000; n++)
		rc = guest_link_call(&f->l, GUEST_PS, NULL, 10000, on_reply, f, &err);
	assert_int_equal(rc, -EBUSY);
	assert_int_equal(n, GUEST_CALLS_MAX + 1);
	fd_close(&f->guest);
	run_all(f);
	assert_int_equal(f->replies, GUEST_CALLS_MAX);
	assert_int_equal(f->l.n_calls, 0);
	assert_non_null(strstr(f->heard, "broken 32;"));
}

static void guest_link__bounds_silent_connections(void **state)
{
	struct fixture *f = *state;
	struct err err = ERR_INIT;
	int fds[GUEST_GREETS_MAX];
	for (int i = 0; i < GUEST_GREETS_MAX; i++)
		assert_true((fds[i] = guest_link_connect(&f->l, &err)) >= 0);
	assert_int_equal(guest_link_connect(&f->l, &err), -EBUSY);
	for (int i = 0; i < GUEST_GREETS_MAX; i++)
		fd_close(&fds[i]);
	run_all(f);
	assert_int_equal(f->l.n_greets, 0);
}

static void guest_link__hears_few_notices(void **state)
{
	struct fixture *f = *state;
	for (int i = 0; i < 100; i++) {
		struct tlv_writer w = { 0 };
		tlv_put_text(&w, GF_TEXT, "x");
		say_frame(f, GUEST_NOTICE, 0, &w);
	}
	run_all(f);
	assert_int_equal(strlen(f->heard), 20 * strlen("notice x;"));
}

static void guest_link__hears_of_kills(void **state)
{
	struct fixture *f = *state;
	for (uint64_t i = 1; i <= 2; i++) {
		struct tlv_writer w = { 0 };
		tlv_put_u64(&w, GF_OOM, i);
		say_frame(f, GUEST_OOM, 0, &w);
	}
	run_all(f);
	assert_string_equal(f->heard, "oom 1;oom 2;");
}

static void guest_link__refuses_another_version(void **state)
{
	struct fixture *f = *state;
	struct err err = ERR_INIT;
	f->guest = guest_link_connect(&f->l, &err);
	say_hello(f->guest, 99, GUEST_CONTROL, 0, 0);
	run_all(f);
	assert_string_equal(f->heard, "broken 71;");
	assert_non_null(strstr(f->text, "version 99"));
	assert_int_equal(guest_link_connect(&f->l, &err), -ESRCH);
}

/* ---- guests that do not keep to it: each ends the link, once ---- */

static void bad_second_control(struct fixture *f)
{
	int fd = connect_as(f, GUEST_CONTROL, 0, 0);
	run_all(f);
	fd_close(&fd);
}

static void bad_stream(struct fixture *f)
{
	int fd = connect_as(f, GUEST_STREAM, GUEST_STDOUT, 9);
	run_all(f);
	fd_close(&fd);
}

static void bad_stream_number(struct fixture *f)
{
	ask_run(f, 5, 7, 10000);
	int fd = connect_as(f, GUEST_STREAM, 200, 5);
	run_all(f);
	fd_close(&fd);
}

static void bad_ready(struct fixture *f)
{
	say_ready(f);
}

static void bad_answer(struct fixture *f)
{
	say_frame(f, GUEST_ANSWER, 77, NULL);
}

static void bad_answer_without_streams(struct fixture *f)
{
	uint64_t seq;
	ask_run(f, 5, 1, 10000);
	(void)hear(f, &seq);
	say_frame(f, GUEST_ANSWER, seq, NULL);
}

static void bad_error(struct fixture *f)
{
	struct tlv_writer w = { 0 };
	uint64_t seq;
	ask_run(f, 5, 1, 10000);
	(void)hear(f, &seq);
	tlv_put_u64(&w, GF_ERROR, 5000);
	say_frame(f, GUEST_ANSWER, seq, &w);
}

static void bad_exited(struct fixture *f)
{
	say_exited(f, 1, 0);
}

static void bad_exited_before_answer(struct fixture *f)
{
	ask_run(f, 5, 0, 10000);
	say_exited(f, 5, 0);
}

static void bad_status(struct fixture *f)
{
	uint64_t seq;
	ask_run(f, 5, 0, 10000);
	(void)hear(f, &seq);
	say_frame(f, GUEST_ANSWER, seq, NULL);
	say_exited(f, 5, 0x7f);
}

static void bad_type(struct fixture *f)
{
	say_frame(f, 999, 0, NULL);
}

static void bad_request(struct fixture *f)
{
	say_frame(f, GUEST_EXEC, 1, NULL);
}

static void bad_notice(struct fixture *f)
{
	say_frame(f, GUEST_NOTICE, 0, NULL);
}

static void bad_oom(struct fixture *f)
{
	say_frame(f, GUEST_OOM, 0, NULL);
}

static void bad_size(struct fixture *f)
{
	uint8_t head[GUEST_FRAME_BYTES] = { 0 };
	tlv_store(head, 4, GUEST_BODY_MAX + 1);
	tlv_store(head + 4, 2, GUEST_NOTICE);
	assert_int_equal(fd_write_all(f->guest, head, sizeof(head)), 0);
}

static void bad_fields(struct fixture *f)
{
	uint8_t frame[GUEST_FRAME_BYTES + 3] = { 3 };
	tlv_store(frame + 4, 2, GUEST_NOTICE);
	assert_int_equal(fd_write_all(f->guest, frame, sizeof(frame)), 0);
}

static void bad_garbage(struct fixture *f)
{
	static char garbage[64 * 1024];
	memset(garbage, 0xa5, sizeof(garbage));
	(void)write(f->guest, garbage, sizeof(garbage));
}

static void guest_link__ends_for_each_breach(void **state)
{
	static void (*const rows[])(struct fixture *) = {
		bad_second_control, bad_stream, bad_stream_number,
		bad_ready,          bad_answer, bad_answer_without_streams,
		bad_error,          bad_exited, bad_exited_before_answer,
		bad_status,         bad_type,   bad_request,
		bad_notice,         bad_size,   bad_fields,
		bad_garbage,        bad_oom,
	};
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		(void)setup_ready(state);
		struct fixture *f = *state;
		rows[i](f);
		run_all(f);
		const char *broken = strstr(f->heard, "broken 71;");
		if (!broken || strstr(broken + 1, "broken"))
			fail_msg("breach %zu: heard \"%s\"", i, f->heard);
		assert_true(f->text[0]);
		(void)teardown(state);
	}
	(void)setup(state);
}

static void guest_link__ends_when_the_guest_speaks_early(void **state)
{
	struct fixture *f = *state;
	f->guest = connect_as(f, GUEST_CONTROL, 0, 0);
	say_exited(f, 1, 0);
	run_all(f);
	assert_string_equal(f->heard, "broken 71;");
}

int main(void)
{
#define TEST(name, begin) cmocka_unit_test_setup_teardown(name, begin, teardown)
	const struct CMUnitTest tests[] = {
		TEST(guest_link__tells_a_life, setup_ready),
		TEST(guest_link__passes_errors_on, setup_ready),
		TEST(guest_link__gives_up_and_kills_what_comes_late, setup_ready),
		TEST(guest_link__forgets_who_is_gone, setup_ready),
		TEST(guest_link__bounds_requests, setup_ready),
		TEST(guest_link__bounds_silent_connections, setup_ready),
		TEST(guest_link__hears_few_notices, setup_ready),
		TEST(guest_link__hears_of_kills, setup_ready),
		TEST(guest_link__refuses_another_version, setup),
		TEST(guest_link__ends_for_each_breach, setup),
		TEST(guest_link__ends_when_the_guest_speaks_early, setup),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

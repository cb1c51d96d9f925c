/* SPDX-License-Identifier: Apache-2.0 */
/* link - requests, answers and events between isolad and a keeper that may be
 * anything. The case plays the keeper on the other end. */
#include "desk.h"

#include "isola/fd.h"
#include "isola/json.h"
#include "isola/wire.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

struct bench {
	struct isolad *d;
	struct link *link;
	int peer;
	char events[256];
	bool closed;
	unsigned int n_replies;
	int code;
	char text[ERR_TEXT_BYTES];
	int64_t pid;
};

static void on_event(void *arg, const char *event, json_object *msg)
{
	struct bench *b = arg;
	(void)msg;
	(void)strncat(b->events, event, sizeof(b->events) - strlen(b->events) - 2);
	(void)strcat(b->events, " ");
}

static void on_closed(void *arg)
{
	((struct bench *)arg)->closed = true;
}

static const struct link_handler handler = { .on_event = on_event, .on_closed = on_closed };

static void on_reply(void *arg, const struct err *err, json_object *reply)
{
	struct bench *b = arg;
	b->n_replies++;
	b->code = err ? err->code : 0;
	(void)strcpy(b->text, err ? err->text : "");
	b->pid = json_i64_or(reply, "pid", -1);
}

static int setup(void **state)
{
	void *d = NULL;
	struct bench *b = calloc(1, sizeof(*b));
	if (!b || desk_setup(&d) < 0)
		return -1;
	b->d = d;
	*state = b;
	return desk_link(d, &handler, b, &b->link, &b->peer);
}

static int teardown(void **state)
{
	struct bench *b = *state;
	void *d = b->d;
	link_free(&b->link);
	fd_close(&b->peer);
	int rc = desk_teardown(&d);
	free(b);
	return rc;
}

/* What isolad sent, owned; @ret_fd may be NULL. */
static json_object *hear(struct bench *b, int *ret_fd)
{
	json_object *msg = NULL;
	int fds[WIRE_FDS_MAX];
	size_t n = 0;
	assert_int_equal(wire_recv(b->peer, &msg, fds, &n, NULL), 1);
	if (ret_fd)
		*ret_fd = n ? fds[0] : -1;
	else
		assert_int_equal(n, 0);
	return msg;
}

static void link_call__matches_answers_by_seq(void **state)
{
	struct bench *b = *state;
	struct bench other = { 0 };
	link_call(b->link, "start", NULL, -1, on_reply, b);
	link_call(b->link, "resize", NULL, -1, on_reply, &other);
	json_object *msg = hear(b, NULL);
	assert_string_equal(json_str_or(msg, "op", ""), "start");
	assert_int_equal(json_i64_or(msg, "seq", 0), 1);
	json_object_put(msg);
	assert_int_equal(b->n_replies, 0);
	desk_say(b->d, b->peer, "{'seq':2,'ok':true}");
	assert_int_equal(other.n_replies, 1);
	desk_say(b->d, b->peer, "{'seq':1,'ok':true,'pid':77}");
	assert_int_equal(b->n_replies, 1);
	assert_int_equal(b->pid, 77);
	/* Nobody asked: neither harm nor a second call. */
	desk_say(b->d, b->peer, "{'seq':1,'ok':true}");
	desk_say(b->d, b->peer, "{'seq':'x'}");
	assert_int_equal(b->n_replies, 1);
	assert_false(b->closed);
}

static void link_call__tells_the_keepers_reason(void **state)
{
	struct bench *b = *state;
	link_call(b->link, "start", NULL, -1, on_reply, b);
	desk_say(b->d, b->peer, "{'seq':1,'code':2,'error':'no such program','pid':5}");
	assert_int_equal(b->code, ENOENT);
	assert_string_equal(b->text, "no such program");
	assert_int_equal(b->pid, 5);
	link_call(b->link, "start", NULL, -1, on_reply, b);
	desk_say(b->d, b->peer, "{'seq':2,'code':-9}");
	assert_int_equal(b->code, EIO);
}

static void link_call__passes_a_descriptor_and_keeps_none(void **state)
{
	struct bench *b = *state;
	int fd = open("/dev/null", O_RDWR | O_CLOEXEC), got = -1;
	link_call(b->link, "attach", NULL, fd, NULL, NULL);
	assert_int_equal(fcntl(fd, F_GETFD), -1);
	json_object_put(hear(b, &got));
	assert_true(got >= 0);
	(void)close(got);
}

static void link_call__waits_for_a_slow_reader_in_order(void **state)
{
	struct bench *b = *state;
	enum { N = 600 };
	int small = 4096;
	(void)setsockopt(b->peer, SOL_SOCKET, SO_RCVBUF, &small, sizeof(small));
	for (int i = 0; i < N; i++) {
		json_object *msg = json_object_new_object();
		json_object *pad = json_object_new_string_len(NULL, 0);
		json_object_put(pad);
		char text[2000];
		memset(text, 'x', sizeof(text));
		json_add(msg, "pad", json_object_new_string_len(text, sizeof(text)));
		link_call(b->link, "attach", msg, -1, NULL, NULL);
	}
	for (int i = 0; i < N; i++) {
		json_object *msg = hear(b, NULL);
		assert_int_equal(json_i64_or(msg, "seq", 0), i + 1);
		json_object_put(msg);
		desk_turn(b->d);
	}
}

static void link_call__is_bounded(void **state)
{
	struct bench *b = *state;
	for (int i = 0; i < 1100; i++)
		link_call(b->link, "attach", NULL, -1, i == 1099 ? on_reply : NULL, b);
	assert_int_equal(b->n_replies, 0);
	desk_turn(b->d);
	assert_int_equal(b->n_replies, 1);
	assert_int_equal(b->code, ENOBUFS);
}

static void link_call__fails_what_is_too_long(void **state)
{
	struct bench *b = *state;
	size_t size = WIRE_BYTES_MAX + 1;
	char *text = malloc(size);
	memset(text, 'x', size);
	json_object *msg = json_object_new_object();
	json_add(msg, "env", json_object_new_string_len(text, (int)size));
	free(text);
	link_call(b->link, "exec", msg, -1, on_reply, b);
	assert_int_equal(b->n_replies, 0);
	desk_turn(b->d);
	assert_int_equal(b->n_replies, 1);
	assert_int_equal(b->code, EMSGSIZE);
	/* The link itself is fine. */
	link_call(b->link, "start", NULL, -1, on_reply, b);
	desk_say(b->d, b->peer, "{'seq':2,'ok':true}");
	assert_int_equal(b->code, 0);
}

static void link_end__fails_what_waits_then_tells_once(void **state)
{
	struct bench *b = *state;
	link_call(b->link, "start", NULL, -1, on_reply, b);
	json_object *o = desk_json("{'event':'exit'}");
	assert_int_equal(wire_send(b->peer, o, NULL, 0, NULL), 0);
	json_object_put(o);
	fd_close(&b->peer);
	desk_turn(b->d);
	assert_string_equal(b->events, "exit ");
	assert_int_equal(b->n_replies, 1);
	assert_int_equal(b->code, ECONNRESET);
	assert_true(b->closed);
	link_call(b->link, "kill", NULL, -1, on_reply, b);
	desk_turn(b->d);
	assert_int_equal(b->n_replies, 2);
	assert_int_equal(b->code, ECONNRESET);
}

static void link_drain__takes_the_last_words(void **state)
{
	struct bench *b = *state;
	static const char *const words[] = { "{'event':'oom'}", "{'event':'exit'}" };
	for (int i = 0; i < 2; i++) {
		json_object *o = desk_json(words[i]);
		assert_int_equal(wire_send(b->peer, o, NULL, 0, NULL), 0);
		json_object_put(o);
	}
	fd_close(&b->peer);
	link_drain(b->link);
	assert_string_equal(b->events, "oom exit ");
	assert_true(b->closed);
}

static void link_receive__closes_on_nonsense(void **state)
{
	struct bench *b = *state;
	link_call(b->link, "start", NULL, -1, on_reply, b);
	assert_int_equal(send(b->peer, "{{", 2, 0), 2);
	desk_turn(b->d);
	assert_true(b->closed);
	assert_int_equal(b->code, ECONNRESET);
}

static void link_free__calls_nobody_but_those_who_wait(void **state)
{
	struct bench *b = *state;
	link_call(b->link, "start", NULL, -1, on_reply, b);
	link_free(&b->link);
	assert_null(b->link);
	assert_int_equal(b->n_replies, 1);
	assert_false(b->closed);
	desk_turn(b->d);
	assert_int_equal(b->n_replies, 1);
}

/* Who asked is freed with its instance; the keeper may answer later, or close. */
static void link_hand_over__leaves_nobody_waiting(void **state)
{
	struct bench *b = *state;
	struct bench heir = { 0 };
	link_call(b->link, "freeze", NULL, -1, on_reply, b);
	link_call(b->link, "kill", NULL, -1, NULL, NULL);
	link_hand_over(b->link, &handler, &heir);
	assert_int_equal(b->n_replies, 1);
	assert_int_equal(b->code, ECONNRESET);
	desk_say(b->d, b->peer, "{'seq':1,'ok':true}");
	desk_say(b->d, b->peer, "{'event':'exit'}");
	assert_int_equal(b->n_replies, 1);
	assert_string_equal(b->events, "");
	assert_string_equal(heir.events, "exit ");
	link_call(b->link, "kill", NULL, -1, on_reply, &heir);
	fd_close(&b->peer);
	desk_turn(b->d);
	assert_int_equal(b->n_replies, 1);
	assert_false(b->closed);
	assert_int_equal(heir.n_replies, 1);
	assert_true(heir.closed);
	link_free(&b->link);
}

#define CASE(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(link_call__matches_answers_by_seq),
		CASE(link_call__tells_the_keepers_reason),
		CASE(link_call__passes_a_descriptor_and_keeps_none),
		CASE(link_call__waits_for_a_slow_reader_in_order),
		CASE(link_call__is_bounded),
		CASE(link_call__fails_what_is_too_long),
		CASE(link_end__fails_what_waits_then_tells_once),
		CASE(link_drain__takes_the_last_words),
		CASE(link_receive__closes_on_nonsense),
		CASE(link_free__calls_nobody_but_those_who_wait),
		CASE(link_hand_over__leaves_nobody_waiting),
	};
	return cmocka_run_group_tests_name("link", tests, NULL, NULL);
}

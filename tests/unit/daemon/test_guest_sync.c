/* SPDX-License-Identifier: Apache-2.0 */
/* guest_sync - whose guest is asked, and which answers are a reader's matter. The case plays
 * the keeper. */
#include "desk.h"

#include "isola/fd.h"
#include "isola/json.h"
#include "isola/wire.h"
#include "daemon/guest_sync.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct bench {
	struct isolad *d;
	struct instance *inst;
	int peer;
	int n_done, code;
	char text[ERR_TEXT_BYTES];
};

static void on_event(void *arg, const char *event, json_object *msg)
{
	(void)arg;
	(void)event;
	(void)msg;
}

static void on_closed(void *arg)
{
	(void)arg;
}

static const struct link_handler handler = { .on_event = on_event, .on_closed = on_closed };

static void on_done(void *arg, const struct err *err)
{
	struct bench *b = arg;
	b->n_done++;
	b->code = err ? err->code : 0;
	(void)strcpy(b->text, err ? err->text : "");
}

static int setup(void **state)
{
	void *d = NULL;
	struct bench *b = calloc(1, sizeof(*b));
	if (!b || desk_setup(&d) < 0)
		return -1;
	b->d = d;
	b->inst = desk_instance(d, "box", "{'Isolation':'vm'}");
	b->inst->state = INSTANCE_RUNNING;
	*state = b;
	return desk_link(d, &handler, b, &b->inst->link, &b->peer);
}

static int teardown(void **state)
{
	struct bench *b = *state;
	void *d = b->d;
	link_free(&b->inst->link);
	fd_close(&b->peer);
	b->inst->state = INSTANCE_CREATED;
	int rc = desk_teardown(&d);
	free(b);
	return rc;
}

static void guest_sync__asks_the_keeper(void **state)
{
	struct bench *b = *state;
	json_object *msg = NULL;
	int fds[WIRE_FDS_MAX];
	size_t n = 0;
	assert_true(guest_sync(b->inst, on_done, b));
	assert_int_equal(wire_recv(b->peer, &msg, fds, &n, NULL), 1);
	assert_string_equal(json_str_or(msg, "op", ""), "sync");
	json_object_put(msg);
	assert_int_equal(b->n_done, 0);
	desk_say(b->d, b->peer, "{'seq':1,'ok':true}");
	assert_int_equal(b->n_done, 1);
	assert_int_equal(b->code, 0);
}

static void guest_sync__asks_nobody_where_nobody_is(void **state)
{
	struct bench *b = *state;
	static const enum instance_state states[] = { INSTANCE_PAUSED, INSTANCE_EXITED };
	for (size_t i = 0; i < sizeof(states) / sizeof(states[0]); i++) {
		b->inst->state = states[i];
		assert_false(guest_sync(b->inst, on_done, b));
	}
	b->inst->state = INSTANCE_RUNNING;
	json_object_put(b->inst->host_config);
	b->inst->host_config = desk_json("{'Isolation':'container'}");
	assert_false(guest_sync(b->inst, on_done, b));
	assert_int_equal(b->n_done, 0);
}

static void guest_sync__fails_unless_it_is_no_matter(void **state)
{
	struct bench *b = *state;
	static const struct {
		const char *answer;
		int code;
	} rows[] = {
		{ "{'seq':1,'code':110,'error':'the guest has not answered in time'}", ETIMEDOUT },
		{ "{'seq':2,'code':5,'error':'x'}", EIO },
		{ "{'seq':3,'code':11,'error':'x'}", EAGAIN },
		{ "{'seq':4,'code':3,'error':'x'}", 0 },  /* it has ended */
		{ "{'seq':5,'code':16,'error':'x'}", 0 }, /* it is paused */
		{ "{'seq':6,'code':95,'error':'x'}", 0 }, /* an older keeper */
	};
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		assert_true(guest_sync(b->inst, on_done, b));
		desk_say(b->d, b->peer, rows[i].answer);
		assert_int_equal(b->n_done, i + 1);
		assert_int_equal(b->code, rows[i].code);
		if (i == 0)
			assert_non_null(strstr(b->text,
					       "has not synced its files (the guest has "
					       "not answered in time): paused or stopped"));
	}
}

static void guest_sync__forgives_a_keeper_whose_container_has_ended(void **state)
{
	struct bench *b = *state;
	assert_true(guest_sync(b->inst, on_done, b));
	fd_close(&b->peer);
	desk_turn(b->d);
	assert_int_equal(b->code, ECONNRESET);
	link_free(&b->inst->link);
	assert_int_equal(desk_link(b->d, &handler, b, &b->inst->link, &b->peer), 0);
	assert_true(guest_sync(b->inst, on_done, b));
	b->inst->state = INSTANCE_EXITED;
	fd_close(&b->peer);
	desk_turn(b->d);
	assert_int_equal(b->n_done, 2);
	assert_int_equal(b->code, 0);
}

#define CASE(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(guest_sync__asks_the_keeper),
		CASE(guest_sync__asks_nobody_where_nobody_is),
		CASE(guest_sync__fails_unless_it_is_no_matter),
		CASE(guest_sync__forgives_a_keeper_whose_container_has_ended),
	};
	return cmocka_run_group_tests_name("guest_sync", tests, NULL, NULL);
}

/* SPDX-License-Identifier: Apache-2.0 */
/* later - answers that come after the call, in order, exactly once; timers. */
#include "desk.h"

#include "isola/json.h"
#include "daemon/timer.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

struct notes {
	char text[128];
	struct isolad *d;
	struct timer *timer;
};

static void note(struct notes *n, const char *text)
{
	size_t len = strlen(n->text);
	(void)snprintf(n->text + len, sizeof(n->text) - len, "%s", text);
}

static void on_call(void *arg)
{
	note(arg, "call ");
}

static void on_done(void *arg, const struct err *err, json_object *result)
{
	note(arg, err ? err->text : json_str_or(result, "word", "empty "));
}

static void on_call_again(void *arg)
{
	struct notes *n = arg;
	note(n, "again ");
	later_call(n->d, on_call, n);
}

static void later_done__comes_later_and_in_order(void **state)
{
	struct isolad *d = *state;
	struct notes n = { .d = d };
	struct err e = ERR_INIT;
	(void)err_set(&e, EIO, "error ");
	json_object *result = json_object_new_object();
	json_add_str(result, "word", "word ");
	later_done(d, on_done, &n, &e, NULL);
	later_done(d, on_done, &n, NULL, result);
	later_call(d, on_call, &n);
	/* The error's owner may reuse it. */
	(void)err_set(&e, EIO, "spoilt ");
	assert_string_equal(n.text, "");
	(void)uv_run(&d->loop, UV_RUN_NOWAIT);
	assert_string_equal(n.text, "error word call ");
	desk_turn(d);
	assert_string_equal(n.text, "error word call ");
}

static void later_call__may_be_made_from_one(void **state)
{
	struct isolad *d = *state;
	struct notes n = { .d = d };
	later_call(d, on_call_again, &n);
	desk_turn(d);
	assert_string_equal(n.text, "again call ");
}

static void later_done__needs_nobody_who_listens(void **state)
{
	later_done(*state, NULL, NULL, NULL, json_object_new_object());
	desk_turn(*state);
}

static void on_timer(void *arg)
{
	struct notes *n = arg;
	note(n, "timer ");
	timer_stop(&n->timer);
}

static void timer__fires_once_or_not_at_all(void **state)
{
	struct isolad *d = *state;
	struct notes a = { .d = d }, b = { .d = d };
	a.timer = timer_start(d, 1, on_timer, &a);
	b.timer = timer_start(d, 1, on_timer, &b);
	timer_stop(&b.timer);
	timer_stop(&b.timer);
	assert_null(b.timer);
	(void)uv_run(&d->loop, UV_RUN_DEFAULT);
	assert_string_equal(a.text, "timer ");
	assert_string_equal(b.text, "");
	assert_null(a.timer);
}

#define CASE(f) cmocka_unit_test_setup_teardown(f, desk_setup, desk_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(later_done__comes_later_and_in_order),
		CASE(later_call__may_be_made_from_one),
		CASE(later_done__needs_nobody_who_listens),
		CASE(timer__fires_once_or_not_at_all),
	};
	return cmocka_run_group_tests_name("later", tests, NULL, NULL);
}

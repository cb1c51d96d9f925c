/* SPDX-License-Identifier: Apache-2.0 */
/* op - one after another, each answered once. */
#include "desk.h"

#include "daemon/life.h"
#include "daemon/op.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

static char order[256];
static struct op *waiting;

static void note(const char *what, int i)
{
	size_t n = strlen(order);
	(void)snprintf(order + n, sizeof(order) - n, "%s%d ", what, i);
}

static void run_at_once(struct op *op)
{
	note("run", op->stage);
	op_finish(op, NULL, NULL);
}

static void run_and_wait(struct op *op)
{
	note("run", op->stage);
	waiting = op;
}

static void wake(struct op *op, enum op_wake why)
{
	note("wake", op->stage);
	if (why == OP_WAKE_ENDED)
		op_finish(op, NULL, NULL);
}

static const struct op_type at_once = { .name = "at once", .run = run_at_once };
static const struct op_type slow = { .name = "slow", .run = run_and_wait, .wake = wake };

static void on_done(void *arg, const struct err *err, json_object *result)
{
	(void)result;
	note(err ? "err" : "done", (int)(intptr_t)arg);
}

static struct op *make(struct instance *inst, const struct op_type *type, int i)
{
	struct op *op = op_new(inst, type, on_done, (void *)(intptr_t)i);
	op->stage = i;
	return op;
}

static int setup(void **state)
{
	order[0] = '\0';
	return desk_setup(state);
}

static void op_queue__runs_one_at_a_time(void **state)
{
	struct isolad *d = *state;
	struct instance *inst = desk_instance(d, "web", NULL);
	op_queue(make(inst, &slow, 1));
	op_queue(make(inst, &at_once, 2));
	op_queue(make(inst, &at_once, 3));
	desk_turn(d);
	assert_string_equal(order, "run1 ");
	assert_ptr_equal(op_current(inst), waiting);
	op_finish(waiting, NULL, NULL);
	desk_turn(d);
	assert_string_equal(order, "run1 done1 run2 run3 done2 done3 ");
	assert_null(op_current(inst));
}

static void op_queue__takes_any_number(void **state)
{
	struct isolad *d = *state;
	struct instance *inst = desk_instance(d, "web", NULL);
	static const struct op_type quiet = { .name = "quiet", .run = run_at_once };
	op_queue(make(inst, &slow, 1));
	/* A recursion as deep as the queue would end here. */
	for (int i = 0; i < 100000; i++) {
		struct op *op = op_new(inst, &quiet, NULL, NULL);
		op_queue(op);
	}
	op_finish(waiting, NULL, NULL);
	desk_turn(d);
	assert_null(op_current(inst));
}

static void op_aside__does_not_wait(void **state)
{
	struct isolad *d = *state;
	struct instance *inst = desk_instance(d, "web", NULL);
	op_queue(make(inst, &slow, 1));
	op_aside(make(inst, &at_once, 2));
	assert_string_equal(order, "run1 run2 ");
	op_aside(make(inst, &slow, 3));
	op_wake(inst, OP_WAKE_OVER);
	assert_string_equal(order, "run1 run2 run3 wake3 wake1 ");
	op_wake(inst, OP_WAKE_ENDED);
	desk_turn(d);
	assert_null(op_current(inst));
	assert_true(list_is_empty(&life_of(inst)->asides));
}

static void op_fail_all__spares_what_comes_back(void **state)
{
	struct isolad *d = *state;
	struct instance *inst = desk_instance(d, "web", NULL);
	struct err e = ERR_INIT;
	(void)err_set(&e, ECANCELED, "the end");
	op_queue(make(inst, &slow, 1));
	waiting->pinned = true;
	op_queue(make(inst, &at_once, 2));
	op_aside(make(inst, &slow, 3));
	struct op *pinned = op_current(inst);
	op_fail_all(inst, &e);
	desk_turn(d);
	assert_string_equal(order, "run1 run3 err2 err3 ");
	op_finish(pinned, NULL, NULL);
	desk_turn(d);
	assert_string_equal(order, "run1 run3 err2 err3 done1 ");
}

#define CASE(f) cmocka_unit_test_setup_teardown(f, setup, desk_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(op_queue__runs_one_at_a_time),
		CASE(op_queue__takes_any_number),
		CASE(op_aside__does_not_wait),
		CASE(op_fail_all__spares_what_comes_back),
	};
	return cmocka_run_group_tests_name("op", tests, NULL, NULL);
}

/* SPDX-License-Identifier: Apache-2.0 */
/* loop - events, timers, quiet. */
#include "fixture.h"

#include "keeper/loop.h"

struct box {
	struct loop loop;
	struct source a, b;
	int pipe_a[2], pipe_b[2];
	int n_a, n_b, n_quiet;
	struct timer t1, t2;
	char order[8];
};

static struct box box;

static int make_box(void **state)
{
	(void)state;
	memset(&box, 0, sizeof(box));
	return loop_init(&box.loop, NULL) | pipe2(box.pipe_a, O_CLOEXEC) |
	       pipe2(box.pipe_b, O_CLOEXEC);
}

static int drop_box(void **state)
{
	(void)state;
	for (int i = 0; i < 2; i++)
		(void)close(box.pipe_a[i]), (void)close(box.pipe_b[i]);
	loop_fini(&box.loop);
	return 0;
}

static void on_a(struct source *src, uint32_t events)
{
	(void)src;
	assert_true(events & EPOLLIN);
	box.n_a++;
	/* Its event is in the same batch, and must not come any more. */
	loop_unwatch(&box.loop, &box.b);
	memset(&box.b, 0xff, sizeof(box.b));
	loop_stop(&box.loop);
}

static void on_b(struct source *src, uint32_t events)
{
	(void)src, (void)events;
	box.n_b++;
	loop_unwatch(&box.loop, &box.a);
	memset(&box.a, 0xff, sizeof(box.a));
	loop_stop(&box.loop);
}

static void loop_unwatch__stops_events_already_fetched(void **state)
{
	(void)state;
	box.a = (struct source){ .fd = box.pipe_a[0], .on_event = on_a };
	box.b = (struct source){ .fd = box.pipe_b[0], .on_event = on_b };
	assert_int_equal(loop_watch(&box.loop, &box.a, EPOLLIN), 0);
	assert_int_equal(loop_watch(&box.loop, &box.b, EPOLLIN), 0);
	assert_int_equal(write(box.pipe_a[1], "x", 1), 1);
	assert_int_equal(write(box.pipe_b[1], "x", 1), 1);
	assert_int_equal(loop_run(&box.loop), 0);
	assert_int_equal(box.n_a + box.n_b, 1);
}

static void on_t1(struct timer *t)
{
	(void)t;
	strcat(box.order, "1");
	loop_timer_stop(&box.t2); /* due, but stopped */
	loop_timer(&box.loop, &box.t1, 10);
	if (strlen(box.order) == 3)
		loop_stop(&box.loop);
}

static void on_t2(struct timer *t)
{
	(void)t;
	strcat(box.order, "2");
}

static void loop_timer__fires_and_stops(void **state)
{
	(void)state;
	box.t1.on_time = on_t1;
	box.t2.on_time = on_t2;
	loop_timer_stop(&box.t2); /* never started: fine */
	loop_timer(&box.loop, &box.t1, 5);
	loop_timer(&box.loop, &box.t2, 5);
	(void)usleep(10000);
	assert_int_equal(loop_run(&box.loop), 0);
	assert_string_equal(box.order, "111");
}

static void on_quiet(struct loop *loop)
{
	box.n_quiet++;
	assert_null(loop->scratch);
}

static void on_late(struct timer *t)
{
	(void)t;
	loop_stop(&box.loop);
}

static void loop_run__tells_quiet_once(void **state)
{
	(void)state;
	box.loop.on_quiet = on_quiet;
	char *scratch = loop_scratch(&box.loop);
	assert_non_null(scratch);
	memset(scratch - LOOP_HEADROOM, 1, LOOP_HEADROOM + LOOP_SCRATCH_BYTES);
	box.t1.on_time = on_late;
	loop_timer(&box.loop, &box.t1, LOOP_QUIET_MS * 3);
	assert_int_equal(loop_run(&box.loop), 0);
	assert_int_equal(box.n_quiet, 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define T(f) cmocka_unit_test_setup_teardown(f, make_box, drop_box)
		T(loop_unwatch__stops_events_already_fetched),
		T(loop_timer__fires_and_stops),
		T(loop_run__tells_quiet_once),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

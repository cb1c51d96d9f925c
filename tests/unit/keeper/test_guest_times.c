/* SPDX-License-Identifier: Apache-2.0 */
/* guest_times - boot.json: when a guest came how far. */
#include "fixture.h"

#include "keeper/guest_times.h"

#include "isola/json.h"

#include <time.h>

static int64_t now_ns(void)
{
	struct timespec t;
	assert_int_equal(clock_gettime(CLOCK_MONOTONIC, &t), 0);
	return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static void mark__is_the_monotonic_clock(void **state)
{
	(void)state;
	struct guest_times t = { 0 };
	int64_t before = now_ns();
	for (int i = 0; i < GUEST_TIMES; i++)
		guest_times_mark(&t, (enum guest_time)i);
	int64_t after = now_ns();
	for (int i = 0; i < GUEST_TIMES; i++) {
		assert_true(t.at_ns[i] >= before && t.at_ns[i] <= after);
		before = t.at_ns[i];
	}
	guest_times_mark(&t, GUEST_TIME_CREATE); /* a guest that starts again */
	assert_true(t.at_ns[GUEST_TIME_CREATE] >= after);
}

static void write__names_each_and_zero_is_not_yet(void **state)
{
	(void)state;
	static const char *const names[] = { "create_ns", "root_ns",  "worker_ns", "start_ns",
					     "vcpu_ns",   "ready_ns", "setup_ns",  "run_ns" };
	struct guest_times t = { .boot_us = UINT64_C(1) << 40 };
	cleanup_json json_object *o = NULL;
	cleanup_fd int dir = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_true(dir >= 0);
	for (int i = 0; i < GUEST_TIMES - 1; i++)
		t.at_ns[i] = 100 + i;
	guest_times_write(&t, dir);
	assert_int_equal(json_read_file(dir, "boot.json", 4096, &o, NULL), 0);
	assert_int_equal(sizeof(names) / sizeof(names[0]), GUEST_TIMES);
	assert_int_equal(json_object_object_length(o), GUEST_TIMES + 1);
	for (int i = 0; i < GUEST_TIMES; i++)
		assert_int_equal(json_i64_or(o, names[i], -1), i < GUEST_TIMES - 1 ? 100 + i : 0);
	assert_int_equal(json_i64_or(o, "boot_us", -1), INT64_C(1) << 40);
}

static void write__replaces_the_last_and_fails_silently(void **state)
{
	(void)state;
	struct guest_times t = { .at_ns[GUEST_TIME_RUN] = 1 };
	cleanup_json json_object *o = NULL;
	cleanup_fd int dir = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	guest_times_write(&t, dir);
	t.at_ns[GUEST_TIME_RUN] = 2;
	guest_times_write(&t, dir);
	assert_int_equal(json_read_file(dir, "boot.json", 4096, &o, NULL), 0);
	assert_int_equal(json_i64_or(o, "run_ns", -1), 2);
	guest_times_write(&t, -1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(mark__is_the_monotonic_clock),
		cmocka_unit_test_setup_teardown(write__names_each_and_zero_is_not_yet, make_folder,
						remove_folder),
		cmocka_unit_test_setup_teardown(write__replaces_the_last_and_fails_silently,
						make_folder, remove_folder),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

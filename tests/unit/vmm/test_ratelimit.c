/* SPDX-License-Identifier: Apache-2.0 */
/* test_ratelimit - buckets by a clock of our own, then the timer by the real one. */
#include "vmm/ratelimit.h"

#include "isola/json.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <cmocka.h>

#define MS 1000000ULL

static int parse(const char *text, struct ratelimit_args *ret, struct err *err)
{
	cleanup_json json_object *o = json_tokener_parse(text);
	assert_non_null(o);
	return ratelimit_parse(o, ret, err);
}

static void parse__reads_both_buckets(void **state)
{
	struct ratelimit_args a;
	struct err err = ERR_INIT;
	(void)state;
	assert_int_equal(parse("{\"bandwidth\":{\"size\":1000,\"refill_ms\":10,\"burst\":7},"
			       "\"ops\":{\"size\":5,\"refill_ms\":100}}",
			       &a, &err),
			 0);
	assert_int_equal(a.bandwidth.size, 1000);
	assert_int_equal(a.bandwidth.burst, 7);
	assert_int_equal(a.bandwidth.refill_ms, 10);
	assert_int_equal(a.ops.size, 5);
	assert_int_equal(a.ops.refill_ms, 100);
	assert_int_equal(ratelimit_parse(NULL, &a, &err), 0);
	assert_int_equal(a.bandwidth.size, 0);
	assert_int_equal(a.ops.size, 0);
}

static void parse__names_what_is_wrong(void **state)
{
	static const struct {
		const char *text, *names;
	} bad[] = {
		{ "[]", "rate" },
		{ "{\"bandwith\":{}}", "bandwith" },
		{ "{\"ops\":3}", "ops" },
		{ "{\"ops\":{\"size\":1}}", "refill_ms" },
		{ "{\"ops\":{\"refill_ms\":1}}", "size" },
		{ "{\"ops\":{\"size\":0,\"refill_ms\":1}}", "size" },
		{ "{\"ops\":{\"size\":-1,\"refill_ms\":1}}", "size" },
		{ "{\"ops\":{\"size\":1125899906842625,\"refill_ms\":1}}", "size" },
		{ "{\"ops\":{\"size\":1,\"refill_ms\":0}}", "refill_ms" },
		{ "{\"ops\":{\"size\":1,\"refill_ms\":3600001}}", "refill_ms" },
		{ "{\"ops\":{\"size\":1,\"refill_ms\":1,\"burst\":\"x\"}}", "burst" },
		{ "{\"ops\":{\"size\":1,\"refill_ms\":1,\"extra\":1}}", "extra" },
	};
	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct ratelimit_args a;
		struct err err = ERR_INIT;
		assert_int_equal(parse(bad[i].text, &a, &err), -22);
		assert_non_null(strstr(err.text, bad[i].names));
	}
}

static void bucket__begins_full_and_refills_evenly(void **state)
{
	const struct bucket_args args = { .size = 100, .refill_ms = 10 };
	struct bucket b;
	(void)state;
	bucket_init(&b, &args, 5);
	assert_int_equal(bucket_wait_ns(&b, 100, 5), 0);
	bucket_take(&b, 100);
	assert_int_equal(bucket_wait_ns(&b, 1, 5), MS / 10);
	assert_int_equal(bucket_wait_ns(&b, 100, 5), 10 * MS);
	assert_int_equal(bucket_wait_ns(&b, 50, 5 + 5 * MS), 0);
	assert_int_equal(bucket_wait_ns(&b, 51, 5 + 5 * MS), MS / 10);
}

/* Looking often must not lose the time between two whole tokens. */
static void bucket__keeps_parts_of_tokens(void **state)
{
	const struct bucket_args args = { .size = 3, .refill_ms = 10 };
	struct bucket b;
	uint64_t now = 0, taken = 0;
	(void)state;
	bucket_init(&b, &args, now);
	for (now = 0; now <= 10000 * MS; now += 77777)
		if (bucket_wait_ns(&b, 1, now) == 0) {
			bucket_take(&b, 1);
			taken++;
		}
	assert_in_range(taken, 3 + 2999, 3 + 3000);
}

static void bucket__wait_is_exact(void **state)
{
	static const uint64_t sizes[] = { 1, 3, 7, 1000, 999983, 1ULL << 40 };
	(void)state;
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		const struct bucket_args args = { .size = sizes[i], .refill_ms = 7 };
		struct bucket b;
		bucket_init(&b, &args, 0);
		bucket_take(&b, sizes[i]);
		uint64_t want = (sizes[i] + 1) / 2, wait = bucket_wait_ns(&b, want, 0);
		assert_int_not_equal(bucket_wait_ns(&b, want, wait - 1), 0);
		assert_int_equal(bucket_wait_ns(&b, want, wait), 0);
	}
}

static void bucket__burst_is_kept_for_later(void **state)
{
	const struct bucket_args args = { .size = 10, .refill_ms = 10, .burst = 90 };
	struct bucket b;
	(void)state;
	bucket_init(&b, &args, 0);
	bucket_take(&b, 100);
	assert_int_equal(bucket_wait_ns(&b, 100, 0), 100 * MS);
	assert_int_equal(bucket_wait_ns(&b, 100, 1000 * MS), 0);
	bucket_take(&b, 100);
	assert_int_not_equal(bucket_wait_ns(&b, 1, 1000 * MS), 0);
}

/* More than the bucket holds: passes when full, and what follows pays for it. */
static void bucket__large_requests_leave_a_debt(void **state)
{
	const struct bucket_args args = { .size = 100, .refill_ms = 10 };
	struct bucket b;
	(void)state;
	bucket_init(&b, &args, 0);
	assert_int_equal(bucket_wait_ns(&b, 1000, 0), 0);
	bucket_take(&b, 1000);
	assert_int_equal(bucket_wait_ns(&b, 100, 0), 100 * MS);
	for (int i = 0; i < 8; i++) /* no overflow, however much */
		bucket_take(&b, UINT64_MAX);
	assert_int_not_equal(bucket_wait_ns(&b, 1, 1000 * MS), 0);
}

/* ---- the timer ---- */

struct waiter {
	struct ratelimit *r;
	uint64_t bytes;
	int ready, taken, want;
};

static void on_ready(void *arg)
{
	struct waiter *w = arg;
	w->ready++;
	while (w->taken < w->want && ratelimit_take(w->r, w->bytes, 1))
		w->taken++;
}

static uint64_t now(void)
{
	struct timespec ts;
	(void)clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000 + (uint64_t)ts.tv_nsec;
}

static uint64_t run(const struct ratelimit_args *args, struct waiter *w)
{
	struct err err = ERR_INIT;
	uv_loop_t loop;
	assert_int_equal(uv_loop_init(&loop), 0);
	assert_int_equal(ratelimit_new(&loop, args, on_ready, w, &w->r, &err), 0);
	uint64_t start = now();
	on_ready(w);
	while (w->taken < w->want)
		(void)uv_run(&loop, UV_RUN_ONCE);
	uint64_t end = now();
	ratelimit_free(w->r);
	(void)uv_run(&loop, UV_RUN_DEFAULT);
	assert_int_equal(uv_loop_close(&loop), 0);
	return end - start;
}

static void limiter__keeps_the_rate_with_small_refills(void **state)
{
	const struct ratelimit_args args = { .ops = { .size = 2, .refill_ms = 1 } };
	struct waiter w = { .want = 402 };
	(void)state;
	/* 400 beyond the first two at 2 a ms: never less than 200 ms */
	assert_in_range(run(&args, &w), 200 * MS, 5000 * MS);
}

static void limiter__honours_the_narrower_of_both(void **state)
{
	const struct ratelimit_args args = { .bandwidth = { .size = 1000, .refill_ms = 10 },
					     .ops = { .size = 1000, .refill_ms = 1 } };
	struct waiter w = { .want = 20, .bytes = 500 };
	(void)state;
	assert_in_range(run(&args, &w), 90 * MS, 5000 * MS);
	assert_in_range(w.ready, 2, 40);
}

static void limiter__without_limits_never_waits(void **state)
{
	const struct ratelimit_args args = { 0 };
	struct waiter w = { .want = 100000, .bytes = UINT64_MAX };
	(void)state;
	(void)run(&args, &w);
	assert_int_equal(w.ready, 1);
}

static void set__wakes_who_waits(void **state)
{
	const struct ratelimit_args slow = { .ops = { .size = 1, .refill_ms = 3600000 } };
	const struct ratelimit_args none = { 0 };
	struct waiter w = { .want = 5 };
	struct err err = ERR_INIT;
	uv_loop_t loop;
	(void)state;
	assert_int_equal(uv_loop_init(&loop), 0);
	assert_int_equal(ratelimit_new(&loop, &slow, on_ready, &w, &w.r, &err), 0);
	on_ready(&w);
	assert_int_equal(w.taken, 1);
	assert_int_equal(ratelimit_refusals(w.r), 1);
	ratelimit_set(w.r, &none);
	(void)uv_run(&loop, UV_RUN_ONCE);
	assert_int_equal(w.taken, 5);
	ratelimit_free(w.r);
	(void)uv_run(&loop, UV_RUN_DEFAULT);
	assert_int_equal(uv_loop_close(&loop), 0);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(parse__reads_both_buckets),
		cmocka_unit_test(parse__names_what_is_wrong),
		cmocka_unit_test(bucket__begins_full_and_refills_evenly),
		cmocka_unit_test(bucket__keeps_parts_of_tokens),
		cmocka_unit_test(bucket__wait_is_exact),
		cmocka_unit_test(bucket__burst_is_kept_for_later),
		cmocka_unit_test(bucket__large_requests_leave_a_debt),
		cmocka_unit_test(limiter__keeps_the_rate_with_small_refills),
		cmocka_unit_test(limiter__honours_the_narrower_of_both),
		cmocka_unit_test(limiter__without_limits_never_waits),
		cmocka_unit_test(set__wakes_who_waits),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

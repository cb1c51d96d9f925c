/* SPDX-License-Identifier: Apache-2.0 */
/* num - what people type as sizes, CPUs, durations and times. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "isola/num.h"

#include <errno.h>
#include <time.h>

static void num_parse_size__takes_docker_forms(void **state)
{
	(void)state;
	static const struct {
		const char *text;
		int rc;
		int64_t bytes;
	} rows[] = {
		{ "64", 0, 64 },
		{ "64b", 0, 64 },
		{ "1k", 0, 1024 },
		{ "64M", 0, 64 << 20 },
		{ "1.5g", 0, 3LL << 29 },
		{ "2GiB", 0, 2LL << 30 },
		{ "4kb", 0, 4096 },
		{ "", -EINVAL, 0 },
		{ "m", -EINVAL, 0 },
		{ "-1", -EINVAL, 0 },
		{ "1x", -EINVAL, 0 },
		{ "1 k", -EINVAL, 0 },
		{ "1kk", -EINVAL, 0 },
		{ "99999999999g", -ERANGE, 0 },
		{ "9223372036854775808", -ERANGE, 0 },
		{ "0x10", -EINVAL, 0 },
		{ "1.", -EINVAL, 0 },
		{ "1bb", -EINVAL, 0 },
	};
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		int64_t v = 0;
		assert_int_equal(num_parse_size(rows[i].text, 0, &v), rows[i].rc);
		assert_int_equal(v, rows[i].bytes);
	}
	int64_t v = 0;
	assert_int_equal(num_parse_size("-1", 1, &v), 0);
	assert_int_equal(v, -1);
}

static void num_parse_nano__is_exact(void **state)
{
	(void)state;
	int64_t v = 7;
	assert_int_equal(num_parse_nano("1.5", &v), 0);
	assert_int_equal(v, 1500000000);
	assert_int_equal(num_parse_nano("0.000000001", &v), 0);
	assert_int_equal(v, 1);
	assert_int_equal(num_parse_nano("0.0000000001", &v), -EINVAL);
	assert_int_equal(num_parse_nano("-1", &v), -EINVAL);
	assert_int_equal(v, 1);
}

static void num_parse_duration__takes_go_forms(void **state)
{
	(void)state;
	int64_t v = 0;
	assert_int_equal(num_parse_duration("1h2m3.5s", &v), 0);
	assert_int_equal(v, 3723500000000);
	assert_int_equal(num_parse_duration("300ms", &v), 0);
	assert_int_equal(v, 300000000);
	assert_int_equal(num_parse_duration("5", &v), -EINVAL);
	assert_int_equal(num_parse_duration("s", &v), -EINVAL);
	assert_int_equal(num_parse_duration("1.2.3s", &v), -EINVAL);
}

static void num_time__round_trips(void **state)
{
	(void)state;
	char buf[40];
	int64_t v = 0;
	assert_string_equal(num_format_time(1700000000123456789, buf, sizeof(buf)),
			    "2023-11-14T22:13:20.123456789Z");
	assert_int_equal(num_parse_time(buf, &v), 0);
	assert_int_equal(v, 1700000000123456789);
	assert_int_equal(num_parse_time("2023-11-14T23:13:20+01:00", &v), 0);
	assert_int_equal(v, 1700000000000000000);
	assert_int_equal(num_parse_time("1700000000.5", &v), 0);
	assert_int_equal(v, 1700000000500000000);
	assert_int_equal(num_parse_time("2023-11-14", &v), -EINVAL);
}

/* Each day that 64 bits of nanoseconds can name, by libc's calendar. */
static void num_format_time__knows_the_calendar(void **state)
{
	(void)state;
	const int64_t last = INT64_MAX / 1000000000 / 86400 - 1;
	for (int64_t day = -last; day <= last; day++) {
		time_t s = (time_t)(day * 86400 + (day & 0xffff));
		struct tm tm;
		char want[40], got[40];
		(void)gmtime_r(&s, &tm);
		(void)strftime(want, sizeof(want), "%Y-%m-%dT%H:%M:%S.000000001Z", &tm);
		(void)num_format_time((int64_t)s * 1000000000 + 1, got, sizeof(got));
		assert_string_equal(got, want);
	}
	char got[40];
	assert_string_equal(num_format_time(-1, got, sizeof(got)),
			    "1969-12-31T23:59:59.999999999Z");
	assert_string_equal(num_format_time(0, got, sizeof(got)), "0001-01-01T00:00:00Z");
}

static void num_hex_digit__knows_both_cases_and_nothing_else(void **state)
{
	(void)state;
	static const char digits[] = "0123456789abcdef", large[] = "0123456789ABCDEF";
	int known = 0;
	for (int i = 0; i < 16; i++) {
		assert_int_equal(num_hex_digit(digits[i]), i);
		assert_int_equal(num_hex_digit(large[i]), i);
	}
	for (int c = -128; c < 128; c++)
		known += num_hex_digit((char)c) >= 0;
	assert_int_equal(known, 22);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(num_hex_digit__knows_both_cases_and_nothing_else),
		cmocka_unit_test(num_format_time__knows_the_calendar),
		cmocka_unit_test(num_parse_size__takes_docker_forms),
		cmocka_unit_test(num_parse_nano__is_exact),
		cmocka_unit_test(num_parse_duration__takes_go_forms),
		cmocka_unit_test(num_time__round_trips),
	};
	return cmocka_run_group_tests_name("num", tests, NULL, NULL);
}

/* SPDX-License-Identifier: Apache-2.0 */
/* logline - records of ours, of Docker's, and broken ones. */
#include "fixture.h"

#include "keeper/jsonesc.h"
#include "keeper/logline.h"

#include "isola/num.h"

/* Parses a copy, so that the sanitizer sees each byte too far. */
static int parse(const char *text, struct logline *ret, char **ret_copy)
{
	size_t n = strlen(text);
	char *copy = malloc(n ? n : 1);
	memcpy(copy, text, n);
	*ret_copy = copy;
	return logline_parse(copy, n, ret);
}

static void logline_parse__reads_records(void **state)
{
	(void)state;
	static const struct {
		const char *line, *text;
		bool is_stderr;
	} rows[] = {
		{ "{\"log\":\"a b\\n\",\"stream\":\"stdout\",\"time\":\"t\"}", "a b\n", false },
		{ "{\"log\":\"\",\"stream\":\"stderr\",\"time\":\"t\"}", "", true },
		{ " { \"time\" : \"t\" , \"stream\":\"stderr\", \"log\" : \"x\" } \r", "x", true },
		{ "{\"log\":\"\\u003ca\\u003e \\\" \\\\ \\/ \\b\\f\\r\\t\",\"stream\":\"stdout\","
		  "\"time\":\"t\"}",
		  "<a> \" \\ / \b\f\r\t", false },
		{ "{\"log\":\"\\ud83d\\ude00 \\u4F60 \\u00e9\",\"stream\":\"stdout\",\"time\":\"\"}",
		  "\xf0\x9f\x98\x80 \xe4\xbd\xa0 \xc3\xa9", false },
		{ "{\"log\":\"\\ud83d \\ude00 \\ud83dx\",\"stream\":\"stdout\",\"time\":\"t\"}",
		  "\xef\xbf\xbd \xef\xbf\xbd \xef\xbf\xbdx", false },
		{ "{\"other\":[1,{\"a\":\"}\"},null,-1.5e3],\"log\":\"y\",\"more\":\"\\\"\",\"stream\":"
		  "\"stdout\",\"time\":\"t\",\"last\":true}",
		  "y", false },
	};
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct logline l;
		char *copy;
		assert_int_equal(parse(rows[i].line, &l, &copy), 0);
		assert_int_equal(l.size, strlen(rows[i].text));
		assert_memory_equal(l.text, rows[i].text, l.size);
		assert_int_equal(l.is_stderr, rows[i].is_stderr);
		free(copy);
	}
}

static void logline_parse__refuses_what_is_broken(void **state)
{
	(void)state;
	static const char *const bad[] = {
		"",
		"{",
		"{}",
		"null",
		"[]",
		"garbage",
		"{\"log\":\"x\"}",
		"{\"log\":\"x\",\"stream\":\"stdout\"}",
		"{\"log\":\"x\",\"stream\":\"stdlog\",\"time\":\"t\"}",
		"{\"log\":1,\"stream\":\"stdout\",\"time\":\"t\"}",
		"{\"log\":\"x\",\"stream\":\"stdout\",\"time\":\"t\"",
		"{\"log\":\"x\",\"stream\":\"stdout\",\"time\":\"t\"}}",
		"{\"log\":\"x\",\"stream\":\"stdout\",\"time\":\"t\"}{",
		"{\"log\":\"x\",\"stream\":\"stdout\",\"time\":\"t",
		"{\"log\":\"x\\",
		"{\"log\":\"x\\\"",
		"{\"log\":\"\\u12\",\"stream\":\"stdout\",\"time\":\"t\"}",
		"{\"log\":\"\\uzzzz\",\"stream\":\"stdout\",\"time\":\"t\"}",
		"{\"log\":\"\\q\",\"stream\":\"stdout\",\"time\":\"t\"}",
		"{\"log\":\"x\" \"stream\":\"stdout\",\"time\":\"t\"}",
		"{\"a\":[[[[[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]]]]],\"log\":\"x\",\"stream\":\"stdout\","
		"\"time\":\"t\"}",
		"{\"a\":},\"log\":\"x\",\"stream\":\"stdout\",\"time\":\"t\"}",
		"{\"attrs\":\"x\",\"log\":\"x\",\"stream\":\"stdout\",\"time\":\"t\"}",
	};
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct logline l;
		char *copy;
		assert_int_equal(parse(bad[i], &l, &copy), -EINVAL);
		free(copy);
	}
}

/* Whatever a payload writes comes back as it was (or as U+FFFD). */
static void logline_parse__undoes_jsonesc(void **state)
{
	(void)state;
	unsigned int seed = 7;
	for (int i = 0; i < 2000; i++) {
		char in[64], line[64 * JSONESC_GROWTH + 100];
		size_t size = (size_t)rand_r(&seed) % sizeof(in);
		for (size_t k = 0; k < size; k++)
			in[k] = (char)(rand_r(&seed) & 127);
		size_t n = (size_t)sprintf(line, "{\"log\":\"");
		n += jsonesc(line + n, in, size);
		n += (size_t)sprintf(line + n, "\",\"stream\":\"stdout\",\"time\":\"t\"}");
		struct logline l;
		assert_int_equal(logline_parse(line, n, &l), 0);
		assert_int_equal(l.size, size);
		assert_memory_equal(l.text, in, size);
	}
}

static int time_of(const char *text, int64_t *ret)
{
	struct logline l = { .time = text, .time_size = strlen(text) };
	return logline_time(&l, ret);
}

static void logline_time__reads_all_of_rfc3339(void **state)
{
	(void)state;
	static const char *const good[] = {
		"2026-11-20T19:43:56.148963854Z",
		"1970-01-01T00:00:00.000000000Z",
		"2026-11-20T19:43:56Z",
		"2026-11-20T19:43:56.1Z",
		"2026-11-20T19:43:56.148963854+02:00",
	};
	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		int64_t ns = -1, want = -2;
		assert_int_equal(num_parse_time(good[i], &want), 0);
		assert_int_equal(time_of(good[i], &ns), 0);
		assert_int_equal(ns, want);
	}
	int64_t ns = 5;
	assert_int_equal(time_of("", &ns), -EINVAL);
	assert_int_equal(time_of("2026-11-20T19:43:56.148963854X", &ns), -EINVAL);
	assert_int_equal(time_of("2026-11-20 19:43:56.148963854Z", &ns), -EINVAL);
	assert_int_equal(
		time_of("2026-11-20T19:43:56.1489638540000000000000000000000000000000000Z", &ns),
		-EINVAL);
}

static void logline_details__is_dockers_text(void **state)
{
	(void)state;
	static const struct {
		const char *attrs, *want;
	} rows[] = {
		{ "{}", "" },
		{ "{\"a\":\"b\"}", "a=b" },
		{ "{ \"a\" : \"b c\", \"k/\\u00e9\":\"1&2\" }", "a=b+c,k%2F%C3%A9=1%262" },
		{ "{\"a\":1,\"b\":\"c\"}", "" },
	};
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		char line[200], out[100];
		(void)snprintf(line, sizeof(line),
			       "{\"attrs\":%s,\"log\":\"x\",\"stream\":\"stdout\",\"time\":\"t\"}",
			       rows[i].attrs);
		struct logline l;
		assert_int_equal(logline_parse(line, strlen(line), &l), 0);
		size_t n = logline_details(&l, out, sizeof(out));
		assert_int_equal(n, strlen(rows[i].want));
		assert_memory_equal(out, rows[i].want, n);
	}
	/* No room, no attribute. */
	char line[] = "{\"attrs\":{\"aaaa\":\"bbbb\"},\"log\":\"x\",\"stream\":\"stdout\","
		      "\"time\":\"t\"}";
	char out[8];
	struct logline l;
	assert_int_equal(logline_parse(line, strlen(line), &l), 0);
	assert_int_equal(logline_details(&l, out, sizeof(out)), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(logline_parse__reads_records),
		cmocka_unit_test(logline_parse__refuses_what_is_broken),
		cmocka_unit_test(logline_parse__undoes_jsonesc),
		cmocka_unit_test(logline_time__reads_all_of_rfc3339),
		cmocka_unit_test(logline_details__is_dockers_text),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

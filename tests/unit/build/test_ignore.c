/* SPDX-License-Identifier: Apache-2.0 */
/* ignore - patterns of a .dockerignore, and of COPY. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "isola/ignore.h"

#include <errno.h>
#include <string.h>

/* Rows of Go's path/filepath tests and of moby's patternmatcher. */
static void ignore_glob__matches_like_go(void **state)
{
	(void)state;
	static const struct {
		const char *pattern, *text;
		int deep, want;
	} rows[] = {
		{ "abc", "abc", 0, 1 },
		{ "*", "abc", 0, 1 },
		{ "*c", "abc", 0, 1 },
		{ "a*", "a", 0, 1 },
		{ "a*", "abc", 0, 1 },
		{ "a*", "ab/c", 0, 0 },
		{ "a*/b", "abc/b", 0, 1 },
		{ "a*/b", "a/c/b", 0, 0 },
		{ "a*b*c*d*e*/f", "axbxcxdxe/f", 0, 1 },
		{ "a*b*c*d*e*/f", "axbxcxdxexxx/fff", 0, 0 },
		{ "a*b?c*x", "abxbbxdbxebxczzx", 0, 1 },
		{ "a*b?c*x", "abxbbxdbxebxczzy", 0, 0 },
		{ "ab[c]", "abc", 0, 1 },
		{ "ab[b-d]", "abc", 0, 1 },
		{ "ab[e-g]", "abc", 0, 0 },
		{ "ab[^c]", "abc", 0, 0 },
		{ "ab[^e-g]", "abc", 0, 1 },
		{ "a\\*b", "a*b", 0, 1 },
		{ "a\\*b", "ab", 0, 0 },
		{ "a?b", "a/b", 0, 0 },
		{ "a[^a]b", "a/b", 0, 0 },
		{ "[\\]a]", "]", 0, 1 },
		{ "[\\-]", "-", 0, 1 },
		{ "[x\\-]", "z", 0, 0 },
		{ "[]a]", "]", 0, -EINVAL },
		{ "[-]", "-", 0, -EINVAL },
		{ "[x-]", "x", 0, -EINVAL },
		{ "[a-b-c]", "a", 0, -EINVAL },
		{ "[", "a", 0, -EINVAL },
		{ "[^", "a", 0, -EINVAL },
		{ "a[", "ab", 0, -EINVAL },
		{ "*x", "xxx", 0, 1 },
		{ "a\\", "a", 0, -EINVAL },
		{ "**", "a/b", 0, 0 },
		{ "**", "a/b", 1, 1 },
		{ "**/x", "x", 1, 1 },
		{ "**/x", "a/b/x", 1, 1 },
		{ "**/x", "ax", 1, 0 },
		{ "a/**/b", "a/b", 1, 1 },
		{ "a/**/b", "a/x/y/b", 1, 1 },
		{ "a/**/b", "a/xb", 1, 0 },
		{ "a/**", "a/b/c", 1, 1 },
		{ "a/**", "a", 1, 0 },
		{ "**/**/x", "a/x", 1, 1 },
		{ "**/*.go", "a/b.go", 1, 1 },
		{ "**file", "dir/file", 1, 1 },
		{ "dir/**file", "dir/a/file", 1, 1 },
		{ "", "", 0, 1 },
		{ "", "a", 0, 0 },
	};
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		if (ignore_glob(rows[i].pattern, rows[i].text, rows[i].deep) != rows[i].want)
			fail_msg("%s with %s: not %d", rows[i].pattern, rows[i].text, rows[i].want);
}

/* What takes others an exponential time. */
static void ignore_glob__ends_soon(void **state)
{
	char pattern[1025], text[4096];
	(void)state;
	for (int i = 0; i < 1022; i += 2)
		memcpy(pattern + i, "*a", 2);
	strcpy(pattern + 1022, "b");
	memset(text, 'a', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	assert_int_equal(ignore_glob(pattern, text, true), 0);
	memset(pattern, '[', 1024);
	pattern[1024] = '\0';
	assert_int_equal(ignore_glob(pattern, text, true), -EINVAL);
	memset(pattern, 'x', 1024);
	assert_int_equal(ignore_glob(pattern, text, true), 0);
}

static void ignore_matches__the_last_pattern_decides(void **state)
{
	(void)state;
	static const struct {
		const char *file, *path;
		bool want;
	} rows[] = {
		{ "", "a", false },
		{ "a", "a", true },
		{ "a", "a/b", true },
		{ "a", "b/a", false },
		{ "/a", "a", true },
		{ "a/", "a/b", true },
		{ "./a//b", "a/b", true },
		{ "  a  \r\n", "a", true },
		{ "# a\n#b", "# a", false },
		{ "*.md\n!README.md", "README.md", false },
		{ "*.md\n!README.md", "x.md", true },
		{ "!README.md\n*.md", "README.md", true },
		{ "a\n!a/b", "a/b", false },
		{ "a\n!a/b", "a/c", true },
		{ "**/tmp", "x/tmp/y", true },
		{ "*\n! src", "src/a", false },
		{ "*\n!src", "other", true },
		{ "..", "a", false },
		{ "../a", "a", true },
		{ ".", "a", false },
	};
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		cleanup_ignore struct ignore *ignore = NULL;
		struct err err = ERR_INIT;
		assert_int_equal(ignore_parse(rows[i].file, strlen(rows[i].file), &ignore, &err),
				 0);
		if (ignore_matches(ignore, rows[i].path) != rows[i].want)
			fail_msg("%s: %s", rows[i].file, rows[i].path);
	}
	assert_false(ignore_matches(NULL, "a"));
	assert_false(ignore_takes_back(NULL));
}

static void ignore_parse__names_the_line(void **state)
{
	(void)state;
	static const struct {
		const char *file, *says;
	} rows[] = {
		{ "a\n[\n", ".dockerignore:2: malformed pattern \"[\"" },
		{ "!\n", ".dockerignore:1: illegal exclusion pattern" },
	};
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct ignore *ignore = NULL;
		struct err err = ERR_INIT;
		assert_int_equal(ignore_parse(rows[i].file, strlen(rows[i].file), &ignore, &err),
				 -EINVAL);
		assert_non_null(strstr(err.text, rows[i].says));
		assert_null(ignore);
	}
	struct ignore *ignore = NULL;
	struct err err = ERR_INIT;
	assert_int_equal(ignore_parse("a\0b", 3, &ignore, &err), -EINVAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(ignore_glob__matches_like_go),
		cmocka_unit_test(ignore_glob__ends_soon),
		cmocka_unit_test(ignore_matches__the_last_pattern_decides),
		cmocka_unit_test(ignore_parse__names_the_line),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

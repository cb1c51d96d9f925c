/* SPDX-License-Identifier: Apache-2.0 */
/* name - what a name in a layer means. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "image/name.h"

#include <errno.h>
#include <string.h>

static void name_parse__cleans_and_splits(void **state)
{
	(void)state;
	static const struct {
		const char *text;
		enum name_kind kind;
		const char *path, *parent, *last;
	} rows[] = {
		{ "a", NAME_PLAIN, "a", "", "a" },
		{ "./a/b/", NAME_PLAIN, "a/b", "a", "b" },
		{ "/etc//passwd", NAME_PLAIN, "etc/passwd", "etc", "passwd" },
		{ "./", NAME_PLAIN, "", "", "" },
		{ ".", NAME_PLAIN, "", "", "" },
		{ "/", NAME_PLAIN, "", "", "" },
		{ "a/./b", NAME_PLAIN, "a/b", "a", "b" },
		{ "..a/b..", NAME_PLAIN, "..a/b..", "..a", "b.." },
		{ "a/.wh.b", NAME_WHITEOUT, "a/.wh.b", "a", "b" },
		{ ".wh.b", NAME_WHITEOUT, ".wh.b", "", "b" },
		{ ".wh.b/", NAME_WHITEOUT, ".wh.b", "", "b" },
		{ ".wh...b", NAME_WHITEOUT, ".wh...b", "", "..b" },
		{ "a/.wh..wh..opq", NAME_OPAQUE, "a/.wh..wh..opq", "a", "" },
		{ ".wh..wh..opq", NAME_OPAQUE, ".wh..wh..opq", "", "" },
		{ ".wh..wh.plnk", NAME_IGNORED, ".wh..wh.plnk", "", ".wh..wh.plnk" },
		{ ".wh..wh.plnk/1.2", NAME_IGNORED, ".wh..wh.plnk/1.2", ".wh..wh.plnk", "1.2" },
		{ ".wh..wh.", NAME_IGNORED, ".wh..wh.", "", ".wh..wh." },
		{ "a.wh.b", NAME_PLAIN, "a.wh.b", "", "a.wh.b" },
		{ ".whb", NAME_PLAIN, ".whb", "", ".whb" },
	};
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct name n;
		struct err err = ERR_INIT;
		if (name_parse(rows[i].text, &n, &err) < 0)
			fail_msg("%s: %s", rows[i].text, err.text);
		assert_int_equal(n.kind, rows[i].kind);
		assert_string_equal(n.path, rows[i].path);
		assert_string_equal(n.parent, rows[i].parent);
		assert_string_equal(n.last, rows[i].last);
	}
}

static void name_parse__refuses(void **state)
{
	(void)state;
	static const char *const rows[] = {
		"",     "..",     "../a",  "a/..",   "a/../b",  "/../a",       "./..",
		".wh.", "a/.wh.", ".wh..", ".wh...", ".wh.a/b", "x/.wh.a/b/c",
	};
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct name n;
		if (name_parse(rows[i], &n, NULL) != -EINVAL)
			fail_msg("\"%s\" was taken as %s", rows[i], n.path);
	}
}

static void name_parse__bounds_lengths(void **state)
{
	(void)state;
	struct name n;
	char text[2 * PATH_MAX];
	memset(text, 'a', sizeof(text));
	text[255] = '\0';
	assert_int_equal(name_parse(text, &n, NULL), 0);
	text[255] = 'a';
	text[256] = '\0';
	assert_int_equal(name_parse(text, &n, NULL), -ENAMETOOLONG);
	for (size_t i = 0; i < sizeof(text); i++)
		text[i] = i % 2 ? '/' : 'a';
	text[4094] = '\0'; /* "a/a/.../" */
	assert_int_equal(name_parse(text, &n, NULL), 0);
	text[4094] = 'a';
	text[4097] = '\0';
	assert_int_equal(name_parse(text, &n, NULL), -ENAMETOOLONG);
}

static void name_parse_target__is_below_the_root(void **state)
{
	(void)state;
	char path[PATH_MAX];
	assert_int_equal(name_parse_target("/usr/bin/x", path, NULL), 0);
	assert_string_equal(path, "usr/bin/x");
	assert_int_equal(name_parse_target("/", path, NULL), -EINVAL);
	assert_int_equal(name_parse_target("", path, NULL), -EINVAL);
	assert_int_equal(name_parse_target("../x", path, NULL), -EINVAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(name_parse__cleans_and_splits),
		cmocka_unit_test(name_parse__refuses),
		cmocka_unit_test(name_parse__bounds_lengths),
		cmocka_unit_test(name_parse_target__is_below_the_root),
	};
	return cmocka_run_group_tests_name("name", tests, NULL, NULL);
}

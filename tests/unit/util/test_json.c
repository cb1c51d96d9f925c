/* SPDX-License-Identifier: Apache-2.0 */
/* json - text of strangers in documents of ours. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "isola/json.h"
#include "isola/utf8.h"

#include <string.h>

#define BAD "\xef\xbf\xbd"

static void json_add_text__makes_valid_utf8(void **state)
{
	(void)state;
	const struct {
		const char *text, *want;
	} rows[] = {
		{ "", "" },
		{ "plain", "plain" },
		{ "gr\xc3\xbcn", "gr\xc3\xbcn" },
		{ "\xf0\x9f\x90\xb3", "\xf0\x9f\x90\xb3" },
		{ "a\xff", "a" BAD },
		{ "\xff\xfe"
		  "b",
		  BAD BAD "b" },
		{ "\xc3", BAD },
		{ "\xe2\x82", BAD BAD },
		{ "\xc0\xaf", BAD BAD },                 /* overlong */
		{ "\xed\xa0\x80", BAD BAD BAD },         /* surrogate */
		{ "\xf4\x90\x80\x80", BAD BAD BAD BAD }, /* beyond U+10FFFF */
		{ "\xc3\xbc\x80\xc3\xbc", "\xc3\xbc" BAD "\xc3\xbc" },
	};
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		cleanup_json json_object *o = json_object_new_object(), *back = NULL;
		json_add_text(o, "k", rows[i].text);
		assert_string_equal(json_str_or(o, "k", NULL), rows[i].want);
		const char *text = json_object_to_json_string(o);
		assert_int_equal(json_parse(text, strlen(text), "it", &back, NULL), 0);
	}
}

static void utf8_make_harmless__shows_foreign_bytes(void **state)
{
	(void)state;
	static const struct {
		const char *text;
		size_t size;
		const char *want;
	} rows[] = {
		{ "sh\0-c\0true\0\0", 12, "sh -c true" },
		{ "a\033[31m\x7f\n", 8, "a?[31m??" },
		{ "\xc3\xbc\xe2\x82\xac", 5, "\xc3\xbc\xe2\x82\xac" },
		{ "\xc2\x9b", 2, "??" }, /* CSI, as C1 */
		{ "x\xe2\x82", 3, "x??" },
		{ "\0\0", 2, "" },
		{ "", 0, "" },
	};
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		char text[16];
		memcpy(text, rows[i].text, rows[i].size);
		utf8_make_harmless(text, rows[i].size);
		assert_string_equal(text, rows[i].want);
	}
}

static void utf8_len__judges_what_is_left(void **state)
{
	(void)state;
	assert_int_equal(utf8_len("a", 1), 1);
	assert_int_equal(utf8_len("a", 0), 0);
	assert_int_equal(utf8_len("\xc3\xbc", 2), 2);
	assert_int_equal(utf8_len("\xc3\xbc", 1), 0);
	assert_int_equal(utf8_len("\xe2\x82\xac", 3), 3);
	assert_int_equal(utf8_len("\xe2\x82\xac", 2), 0);
	assert_int_equal(utf8_len("\x80", 1), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(json_add_text__makes_valid_utf8),
		cmocka_unit_test(utf8_make_harmless__shows_foreign_bytes),
		cmocka_unit_test(utf8_len__judges_what_is_left),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

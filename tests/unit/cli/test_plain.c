/* SPDX-License-Identifier: Apache-2.0 */
/* plain - texts of strangers on their way to a terminal. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "cli/plain.h"

#include <string.h>

static void expect(const char *text, bool lines, const char *want)
{
	cleanup_strbuf struct strbuf out = STRBUF_INIT;
	plain_text(&out, text, lines);
	assert_string_equal(out.text, want);
}

static void plain_text__keeps_words(void **state)
{
	(void)state;
	expect("busybox:1.36 ~ ok", false, "busybox:1.36 ~ ok");
	expect("Gr\303\266\303\237e \346\227\245\346\234\254 \360\237\220\263", false,
	       "Gr\303\266\303\237e \346\227\245\346\234\254 \360\237\220\263");
	expect("a\nb", true, "a\nb");
}

static void plain_text__takes_the_teeth_out(void **state)
{
	static const struct {
		const char *text, *want;
	} rows[] = {
		{ "\033]0;title\007x", "?]0;title?x" },
		{ "\033[2J\033[H", "?[2J?[H" },
		{ "a\rb\bc\td\ne\177f", "a?b?c?d?e?f" },
		{ "\302\2332J", "?2J" },                /* C1: CSI */
		{ "\342\200\256exe.txt", "?exe.txt" },  /* right-to-left override */
		{ "\342\200\213a\357\273\277", "?a?" }, /* invisible */
		{ "\342\200\250", "?" },                /* line separator */
		{ "\2332J", "?2J" },                    /* no UTF-8: a bare C1 */
		{ "\300\233x", "??x" },                 /* overlong ESC */
		{ "\355\240\200x", "???x" },            /* surrogate */
		{ "\364\220\200\200", "????" },         /* beyond Unicode */
		{ "cut \303", "cut ?" },
	};
	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		expect(rows[i].text, false, rows[i].want);
}

static void plain_ascii__is_one_column_a_byte(void **state)
{
	char text[8];
	(void)state;
	plain_ascii(text, sizeof(text), "a\033\303\266b");
	assert_string_equal(text, "a???b");
	plain_ascii(text, sizeof(text), "0123456789");
	assert_string_equal(text, "0123456");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(plain_text__keeps_words),
		cmocka_unit_test(plain_text__takes_the_teeth_out),
		cmocka_unit_test(plain_ascii__is_one_column_a_byte),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: Apache-2.0 */
/* base64 - the vectors of RFC 4648, both alphabets, and what is none. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "isola/base64.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static void base64__goes_both_ways(void **state)
{
	(void)state;
	static const struct {
		const char *plain, *text;
	} rows[] = {
		{ "", "" },
		{ "f", "Zg==" },
		{ "fo", "Zm8=" },
		{ "foo", "Zm9v" },
		{ "foob", "Zm9vYg==" },
		{ "fooba", "Zm9vYmE=" },
		{ "foobar", "Zm9vYmFy" },
		{ "\xfb\xff\xfe", "+//+" },
	};
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		char back[16] = "";
		size_t n = strlen(rows[i].plain);
		char *text = base64_encode(rows[i].plain, n);
		assert_string_equal(text, rows[i].text);
		assert_int_equal(base64_decode(text, back, sizeof(back)), n);
		assert_memory_equal(back, rows[i].plain, n);
		text[strcspn(text, "=")] = '\0';
		assert_int_equal(base64_decode(text, back, sizeof(back)), n);
		free(text);
	}
}

static void base64_decode__takes_the_alphabet_of_urls(void **state)
{
	(void)state;
	char back[3];
	assert_int_equal(base64_decode("-__-", back, sizeof(back)), 3);
	assert_memory_equal(back, "\xfb\xff\xfe", 3);
}

static void base64_decode__refuses_what_is_none(void **state)
{
	(void)state;
	static const char *const rows[] = { "Z",     "Zg=",   "Zg===", "Z g=",
					    "Zm9vY", "Zm9v!", "=",     "Zg==Zg==" };
	char back[16];
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		if (base64_decode(rows[i], back, sizeof(back)) != -EINVAL)
			fail_msg("%s", rows[i]);
	assert_int_equal(base64_decode("Zm9vYmFy", back, 5), -EINVAL);
	assert_int_equal(base64_decode("Zm9vYmFy", back, 6), 6);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(base64__goes_both_ways),
		cmocka_unit_test(base64_decode__takes_the_alphabet_of_urls),
		cmocka_unit_test(base64_decode__refuses_what_is_none),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: Apache-2.0 */
/* detachkeys - grammar, and that no typed byte is lost or doubled. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "isola/detachkeys.h"

#include <errno.h>
#include <string.h>

static void detachkeys_parse__takes_docker_grammar(void **state)
{
	(void)state;
	struct detachkeys d;
	struct err err = ERR_INIT;
	assert_int_equal(detachkeys_parse("ctrl-p,ctrl-q", &d, &err), 0);
	assert_int_equal(d.n, 2);
	assert_int_equal(d.keys[0], 16);
	assert_int_equal(d.keys[1], 17);
	assert_int_equal(detachkeys_parse("a,ctrl-@,ctrl-_", &d, &err), 0);
	assert_int_equal(d.keys[1], 0);
	assert_int_equal(d.keys[2], 31);
	assert_int_equal(detachkeys_parse("", &d, &err), 0);
	assert_int_equal(d.n, 0);
	static const char *const bad[] = { "ctrl-", "ctrl-A", "ab", ",", "a,", "a,,b", "ctrl-1" };
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_int_equal(detachkeys_parse(bad[i], &d, &err), -EINVAL);
}

static void detachkeys_scan__passes_all_else(void **state)
{
	(void)state;
	static const struct {
		const char *keys, *in, *out;
		int found;
	} rows[] = {
		{ "a,b", "xay", "xay", 0 },       { "a,b", "xabz", "x", 1 },
		{ "a,b", "aab", "a", 1 },         { "a,a,b", "aaab", "a", 1 },
		{ "a,b,a,c", "ababac", "ab", 1 }, { "a,b", "a", "", 0 },
		{ "", "abc", "abc", 0 },          { "a", "xa", "x", 1 },
		{ "a,b,c", "abab!", "abab!", 0 },
	};
	struct err err = ERR_INIT;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		/* All at once, and byte by byte. */
		for (int step = 0; step < 2; step++) {
			struct detachkeys d;
			assert_int_equal(detachkeys_parse(rows[i].keys, &d, &err), 0);
			unsigned char out[128];
			size_t total = 0, n = 0, len = strlen(rows[i].in);
			int found = 0;
			size_t chunk = step ? 1 : len;
			for (size_t k = 0; k < len && !found; k += chunk) {
				found = detachkeys_scan(&d, (const unsigned char *)rows[i].in + k,
							chunk, out + total, &n);
				total += n;
			}
			assert_int_equal(found, rows[i].found);
			assert_int_equal(total, strlen(rows[i].out));
			assert_memory_equal(out, rows[i].out, total);
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(detachkeys_parse__takes_docker_grammar),
		cmocka_unit_test(detachkeys_scan__passes_all_else),
	};
	return cmocka_run_group_tests_name("detachkeys", tests, NULL, NULL);
}

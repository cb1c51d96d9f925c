/* SPDX-License-Identifier: Apache-2.0 */
/* proc_stat - lines of processes with hostile names. */
#include "isola/proc_stat.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static void proc_stat_parse__survives_names(void **state)
{
	(void)state;
	static const char tail[] = " S 7 1 1 34816 1 0 0 0 0 0 100 50 0 0 20 -5 3 0 4711 4096 2 9";
	static const char *const names[] = { "sh", "a b", ") R 1 (", "((", "x)" };
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		char text[256];
		struct proc_stat p = { 0 };
		(void)snprintf(text, sizeof(text), "9 (%s)%s", names[i], tail);
		assert_int_equal(proc_stat_parse(text, &p), 0);
		assert_string_equal(p.comm, names[i]);
		assert_int_equal(p.state, 'S');
		assert_int_equal(p.ppid, 7);
		assert_int_equal(p.tty, 34816);
		assert_int_equal(p.cpu_ticks, 150);
		assert_int_equal(p.priority, 20);
		assert_int_equal(p.nice, -5);
		assert_int_equal(p.threads, 3);
		assert_int_equal(p.vsz_kib, 4);
		assert_int_equal(p.start_ticks, 4711);
	}
}

static void proc_stat_parse__refuses_what_is_none(void **state)
{
	(void)state;
	static const char *const bad[] = { "", "9", "9 (", "9 )(", "9 (x) S 7", "9 (x)" };
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct proc_stat p = { .ppid = 42 };
		assert_true(proc_stat_parse(bad[i], &p) < 0);
		assert_int_equal(p.ppid, 42);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(proc_stat_parse__survives_names),
		cmocka_unit_test(proc_stat_parse__refuses_what_is_none),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: Apache-2.0 */
/* caps - names and numbers. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "isola/caps.h"

#include <errno.h>
#include <linux/capability.h>

static void caps__go_both_ways(void **state)
{
	(void)state;
	char name[40];
	assert_int_equal(caps_parse("CAP_CHOWN"), CAP_CHOWN);
	assert_int_equal(caps_parse("CAP_CHECKPOINT_RESTORE"), CAP_CHECKPOINT_RESTORE);
	assert_true(caps_last() >= CAP_CHECKPOINT_RESTORE);
	for (int cap = 0; cap <= CAP_LAST_CAP; cap++)
		assert_int_equal(caps_parse(caps_name(cap, name, sizeof(name))), cap);
	assert_string_equal(caps_name(63, name, sizeof(name)), "CAP_63");
	assert_true(caps_all() & 1ULL << CAP_SYS_ADMIN);
	assert_int_equal(caps_all() >> 1 >> caps_last(), 0);
}

static void caps__refuse_other_names(void **state)
{
	(void)state;
	static const char *const bad[] = {
		"",        "CAP_",       "CHOWN",         "cap_chown", "CAP_chown",
		"CAP_FOO", "CAP_CHOWN ", "CAP_CAP_CHOWN", "CAP_41",    "CAP_CHOWN,CAP_KILL"
	};
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		if (caps_parse(bad[i]) != -EINVAL)
			fail_msg("%s is taken", bad[i]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(caps__go_both_ways),
		cmocka_unit_test(caps__refuse_other_names),
	};
	return cmocka_run_group_tests_name("caps", tests, NULL, NULL);
}

/* SPDX-License-Identifier: Apache-2.0 */
/* uidrange - who gets which user ids. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "daemon/uidrange.h"

#include <errno.h>

static void uidrange_take__hands_out_each_range_once(void **state)
{
	(void)state;
	struct uidrange u;
	struct err e = ERR_INIT;
	uint32_t a, b, c;
	assert_int_equal(uidrange_init(&u, 131072, 3, NULL), 0);
	assert_int_equal(uidrange_take(&u, &a, NULL), 0);
	assert_int_equal(uidrange_take(&u, &b, NULL), 0);
	assert_int_equal(uidrange_take(&u, &c, NULL), 0);
	assert_int_equal(a, 131072);
	assert_int_equal(b, 131072 + 65536);
	assert_int_equal(c, 131072 + 2 * 65536);
	assert_int_equal(uidrange_take(&u, &a, &e), -ENOSPC);
	assert_non_null(e.text[0] ? e.text : NULL);
	uidrange_put(&u, b);
	assert_int_equal(uidrange_take(&u, &a, NULL), 0);
	assert_int_equal(a, b);
	uidrange_fini(&u);
}

static void uidrange_take__uses_a_freed_range_as_late_as_possible(void **state)
{
	(void)state;
	struct uidrange u;
	uint32_t a, b;
	assert_int_equal(uidrange_init(&u, 65536, 4, NULL), 0);
	assert_int_equal(uidrange_take(&u, &a, NULL), 0);
	uidrange_put(&u, a);
	for (int i = 0; i < 3; i++) {
		assert_int_equal(uidrange_take(&u, &b, NULL), 0);
		assert_int_not_equal(b, a);
	}
	assert_int_equal(uidrange_take(&u, &b, NULL), 0);
	assert_int_equal(b, a);
	uidrange_fini(&u);
}

static void uidrange_reserve__knows_its_own(void **state)
{
	(void)state;
	struct uidrange u;
	uint32_t a;
	assert_int_equal(uidrange_init(&u, 65536, 2, NULL), 0);
	assert_int_equal(uidrange_reserve(&u, 65536), 0);
	assert_int_equal(uidrange_reserve(&u, 65536), -EEXIST);
	assert_int_equal(uidrange_reserve(&u, 65537), -EINVAL);
	assert_int_equal(uidrange_reserve(&u, 0), -EINVAL);
	assert_int_equal(uidrange_reserve(&u, 65536 * 3), -EINVAL);
	assert_int_equal(uidrange_take(&u, &a, NULL), 0);
	assert_int_equal(a, 2 * 65536);
	/* What is not ours is not marked free. */
	uidrange_put(&u, 0);
	uidrange_put(&u, 65537);
	assert_int_equal(uidrange_take(&u, &a, NULL), -ENOSPC);
	uidrange_fini(&u);
}

static void uidrange_init__refuses_ids_that_do_not_exist(void **state)
{
	(void)state;
	struct uidrange u;
	assert_int_equal(uidrange_init(&u, 65535, 1, NULL), -EINVAL);
	assert_int_equal(uidrange_init(&u, 65536, 0, NULL), -EINVAL);
	assert_int_equal(uidrange_init(&u, 65536, 32768, NULL), -EINVAL);
	assert_int_equal(uidrange_init(&u, INT32_MAX, 1, NULL), -EINVAL);
	assert_int_equal(uidrange_init(&u, INT64_MAX, 1, NULL), -EINVAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(uidrange_take__hands_out_each_range_once),
		cmocka_unit_test(uidrange_take__uses_a_freed_range_as_late_as_possible),
		cmocka_unit_test(uidrange_reserve__knows_its_own),
		cmocka_unit_test(uidrange_init__refuses_ids_that_do_not_exist),
	};
	return cmocka_run_group_tests_name("uidrange", tests, NULL, NULL);
}

/* SPDX-License-Identifier: Apache-2.0 */
/* isola-oci's option rows. */
#include "ctr/oci_cli.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

struct opts {
	bool flag;
	const char *text;
	int count;
	struct oci_list list;
};

static const struct oci_opt rows[] = {
	{ "flag", 'f', OCI_FLAG, offsetof(struct opts, flag), NULL, "" },
	{ "text", 't', OCI_TEXT, offsetof(struct opts, text), "TEXT", "" },
	{ "count", 0, OCI_COUNT, offsetof(struct opts, count), "N", "" },
	{ "list", 'l', OCI_LIST, offsetof(struct opts, list), "X", "" },
	{ NULL },
};

/* The words are moved about, never written to. */
static int parse(struct opts *o, struct err *err, bool in_order, const char **argv)
{
	*o = (struct opts){ 0 };
	*err = (struct err)ERR_INIT;
	return oci_parse(rows, (char **)(uintptr_t)argv, in_order, o, err);
}

#define PARSE(in_order, ...) parse(&o, &err, in_order, (const char *[]){ __VA_ARGS__, NULL })

static void parse__takes_all_forms(void **state)
{
	(void)state;
	struct opts o;
	struct err err;
	assert_int_equal(PARSE(false, "--flag", "--text=a", "x", "--count", "3", "-l", "1", "-l2",
			       "--list=3", "y"),
			 2);
	assert_true(o.flag);
	assert_string_equal(o.text, "a");
	assert_int_equal(o.count, 3);
	assert_int_equal(o.list.n, 3);
	assert_string_equal(o.list.items[1], "2");
	oci_opts_fini(rows, &o);
	assert_int_equal(PARSE(false, "-text", "b", "-f", "--flag=false"), 0);
	assert_string_equal(o.text, "b");
	assert_false(o.flag);
	assert_int_equal(PARSE(false, "-t=c", "--", "--flag", "-"), 2);
	assert_string_equal(o.text, "c");
	assert_false(o.flag);
	assert_int_equal(PARSE(false, "--text", "--flag"), 0);
	assert_string_equal(o.text, "--flag");
}

static void parse__stops_in_order(void **state)
{
	(void)state;
	struct opts o;
	struct err err;
	const char *argv[] = { "-f", "id", "ls", "--flag=no", "--", "-t", NULL };
	assert_int_equal(parse(&o, &err, true, argv), 5);
	assert_string_equal(argv[2], "--flag=no");
	assert_string_equal(argv[3], "--");
	assert_null(argv[5]);
}

static void parse__names_what_is_wrong(void **state)
{
	(void)state;
	struct opts o;
	struct err err;
	assert_int_equal(PARSE(false, "--nope"), -EINVAL);
	assert_string_equal(err.text, "unknown option --nope");
	assert_int_equal(PARSE(false, "-x"), -EINVAL);
	assert_int_equal(PARSE(false, "-fx"), -EINVAL);
	assert_int_equal(PARSE(false, "--flags"), -EINVAL);
	assert_int_equal(PARSE(false, "--text"), -EINVAL);
	assert_string_equal(err.text, "option --text needs a value (TEXT)");
	assert_int_equal(PARSE(false, "--count", "-1"), -EINVAL);
	assert_int_equal(PARSE(false, "--count", "99999999"), -EINVAL);
	assert_int_equal(PARSE(false, "--flag=maybe"), -EINVAL);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(parse__takes_all_forms),
		cmocka_unit_test(parse__stops_in_order),
		cmocka_unit_test(parse__names_what_is_wrong),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

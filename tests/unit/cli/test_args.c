/* SPDX-License-Identifier: Apache-2.0 */
/* args - the grammar of the command line, and errors that name the flag. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "cli/args.h"
#include "cli/verbs.h"

#include <errno.h>
#include <string.h>

static const struct flag flags_some[] = {
	{ "detach", 'd', FLAG_BOOL, NULL, "" },
	{ "interactive", 'i', FLAG_BOOL, NULL, "" },
	{ "env", 'e', FLAG_LIST, NULL, "" },
	{ "name", 0, FLAG_STR, NULL, "" },
	{ "memory", 'm', FLAG_SIZE, NULL, "" },
	{ "time", 't', FLAG_INT, NULL, "" },
	{ .name = NULL },
};

static const struct flag *const groups[] = { flags_some, NULL };
static const struct verb run = {
	.name = "run", .groups = groups, .min_args = 1, .max_args = -1, .stop_at_first_arg = true
};
static const struct verb stop = { .name = "stop", .groups = groups, .min_args = 1, .max_args = 2 };

#define PARSE(verb, ret, err, ...)                                                                 \
	({                                                                                         \
		const char *argv_[] = { __VA_ARGS__ };                                             \
		args_parse(verb, ctr_refused, sizeof(argv_) / sizeof(argv_[0]),                    \
			   (char **)(uintptr_t)argv_, ret, err);                                   \
	})

static void args_parse__takes_all_forms(void **state)
{
	(void)state;
	struct args a;
	struct err err = ERR_INIT;
	assert_int_equal(PARSE(&run, &a, &err, "-di", "--name=x", "-e", "A=1", "-eB=2", "-e=C",
			       "-m64m", "--time", "7", "img", "-d", "--rm"),
			 0);
	assert_true(args_bool(&a, "detach") && args_bool(&a, "interactive"));
	assert_string_equal(args_str(&a, "name", NULL), "x");
	assert_string_equal(args_list(&a, "env", 0), "A=1");
	assert_string_equal(args_list(&a, "env", 1), "B=2");
	assert_string_equal(args_list(&a, "env", 2), "C");
	assert_null(args_list(&a, "env", 3));
	assert_int_equal(args_size(&a, "memory", 0), 64 << 20);
	assert_int_equal(args_int(&a, "time", 0), 7);
	assert_int_equal(a.argc, 3); /* the payload's own flags stay its own */
	assert_string_equal(a.argv[1], "-d");
	args_fini(&a);
}

static void args_parse__says_why_a_flag_of_docker_is_refused(void **state)
{
	(void)state;
	struct args a;
	struct err err = ERR_INIT;
	assert_int_equal(PARSE(&run, &a, &err, "--gpus=x", "img"), -EINVAL);
	assert_non_null(strstr(err.text, "--gpus is not supported yet: "));
	assert_int_equal(PARSE(&run, &a, &err, "-da", "x", "img"), -EINVAL);
	assert_non_null(strstr(err.text, "--attach is not supported yet: "));
	/* which is a flag of run alone */
	assert_int_equal(PARSE(&stop, &a, &err, "--gpus=x", "c"), -EINVAL);
	assert_string_equal(err.text, "unknown flag: --gpus");
}

static void args_parse__takes_flags_behind_arguments(void **state)
{
	(void)state;
	struct args a;
	struct err err = ERR_INIT;
	assert_int_equal(PARSE(&stop, &a, &err, "one", "-t", "3", "--detach=false", "--", "-x"), 0);
	assert_int_equal(a.argc, 2);
	assert_string_equal(a.argv[1], "-x");
	assert_int_equal(args_int(&a, "time", 0), 3);
	assert_false(args_bool(&a, "detach"));
	assert_true(args_given(&a, "detach"));
	args_fini(&a);
}

static void args_parse__names_what_is_wrong(void **state)
{
	(void)state;
	static const struct {
		const char *argv[4];
		int argc;
		const char *text;
	} rows[] = {
		{ { "--foo", "x" }, 2, "--foo" },
		{ { "-z", "x" }, 2, "'z'" },
		{ { "--name" }, 1, "--name" },
		{ { "-m", "64q", "x" }, 3, "--memory" },
		{ { "--time=abc", "x" }, 2, "--time" },
		{ { "--detach=maybe", "x" }, 2, "--detach" },
		{ { "-d" }, 1, "at least 1" },
	};
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct args a;
		struct err err = ERR_INIT;
		char *argv[4];
		memcpy(argv, rows[i].argv, sizeof(argv));
		assert_int_equal(args_parse(&run, ctr_refused, rows[i].argc, argv, &a, &err),
				 -EINVAL);
		assert_non_null(strstr(err.text, rows[i].text));
	}
	struct args a;
	struct err err = ERR_INIT;
	assert_int_equal(PARSE(&stop, &a, &err, "1", "2", "3"), -EINVAL);
}

static void verb_nearest__finds_typing_errors(void **state)
{
	(void)state;
	static const struct verb verbs[] = { { .name = "start" },
					     { .name = "stop" },
					     { .name = NULL } };
	assert_string_equal(verb_nearest(verbs, "strat"), "start");
	assert_string_equal(verb_nearest(verbs, "stpo"), "stop");
	assert_null(verb_nearest(verbs, "completely"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(args_parse__takes_all_forms),
		cmocka_unit_test(args_parse__says_why_a_flag_of_docker_is_refused),
		cmocka_unit_test(args_parse__takes_flags_behind_arguments),
		cmocka_unit_test(args_parse__names_what_is_wrong),
		cmocka_unit_test(verb_nearest__finds_typing_errors),
	};
	return cmocka_run_group_tests_name("args", tests, NULL, NULL);
}

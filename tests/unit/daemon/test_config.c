/* SPDX-License-Identifier: Apache-2.0 */
/* config - defaults, file and flags of isolad. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "daemon/config.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define ARGC(argv) ((int)(sizeof(argv) / sizeof(argv[0])))

static char file[64];

static int setup(void **state)
{
	(void)state;
	(void)snprintf(file, sizeof(file), "/tmp/isola-config-XXXXXX");
	int fd = mkstemp(file);
	return fd < 0 ? -1 : close(fd);
}

static int teardown(void **state)
{
	(void)state;
	return unlink(file);
}

static void write_file(const char *text)
{
	FILE *f = fopen(file, "w");
	assert_non_null(f);
	assert_true(fputs(text, f) >= 0);
	assert_int_equal(fclose(f), 0);
}

/* With --config @file in front of the @n words. */
static int load(struct config *c, size_t n, char **words, struct err *err)
{
	char *argv[16] = { (char *)"isolad", (char *)"--config", file };
	enum config_action action = CONFIG_EXIT;
	for (size_t i = 0; i < n; i++)
		argv[3 + i] = words[i];
	int rc = config_load(c, (int)n + 3, argv, &action, err);
	if (rc == 0)
		assert_int_equal(action, CONFIG_RUN);
	return rc;
}

static void config_load__has_defaults(void **state)
{
	(void)state;
	struct config c;
	write_file("{}");
	assert_int_equal(load(&c, 0, NULL, NULL), 0);
	assert_string_equal(c.state, "/var/lib/isola");
	assert_string_equal(c.run, "/run/isola");
	assert_string_equal(c.socket, "/run/isola/isola.sock");
	assert_string_equal(c.cgroup, "");
	assert_int_equal(c.log_level, LOG_LEVEL_INFO);
	assert_int_equal(c.default_log_max_size, 10 << 20);
	assert_int_equal(c.default_stop_timeout, 10);
	assert_string_equal(c.default_userns, "private");
	config_fini(&c);
}

static void config_load__lets_flags_win_over_the_file(void **state)
{
	(void)state;
	struct config c;
	char *words[] = { (char *)"--run", (char *)"/b/./c//d/..", (char *)"--default-init",
			  (char *)"--default-log-max-size=1g" };
	write_file("{\"state\": \"/a\", \"run\": \"/b\", \"default-log-max-size\": 8192,"
		   "\"default-shm-size\": \"1m\", \"log-level\": \"debug\"}");
	assert_int_equal(load(&c, 4, words, NULL), 0);
	assert_string_equal(c.state, "/a");
	assert_string_equal(c.run, "/b/c");
	assert_string_equal(c.socket, "/b/c/isola.sock");
	assert_true(c.default_init);
	assert_int_equal(c.default_log_max_size, 1 << 30);
	assert_int_equal(c.default_shm_size, 1 << 20);
	assert_int_equal(c.log_level, LOG_LEVEL_DEBUG);
	config_fini(&c);
}

static void config_load__names_what_is_wrong(void **state)
{
	(void)state;
	static const struct {
		const char *text, *flag, *value, *says;
	} rows[] = {
		{ "{\"foo\": 1}", NULL, NULL, "unknown setting \"foo\"" },
		{ "{\"config\": \"/x\"}", NULL, NULL, "unknown setting \"config\"" },
		{ "{\"state\": 1}", NULL, NULL, "state" },
		{ "{\"default-init\": \"yes\"}", NULL, NULL, "default-init" },
		{ "{\"default-stop-timeout\": -1}", NULL, NULL, "default-stop-timeout" },
		{ "{\"default-stop-timeout\": \"1\"}", NULL, NULL, "default-stop-timeout" },
		{ "{\"default-userns\": \"x\"}", NULL, NULL, "private|host" },
		{ "{\"log-level\": \"loud\"}", NULL, NULL, "error, warn, info or debug" },
		{ "[]", NULL, NULL, "one object" },
		{ "{", NULL, NULL, "malformed" },
		{ "{}", "--foo", "1", "unknown flag --foo" },
		{ "{}", "--stat", "1", "unknown flag --stat" },
		{ "{}", "--state=", NULL, "--state" },
		{ "{}", "--state", NULL, "needs a value" },
		{ "{}", "-x", NULL, "-x" },
		{ "{}", "serve", NULL, "serve" },
		{ "{}", "--default-init=1", NULL, "default-init" },
		{ "{}", "--userns-first", "99999999999999999999", "userns-first" },
		{ "{}", "--default-log-max-size", "12q", "default-log-max-size" },
	};
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct config c;
		struct err e = ERR_INIT;
		char *words[2] = { (char *)(uintptr_t)rows[i].flag,
				   (char *)(uintptr_t)rows[i].value };
		write_file(rows[i].text);
		size_t n = rows[i].value ? 2 : rows[i].flag ? 1 : 0;
		assert_int_equal(load(&c, n, words, &e), -EINVAL);
		if (!strstr(e.text, rows[i].says))
			fail_msg("row %zu: \"%s\" lacks \"%s\"", i, e.text, rows[i].says);
	}
}

static void config_load__wants_the_file_that_was_named(void **state)
{
	(void)state;
	struct config c;
	enum config_action action;
	struct err e = ERR_INIT;
	char *argv[] = { (char *)"isolad", (char *)"--config", (char *)"/nonexistent/x.json" };
	assert_int_equal(config_load(&c, ARGC(argv), argv, &action, &e), -ENOENT);
	assert_non_null(strstr(e.text, "/nonexistent/x.json"));
}

static void config_reload__changes_what_can_change(void **state)
{
	(void)state;
	struct config c;
	char *argv[] = { (char *)"isolad", (char *)"--config", file };
	enum config_action action;
	write_file("{\"state\": \"/a\", \"log-level\": \"warn\"}");
	assert_int_equal(config_load(&c, ARGC(argv), argv, &action, NULL), 0);
	write_file("{\"state\": \"/b\", \"log-level\": \"error\", \"default-stop-timeout\": 3,"
		   "\"default-log-driver\": \"none\"}");
	assert_int_equal(config_reload(&c, ARGC(argv), argv, NULL), 0);
	assert_string_equal(c.state, "/a");
	assert_int_equal(c.log_level, LOG_LEVEL_ERR);
	assert_int_equal(c.default_stop_timeout, 3);
	assert_string_equal(c.default_log_driver, "none");
	write_file("{\"default-stop-timeout\": 5, \"oops\": 1}");
	assert_int_equal(config_reload(&c, ARGC(argv), argv, NULL), -EINVAL);
	assert_int_equal(c.default_stop_timeout, 3);
	config_fini(&c);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(config_load__has_defaults, setup, teardown),
		cmocka_unit_test_setup_teardown(config_load__lets_flags_win_over_the_file, setup,
						teardown),
		cmocka_unit_test_setup_teardown(config_load__names_what_is_wrong, setup, teardown),
		cmocka_unit_test(config_load__wants_the_file_that_was_named),
		cmocka_unit_test_setup_teardown(config_reload__changes_what_can_change, setup,
						teardown),
	};
	return cmocka_run_group_tests_name("config", tests, NULL, NULL);
}

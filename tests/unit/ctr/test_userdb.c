/* SPDX-License-Identifier: Apache-2.0 */
/* Users and groups of hostile passwd and group files. */
#include "isola/userdb.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define TEXT(literal)                                                                              \
	{                                                                                          \
		literal, sizeof(literal) - 1                                                       \
	}

static const struct userdb_text passwd = TEXT("# a comment:x:9:9::/:\n"
					      "broken\n"
					      "root:x:0:0:root:/root:/bin/sh\n"
					      "1000:x:0:0:trap:/trap:/bin/sh\n"
					      "u:x:1000:1001:u:/home/u:/bin/sh\n"
					      "relative:x:5:5::home:/bin/sh\n"
					      "big:x:4294967295:0::/:\n"
					      "last:x:7:8::/last");
static const struct userdb_text group = TEXT("root:x:0:\n"
					     "ug:x:1001:\n"
					     "extra:x:2000:a,u,b\n"
					     "twice:x:2000:u\n"
					     "prefix:x:2001:uu,xu\n"
					     "77:x:3000:u\n"
					     "broken:x:y:u\n"
					     "short:x\n"
					     "last:x:2002:u");

static int find(const char *spec, struct userdb_entry *e, struct err *err)
{
	*err = (struct err)ERR_INIT;
	return userdb_find(spec, passwd, group, e, err);
}

static void user__is_found(void **state)
{
	(void)state;
	static const struct {
		const char *spec, *home;
		uid_t uid;
		gid_t gid;
		size_t n_groups;
	} rows[] = {
		{ "root", "/root", 0, 0, 0 },
		{ "u", "/home/u", 1000, 1001, 3 },
		{ "1000", "/home/u", 1000, 1001, 3 }, /* never the user named 1000 */
		{ "u:extra", "/home/u", 1000, 2000, 0 },
		{ "u:77", "/home/u", 1000, 77, 0 }, /* nor the group */
		{ "0", "/root", 0, 0, 0 },
		{ "12345", NULL, 12345, 0, 0 },
		{ "12345:ug", NULL, 12345, 1001, 0 },
		{ "relative", NULL, 5, 5, 0 },
		{ "last", "/last", 7, 8, 0 },
		{ "4294967294:4294967294", NULL, 4294967294, 4294967294, 0 },
	};
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct userdb_entry e;
		struct err err;
		if (find(rows[i].spec, &e, &err) < 0)
			fail_msg("%s: %s", rows[i].spec, err.text);
		assert_int_equal(e.uid, rows[i].uid);
		assert_int_equal(e.gid, rows[i].gid);
		assert_int_equal(e.n_groups, rows[i].n_groups);
		if (rows[i].home)
			assert_string_equal(e.home, rows[i].home);
		else
			assert_null(e.home);
		userdb_entry_fini(&e);
	}
}

static void user__has_each_group_once(void **state)
{
	(void)state;
	struct userdb_entry e;
	struct err err;
	assert_int_equal(find("u", &e, &err), 0);
	assert_int_equal(e.groups[0], 2000);
	assert_int_equal(e.groups[1], 2002);
	assert_int_equal(e.groups[2], 3000);
	userdb_entry_fini(&e);
}

static void user__is_refused(void **state)
{
	(void)state;
	static const struct {
		const char *spec;
		int rc;
	} rows[] = {
		{ "", -EINVAL },
		{ ":", -EINVAL },
		{ "1:", -EINVAL },
		{ ":1", -EINVAL },
		{ "-1", -EINVAL },
		{ "+1", -EINVAL },
		{ "4294967295", -EINVAL },
		{ "u:-1", -EINVAL },
		{ "99999999999999999999", -EINVAL },
		{ "nobody", -ENOENT },
		{ "1x", -ENOENT },
		{ "u:nogroup", -ENOENT },
		{ "big", -ENOENT },
		{ "u:short", -ENOENT },
		{ "u:broken", -ENOENT },
		{ "# a comment", -ENOENT },
	};
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct userdb_entry e = { .uid = 42 };
		struct err err;
		assert_int_equal(find(rows[i].spec, &e, &err), rows[i].rc);
		assert_int_equal(e.uid, 42);
		assert_true(err.text[0]);
	}
}

static void user__too_long_is_refused(void **state)
{
	(void)state;
	char spec[400];
	struct userdb_entry e;
	struct err err;
	memset(spec, 'a', sizeof(spec) - 1);
	spec[sizeof(spec) - 1] = '\0';
	assert_int_equal(find(spec, &e, &err), -EINVAL);
}

static void user__needs_no_files(void **state)
{
	(void)state;
	const struct userdb_text none = { NULL, 0 };
	struct userdb_entry e;
	struct err err = ERR_INIT;
	assert_int_equal(userdb_find("5:6", none, none, &e, &err), 0);
	assert_int_equal(e.uid, 5);
	assert_int_equal(e.gid, 6);
	userdb_entry_fini(&e);
	assert_int_equal(userdb_find("root", none, none, &e, &err), -ENOENT);
	assert_null(userdb_home(0, none));
}

static void user__lines_with_nul_do_not_count(void **state)
{
	(void)state;
	static const struct userdb_text text =
		TEXT("u\0:x:1:1::/:\nu:x:2:2::/a\0b:\nu:x:3:3::/c:\n");
	struct userdb_entry e;
	struct err err = ERR_INIT;
	assert_int_equal(userdb_find("u", text, (struct userdb_text){ NULL, 0 }, &e, &err), 0);
	assert_int_equal(e.uid, 3);
	assert_string_equal(e.home, "/c");
	userdb_entry_fini(&e);
}

static void groups__are_bounded(void **state)
{
	(void)state;
	const size_t n = USERDB_GROUPS_MAX + 100, line = 24;
	char *text = malloc(n * line);
	size_t size = 0;
	assert_non_null(text);
	for (size_t i = 0; i < n; i++)
		size += (size_t)snprintf(text + size, n * line - size, "g:x:%zu:u\n", i);
	struct userdb_entry e;
	struct err err = ERR_INIT;
	assert_int_equal(userdb_find("u", passwd, (struct userdb_text){ text, size }, &e, &err), 0);
	assert_int_equal(e.n_groups, USERDB_GROUPS_MAX);
	userdb_entry_fini(&e);
	free(text);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(user__is_found),
		cmocka_unit_test(user__has_each_group_once),
		cmocka_unit_test(user__is_refused),
		cmocka_unit_test(user__too_long_is_refused),
		cmocka_unit_test(user__needs_no_files),
		cmocka_unit_test(user__lines_with_nul_do_not_count),
		cmocka_unit_test(groups__are_bounded),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

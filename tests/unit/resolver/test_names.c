/* SPDX-License-Identifier: Apache-2.0 */
/* Who finds whom by which name. */
#include "resolver/names.h"

#include "isola/json.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include <cmocka.h>

static int make(void **state)
{
	*state = names_new();
	return *state ? 0 : -1;
}

static int unmake(void **state)
{
	names_free(*state);
	return 0;
}

static struct member *set(struct names *n, const char *id, const char *places)
{
	cleanup_json json_object *o = json_tokener_parse(places);
	struct member *m = NULL;
	assert_int_equal(names_set(n, id, o, &m, NULL), 0);
	return m;
}

#define BLUE(name, address)                                                                        \
	"[{\"network\":\"n1\",\"name\":\"blue\",\"addresses\":[\"" address "\"],"                  \
	"\"names\":[\"" name "\",\"Alias\"]}]"

static struct match found[NAMES_MATCHES_MAX];

static void names_find__knows_members_of_the_same_network(void **state)
{
	struct names *n = *state;
	struct member *a = set(n, "a", BLUE("web", "10.0.0.1"));
	struct member *b = set(n, "b", BLUE("db", "10.0.0.2"));
	struct member *c = set(n, "c",
			       "[{\"network\":\"n2\",\"name\":\"green\",\"addresses\":"
			       "[\"10.1.0.1\"],\"names\":[\"shop\"]}]");
	assert_int_equal(names_find(n, a, "db", found), 1);
	assert_int_equal(found[0].n_addresses, 1);
	assert_int_equal(found[0].addresses[0].bytes[3], 2);
	assert_int_equal(names_find(n, b, "db.blue", found), 1);
	assert_int_equal(names_find(n, b, "db.green", found), 0);
	assert_int_equal(names_find(n, a, "alias", found), 2);
	assert_int_equal(names_find(n, c, "db", found), 0);
	assert_int_equal(names_find(n, a, "shop", found), 0);
	assert_int_equal(names_find(n, a, "", found), 0);
}

static void names_find__looks_backwards(void **state)
{
	struct names *n = *state;
	struct member *a = set(n, "a", BLUE("web", "10.0.0.1"));
	(void)set(n, "b", BLUE("db", "10.0.0.2"));
	assert_int_equal(names_find(n, a, "2.0.0.10.in-addr.arpa", found), 1);
	assert_string_equal(found[0].name, "db.blue");
	assert_int_equal(found[0].n_addresses, 0);
	assert_int_equal(names_find(n, a, "3.0.0.10.in-addr.arpa", found), 0);
}

static void names_set__replaces_and_removes(void **state)
{
	struct names *n = *state;
	struct member *a = set(n, "a", BLUE("web", "10.0.0.1"));
	assert_ptr_equal(set(n, "a", BLUE("site", "10.0.0.9")), a);
	assert_int_equal(names_find(n, a, "web", found), 0);
	assert_int_equal(names_find(n, a, "site", found), 1);
	assert_int_equal(found[0].addresses[0].bytes[3], 9);
	struct member *b = set(n, "b", BLUE("db", "10.0.0.2"));
	names_remove(n, a);
	assert_null(names_member(n, "a"));
	assert_int_equal(names_find(n, b, "site", found), 0);
}

static void names_set__refuses_nonsense(void **state)
{
	static const char *const bad[] = {
		"[{}]",
		"[1]",
		"[{\"network\":\"n\",\"name\":\"\"}]",
		"[{\"network\":\"n\",\"name\":\"x\",\"names\":[\"\"]}]",
		"[{\"network\":\"n\",\"name\":\"x\",\"addresses\":[\"1.2.3\"]}]",
		"[{\"network\":\"n\",\"name\":\"x\",\"addresses\":[\"::1\",\"::2\",\"::3\",\"::4\","
		"\"::5\"]}]",
	};
	struct names *n = *state;
	struct member *a = set(n, "a", BLUE("web", "10.0.0.1")), *m = NULL;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		cleanup_json json_object *o = json_tokener_parse(bad[i]);
		struct err err = ERR_INIT;
		assert_non_null(o);
		assert_int_equal(names_set(n, "a", o, &m, &err), -EINVAL);
		assert_true(*err.text);
	}
	assert_int_equal(names_find(n, a, "web", found), 1);
}

static void names_find__stays_right_while_the_table_grows(void **state)
{
	struct names *n = *state;
	struct member *last = NULL;
	char id[16], places[256], name[16];
	for (unsigned int i = 0; i < 1000; i++) {
		(void)snprintf(id, sizeof(id), "i%u", i);
		(void)snprintf(
			places, sizeof(places),
			"[{\"network\":\"n1\",\"name\":\"blue\",\"addresses\":[\"10.0.%u.%u\"],"
			"\"names\":[\"c%u\",\"all\"]}]",
			i / 256, i % 256, i);
		last = set(n, id, places);
	}
	for (unsigned int i = 0; i < 1000; i++) {
		(void)snprintf(name, sizeof(name), "c%u", i);
		assert_int_equal(names_find(n, last, name, found), 1);
		assert_int_equal(found[0].addresses[0].bytes[3], i % 256);
	}
	struct net_addr addr;
	assert_int_equal(net_addr_parse("10.0.3.7", &addr), 0);
	assert_ptr_equal(names_at(n, "n1", &addr), names_member(n, "i775"));
	assert_null(names_at(n, "n2", &addr));
	assert_int_equal(net_addr_parse("10.0.4.7", &addr), 0);
	assert_null(names_at(n, "n1", &addr));
	assert_int_equal(names_find(n, last, "all", found), NAMES_MATCHES_MAX);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(names_find__knows_members_of_the_same_network, make,
						unmake),
		cmocka_unit_test_setup_teardown(names_find__looks_backwards, make, unmake),
		cmocka_unit_test_setup_teardown(names_set__replaces_and_removes, make, unmake),
		cmocka_unit_test_setup_teardown(names_set__refuses_nonsense, make, unmake),
		cmocka_unit_test_setup_teardown(names_find__stays_right_while_the_table_grows, make,
						unmake),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

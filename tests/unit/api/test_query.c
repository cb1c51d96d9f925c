/* SPDX-License-Identifier: Apache-2.0 */
/* query strings and filters: foreign text. */
#include "api/query.h"

#include "isola/json.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static int parse(const char *text, struct query *q)
{
	struct err err = ERR_INIT;
	*q = (struct query){ 0 };
	return query_parse(text, strlen(text), q, &err);
}

static void query_parse__decodes_keys_and_values(void **state)
{
	struct query q;
	(void)state;
	assert_int_equal(parse("a=1&b=%2Fx+y&c&=z&&d=e=f", &q), 0);
	assert_int_equal(q.n, 5);
	assert_string_equal(query_get(&q, "a"), "1");
	assert_string_equal(query_get(&q, "b"), "/x y");
	assert_string_equal(query_get(&q, "c"), "");
	assert_string_equal(query_get(&q, ""), "z");
	assert_string_equal(query_get(&q, "d"), "e=f");
	assert_null(query_get(&q, "e"));
	query_fini(&q);
}

static void query_parse__takes_the_first_of_many(void **state)
{
	struct query q;
	(void)state;
	assert_int_equal(parse("a=1&a=2", &q), 0);
	assert_string_equal(query_get(&q, "a"), "1");
	assert_string_equal(q.pair[1].value, "2");
	query_fini(&q);
}

static void query_parse__refuses_broken_escapes(void **state)
{
	static const char *const bad[] = { "a=%", "a=%1", "a=%zz", "%4=1", "a=%00", "a=x%0" };
	struct query q;
	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		assert_int_equal(parse(bad[i], &q), -EINVAL);
		assert_null(q.text);
	}
}

static void query_parse__bounds_the_number_of_pairs(void **state)
{
	char text[4 * (QUERY_PAIRS_MAX + 1)] = "";
	struct query q;
	(void)state;
	for (int i = 0; i < QUERY_PAIRS_MAX; i++)
		strcat(text, i ? "&a" : "a");
	assert_int_equal(parse(text, &q), 0);
	assert_int_equal(q.n, QUERY_PAIRS_MAX);
	query_fini(&q);
	strcat(text, "&a");
	assert_int_equal(parse(text, &q), -EINVAL);
}

static void query_parse__takes_nothing_for_nothing(void **state)
{
	struct query q;
	(void)state;
	assert_int_equal(parse("", &q), 0);
	assert_int_equal(q.n, 0);
	assert_int_equal(parse("&&&", &q), 0);
	assert_int_equal(q.n, 0);
	query_fini(&q);
}

static void filters_parse__makes_arrays_of_both_forms(void **state)
{
	struct err err = ERR_INIT;
	json_object *o = NULL;
	(void)state;
	assert_int_equal(
		filters_parse("{\"status\":[\"a\",\"b\"],\"name\":{\"web\":true}}", &o, &err), 0);
	assert_int_equal(json_len(json_get(o, "status")), 2);
	assert_string_equal(json_item_str(json_get(o, "name"), 0), "web");
	json_object_put(o);
}

static void filters_parse__gives_null_for_none(void **state)
{
	static const char *const none[] = { "", "{}", NULL };
	struct err err = ERR_INIT;
	(void)state;
	for (size_t i = 0; i < 3; i++) {
		json_object *o = (json_object *)&err;
		assert_int_equal(filters_parse(none[i], &o, &err), 0);
		assert_null(o);
	}
}

static void filters_parse__refuses_other_shapes(void **state)
{
	static const char *const bad[] = {
		"[]",
		"1",
		"\"a\"",
		"null",
		"{\"a\":1}",
		"{\"a\":\"b\"}",
		"{\"a\":[1]}",
		"{\"a\":[null]}",
		"{\"a\":{\"b\":1}}",
		"{\"a\":[\"b\"]",
		"{\"a\":[\"b\"]}x",
		"{\"a\":[\"\\u0000\"]}",
		"{\"a\":null}",
		"{\"a\":[[\"b\"]]}",
	};
	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct err err = ERR_INIT;
		json_object *o = NULL;
		assert_int_equal(filters_parse(bad[i], &o, &err), -EINVAL);
		assert_null(o);
		assert_string_not_equal(err.text, "");
	}
}

static void filters_parse__bounds_depth_and_number(void **state)
{
	struct err err = ERR_INIT;
	json_object *o = NULL;
	char deep[400] = "{\"a\":", many[FILTER_VALUES_MAX * 4 + 32] = "{\"a\":[\"x\"";
	(void)state;
	for (int i = 0; i < 100; i++)
		strcat(deep, "[");
	assert_int_equal(filters_parse(deep, &o, &err), -EINVAL);
	for (int i = 0; i < FILTER_VALUES_MAX; i++)
		strcat(many, ",\"\"");
	strcat(many, "]}");
	assert_int_equal(filters_parse(many, &o, &err), -EINVAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(query_parse__decodes_keys_and_values),
		cmocka_unit_test(query_parse__takes_the_first_of_many),
		cmocka_unit_test(query_parse__refuses_broken_escapes),
		cmocka_unit_test(query_parse__bounds_the_number_of_pairs),
		cmocka_unit_test(query_parse__takes_nothing_for_nothing),
		cmocka_unit_test(filters_parse__makes_arrays_of_both_forms),
		cmocka_unit_test(filters_parse__gives_null_for_none),
		cmocka_unit_test(filters_parse__refuses_other_shapes),
		cmocka_unit_test(filters_parse__bounds_depth_and_number),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

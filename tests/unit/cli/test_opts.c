/* SPDX-License-Identifier: Apache-2.0 */
/* opts - values with parts become fields, and errors name the part. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "cli/opts.h"
#include "isola/json.h"

#include <errno.h>
#include <string.h>

static const struct opt rows[] = {
	{ "path", OPT_STR, "Path" },
	{ "ro", OPT_BOOL, "ReadOnly" },
	{ "rw", OPT_NOT, "ReadOnly" },
	{ "queues", OPT_INT, "Queues" },
	{ "size", OPT_SIZE, "Size" },
	{ "rate", OPT_RATE, "Rate.Bandwidth" },
	{ "iops", OPT_OPS, "Rate.Ops" },
	{ "file", OPT_PATH, "File" },
	{ .key = NULL },
};

static void opts_parse__maps_parts(void **state)
{
	(void)state;
	static const char *const cases[][2] = {
		{ "a.img", "{\"Path\":\"a.img\"}" },
		{ "path=a.img", "{\"Path\":\"a.img\"}" },
		{ "a.img,ro", "{\"Path\":\"a.img\",\"ReadOnly\":true}" },
		{ "a.img,ro=false", "{\"Path\":\"a.img\",\"ReadOnly\":false}" },
		{ "a.img,rw", "{\"Path\":\"a.img\",\"ReadOnly\":false}" },
		{ "a,,b.img,queues=4", "{\"Path\":\"a,b.img\",\"Queues\":4}" },
		{ "x=y.img", "{\"Path\":\"x=y.img\"}" },
		{ "a,size=1m", "{\"Path\":\"a\",\"Size\":1048576}" },
		{ "a,rate=1k:2k,iops=5",
		  "{\"Path\":\"a\",\"Rate\":{\"Bandwidth\":{\"Size\":1024,\"RefillMs\":1000,"
		  "\"Burst\":2048},\"Ops\":{\"Size\":5,\"RefillMs\":1000}}}" },
		{ "a,rate=0", "{\"Path\":\"a\",\"Rate\":{}}" },
		{ "a,file=/b", "{\"Path\":\"a\",\"File\":\"/b\"}" },
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct err err = ERR_INIT;
		cleanup_json json_object *o = json_object_new_object();
		assert_int_equal(opts_parse("disk", cases[i][0], rows, o, &err), 0);
		assert_string_equal(
			json_object_to_json_string_ext(o, JSON_C_TO_STRING_PLAIN |
								  JSON_C_TO_STRING_NOSLASHESCAPE),
			cases[i][1]);
	}
}

static void opts_parse__names_what_is_wrong(void **state)
{
	(void)state;
	static const char *const cases[][2] = {
		{ "a,foo=1", "unknown option \"foo=1\" (there are path, ro, " },
		{ "a,queues=x", "--disk: \"x\" is no value for queues" },
		{ "a,queues=-1", "\"-1\" is no value for queues" },
		{ "a,queues", "\"\" is no value for queues" },
		{ "a,ro=maybe", "\"maybe\" is no value for ro" },
		{ "a,,,b", "unknown option \"b\"" },
		{ "", "a part is empty" },
		{ "a,", "a part is empty" },
		{ "a,rate=1k:x", "\"1k:x\" is no value for rate" },
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct err err = ERR_INIT;
		cleanup_json json_object *o = json_object_new_object();
		assert_int_equal(opts_parse("disk", cases[i][0], rows, o, &err), -EINVAL);
		if (!strstr(err.text, cases[i][1]))
			fail_msg("\"%s\": %s", cases[i][0], err.text);
	}
}

static void opts_cpu_list__takes_ranges(void **state)
{
	(void)state;
	struct err err = ERR_INIT;
	cleanup_json json_object *o = opts_cpu_list("pin", "0-2,5", &err);
	assert_string_equal(json_object_to_json_string_ext(o, JSON_C_TO_STRING_PLAIN), "[0,1,2,5]");
	cleanup_json json_object *none = opts_cpu_list("pin", "", &err);
	assert_int_equal(json_len(none), 0);
	static const char *const bad[] = { "x",       "1-",   "2-1",
					   "-1",      "1,,2", "1 ",
					   "0-99999", "+1",   "99999999999999999999" };
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		if (opts_cpu_list("pin", bad[i], &err))
			fail_msg("\"%s\" was taken", bad[i]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(opts_parse__maps_parts),
		cmocka_unit_test(opts_parse__names_what_is_wrong),
		cmocka_unit_test(opts_cpu_list__takes_ranges),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

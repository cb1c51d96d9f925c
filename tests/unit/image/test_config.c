/* SPDX-License-Identifier: Apache-2.0 */
/* config - image configs cut down and type-checked. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "image/config.h"
#include "isola/fd.h"
#include "isola/json.h"
#include "isola/strbuf.h"

#include <errno.h>
#include <string.h>

#define D       "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
#define ROOTFS  "\"rootfs\":{\"type\":\"layers\",\"diff_ids\":[\"" D "\"]}"
#define WITH(x) "{" ROOTFS "," x "}"

static json_object *parse(const char *text)
{
	json_object *o = NULL;
	struct err err = ERR_INIT;
	if (config_parse(text, strlen(text), &o, &err) < 0)
		fail_msg("%s: %s", text, err.text);
	return o;
}

static void config_parse__keeps_what_is_known(void **state)
{
	(void)state;
	cleanup_json json_object *o = parse(WITH(
		"\"created\":\"2023-11-14T22:13:20.5Z\",\"architecture\":\"arm64\",\"os\":\"linux\","
		"\"variant\":\"v8\",\"author\":\"me\",\"docker_version\":\"20\",\"container\":\"x\","
		"\"container_config\":{\"Cmd\":[\"evil\"]},"
		"\"history\":[{\"created\":\"2023-11-14T22:13:20Z\",\"created_by\":\"RUN "
		"x\",\"empty_layer\":true,\"odd\":1}],"
		"\"config\":{\"User\":\"1:2\",\"Env\":[\"A=1\"],\"Entrypoint\":[\"/e\"],\"Cmd\":"
		"\"one\",\"WorkingDir\":\"/w\",\"Labels\":{\"k\":\"v\"},\"ExposedPorts\":{\"80/"
		"tcp\":{}},\"Volumes\":{\"/v\":{}},\"StopSignal\":\"SIGINT\",\"Healthcheck\":{"
		"\"Test\":[\"CMD\",\"x\"],\"Interval\":5,\"Evil\":1},\"Shell\":[\"/bin/sh\"],"
		"\"Hostname\":\"h\",\"Tty\":true,\"OnBuild\":null,\"Image\":\"x\"}"));
	assert_string_equal(
		json_object_to_json_string_ext(o, JSON_C_TO_STRING_PLAIN |
							  JSON_C_TO_STRING_NOSLASHESCAPE),
		"{\"created_ns\":1700000000500000000,\"architecture\":\"arm64\",\"os\":\"linux\","
		"\"variant\":\"v8\",\"author\":\"me\",\"diff_ids\":[\"" D "\"],"
		"\"history\":[{\"created_ns\":1700000000000000000,\"created_by\":\"RUN "
		"x\",\"empty_layer\":true}],"
		"\"config\":{\"User\":\"1:2\",\"Env\":[\"A=1\"],\"Entrypoint\":[\"/e\"],\"Cmd\":["
		"\"one\"],\"WorkingDir\":\"/w\",\"Labels\":{\"k\":\"v\"},\"ExposedPorts\":{\"80/"
		"tcp\":{}},\"Volumes\":{\"/v\":{}},\"StopSignal\":\"SIGINT\",\"Healthcheck\":{"
		"\"Test\":[\"CMD\",\"x\"],\"Interval\":5},\"Shell\":[\"/bin/sh\"]}}");
}

static void config_parse__takes_nulls_as_absent(void **state)
{
	(void)state;
	cleanup_json json_object *o = parse(
		WITH("\"created\":null,\"history\":null,\"config\":{\"Env\":null,\"Cmd\":null,"
		     "\"Entrypoint\":null,\"Labels\":null,\"Volumes\":{\"/a\":null}}"));
	assert_int_equal(json_i64_or(o, "created_ns", 1), 0);
	assert_int_equal(json_len(json_get(o, "history")), 0);
	json_object *config = json_get(o, "config");
	assert_int_equal(json_object_object_length(config), 1);
	json_object_put(take_ptr(o));
	o = parse("{" ROOTFS "}"); /* no config at all */
	assert_int_equal(json_object_object_length(json_get(o, "config")), 0);
	assert_string_equal(json_str_or(o, "os", ""), "linux");
}

static void config_parse__takes_the_zero_time(void **state)
{
	(void)state;
	cleanup_json json_object *o = parse(WITH("\"created\":\"0001-01-01T00:00:00Z\""));
	assert_int_equal(json_i64_or(o, "created_ns", 1), 0);
}

static void config_parse__names_what_is_wrong(void **state)
{
	(void)state;
	static const struct {
		const char *text, *says;
	} rows[] = {
		{ "", "empty" },
		{ "[]", "object" },
		{ "{}", "rootfs is missing" },
		{ "{\"rootfs\":[]}", "rootfs" },
		{ "{\"rootfs\":{\"type\":\"squashfs\"}}", "rootfs.type" },
		{ "{\"rootfs\":{\"diff_ids\":[\"sha256:../../x\"]}}", "rootfs.diff_ids[0]" },
		{ "{\"rootfs\":{\"diff_ids\":[\"md5:00\"]}}", "rootfs.diff_ids[0]" },
		{ "{\"rootfs\":{\"diff_ids\":[1]}}", "diff_ids" },
		{ "{\"rootfs\":{\"diff_ids\":\"x\"}}", "diff_ids" },
		{ WITH("\"os\":\"windows\""), "windows" },
		{ WITH("\"os\":1"), "os must be" },
		{ WITH("\"architecture\":[]"), "architecture" },
		{ WITH("\"created\":\"yesterday\""), "created" },
		{ WITH("\"history\":{}"), "history" },
		{ WITH("\"history\":[1]"), "history[0]" },
		{ WITH("\"history\":[{},{\"created_by\":1}]"), "history[1]: created_by" },
		{ WITH("\"config\":[]"), "config" },
		{ WITH("\"config\":{\"User\":0}"), "config: User" },
		{ WITH("\"config\":{\"User\":\"a\\u0000b\"}"), "User must not hold a NUL" },
		{ WITH("\"config\":{\"Env\":{}}"), "Env" },
		{ WITH("\"config\":{\"Env\":[\"A=1\\u0000\"]}"), "Env" },
		{ WITH("\"config\":{\"Cmd\":7}"), "Cmd" },
		{ WITH("\"config\":{\"Cmd\":\"a\\u0000\"}"), "Cmd" },
		{ WITH("\"config\":{\"Cmd\":[null]}"), "Cmd" },
		{ WITH("\"config\":{\"Labels\":{\"a\":1}}"), "Labels" },
		{ WITH("\"config\":{\"ExposedPorts\":{\"80\":1}}"), "ExposedPorts" },
		{ WITH("\"config\":{\"Volumes\":[\"/v\"]}"), "Volumes" },
		{ WITH("\"config\":{\"Volumes\":{\"\":{}}}"), "Volumes" },
		{ WITH("\"config\":{\"Healthcheck\":{\"Interval\":\"5s\"}}"),
		  "Healthcheck: Interval" },
		{ WITH("\"config\":{\"Shell\":\"sh\"}"), "Shell" },
		{ "{" ROOTFS "} x", "malformed" },
		{ "{" ROOTFS, "malformed" },
	};
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		json_object *o = NULL;
		struct err err = ERR_INIT;
		int rc = config_parse(rows[i].text, strlen(rows[i].text), &o, &err);
		if (rc != -EINVAL || !strstr(err.text, rows[i].says))
			fail_msg("%s: %d %s", rows[i].text, rc, err.text);
		assert_null(o);
	}
}

/* A byte or two of JSON may take a KiB here, and again in isolad. */
static void config_parse__bounds_values(void **state)
{
	(void)state;
	const struct {
		const char *item;
		size_t n;
		int want;
	} rows[] = { { "{},", 19000, 0 },
		     { "{},", 250000, -EFBIG },
		     { "\",{[,\",", 9000, -EINVAL } };
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		cleanup_strbuf struct strbuf b = STRBUF_INIT;
		cleanup_json json_object *o = NULL;
		struct err err = ERR_INIT;
		strbuf_puts(&b, "{" ROOTFS ",\"history\":[");
		for (size_t k = 0; k < rows[i].n / (i == 0 ? 2 : 1); k++)
			strbuf_puts(&b, rows[i].item);
		strbuf_puts(&b, "{}]}");
		assert_int_equal(config_parse(b.text, b.len, &o, &err), rows[i].want);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(config_parse__keeps_what_is_known),
		cmocka_unit_test(config_parse__takes_nulls_as_absent),
		cmocka_unit_test(config_parse__takes_the_zero_time),
		cmocka_unit_test(config_parse__names_what_is_wrong),
		cmocka_unit_test(config_parse__bounds_values),
	};
	return cmocka_run_group_tests_name("config", tests, NULL, NULL);
}

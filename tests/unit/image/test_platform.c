/* SPDX-License-Identifier: Apache-2.0 */
/* platform - which image fits what --platform says. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "image/platform.h"
#include "isola/image.h"
#include "isola/json.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

static void platform_parse__takes_what_docker_takes(void **state)
{
	static const struct {
		const char *text, *arch, *variant;
	} rows[] = {
		{ "linux/amd64", "amd64", "" },      { "amd64", "amd64", "" },
		{ "linux/x86_64", "amd64", "" },     { "linux/amd64/v1", "amd64", "" },
		{ "linux/amd64/v3", "amd64", "v3" }, { "linux/arm64", "arm64", "v8" },
		{ "aarch64", "arm64", "v8" },        { "linux/arm64/v8", "arm64", "v8" },
		{ "linux/arm", "arm", "v7" },        { "armhf", "arm", "v7" },
		{ "linux/arm/6", "arm", "v6" },      { "linux/riscv64", "riscv64", "" },
	};
	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		char arch[64], variant[64];
		struct err err = ERR_INIT;
		assert_int_equal(platform_parse(rows[i].text, arch, variant, &err), 0);
		assert_string_equal(arch, rows[i].arch);
		assert_string_equal(variant, rows[i].variant);
	}
}

static void platform_parse__takes_the_host_for_linux(void **state)
{
	char arch[64], variant[64], text[160];
	struct err err = ERR_INIT;
	(void)state;
	assert_int_equal(platform_parse("linux", arch, variant, &err), 0);
	(void)snprintf(text, sizeof(text), "linux/%s%s%s", arch, *variant ? "/" : "", variant);
	assert_string_equal(text, image_platform_of_host());
}

static void platform_parse__refuses_nonsense(void **state)
{
	static const char *const rows[] = {
		"",        "/",          "linux/",  "/amd64",        "a/b/c/d",     "linux//v7",
		"LINUX/x", "linux/am d", "windows", "windows/amd64", "darwin/arm64"
	};
	char arch[64] = "old", variant[64] = "old", vast[200];
	(void)state;
	memset(vast, 'a', sizeof(vast) - 1);
	vast[sizeof(vast) - 1] = '\0';
	struct err err = ERR_INIT;
	assert_int_equal(platform_parse(vast, arch, variant, &err), -EINVAL);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		assert_int_equal(platform_parse(rows[i], arch, variant, &err), -EINVAL);
		assert_non_null(strstr(err.text, "--platform"));
	}
	assert_string_equal(arch, "old");
	assert_string_equal(variant, "old");
}

static void image_platform_check__names_the_images_own(void **state)
{
	static const struct {
		const char *want, *arch, *variant;
		int rc;
	} rows[] = {
		{ "linux/amd64", "amd64", "", 0 },
		{ "linux/amd64", "amd64", "v1", 0 },
		{ "linux/arm64", "arm64", "", 0 },
		{ "linux/arm64", "arm64", "v8", 0 },
		{ "linux/arm/v7", "arm", "v6", 0 },
		{ "linux/arm/v6", "arm", "v7", -ENOENT },
		{ "linux/arm/v7", "arm", "", 0 },
		{ "linux/amd64", "arm64", "v8", -ENOENT },
		{ "linux/amd64/v2", "amd64", "v3", -ENOENT },
		{ "linux/amd64", "", "", -ENOENT },
		{ "nonsense/", "amd64", "", -EINVAL },
	};
	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		cleanup_json json_object *record = json_object_new_object();
		struct err err = ERR_INIT;
		char own[64];
		json_add_str(record, "os", "linux");
		json_add_str(record, "architecture", rows[i].arch);
		json_add_str(record, "variant", rows[i].variant);
		assert_int_equal(image_platform_check(rows[i].want, record, &err), rows[i].rc);
		(void)snprintf(own, sizeof(own), "linux/%s%s%s", rows[i].arch,
			       *rows[i].variant ? "/" : "", rows[i].variant);
		if (rows[i].rc == -ENOENT)
			assert_string_equal(err.text, own);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(platform_parse__takes_what_docker_takes),
		cmocka_unit_test(platform_parse__takes_the_host_for_linux),
		cmocka_unit_test(platform_parse__refuses_nonsense),
		cmocka_unit_test(image_platform_check__names_the_images_own),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

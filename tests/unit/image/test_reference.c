/* SPDX-License-Identifier: Apache-2.0 */
/* reference - the names Docker's grammar takes, refuses, and how people see
 * them. The rows follow the grammar's own cases. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "isola/image.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define HEX "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

static void image_ref_normalize__fills_in_defaults(void **state)
{
	(void)state;
	static const struct {
		const char *text, *full, *familiar;
	} rows[] = {
		{ "busybox", "docker.io/library/busybox:latest", "busybox:latest" },
		{ "busybox:1.36", "docker.io/library/busybox:1.36", "busybox:1.36" },
		{ "library/busybox", "docker.io/library/busybox:latest", "busybox:latest" },
		{ "docker.io/busybox", "docker.io/library/busybox:latest", "busybox:latest" },
		{ "index.docker.io/busybox", "docker.io/library/busybox:latest", "busybox:latest" },
		{ "docker.io/library/a/b", "docker.io/library/a/b:latest", "library/a/b:latest" },
		{ "docker.io/a.b/c", "docker.io/a.b/c:latest", "docker.io/a.b/c:latest" },
		{ "docker.io/localhost/c", "docker.io/localhost/c:latest",
		  "docker.io/localhost/c:latest" },
		{ "me/app", "docker.io/me/app:latest", "me/app:latest" },
		{ "a/b/c:t.1_2-3", "docker.io/a/b/c:t.1_2-3", "a/b/c:t.1_2-3" },
		{ "quay.io/x", "quay.io/x:latest", "quay.io/x:latest" },
		{ "quay.io/library/x", "quay.io/library/x:latest", "quay.io/library/x:latest" },
		{ "localhost/x", "localhost/x:latest", "localhost/x:latest" },
		{ "localhost:5000/x:y", "localhost:5000/x:y", "localhost:5000/x:y" },
		{ "reg:5000/x", "reg:5000/x:latest", "reg:5000/x:latest" },
		{ "[::1]:5000/x", "[::1]:5000/x:latest", "[::1]:5000/x:latest" },
		{ "[2001:db8::1]/x", "[2001:db8::1]/x:latest", "[2001:db8::1]/x:latest" },
		{ "127.0.0.1:80/x:80", "127.0.0.1:80/x:80", "127.0.0.1:80/x:80" },
		{ "UPPER/x", "UPPER/x:latest", "UPPER/x:latest" },
		{ "a__b", "docker.io/library/a__b:latest", "a__b:latest" },
		{ "a---b", "docker.io/library/a---b:latest", "a---b:latest" },
		{ "a.b_c-d", "docker.io/library/a.b_c-d:latest", "a.b_c-d:latest" },
		{ "1a/2b", "docker.io/1a/2b:latest", "1a/2b:latest" },
		{ "x:_1", "docker.io/library/x:_1", "x:_1" },
		{ "x@sha256:" HEX, "docker.io/library/x@sha256:" HEX, "x@sha256:" HEX },
		{ "q.io/x:t@sha256:" HEX, "q.io/x:t@sha256:" HEX, "q.io/x:t@sha256:" HEX },
		{ "deadbeef", "docker.io/library/deadbeef:latest", "deadbeef:latest" },
		{ "x/" HEX, "docker.io/x/" HEX ":latest", "x/" HEX ":latest" },
		{ "library/" HEX, "docker.io/library/" HEX ":latest", "library/" HEX ":latest" },
	};
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		char full[IMAGE_REF_MAX] = "", familiar[IMAGE_REF_MAX];
		struct err err = ERR_INIT;
		if (image_ref_normalize(rows[i].text, full, sizeof(full), &err) < 0)
			fail_msg("%s: %s", rows[i].text, err.text);
		assert_string_equal(full, rows[i].full);
		image_ref_familiar(full, familiar, sizeof(familiar));
		assert_string_equal(familiar, rows[i].familiar);
	}
}

static void image_ref_normalize__is_stable(void **state)
{
	(void)state;
	char once[IMAGE_REF_MAX], twice[IMAGE_REF_MAX];
	assert_int_equal(image_ref_normalize("a/b:c@sha256:" HEX, once, sizeof(once), NULL), 0);
	assert_int_equal(image_ref_normalize(once, twice, sizeof(twice), NULL), 0);
	assert_string_equal(once, twice);
}

static void image_ref_normalize__refuses(void **state)
{
	(void)state;
	static const char *const rows[] = {
		"",
		":",
		":tag",
		"x:",
		"x@",
		"@sha256:" HEX,
		"x y",
		"-x",
		"x-",
		".x",
		"x.",
		"_x",
		"x_",
		"a..b",
		"a___b",
		"a._b",
		"a//b",
		"/a",
		"a/",
		"Busybox",
		"quay.io/X",
		"me/App",
		"x:.t",
		"x:-t",
		"x:a:b",
		"x:t/y",
		"x@sha256:abc",
		"x@md5:" HEX,
		"x@sha256:E3B0",
		HEX,
		"reg:port/x",
		"reg:/x",
		"-reg.io/x",
		"reg-.io/x",
		"a..io/x",
		"[::1/x",
		"[zz]:1/x",
		"x\t",
		"x\xc3\xa9",
		"x@sha256:" HEX "0",
		"../x",
		"a/../b",
		"x:t@",
		"[]/x",
		"x:y@z@sha256:" HEX,
	};
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		char full[IMAGE_REF_MAX] = "untouched";
		struct err err = ERR_INIT;
		if (image_ref_normalize(rows[i], full, sizeof(full), &err) != -EINVAL)
			fail_msg("\"%s\" was taken as %s", rows[i], full);
		assert_string_equal(full, "untouched");
		assert_true(*err.text);
	}
}

static void image_ref_normalize__bounds_lengths(void **state)
{
	(void)state;
	char text[1024], full[IMAGE_REF_MAX];
	/* 255 for domain and path together, 128 for the tag */
	(void)snprintf(text, sizeof(text), "q.io/%0250d", 0);
	assert_int_equal(image_ref_normalize(text, full, sizeof(full), NULL), 0);
	(void)snprintf(text, sizeof(text), "q.io/%0251d", 0);
	assert_int_equal(image_ref_normalize(text, full, sizeof(full), NULL), -EINVAL);
	(void)snprintf(text, sizeof(text), "x:%0128d", 0);
	assert_int_equal(image_ref_normalize(text, full, sizeof(full), NULL), 0);
	(void)snprintf(text, sizeof(text), "x:%0129d", 0);
	assert_int_equal(image_ref_normalize(text, full, sizeof(full), NULL), -EINVAL);
	/* the caller's buffer, too */
	char small[20];
	assert_int_equal(image_ref_normalize("busybox", small, sizeof(small), NULL), -EINVAL);
}

static void image_ref_set_default__moves_short_names(void **state)
{
	(void)state;
	static const struct {
		const char *text, *full, *familiar;
	} rows[] = {
		{ "busybox", "reg.lan:5000/busybox:latest", "busybox:latest" },
		{ "me/app:1", "reg.lan:5000/me/app:1", "me/app:1" },
		{ "library/x", "reg.lan:5000/library/x:latest", "library/x:latest" },
		{ "docker.io/busybox", "docker.io/library/busybox:latest",
		  "docker.io/library/busybox:latest" },
		{ "reg.lan:5000/a.b/c", "reg.lan:5000/a.b/c:latest", "reg.lan:5000/a.b/c:latest" },
		{ "quay.io/x", "quay.io/x:latest", "quay.io/x:latest" },
		{ "x@sha256:" HEX, "reg.lan:5000/x@sha256:" HEX, "x@sha256:" HEX },
		{ "reg.lan:5000/" HEX, "reg.lan:5000/" HEX ":latest",
		  "reg.lan:5000/" HEX ":latest" },
	};
	struct err err = ERR_INIT;
	assert_int_equal(image_ref_set_default("reg.lan:5000", &err), 0);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		char full[IMAGE_REF_MAX] = "", familiar[IMAGE_REF_MAX];
		assert_int_equal(image_ref_normalize(rows[i].text, full, sizeof(full), &err), 0);
		assert_string_equal(full, rows[i].full);
		image_ref_familiar(full, familiar, sizeof(familiar));
		assert_string_equal(familiar, rows[i].familiar);
	}
	assert_int_equal(image_ref_set_default("index.docker.io", &err), 0);
	assert_string_equal(image_ref_default(), "docker.io");
}

static void image_ref_set_default__refuses_what_is_no_host(void **state)
{
	(void)state;
	static const char *const rows[] = { "",         "reg",       "https://reg.lan",
					    "reg.lan/", "reg.lan/x", "reg.lan:",
					    "a b.c",    "-a.lan",    "reg.lan:x" };
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct err err = ERR_INIT;
		if (image_ref_set_default(rows[i], &err) != -EINVAL)
			fail_msg("%s", rows[i]);
	}
	assert_string_equal(image_ref_default(), "docker.io");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(image_ref_normalize__fills_in_defaults),
		cmocka_unit_test(image_ref_normalize__is_stable),
		cmocka_unit_test(image_ref_normalize__refuses),
		cmocka_unit_test(image_ref_normalize__bounds_lengths),
		cmocka_unit_test(image_ref_set_default__moves_short_names),
		cmocka_unit_test(image_ref_set_default__refuses_what_is_no_host),
	};
	return cmocka_run_group_tests_name("reference", tests, NULL, NULL);
}

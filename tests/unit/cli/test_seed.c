/* SPDX-License-Identifier: Apache-2.0 */
/* seed - the ISO 9660 image as another reader sees it: its descriptors, its label, and
 * each file by its Joliet name. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "cli/seed.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define SECTOR 2048u

static uint32_t get32(const unsigned char *p)
{
	return p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

/* Where the record of @name is in the folder of the descriptor in sector @volume; 0 when
 * there is none. */
static size_t find(const unsigned char *image, unsigned int volume, const char *name)
{
	const unsigned char *root = image + volume * SECTOR + 156;
	const unsigned char *p = image + get32(root + 2) * SECTOR, *end = p + get32(root + 10);
	for (; p < end && p[0]; p += p[0]) {
		size_t len = p[32];
		bool same = len == 2 * strlen(name);
		for (size_t i = 0; same && i < len / 2; i++)
			same = p[33 + 2 * i] == 0 && p[34 + 2 * i] == (unsigned char)name[i];
		if (same)
			return (size_t)(p - image);
	}
	return 0;
}

static void seed_build__is_an_iso_with_the_files(void **state)
{
	(void)state;
	struct err err = ERR_INIT;
	cleanup_strbuf struct strbuf b = STRBUF_INIT;
	char large[5000];
	memset(large, 'x', sizeof(large));
	const struct seed_file files[] = {
		{ "user-data", large, sizeof(large) },
		{ "meta-data", "instance-id: a\n", 15 },
		{ "network-config", "", 0 },
	};
	assert_int_equal(seed_build(files, 3, &b, &err), 0);
	const unsigned char *image = (const unsigned char *)b.text;
	assert_int_equal(b.len % SECTOR, 0);
	assert_memory_equal(image + 16 * SECTOR + 1, "CD001", 5);
	assert_memory_equal(image + 16 * SECTOR + 40, "cidata   ", 9);
	assert_int_equal(get32(image + 16 * SECTOR + 80) * SECTOR, b.len);
	assert_int_equal(image[18 * SECTOR], 255);
	for (size_t i = 0; i < 3; i++) {
		size_t at = find(image, 17, files[i].name);
		assert_int_not_equal(at, 0);
		const unsigned char *r = image + at;
		assert_int_equal(get32(r + 10), files[i].size);
		assert_true(get32(r + 2) * SECTOR + files[i].size <= b.len);
		assert_memory_equal(image + get32(r + 2) * SECTOR, files[i].data, files[i].size);
	}
}

static void seed_build__is_the_same_for_the_same_files(void **state)
{
	(void)state;
	struct err err = ERR_INIT;
	cleanup_strbuf struct strbuf a = STRBUF_INIT, b = STRBUF_INIT;
	const struct seed_file file = { "user-data", "#cloud-config\n", 14 };
	assert_int_equal(seed_build(&file, 1, &a, &err), 0);
	assert_int_equal(seed_build(&file, 1, &b, &err), 0);
	assert_int_equal(a.len, b.len);
	assert_memory_equal(a.text, b.text, a.len);
}

static void seed_build__refuses_what_is_too_large(void **state)
{
	(void)state;
	struct err err = ERR_INIT;
	cleanup_strbuf struct strbuf b = STRBUF_INIT;
	char *data = calloc(1, SEED_FILE_BYTES_MAX + 1);
	const struct seed_file file = { "user-data", data, SEED_FILE_BYTES_MAX + 1 };
	assert_int_equal(seed_build(&file, 1, &b, &err), -E2BIG);
	assert_non_null(strstr(err.text, "user-data is too large"));
	const struct seed_file two[2] = { { "user-data", data, SEED_FILE_BYTES_MAX },
					  { "meta-data", data, SEED_FILE_BYTES_MAX } };
	assert_int_equal(seed_build(two, 2, &b, &err), -E2BIG);
	assert_int_equal(b.len, 0);
	free(data);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(seed_build__is_an_iso_with_the_files),
		cmocka_unit_test(seed_build__is_the_same_for_the_same_files),
		cmocka_unit_test(seed_build__refuses_what_is_too_large),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

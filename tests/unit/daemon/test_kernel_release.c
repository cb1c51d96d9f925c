/* SPDX-License-Identifier: Apache-2.0 */
/* kernel_release - what kernel files, whole, cut off and hostile, say they are. */
#include "fixture.h"

#include "daemon/kernel_release.h"

#include "isola/fd.h"

#include <elf.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define BANNER "Linux version "

static char path[64];

static int setup(void **state)
{
	(void)state;
	(void)snprintf(path, sizeof(path), "/tmp/release.XXXXXX");
	int fd = mkstemp(path);
	return fd < 0 ? -1 : close(fd);
}

static int teardown(void **state)
{
	(void)state;
	return unlink(path);
}

static void write_at(size_t at, const void *data, size_t size)
{
	cleanup_fd int fd = open(path, O_WRONLY | O_CLOEXEC);
	assert_true(fd >= 0);
	assert_int_equal(pwrite(fd, data, size, (off_t)at), size);
}

static void assert_release(const char *want)
{
	char got[KERNEL_RELEASE_MAX];
	kernel_release(path, got);
	assert_string_equal(got, want);
}

static void find__takes_a_whole_release(void **state)
{
	(void)state;
	char longest[2 * KERNEL_RELEASE_MAX];
	memset(longest, '6', sizeof(longest));
	memcpy(longest, BANNER, strlen(BANNER));
	static const struct {
		const char *text, *want;
	} rows[] = {
		{ "xx" BANNER "6.1.2-isola (a@b) x", "6.1.2-isola" },
		{ BANNER BANNER "5.4 ", "5.4" },
		{ BANNER "%s (" BANNER "6.1\n", "6.1" },
		{ BANNER "6.1", NULL }, /* cut off */
		{ BANNER, NULL },
		{ BANNER " ", NULL },
		{ "Linux versio", NULL },
		{ BANNER "6.1\033[2J ", "6.1" },
		{ "", NULL },
	};
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		char got[KERNEL_RELEASE_MAX] = "";
		size_t size = strlen(rows[i].text);
		char *exact = malloc(size ? size : 1); /* AddressSanitizer sees what is beyond */
		memcpy(exact, rows[i].text, size);
		assert_int_equal(kernel_release_find(exact, size, got), rows[i].want != NULL);
		assert_string_equal(got, rows[i].want ? rows[i].want : "");
		free(exact);
	}
	char got[KERNEL_RELEASE_MAX] = "";
	longest[sizeof(longest) - 1] = ' ';
	assert_int_equal(kernel_release_find(longest, sizeof(longest), got), 0);
}

static void elf__has_it_in_its_banner(void **state)
{
	(void)state;
	/* At the end of the first piece that is read: half in it, half in the next. */
	static const char banner[] = BANNER "6.12.3-made (x@y)";
	write_at(0, ELFMAG, SELFMAG);
	for (size_t back = 0; back < sizeof(banner) + 2; back++) {
		char zeros[sizeof(banner)] = { 0 };
		write_at(1024 * 1024 - back, banner, sizeof(banner));
		assert_release("6.12.3-made");
		write_at(1024 * 1024 - back, zeros, sizeof(zeros));
	}
	assert_release("");
}

static void bzimage__has_it_in_its_header(void **state)
{
	(void)state;
	uint16_t at = 0x100;
	write_at(0x202, "HdrS", 4);
	write_at(0x20e, &at, sizeof(at));
	write_at(0x300, "6.1.0-9-amd64 (debian) #1", 26);
	assert_release("6.1.0-9-amd64");
	at = 0xffff; /* beyond its end */
	write_at(0x20e, &at, sizeof(at));
	assert_release("");
	at = 0;
	write_at(0x20e, &at, sizeof(at));
	assert_release("");
}

static void others__have_none(void **state)
{
	(void)state;
	char got[KERNEL_RELEASE_MAX];
	assert_release("");
	write_at(0, "\177EL", 3);
	assert_release("");
	write_at(0x400, BANNER "6.1 x", 20); /* neither an ELF file nor a bzImage */
	assert_release("");
	kernel_release("/tmp", got);
	assert_string_equal(got, "");
	kernel_release("/tmp/none/such", got);
	assert_string_equal(got, "");
	kernel_release("", got);
	assert_string_equal(got, "");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(find__takes_a_whole_release),
		TEST(elf__has_it_in_its_banner),
		TEST(bzimage__has_it_in_its_header),
		TEST(others__have_none),
	};
	return cmocka_run_group_tests_name("kernel_release", tests, NULL, NULL);
}

/* SPDX-License-Identifier: Apache-2.0 */
/* disk - partition tables: what they say, and what they may not make us read. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "bootdisk/disk.h"

#include <stdio.h>
#include <string.h>

#define SECTORS 4096u
static unsigned char image[SECTORS * 512];

static int clear(void **state)
{
	(void)state;
	memset(image, 0, sizeof(image));
	return 0;
}

static void put64(unsigned char *p, uint64_t v)
{
	for (int i = 0; i < 8; i++)
		p[i] = (unsigned char)(v >> (8 * i));
}

static void put32(unsigned char *p, uint32_t v)
{
	for (int i = 0; i < 4; i++)
		p[i] = (unsigned char)(v >> (8 * i));
}

/* A GPT whose entry @i goes from @first to @last. */
static void gpt_entry(unsigned int i, uint64_t first, uint64_t last)
{
	unsigned char *head = image + 512, *entry = image + 1024 + i * 128;
	memcpy(head, "EFI PART", 8);
	put64(head + 72, 2);
	put32(head + 80, 128);
	put32(head + 84, 128);
	entry[0] = 1;
	for (unsigned char k = 0; k < 16; k++)
		entry[16 + k] = (unsigned char)(0x10 + k);
	put64(entry + 32, first);
	put64(entry + 40, last);
}

static size_t look(struct part *parts)
{
	const struct disk disk = { .fd = -1, .memory = image, .size = sizeof(image) };
	return disk_parts(&disk, parts);
}

static void disk_parts__reads_a_gpt(void **state)
{
	(void)state;
	struct part parts[PARTS_MAX];
	gpt_entry(2, 2048, 2999);
	assert_int_equal(look(parts), 1);
	assert_int_equal(parts[0].number, 3);
	assert_int_equal(parts[0].start, 2048 * 512);
	assert_int_equal(parts[0].size, 952 * 512);
	assert_string_equal(parts[0].uuid, "13121110-1514-1716-1819-1a1b1c1d1e1f");
}

static void disk_parts__skips_entries_that_leave_the_disk(void **state)
{
	(void)state;
	struct part parts[PARTS_MAX];
	gpt_entry(0, 2048, SECTORS);                /* one sector too far */
	gpt_entry(1, 3000, 2000);                   /* ends before it begins */
	gpt_entry(2, UINT64_MAX / 512, UINT64_MAX); /* wraps */
	gpt_entry(3, 0, 10);                        /* over the table */
	gpt_entry(4, 100, SECTORS - 1);
	assert_int_equal(look(parts), 1);
	assert_int_equal(parts[0].number, 5);
}

static void disk_parts__survives_an_absurd_gpt(void **state)
{
	(void)state;
	struct part parts[PARTS_MAX];
	gpt_entry(0, 2048, 2999);
	put64(image + 512 + 72, UINT64_MAX); /* the table is nowhere */
	assert_int_equal(look(parts), 0);
	put64(image + 512 + 72, 2);
	put32(image + 512 + 84, 64); /* entries smaller than they are */
	assert_int_equal(look(parts), 0);
	put32(image + 512 + 84, 128);
	put32(image + 512 + 80, UINT32_MAX); /* more than anyone has */
	assert_int_equal(look(parts), 1);
}

static void disk_parts__reads_an_mbr(void **state)
{
	(void)state;
	struct part parts[PARTS_MAX];
	unsigned char *entry = image + 446 + 16;
	put32(image + 440, 0x1234abcd);
	entry[4] = 0x83;
	put32(entry + 8, 2048);
	put32(entry + 12, 100);
	image[510] = 0x55;
	image[511] = 0xaa;
	assert_int_equal(look(parts), 1);
	assert_int_equal(parts[0].number, 2);
	assert_string_equal(parts[0].uuid, "1234abcd-02");
	assert_int_equal(parts[0].size, 100 * 512);
}

static void disk_parts__takes_a_disk_without_a_table_whole(void **state)
{
	(void)state;
	struct part parts[PARTS_MAX];
	assert_int_equal(look(parts), 1);
	assert_int_equal(parts[0].number, 0);
	assert_int_equal(parts[0].size, sizeof(image));
}

static void disk_read__never_leaves_the_disk(void **state)
{
	(void)state;
	const struct disk disk = { .fd = -1, .memory = image, .size = 1000 };
	char buf[16];
	assert_true(disk_read(&disk, 984, buf, 16));
	assert_false(disk_read(&disk, 985, buf, 16));
	assert_false(disk_read(&disk, UINT64_MAX, buf, 16));
	assert_false(disk_read(&disk, UINT64_MAX - 8, buf, 16));
}

int main(void)
{
#define T(name) cmocka_unit_test_setup(name, clear)
	const struct CMUnitTest tests[] = {
		T(disk_parts__reads_a_gpt),
		T(disk_parts__skips_entries_that_leave_the_disk),
		T(disk_parts__survives_an_absurd_gpt),
		T(disk_parts__reads_an_mbr),
		T(disk_parts__takes_a_disk_without_a_table_whole),
		T(disk_read__never_leaves_the_disk),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

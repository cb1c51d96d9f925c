/* SPDX-License-Identifier: Apache-2.0 */
/* test_memory - regions around the PCI hole, checked spans, and giving back. */
#include "vmm/memory.h"

#include "isola/fd.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

#include <cmocka.h>

#define MIB ((uint64_t)1 << 20)
#define GIB ((uint64_t)1 << 30)

static struct memory *make(const struct memory_args *args)
{
	struct memory *mem = NULL;
	struct err err = ERR_INIT;
	if (memory_new(args, &mem, &err) < 0)
		fail_msg("%s", err.text);
	return mem;
}

static struct memory *make_plain(uint64_t size, bool shared)
{
	return make(
		&(struct memory_args){ .size_bytes = size, .page_bytes = 4096, .shared = shared });
}

static int refused(const struct memory_args *args)
{
	struct memory *mem = NULL;
	struct err err = ERR_INIT;
	int rc = memory_new(args, &mem, &err);
	assert_null(mem);
	assert_true(err.text[0] != '\0');
	return rc;
}

/* Resident KiB of the mapping that holds @host. */
static long resident_kib(const void *host)
{
	FILE *f = fopen("/proc/self/smaps", "re");
	char line[512];
	bool here = false;
	long kib = -1;
	assert_non_null(f);
	while (fgets(line, sizeof(line), f)) {
		unsigned long from, to;
		if (sscanf(line, "%lx-%lx ", &from, &to) == 2)
			here = (uintptr_t)host >= from && (uintptr_t)host < to;
		if (here && sscanf(line, "Rss: %ld kB", &kib) == 1)
			break;
	}
	(void)fclose(f);
	return kib;
}

static void new__small_ram_is_one_region(void **state)
{
	(void)state;
	struct memory *mem = make_plain(128 * MIB, false);
	const struct memory_region *r;
	assert_int_equal(memory_regions(mem, &r), 1);
	assert_int_equal(r[0].start, 0);
	assert_int_equal(r[0].size_bytes, 128 * MIB);
	assert_int_equal(r[0].fd, -1);
	assert_true(r[0].is_ram && !r[0].readonly);
	assert_int_equal((uintptr_t)r[0].host % (2 * MIB), 0);
	assert_int_equal(memory_low_end(mem), 128 * MIB);
	assert_int_equal(memory_high_end(mem), 0);
	memory_free(mem);
}

static void new__exactly_up_to_the_hole(void **state)
{
	(void)state;
	struct memory *mem = make_plain(MEMORY_HOLE_START, false);
	const struct memory_region *r;
	assert_int_equal(memory_regions(mem, &r), 1);
	assert_int_equal(memory_low_end(mem), MEMORY_HOLE_START);
	assert_int_equal(memory_high_end(mem), 0);
	memory_free(mem);
}

static void new__big_ram_goes_around_the_hole(void **state)
{
	(void)state;
	struct memory *mem = make_plain(5 * GIB, true);
	const struct memory_region *r;
	assert_int_equal(memory_regions(mem, &r), 2);
	assert_int_equal(r[0].size_bytes, 3 * GIB);
	assert_int_equal(r[1].start, 4 * GIB);
	assert_int_equal(r[1].size_bytes, 2 * GIB);
	assert_int_equal(r[1].fd, r[0].fd);
	assert_int_equal(r[1].fd_offset, 3 * GIB);
	assert_int_equal(memory_high_end(mem), 6 * GIB);
	assert_int_equal(memory_ram_bytes(mem), 5 * GIB);
	memory_free(mem);
}

static void new__refuses_sizes_and_mixes(void **state)
{
	(void)state;
	static const struct memory_args bad[] = {
		{ .size_bytes = 0, .page_bytes = 4096 },
		{ .size_bytes = MEMORY_MIN_BYTES - 4096, .page_bytes = 4096 },
		{ .size_bytes = MEMORY_MAX_BYTES + 4096, .page_bytes = 4096 },
		{ .size_bytes = UINT64_MAX, .page_bytes = 4096 },
		{ .size_bytes = 2 * MIB + 1, .page_bytes = 4096 },
		{ .size_bytes = 3 * MIB, .page_bytes = 2 * MIB },
		{ .size_bytes = 2 * MIB, .page_bytes = 8192 },
		{ .size_bytes = 2 * MIB, .page_bytes = 0 },
		{ .size_bytes = 2 * MIB, .page_bytes = 4096, .shared = true, .merge = true },
		{ .size_bytes = 2 * MIB, .page_bytes = 2 * MIB, .merge = true },
	};
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_int_equal(refused(&bad[i]), -EINVAL);
}

static void new__short_huge_pages_are_an_error(void **state)
{
	(void)state;
	const struct memory_args a = { .size_bytes = MEMORY_MAX_BYTES, .page_bytes = 2 * MIB };
	const struct memory_args b = { .size_bytes = MEMORY_MAX_BYTES,
				       .page_bytes = 2 * MIB,
				       .shared = true };
	assert_true(refused(&a) < 0);
	assert_true(refused(&b) < 0);
}

static void new__prefault_makes_it_resident(void **state)
{
	(void)state;
	for (int shared = 0; shared < 2; shared++) {
		struct memory *mem = make(&(struct memory_args){ .size_bytes = 8 * MIB,
								 .page_bytes = 4096,
								 .shared = shared,
								 .prefault = true });
		struct span s;
		assert_int_equal(memory_span(mem, 0, 1, false, &s), 0);
		assert_true(resident_kib(s.host) >= 8 * 1024);
		memory_free(mem);
	}
}

static void new__does_not_touch_otherwise(void **state)
{
	(void)state;
	struct memory *mem = make_plain(64 * MIB, false);
	struct span s;
	assert_int_equal(memory_span(mem, 0, 1, false, &s), 0);
	assert_int_equal(resident_kib(s.host), 0);
	memory_free(mem);
}

static void new__shared_cannot_be_cut(void **state)
{
	(void)state;
	struct memory *mem = make_plain(2 * MIB, true);
	const struct memory_region *r;
	(void)memory_regions(mem, &r);
	assert_true(ftruncate(r[0].fd, 4096) < 0);
	assert_true(ftruncate(r[0].fd, 4 * MIB) < 0);
	memory_free(mem);
}

static void span__edges_and_overflow(void **state)
{
	(void)state;
	struct memory *mem = make_plain(5 * GIB, false);
	const struct memory_region *r;
	(void)memory_regions(mem, &r);
	static const struct {
		gpa_t gpa;
		uint64_t size;
		int rc;
	} rows[] = {
		{ 0, 1, 0 },
		{ 0, 3 * GIB, 0 },
		{ 0, 3 * GIB + 1, -EFAULT },
		{ 3 * GIB - 1, 1, 0 },
		{ 3 * GIB - 1, 2, -EFAULT },
		{ 3 * GIB, 1, -EFAULT },
		{ 4 * GIB - 1, 1, -EFAULT },
		{ 4 * GIB - 1, 2, -EFAULT },
		{ 4 * GIB, 2 * GIB, 0 },
		{ 4 * GIB, 2 * GIB + 1, -EFAULT },
		{ 6 * GIB - 1, 1, 0 },
		{ 6 * GIB, 1, -EFAULT },
		{ 4096, UINT64_MAX, -EFAULT },
		{ 4096, UINT64_MAX - 4095, -EFAULT },
		{ UINT64_MAX, 1, -EFAULT },
		{ UINT64_MAX, 2, -EFAULT },
		{ UINT64_MAX, UINT64_MAX, -EFAULT },
		{ UINT64_MAX, 0, 0 },
		{ 3 * GIB, 0, 0 },
	};
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct span s = { NULL, 77 };
		assert_int_equal(memory_span(mem, rows[i].gpa, rows[i].size, true, &s), rows[i].rc);
		if (rows[i].rc < 0)
			assert_true(s.host == NULL && s.size == 77); /* untouched */
		else
			assert_int_equal(s.size, rows[i].size);
	}
	memory_free(mem);
}

static void piece__is_cut_at_the_region(void **state)
{
	(void)state;
	struct memory *mem = make_plain(5 * GIB, false);
	struct span s;
	assert_int_equal(memory_piece(mem, 3 * GIB - 10, 100, false, &s), 0);
	assert_int_equal(s.size, 10);
	assert_int_equal(memory_piece(mem, 6 * GIB - 1, UINT64_MAX, false, &s), 0);
	assert_int_equal(s.size, 1);
	assert_int_equal(memory_piece(mem, 3 * GIB, 100, false, &s), -EFAULT);
	assert_int_equal(memory_piece(mem, 6 * GIB, 100, false, &s), -EFAULT);
	memory_free(mem);
}

static uint8_t *map_file(uint64_t size, int prot)
{
	uint8_t *p = mmap(NULL, size, prot, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	assert_ptr_not_equal(p, MAP_FAILED);
	return p;
}

static void add_file__lies_behind_and_is_read_only(void **state)
{
	(void)state;
	struct memory *mem = make_plain(16 * MIB, false);
	struct err err = ERR_INIT;
	gpa_t a = 0, b = 0;
	struct span s;
	char byte = 1;
	assert_int_equal(memory_add_file(mem, map_file(12288, PROT_READ), 12288, true, &a, &err),
			 0);
	assert_int_equal(
		memory_add_file(mem, map_file(4096, PROT_READ | PROT_WRITE), 4096, false, &b, &err),
		0);
	assert_int_equal(a, 4 * GIB);
	assert_int_equal(b, 4 * GIB + 2 * MIB);
	assert_int_equal(memory_span(mem, a, 12288, false, &s), 0);
	assert_int_equal(memory_span(mem, a, 1, true, &s), -EFAULT);
	assert_int_equal(memory_write(mem, a, &byte, 1), -EFAULT);
	assert_int_equal(memory_read(mem, a, &byte, 1), 0);
	assert_int_equal(byte, 0);
	assert_int_equal(memory_span(mem, a + 12288, 1, false, &s), -EFAULT);
	assert_int_equal(memory_span(mem, b, 4096, true, &s), 0);
	assert_int_equal(memory_discard(mem, b, 4096), -EFAULT);
	assert_int_equal(memory_ram_bytes(mem), 16 * MIB);
	memory_free(mem);
}

static void add_file__refuses_odd_sizes_and_too_many(void **state)
{
	(void)state;
	struct memory *mem = make_plain(16 * MIB, false);
	struct err err = ERR_INIT;
	gpa_t at = 7;
	uint8_t *p = map_file(4096, PROT_READ);
	assert_int_equal(memory_add_file(mem, p, 0, true, &at, &err), -EINVAL);
	assert_int_equal(memory_add_file(mem, p, 4095, true, &at, &err), -EINVAL);
	assert_int_equal(memory_add_file(mem, p + 1, 4096, true, &at, &err), -EINVAL);
	assert_int_equal(memory_add_file(mem, p, UINT64_MAX - 4095, true, &at, &err), -E2BIG);
	assert_int_equal(at, 7);
	int rc = 0, n = 0;
	for (; n < 100; n++) {
		uint8_t *file = map_file(4096, PROT_READ);
		rc = memory_add_file(mem, file, 4096, true, &at, &err);
		if (rc < 0) {
			(void)munmap(file, 4096);
			break;
		}
	}
	assert_int_equal(rc, -ENOSPC);
	assert_true(n >= 16);
	(void)munmap(p, 4096);
	memory_free(mem);
}

static void copy__crosses_regions_only_where_they_touch(void **state)
{
	(void)state;
	struct memory *mem = make_plain(4 * GIB, false); /* 3 + 1: high RAM ends at 5 GiB */
	struct err err = ERR_INIT;
	gpa_t file = 0;
	uint8_t *p = map_file(4096, PROT_READ | PROT_WRITE);
	assert_int_equal(memory_add_file(mem, p, 4096, false, &file, &err), 0);
	assert_int_equal(file, 5 * GIB); /* right behind the RAM */
	char in[16] = "across an edge!", out[16] = "";
	assert_int_equal(memory_write(mem, file - 8, in, sizeof(in)), 0);
	assert_int_equal(memory_read(mem, file - 8, out, sizeof(out)), 0);
	assert_memory_equal(in, out, sizeof(in));
	assert_memory_equal(p, in + 8, 8);
	assert_int_equal(memory_write(mem, 3 * GIB - 8, in, sizeof(in)), -EFAULT);
	assert_int_equal(memory_read(mem, 3 * GIB - 8, out, sizeof(out)), -EFAULT);
	assert_int_equal(memory_read(mem, UINT64_MAX - 3, out, sizeof(out)), -EFAULT);
	assert_int_equal(memory_read(mem, UINT64_MAX, out, 0), 0);
	memory_free(mem);
}

static void discard__gives_whole_pages_back(void **state)
{
	(void)state;
	for (int shared = 0; shared < 2; shared++) {
		struct memory *mem = make_plain(4 * MIB, shared);
		struct span s;
		char byte = 0;
		assert_int_equal(memory_span(mem, 0, 4 * MIB, true, &s), 0);
		memset(s.host, 0x5a, s.size);
		long before = resident_kib(s.host);
		/* from inside page 1 to inside page 512: pages 2..511 */
		assert_int_equal(memory_discard(mem, 4096 + 1, 511 * 4096), 0);
		assert_true(resident_kib(s.host) <= before - 510 * 4);
		assert_int_equal(s.host[0], 0x5a);
		assert_int_equal(s.host[2 * 4096 - 1], 0x5a);
		assert_int_equal(s.host[2 * 4096], 0);
		assert_int_equal(s.host[512 * 4096 - 1], 0);
		assert_int_equal(s.host[512 * 4096], 0x5a);
		assert_int_equal(memory_discard(mem, 0, 4095), 0); /* no whole page */
		assert_int_equal(memory_read(mem, 0, &byte, 1), 0);
		assert_int_equal(byte, 0x5a);
		memory_free(mem);
	}
}

static void discard__takes_both_sides_but_not_the_hole(void **state)
{
	(void)state;
	struct memory *mem = make_plain(4 * GIB, true);
	char byte = 1;
	assert_int_equal(memory_write(mem, 4 * GIB + 4096, &byte, 1), 0);
	assert_int_equal(memory_discard(mem, 4 * GIB, GIB), 0);
	assert_int_equal(memory_read(mem, 4 * GIB + 4096, &byte, 1), 0);
	assert_int_equal(byte, 0);
	assert_int_equal(memory_discard(mem, 3 * GIB - 4096, 8192), -EFAULT);
	assert_int_equal(memory_discard(mem, 5 * GIB, 4096), -EFAULT);
	assert_int_equal(memory_discard(mem, UINT64_MAX - 4095, UINT64_MAX), -EFAULT);
	assert_int_equal(memory_discard(mem, UINT64_MAX, 0), 0);
	memory_free(mem);
}

static void expect__changes_no_byte_at_any_edge(void **state)
{
	(void)state;
	struct memory *mem = make_plain(5 * MIB, false);
	char in = 0x5a, out = 0;
	assert_int_equal(memory_write(mem, 5 * MIB - 1, &in, 1), 0);
	memory_expect(mem, 0, 5 * MIB);
	memory_expect(mem, 3 * MIB + 5, UINT64_MAX);
	memory_expect(mem, 5 * MIB - 1, 2 * MIB);
	memory_expect(mem, 5 * MIB, 2 * MIB);
	memory_expect(mem, UINT64_MAX, UINT64_MAX);
	assert_int_equal(memory_read(mem, 5 * MIB - 1, &out, 1), 0);
	assert_int_equal(out, 0x5a);
	assert_int_equal(memory_discard(mem, 0, 5 * MIB), 0);
	assert_int_equal(memory_read(mem, 5 * MIB - 1, &out, 1), 0);
	assert_int_equal(out, 0);
	memory_free(mem);
}

static void free__takes_null(void **state)
{
	(void)state;
	memory_free(NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(new__small_ram_is_one_region),
		cmocka_unit_test(new__exactly_up_to_the_hole),
		cmocka_unit_test(new__big_ram_goes_around_the_hole),
		cmocka_unit_test(new__refuses_sizes_and_mixes),
		cmocka_unit_test(new__short_huge_pages_are_an_error),
		cmocka_unit_test(new__prefault_makes_it_resident),
		cmocka_unit_test(new__does_not_touch_otherwise),
		cmocka_unit_test(new__shared_cannot_be_cut),
		cmocka_unit_test(span__edges_and_overflow),
		cmocka_unit_test(piece__is_cut_at_the_region),
		cmocka_unit_test(add_file__lies_behind_and_is_read_only),
		cmocka_unit_test(add_file__refuses_odd_sizes_and_too_many),
		cmocka_unit_test(copy__crosses_regions_only_where_they_touch),
		cmocka_unit_test(discard__gives_whole_pages_back),
		cmocka_unit_test(discard__takes_both_sides_but_not_the_hole),
		cmocka_unit_test(expect__changes_no_byte_at_any_edge),
		cmocka_unit_test(free__takes_null),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

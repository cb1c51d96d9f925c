/* SPDX-License-Identifier: Apache-2.0 */
/* test_bus - who answers, and what nobody answers for. */
#include "vmm/bus.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

/* A device that remembers what it was asked. */
struct probe {
	unsigned int n_reads, n_writes;
	uint64_t offset[8];
	unsigned int size[8];
	uint8_t data[8];
};

static void on_read(void *arg, uint64_t offset, void *data, unsigned int size)
{
	struct probe *p = arg;
	p->offset[p->n_reads % 8] = offset;
	p->size[p->n_reads++ % 8] = size;
	memset(data, 0x11, size);
}

static void on_write(void *arg, uint64_t offset, const void *data, unsigned int size)
{
	struct probe *p = arg;
	p->offset[p->n_writes % 8] = offset;
	p->size[p->n_writes++ % 8] = size;
	memcpy(p->data, data, size);
}

static const struct bus_handler both = { on_read, on_write };
static const struct bus_handler neither = { NULL, NULL };

static int setup(void **state)
{
	struct bus *bus = NULL;
	int rc = bus_new(&bus, NULL);
	*state = bus;
	return rc;
}

static int teardown(void **state)
{
	bus_free(*state);
	return 0;
}

static int add(struct bus *bus, enum bus_kind kind, uint64_t start, uint64_t size, void *arg)
{
	struct err err = ERR_INIT;
	int rc = bus_add(bus, kind, start, size, arg ? &both : &neither, arg, &err);
	assert_int_equal(rc < 0, err.text[0] != '\0');
	return rc;
}

static void add__refuses_overlaps(void **state)
{
	struct bus *bus = *state;
	struct probe p = { 0 };
	assert_int_equal(add(bus, BUS_MMIO, 0x2000, 0x1000, &p), 0);
	assert_int_equal(add(bus, BUS_MMIO, 0x2000, 0x1000, &p), -EEXIST);
	assert_int_equal(add(bus, BUS_MMIO, 0x2fff, 1, &p), -EEXIST);
	assert_int_equal(add(bus, BUS_MMIO, 0x1000, 0x1001, &p), -EEXIST);
	assert_int_equal(add(bus, BUS_MMIO, 0x1000, 0x4000, &p), -EEXIST);
	assert_int_equal(add(bus, BUS_MMIO, 0, UINT64_MAX, &p), -EEXIST);
	assert_int_equal(add(bus, BUS_MMIO, 0x3000, 0x1000, &p), 0);
	assert_int_equal(add(bus, BUS_MMIO, 0x1000, 0x1000, &p), 0);
	assert_int_equal(add(bus, BUS_PIO, 0x2000, 0x1000, &p), 0); /* another space */
}

static void add__refuses_what_does_not_fit(void **state)
{
	struct bus *bus = *state;
	struct probe p = { 0 };
	assert_int_equal(add(bus, BUS_MMIO, 0x1000, 0, &p), -EINVAL);
	assert_int_equal(add(bus, BUS_MMIO, UINT64_MAX, 2, &p), -EINVAL);
	assert_int_equal(add(bus, BUS_MMIO, 0x1000, UINT64_MAX, &p), -EINVAL);
	assert_int_equal(add(bus, BUS_MMIO, UINT64_MAX, 1, &p), 0);
	assert_int_equal(add(bus, BUS_PIO, 0x10000, 1, &p), -EINVAL);
	assert_int_equal(add(bus, BUS_PIO, 0xffff, 2, &p), -EINVAL);
	assert_int_equal(add(bus, BUS_PIO, 0xffff, 1, &p), 0);
}

static void read__nobody_is_all_ones(void **state)
{
	struct bus *bus = *state;
	for (unsigned int size = 1; size <= 8; size++) {
		uint8_t data[10] = { 0 };
		bus_read(bus, BUS_MMIO, 0xd0000000, data, size);
		for (unsigned int i = 0; i < 10; i++)
			assert_int_equal(data[i], i < size ? 0xff : 0);
		bus_read(bus, BUS_MMIO, UINT64_MAX, data, size);
		bus_read(bus, BUS_PIO, 0xffff, data, size);
		bus_write(bus, BUS_MMIO, UINT64_MAX, data, size);
		bus_write(bus, BUS_PIO, 0, data, size);
	}
}

static void read__finds_the_right_one(void **state)
{
	struct bus *bus = *state;
	struct probe p[5] = { 0 };
	/* not in order */
	static const uint64_t starts[] = { 0x5000, 0x1000, 0x4000, 0x2000, 0x3000 };
	for (int i = 0; i < 5; i++)
		assert_int_equal(add(bus, BUS_MMIO, starts[i], 0x800, &p[i]), 0);
	for (int i = 0; i < 5; i++) {
		uint8_t byte = 0;
		bus_read(bus, BUS_MMIO, starts[i] + 0x7ff, &byte, 1);
		assert_int_equal(byte, 0x11);
		assert_int_equal(p[i].n_reads, 1);
		assert_int_equal(p[i].offset[0], 0x7ff);
		bus_read(bus, BUS_MMIO, starts[i] + 0x800, &byte, 1);
		assert_int_equal(byte, 0xff);
		bus_read(bus, BUS_MMIO, starts[i] - 1, &byte, 1);
		assert_int_equal(byte, 0xff);
		assert_int_equal(p[i].n_reads, 1);
	}
}

static void read__is_cut_at_the_end(void **state)
{
	struct bus *bus = *state;
	struct probe p = { 0 }, next = { 0 };
	assert_int_equal(add(bus, BUS_MMIO, 0x1000, 0x10, &p), 0);
	assert_int_equal(add(bus, BUS_MMIO, 0x1010, 0x10, &next), 0);
	for (unsigned int inside = 1; inside < 8; inside++) {
		uint8_t data[8] = { 0 };
		bus_read(bus, BUS_MMIO, 0x1010 - inside, data, 8);
		for (unsigned int i = 0; i < 8; i++)
			assert_int_equal(data[i], i < inside ? 0x11 : 0xff);
		assert_int_equal(p.size[(p.n_reads - 1) % 8], inside);
	}
	assert_int_equal(next.n_reads, 0);
	/* at the very end of the address space */
	struct probe end = { 0 };
	uint8_t data[4] = { 0 };
	assert_int_equal(add(bus, BUS_MMIO, UINT64_MAX - 1, 2, &end), 0);
	bus_read(bus, BUS_MMIO, UINT64_MAX - 1, data, 4);
	assert_memory_equal(data, "\x11\x11\xff\xff", 4);
}

static void write__is_cut_at_the_end(void **state)
{
	struct bus *bus = *state;
	struct probe p = { 0 };
	assert_int_equal(add(bus, BUS_MMIO, 0x1000, 0x10, &p), 0);
	bus_write(bus, BUS_MMIO, 0x100e, "abcdefgh", 8);
	assert_int_equal(p.n_writes, 1);
	assert_int_equal(p.offset[0], 0xe);
	assert_int_equal(p.size[0], 2);
	assert_memory_equal(p.data, "ab\0", 3);
}

static void pio__never_sees_three_bytes(void **state)
{
	struct bus *bus = *state;
	struct probe p = { 0 };
	uint8_t data[4] = { 0 };
	assert_int_equal(add(bus, BUS_PIO, 0x60, 3, &p), 0);
	bus_read(bus, BUS_PIO, 0x60, data, 4);
	assert_int_equal(p.n_reads, 2);
	assert_int_equal(p.size[0], 2);
	assert_int_equal(p.offset[1], 2);
	assert_int_equal(p.size[1], 1);
	assert_memory_equal(data, "\x11\x11\x11\xff", 4);
	bus_write(bus, BUS_PIO, 0x60, "wxyz", 4);
	assert_int_equal(p.n_writes, 2);
	assert_int_equal(p.data[0], 'y');
}

static void handlers__may_be_missing(void **state)
{
	struct bus *bus = *state;
	uint8_t data[4] = { 0 };
	assert_int_equal(add(bus, BUS_MMIO, 0x1000, 0x10, NULL), 0);
	bus_read(bus, BUS_MMIO, 0x1000, data, 4);
	assert_memory_equal(data, "\xff\xff\xff\xff", 4);
	bus_write(bus, BUS_MMIO, 0x1000, data, 4);
}

static void free__takes_null(void **state)
{
	(void)state;
	bus_free(NULL);
}

#define CASE(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(add__refuses_overlaps),
		CASE(add__refuses_what_does_not_fit),
		CASE(read__nobody_is_all_ones),
		CASE(read__finds_the_right_one),
		CASE(read__is_cut_at_the_end),
		CASE(write__is_cut_at_the_end),
		CASE(pio__never_sees_three_bytes),
		CASE(handlers__may_be_missing),
		CASE(free__takes_null),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

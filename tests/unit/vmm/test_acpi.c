/* SPDX-License-Identifier: Apache-2.0 */
/* test_acpi - the tables' bytes: checksums, links, encodings; and what iasl, where it
 * is installed, makes of them. */
#include "vmm/acpi_aml.h"
#include "vmm/acpi_tables.h"

#include "isola/fd.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define CPUS 3

static const uint32_t apic_ids[CPUS] = { 0, 1, 300 };

struct fixture {
	uint8_t buf[ACPI_BYTES];
	size_t size;
	struct vm_window windows[VM_DEVICES_MAX];
	struct acpi_facts facts;
	struct err err;
};

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));
	assert_non_null(f);
	for (uint32_t i = 0; i < VM_DEVICES_MAX; i++)
		f->windows[i] = (struct vm_window){ VM_MMIO_START + i * VM_MMIO_SIZE, 5 + i,
						    i >= 4 && i < 7 ? i - 3 : 0 };
	f->facts = (struct acpi_facts){ .apic_ids = apic_ids,
					.n_cpus = CPUS,
					.windows = f->windows,
					.n_windows = VM_DEVICES_MAX,
					.watchdog = true };
	assert_int_equal(acpi_tables(&f->facts, f->buf, sizeof(f->buf), &f->size, &f->err), 0);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	free(*state);
	return 0;
}

static uint8_t sum(const uint8_t *bytes, size_t size)
{
	uint8_t n = 0;
	for (size_t i = 0; i < size; i++)
		n = (uint8_t)(n + bytes[i]);
	return n;
}

static uint64_t number(const uint8_t *at, size_t size)
{
	uint64_t n = 0;
	memcpy(&n, at, size);
	return n;
}

/* Follows RSDP and XSDT as a guest does. NULL when there is none. */
static const uint8_t *find_table(const struct fixture *f, const char *signature)
{
	const uint8_t *xsdt = f->buf + (number(f->buf + 24, 8) - ACPI_START);
	size_t n = (number(xsdt + 4, 4) - 36) / 8;
	for (size_t i = 0; i < n; i++) {
		const uint8_t *t = f->buf + (number(xsdt + 36 + i * 8, 8) - ACPI_START);
		if (memcmp(t, signature, 4) == 0)
			return t;
	}
	return NULL;
}

static const uint8_t *need_table(const struct fixture *f, const char *signature)
{
	const uint8_t *t = find_table(f, signature);
	if (t)
		return t;
	fail_msg("there is no %.4s", signature);
	return f->buf; /* not reached */
}

static const uint8_t *find_dsdt(const struct fixture *f)
{
	return f->buf + (number(need_table(f, "FACP") + 140, 8) - ACPI_START);
}

static void rsdp__is_found_and_sums_up(void **state)
{
	struct fixture *f = *state;
	assert_memory_equal(f->buf, "RSD PTR ", 8);
	assert_int_equal(f->buf[15], 2);
	assert_int_equal(sum(f->buf, 20), 0);
	assert_int_equal(sum(f->buf, 36), 0);
}

static void every_table__sums_up_within_the_buffer(void **state)
{
	struct fixture *f = *state;
	static const char *const names[] = { "FACP", "APIC", "WDAT" };
	for (size_t i = 0; i < 3; i++) {
		const uint8_t *t = need_table(f, names[i]);
		assert_int_equal(sum(t, number(t + 4, 4)), 0);
		assert_true(t + number(t + 4, 4) <= f->buf + f->size);
	}
	const uint8_t *dsdt = find_dsdt(f);
	assert_memory_equal(dsdt, "DSDT", 4);
	assert_int_equal(sum(dsdt, number(dsdt + 4, 4)), 0);
}

static void fadt__is_hardware_reduced(void **state)
{
	const uint8_t *t = need_table(*state, "FACP");
	assert_int_equal(number(t + 4, 4), 276);
	assert_true(number(t + 112, 4) & 1 << 20);
	assert_true(number(t + 112, 4) & 1 << 10);
	assert_false(number(t + 109, 2) & 1 << 1); /* no 8042 */
	assert_true(number(t + 109, 2) & 1 << 5);  /* no CMOS clock */
	assert_int_equal(t[116], 1);               /* reset: an I/O port */
	assert_int_equal(number(t + 120, 8), ACPI_PORT_RESET);
	assert_int_equal(t[128], ACPI_RESET_VALUE);
	assert_int_equal(number(t + 248, 8), ACPI_PORT_SLEEP);
	assert_int_equal(number(t + 260, 8), ACPI_PORT_SLEEP + 1);
}

static void madt__names_each_processor(void **state)
{
	const uint8_t *t = need_table(*state, "APIC");
	const uint8_t *end = t + number(t + 4, 4), *e = t + 44;
	uint32_t ids[8];
	unsigned int n = 0, n_io = 0;
	assert_int_equal(number(t + 40, 4), 0); /* no 8259 */
	for (; e < end; e += e[1]) {
		assert_true(e[1] >= 2 && e + e[1] <= end);
		if (e[0] == 0)
			ids[n++] = e[3];
		else if (e[0] == 9)
			ids[n++] = (uint32_t)number(e + 4, 4);
		else if (e[0] == 1)
			n_io++;
	}
	assert_int_equal(n, CPUS);
	assert_int_equal(n_io, 1);
	for (unsigned int i = 0; i < CPUS; i++)
		assert_int_equal(ids[i], apic_ids[i]);
}

static void dsdt__has_a_node_per_window(void **state)
{
	struct fixture *f = *state;
	const uint8_t *dsdt = find_dsdt(f);
	size_t size = number(dsdt + 4, 4);
	for (size_t i = 0; i < VM_DEVICES_MAX; i++) {
		uint32_t start = (uint32_t)f->windows[i].start;
		const uint8_t *at = memmem(dsdt, size, &start, 4);
		assert_non_null(at);
		assert_int_equal(number(at + 4, 4), VM_MMIO_SIZE);
		assert_int_equal(at[8], 0x89); /* its interrupt follows */
		assert_int_equal(number(at + 13, 4), f->windows[i].gsi);
	}
	assert_non_null(memmem(dsdt, size, "ACPI0013", 9));
	assert_non_null(memmem(dsdt, size, "VM_Gen_Counter", 15));
	assert_non_null(memmem(dsdt, size, "QEMU0001", 9));
	assert_non_null(memmem(dsdt, size, "\x08_S5_", 5));
}

/* Found by Linux when it is told of it: a container for each, whose child is there when its bit
 * of the register is set. */
static void dsdt__has_places_for_what_comes_later(void **state)
{
	struct fixture *f = *state;
	const uint8_t *dsdt = find_dsdt(f);
	size_t size = number(dsdt + 4, 4);
	/* OperationRegion (PREG, SystemIO, 0x608, 4) */
	assert_non_null(memmem(dsdt, size, "PREG\x01\x0b\x08\x06\x0a\x04", 10));
	for (unsigned int i = 0; i < 3; i++) {
		char name[8], child[8];
		(void)snprintf(name, sizeof(name), "HP%02X", i);
		(void)snprintf(child, sizeof(child), "VR%02X", i + 4);
		const uint8_t *place = memmem(dsdt, size, "ACPI0004", 8);
		/* the first is named in the event method: a bus check for it */
		const uint8_t *named = memmem(dsdt, size, name, 4);
		assert_non_null(place);
		assert_non_null(named);
		assert_int_equal(named[-1], 0x86);
		assert_int_equal(named[4], 0);
		const uint8_t *device =
			memmem(named + 4, (size_t)(dsdt + size - named - 4), name, 4);
		assert_non_null(device);
		const uint8_t *window = memmem(device, 64, child, 4);
		assert_non_null(window);
		assert_non_null(memmem(window, 16, "_STA", 4));
	}
	for (uint32_t i = 0; i < VM_DEVICES_MAX; i++)
		f->windows[i].place = 0;
	assert_int_equal(acpi_tables(&f->facts, f->buf, sizeof(f->buf), &f->size, &f->err), 0);
	dsdt = find_dsdt(f);
	assert_null(memmem(dsdt, number(dsdt + 4, 4), "PREG", 4));
	assert_null(memmem(dsdt, number(dsdt + 4, 4), "ACPI0004", 8));
}

static void watchdog__has_a_table_only_when_there_is_one(void **state)
{
	struct fixture *f = *state;
	f->facts.watchdog = false;
	assert_int_equal(acpi_tables(&f->facts, f->buf, sizeof(f->buf), &f->size, &f->err), 0);
	assert_null(find_table(f, "WDAT"));
	assert_non_null(find_table(f, "APIC"));
}

static void tables__fit_for_the_largest_machine(void **state)
{
	struct fixture *f = *state;
	uint32_t ids[255];
	for (uint32_t i = 0; i < 255; i++)
		ids[i] = 256 + i;
	f->facts.apic_ids = ids;
	f->facts.n_cpus = 255;
	assert_int_equal(acpi_tables(&f->facts, f->buf, sizeof(f->buf), &f->size, &f->err), 0);
}

static void too_little_room__is_an_error_at_every_size(void **state)
{
	struct fixture *f = *state;
	size_t whole = f->size, size;
	for (size_t max = 0; max < whole; max++)
		assert_int_equal(acpi_tables(&f->facts, f->buf, max, &size, &f->err), -E2BIG);
	assert_int_equal(acpi_tables(&f->facts, f->buf, whole, &size, &f->err), 0);
}

/* ---- encodings (ACPI 6.4, 20.2) ---- */

static void aml__integers_take_the_least_room(void **state)
{
	static const uint64_t values[] = { 0, 1, 0xff, 0x100, 0x10000, 0x100000000 };
	static const uint8_t expected[] = {
		0x08, 'P',  'K',  'G',  '_',  0x12, 0x88, 0x01, 0x00, 6, /* 24 bytes */
		0x00, 0x01, 0x0a, 0xff, 0x0b, 0x00, 0x01, 0x0c, 0x00, 0x00, 0x01,
		0x00, 0x0e, 0,    0,    0,    0,    1,    0,    0,    0,
	};
	uint8_t buf[64];
	struct aml aml;
	(void)state;
	aml_init(&aml, buf, sizeof(buf));
	aml_name_package(&aml, "PKG_", values, 6);
	assert_false(aml.full);
	/* length: three bytes of its own, the count, the values */
	assert_int_equal(aml.size, sizeof(expected));
	size_t length = (size_t)(buf[6] & 0xf) | (size_t)buf[7] << 4 | (size_t)buf[8] << 12;
	assert_int_equal(length, aml.size - 6);
	assert_memory_equal(buf + 9, expected + 9, sizeof(expected) - 9);
}

static void aml__eisa_ids_are_packed(void **state)
{
	static const uint8_t expected[] = {
		0x08, '_', 'H', 'I', 'D', 0x0c, 0x41, 0xd0, 0x05, 0x01
	};
	uint8_t buf[16];
	struct aml aml;
	(void)state;
	aml_init(&aml, buf, sizeof(buf));
	aml_name_eisa(&aml, "_HID", "PNP0501");
	assert_int_equal(aml.size, sizeof(expected));
	assert_memory_equal(buf, expected, sizeof(expected));
}

static void aml__full_writer_stays_within_its_buffer(void **state)
{
	uint8_t buf[8] = { 0 };
	struct aml aml;
	(void)state;
	aml_init(&aml, buf, 4);
	size_t device = aml_device(&aml, "COM1");
	aml_name_integer(&aml, "_UID", 5);
	aml_end(&aml, device);
	assert_true(aml.full);
	assert_true(aml.size <= 4);
	assert_int_equal(number(buf + 4, 4), 0);
}

/* ---- another's eyes ---- */

static void write_file(const char *dir, const char *name, const uint8_t *table)
{
	char path[256];
	(void)snprintf(path, sizeof(path), "%s/%s.aml", dir, name);
	FILE *out = fopen(path, "w");
	assert_non_null(out);
	assert_int_equal(fwrite(table, 1, number(table + 4, 4), out), number(table + 4, 4));
	assert_int_equal(fclose(out), 0);
}

static void iasl__has_nothing_to_complain(void **state)
{
	struct fixture *f = *state;
	char dir[] = "/tmp/isola-acpi-XXXXXX", command[512];
	if (system("command -v iasl >/dev/null 2>&1") != 0) {
		print_message("skipped: iasl is not installed (apt-get install acpica-tools)\n");
		skip();
	}
	assert_non_null(mkdtemp(dir));
	write_file(dir, "dsdt", find_dsdt(f));
	write_file(dir, "facp", need_table(f, "FACP"));
	write_file(dir, "apic", need_table(f, "APIC"));
	write_file(dir, "wdat", need_table(f, "WDAT"));
	/* Taken apart without a complaint, and the DSDT compiles again. */
	(void)snprintf(command, sizeof(command),
		       "cd %s && iasl -d *.aml >log 2>&1 && ! grep -iE 'error|warning|invalid' log"
		       " && test -s dsdt.dsl -a -s facp.dsl -a -s apic.dsl -a -s wdat.dsl"
		       " && iasl -vw 3073 dsdt.dsl >again 2>&1"
		       " && grep -q '0 Errors' again || { cat log again; false; }",
		       dir);
	int rc = system(command);
	struct err err = ERR_INIT;
	assert_int_equal(fd_remove_tree(AT_FDCWD, dir, &err), 0);
	assert_int_equal(rc, 0);
}

int main(void)
{
#define TEST(t) cmocka_unit_test_setup_teardown(t, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(rsdp__is_found_and_sums_up),
		TEST(every_table__sums_up_within_the_buffer),
		TEST(fadt__is_hardware_reduced),
		TEST(madt__names_each_processor),
		TEST(dsdt__has_a_node_per_window),
		TEST(dsdt__has_places_for_what_comes_later),
		TEST(watchdog__has_a_table_only_when_there_is_one),
		TEST(tables__fit_for_the_largest_machine),
		TEST(too_little_room__is_an_error_at_every_size),
		cmocka_unit_test(aml__integers_take_the_least_room),
		cmocka_unit_test(aml__eisa_ids_are_packed),
		cmocka_unit_test(aml__full_writer_stays_within_its_buffer),
		TEST(iasl__has_nothing_to_complain),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: Apache-2.0 */
/* acpi_tables - RSDP, XSDT, FADT (hardware-reduced), MADT, WDAT, DSDT (ACPI 6.4, 5.2).
 *
 * Hardware-reduced: no SMI, no PM timer, no fixed events; sleep and reset are two
 * registers of ours. No legacy PIC and timer, no CMOS clock, no 8042: so Linux does
 * not look for them. isola-vmm. */
#include "acpi_tables.h"

#include "acpi_dsdt.h"

#include <errno.h>
#include <string.h>

#define TABLE_ALIGN   16U
#define LOCAL_APIC    0xfee00000
#define IO_APIC       0xfec00000
#define APIC_ID_SMALL 255 /* from here on only x2APIC entries can name them */
#define OEM           "ISOLA "
#define OEM_TABLE     "ISOLAVMM"

enum { FADT_BYTES = 276, FADT_REVISION = 6, FADT_MINOR = 4, MADT_REVISION = 5 };
enum { TABLES_MAX = 3 };

struct header {
	char signature[4];
	uint32_t length;
	uint8_t revision, checksum;
	char oem[6], oem_table[8];
	uint32_t oem_revision;
	char creator[4];
	uint32_t creator_revision;
} __attribute__((packed));

/* Generic address (5.2.3.2). */
struct address {
	uint8_t space, bits, offset, access;
	uint64_t address;
} __attribute__((packed));

struct rsdp {
	char signature[8];
	uint8_t checksum;
	char oem[6];
	uint8_t revision;
	uint32_t rsdt, length;
	uint64_t xsdt;
	uint8_t checksum_all, reserved[3];
} __attribute__((packed));

static uint8_t checksum(const void *bytes, size_t size)
{
	uint8_t sum = 0;
	for (size_t i = 0; i < size; i++)
		sum = (uint8_t)(sum + ((const uint8_t *)bytes)[i]);
	return (uint8_t)-sum;
}

static struct address port_address(uint64_t port, uint8_t bytes)
{
	return (struct address){ .space = 1,
				 .bits = (uint8_t)(bytes * 8),
				 .access = bytes, /* 1 = byte, 2 = word */
				 .address = port };
}

/* ---- one table after the other ---- */

static size_t table_begin(struct aml *out, const char *signature, uint8_t revision)
{
	static const uint8_t zeros[TABLE_ALIGN];
	aml_bytes(out, zeros, (TABLE_ALIGN - out->size % TABLE_ALIGN) % TABLE_ALIGN);
	size_t place = out->size;
	struct header h = { .revision = revision, .oem_revision = 1, .creator_revision = 1 };
	memcpy(h.signature, signature, 4);
	memcpy(h.oem, OEM, sizeof(h.oem));
	memcpy(h.oem_table, OEM_TABLE, sizeof(h.oem_table));
	memcpy(h.creator, OEM, sizeof(h.creator));
	aml_bytes(out, &h, sizeof(h));
	return place;
}

/* Returns the table's address. */
static uint64_t table_end(struct aml *out, size_t place)
{
	if (!out->full) {
		struct header h;
		memcpy(&h, out->buf + place, sizeof(h));
		h.length = (uint32_t)(out->size - place);
		memcpy(out->buf + place, &h, sizeof(h));
		h.checksum = checksum(out->buf + place, h.length);
		memcpy(out->buf + place, &h, sizeof(h));
	}
	return ACPI_START + place;
}

static uint64_t add_dsdt(struct aml *out, const struct acpi_facts *facts)
{
	size_t place = table_begin(out, "DSDT", 2);
	acpi_dsdt(out, facts);
	return table_end(out, place);
}

/* Offsets of 5.2.9; what is not set is what hardware-reduced wants zero. */
static uint64_t add_fadt(struct aml *out, uint64_t dsdt)
{
	enum {
		BOOT_NO_VGA = 1 << 2,
		BOOT_NO_CMOS_CLOCK = 1 << 5,
		FLAG_WBINVD = 1 << 0,
		FLAG_BUTTON_IS_DEVICE = 1 << 4,
		FLAG_NO_SLEEP_BUTTON = 1 << 5,
		FLAG_RESET_REGISTER = 1 << 10,
		FLAG_REDUCED = 1 << 20,
	};
	const uint16_t boot = BOOT_NO_VGA | BOOT_NO_CMOS_CLOCK;
	const uint32_t flags = FLAG_WBINVD | FLAG_BUTTON_IS_DEVICE | FLAG_NO_SLEEP_BUTTON |
			       FLAG_RESET_REGISTER | FLAG_REDUCED;
	const struct address reset = port_address(ACPI_PORT_RESET, 1);
	const struct address sleep = port_address(ACPI_PORT_SLEEP, 1);
	const struct address status = port_address(ACPI_PORT_SLEEP + 1, 1);
	uint8_t body[FADT_BYTES] = { 0 };

	memcpy(body + 109, &boot, sizeof(boot));
	memcpy(body + 112, &flags, sizeof(flags));
	memcpy(body + 116, &reset, sizeof(reset));
	body[128] = ACPI_RESET_VALUE;
	body[131] = FADT_MINOR;
	memcpy(body + 140, &dsdt, sizeof(dsdt));
	memcpy(body + 244, &sleep, sizeof(sleep));
	memcpy(body + 256, &status, sizeof(status));
	memcpy(body + 268, "ISOLA\0\0\0", 8);
	size_t place = table_begin(out, "FACP", FADT_REVISION);
	aml_bytes(out, body + sizeof(struct header), sizeof(body) - sizeof(struct header));
	return table_end(out, place);
}

static void add_processor(struct aml *out, uint32_t uid, uint32_t apic_id)
{
	const struct {
		uint8_t type, length, uid, apic_id;
		uint32_t flags;
	} small = { 0, 8, (uint8_t)uid, (uint8_t)apic_id, 1 };
	const struct {
		uint8_t type, length;
		uint16_t reserved;
		uint32_t apic_id, flags, uid;
	} large = { 9, 16, 0, apic_id, 1, uid };
	if (apic_id < APIC_ID_SMALL)
		aml_bytes(out, &small, sizeof(small));
	else
		aml_bytes(out, &large, sizeof(large));
}

/* Without PCAT_COMPAT: there is no 8259 to switch off. */
static uint64_t add_madt(struct aml *out, const struct acpi_facts *facts)
{
	const struct {
		uint32_t local_apic, flags;
	} head = { LOCAL_APIC, 0 };
	const struct {
		uint8_t type, length, id, reserved;
		uint32_t address, gsi_base;
	} io_apic = { 1, 12, 0, 0, IO_APIC, 0 };
	const struct {
		uint8_t type, length, uid;
		uint16_t flags;
		uint8_t pin;
	} __attribute__((packed)) nmi = { 4, 6, 0xff, 0, 1 }; /* LINT1 of all processors */

	size_t place = table_begin(out, "APIC", MADT_REVISION);
	aml_bytes(out, &head, sizeof(head));
	for (unsigned int i = 0; i < facts->n_cpus; i++)
		add_processor(out, i, facts->apic_ids[i]);
	aml_bytes(out, &io_apic, sizeof(io_apic));
	aml_bytes(out, &nmi, sizeof(nmi));
	return table_end(out, place);
}

/* The watchdog's registers as actions (Microsoft, Watchdog Action Table 1.01). */
static uint64_t add_wdat(struct aml *out)
{
	enum { READ_VALUE, READ_COUNT, WRITE_VALUE, WRITE_COUNT };
	static const struct {
		uint8_t action, instruction, port, bytes;
		uint32_t value, mask;
	} rows[] = {
		{ 0x01, WRITE_VALUE, WATCHDOG_FEED, 1, 1, 0xff },
		{ 0x04, READ_COUNT, WATCHDOG_LEFT, 2, 0, 0xffff },
		{ 0x05, READ_COUNT, WATCHDOG_TIMEOUT, 2, 0, 0xffff },
		{ 0x06, WRITE_COUNT, WATCHDOG_TIMEOUT, 2, 0, 0xffff },
		{ 0x08, READ_VALUE, WATCHDOG_RUNS, 1, 1, 0xff },
		{ 0x09, WRITE_VALUE, WATCHDOG_RUNS, 1, 1, 0xff },
		{ 0x0a, READ_VALUE, WATCHDOG_RUNS, 1, 0, 0xff },
		{ 0x0b, WRITE_VALUE, WATCHDOG_RUNS, 1, 0, 0xff },
		{ 0x20, READ_VALUE, WATCHDOG_STATUS, 1, 1, 0xff },
		{ 0x21, WRITE_VALUE, WATCHDOG_STATUS, 1, 1, 0xff },
	};
	const struct {
		uint32_t header_bytes;
		uint16_t segment;
		uint8_t bus, device, function, reserved[3];
		uint32_t period_ms, count_max, count_min;
		uint8_t flags, reserved2[3];
		uint32_t n;
	} __attribute__((packed)) head = {
		.header_bytes = 32,
		.segment = 0xff,
		.bus = 0xff,
		.device = 0xff,
		.function = 0xff,
		.period_ms = WATCHDOG_PERIOD_MS,
		.count_max = 0xffff,
		.count_min = 1,
		.flags = 1,
		.n = sizeof(rows) / sizeof(rows[0]),
	};
	size_t place = table_begin(out, "WDAT", 1);
	aml_bytes(out, &head, sizeof(head));
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		const struct {
			uint8_t action, instruction;
			uint16_t reserved;
			struct address at;
			uint32_t value, mask;
		} __attribute__((packed)) entry = {
			rows[i].action,
			rows[i].instruction,
			0,
			port_address(ACPI_PORT_WATCHDOG + rows[i].port, rows[i].bytes),
			rows[i].value,
			rows[i].mask,
		};
		aml_bytes(out, &entry, sizeof(entry));
	}
	return table_end(out, place);
}

static uint64_t add_xsdt(struct aml *out, const uint64_t *tables, size_t n)
{
	size_t place = table_begin(out, "XSDT", 1);
	aml_bytes(out, tables, n * sizeof(tables[0]));
	return table_end(out, place);
}

static void write_rsdp(uint8_t *to, uint64_t xsdt)
{
	struct rsdp r = { .revision = 2, .length = sizeof(r), .xsdt = xsdt };
	memcpy(r.signature, "RSD PTR ", 8);
	memcpy(r.oem, OEM, sizeof(r.oem));
	r.checksum = checksum(&r, 20); /* what ACPI 1.0 knew of it */
	r.checksum_all = checksum(&r, sizeof(r));
	memcpy(to, &r, sizeof(r));
}

int acpi_tables(const struct acpi_facts *facts, uint8_t *buf, size_t max, size_t *ret_size,
		struct err *err)
{
	static const struct rsdp empty;
	uint64_t tables[TABLES_MAX];
	size_t n = 0;
	struct aml out;

	aml_init(&out, buf, max);
	aml_bytes(&out, &empty, sizeof(empty));
	uint64_t dsdt = add_dsdt(&out, facts);
	tables[n++] = add_fadt(&out, dsdt);
	tables[n++] = add_madt(&out, facts);
	if (facts->watchdog)
		tables[n++] = add_wdat(&out);
	uint64_t xsdt = add_xsdt(&out, tables, n);
	if (out.full)
		return err_set(err, E2BIG, "the ACPI tables need more than %zu bytes", max);
	write_rsdp(buf, xsdt);
	*ret_size = out.size;
	return 0;
}

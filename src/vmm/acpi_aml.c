/* SPDX-License-Identifier: Apache-2.0 */
/* acpi_aml - see acpi_aml.h. Every package length takes three bytes, whatever it
 * is: so a package can be closed in place (ACPI 6.4, 20.2.4). isola-vmm. */
#include "acpi_aml.h"

#include <string.h>

enum {
	OP_ZERO = 0x00,
	OP_ONE = 0x01,
	OP_NAME = 0x08,
	OP_BYTE = 0x0a,
	OP_WORD = 0x0b,
	OP_DWORD = 0x0c,
	OP_STRING = 0x0d,
	OP_QWORD = 0x0e,
	OP_SCOPE = 0x10,
	OP_BUFFER = 0x11,
	OP_PACKAGE = 0x12,
	OP_METHOD = 0x14,
	OP_EXT = 0x5b,
	OP_LOCAL0 = 0x60,
	OP_STORE = 0x70,
	OP_AND = 0x7b,
	OP_NOTIFY = 0x86,
	OP_IF = 0xa0,
	OP_RETURN = 0xa4,
	/* behind OP_EXT */
	OP_REGION = 0x80,
	OP_FIELD = 0x81,
	OP_DEVICE = 0x82,
};

#define LENGTH_BYTES  3
#define LENGTH_MAX    0xfffff
#define END_TAG       0x79
#define SPACE_IO      1
#define FIELD_DWORD   3 /* access by 32 bits, no lock, preserve */
#define METHOD_SERIAL 8

void aml_init(struct aml *aml, uint8_t *buf, size_t max)
{
	*aml = (struct aml){ .buf = buf, .max = max };
}

void aml_bytes(struct aml *aml, const void *bytes, size_t size)
{
	if (aml->full || size > aml->max - aml->size) {
		aml->full = true;
		return;
	}
	memcpy(aml->buf + aml->size, bytes, size);
	aml->size += size;
}

static void byte(struct aml *aml, unsigned int value)
{
	uint8_t b = (uint8_t)value;
	aml_bytes(aml, &b, 1);
}

/* Little endian, as the machine is. */
static void number(struct aml *aml, uint64_t value, size_t size)
{
	aml_bytes(aml, &value, size);
}

static void integer(struct aml *aml, uint64_t value)
{
	if (value <= 1) {
		byte(aml, value ? OP_ONE : OP_ZERO);
	} else if (value <= UINT8_MAX) {
		byte(aml, OP_BYTE);
		number(aml, value, 1);
	} else if (value <= UINT16_MAX) {
		byte(aml, OP_WORD);
		number(aml, value, 2);
	} else if (value <= UINT32_MAX) {
		byte(aml, OP_DWORD);
		number(aml, value, 4);
	} else {
		byte(aml, OP_QWORD);
		number(aml, value, 8);
	}
}

/* ---- packages ---- */

static size_t package(struct aml *aml)
{
	size_t place = aml->size;
	number(aml, 0, LENGTH_BYTES);
	return place;
}

void aml_end(struct aml *aml, size_t place)
{
	if (aml->full)
		return;
	size_t n = aml->size - place;
	if (n > LENGTH_MAX) {
		aml->full = true;
		return;
	}
	aml->buf[place] = (uint8_t)((LENGTH_BYTES - 1) << 6 | (n & 0xf));
	aml->buf[place + 1] = (uint8_t)(n >> 4);
	aml->buf[place + 2] = (uint8_t)(n >> 12);
}

size_t aml_scope(struct aml *aml, const char *name)
{
	byte(aml, OP_SCOPE);
	size_t place = package(aml);
	aml_bytes(aml, name, 4);
	return place;
}

size_t aml_device(struct aml *aml, const char *name)
{
	byte(aml, OP_EXT);
	byte(aml, OP_DEVICE);
	size_t place = package(aml);
	aml_bytes(aml, name, 4);
	return place;
}

size_t aml_method(struct aml *aml, const char *name, unsigned int n_args, bool serialized)
{
	byte(aml, OP_METHOD);
	size_t place = package(aml);
	aml_bytes(aml, name, 4);
	byte(aml, n_args | (serialized ? METHOD_SERIAL : 0));
	return place;
}

size_t aml_if_local0(struct aml *aml, uint64_t mask)
{
	byte(aml, OP_IF);
	size_t place = package(aml);
	byte(aml, OP_AND);
	byte(aml, OP_LOCAL0);
	integer(aml, mask);
	byte(aml, OP_ZERO); /* no target */
	return place;
}

/* ---- names ---- */

static void name(struct aml *aml, const char *text)
{
	byte(aml, OP_NAME);
	aml_bytes(aml, text, 4);
}

void aml_name_integer(struct aml *aml, const char *text, uint64_t value)
{
	name(aml, text);
	integer(aml, value);
}

void aml_name_string(struct aml *aml, const char *text, const char *value)
{
	name(aml, text);
	byte(aml, OP_STRING);
	aml_bytes(aml, value, strlen(value) + 1);
}

static unsigned int hex(char c)
{
	return c <= '9' ? (unsigned int)(c - '0') : (unsigned int)(c - 'A' + 10);
}

/* Three letters of five bits, four digits; stored big endian (ACPI 6.4, 19.3.4). */
void aml_name_eisa(struct aml *aml, const char *text, const char *id)
{
	uint32_t v = 0;
	for (int i = 0; i < 3; i++)
		v = v << 5 | (uint32_t)(id[i] - '@');
	for (int i = 3; i < 7; i++)
		v = v << 4 | hex(id[i]);
	/* 31 bits: the top one is zero already */
	name(aml, text);
	byte(aml, OP_DWORD);
	number(aml, __builtin_bswap32(v), 4);
}

void aml_name_package(struct aml *aml, const char *text, const uint64_t *values, uint8_t n)
{
	name(aml, text);
	byte(aml, OP_PACKAGE);
	size_t place = package(aml);
	byte(aml, n);
	for (uint8_t i = 0; i < n; i++)
		integer(aml, values[i]);
	aml_end(aml, place);
}

/* ---- code ---- */

void aml_local0_from(struct aml *aml, const char *from)
{
	byte(aml, OP_STORE);
	aml_bytes(aml, from, 4);
	byte(aml, OP_LOCAL0);
}

void aml_notify(struct aml *aml, const char *to, uint64_t value)
{
	byte(aml, OP_NOTIFY);
	aml_bytes(aml, to, 4);
	integer(aml, value);
}

void aml_return(struct aml *aml, uint64_t value)
{
	byte(aml, OP_RETURN);
	integer(aml, value);
}

void aml_port_field(struct aml *aml, const char *region, uint16_t port, const char *field)
{
	byte(aml, OP_EXT);
	byte(aml, OP_REGION);
	aml_bytes(aml, region, 4);
	byte(aml, SPACE_IO);
	integer(aml, port);
	integer(aml, 4);
	byte(aml, OP_EXT);
	byte(aml, OP_FIELD);
	size_t place = package(aml);
	aml_bytes(aml, region, 4);
	byte(aml, FIELD_DWORD);
	aml_bytes(aml, field, 4);
	byte(aml, 32); /* bits; as a package length it is one byte */
	aml_end(aml, place);
}

/* ---- resources ---- */

/* Behind the package length: the buffer's size as a word, patched at the end. */
size_t aml_resources(struct aml *aml)
{
	name(aml, "_CRS");
	byte(aml, OP_BUFFER);
	size_t place = package(aml);
	byte(aml, OP_WORD);
	number(aml, 0, 2);
	return place;
}

void aml_resources_end(struct aml *aml, size_t place)
{
	byte(aml, END_TAG);
	byte(aml, 0); /* no checksum */
	if (!aml->full) {
		uint16_t n = (uint16_t)(aml->size - place - LENGTH_BYTES - 3);
		memcpy(aml->buf + place + LENGTH_BYTES + 1, &n, sizeof(n));
	}
	aml_end(aml, place);
}

void aml_resource_io(struct aml *aml, uint16_t port, uint8_t size)
{
	byte(aml, 0x47); /* small: I/O port, 7 bytes */
	byte(aml, 1);    /* decodes 16 bits */
	number(aml, port, 2);
	number(aml, port, 2);
	byte(aml, 1); /* alignment */
	byte(aml, size);
}

void aml_resource_memory(struct aml *aml, uint32_t start, uint32_t size)
{
	byte(aml, 0x86); /* large: 32-bit fixed memory range */
	number(aml, 9, 2);
	byte(aml, 1); /* writeable */
	number(aml, start, 4);
	number(aml, size, 4);
}

void aml_resource_interrupt(struct aml *aml, uint32_t gsi)
{
	byte(aml, 0x89); /* large: extended interrupt */
	number(aml, 6, 2);
	byte(aml, 0x3); /* consumer, edge, active high, exclusive */
	byte(aml, 1);
	number(aml, gsi, 4);
}

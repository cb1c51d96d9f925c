/* SPDX-License-Identifier: Apache-2.0 */
/* tlv - fields in a row of bytes: { u16 tag; u16 zero; u32 size; bytes }, little-endian,
 * not aligned, without padding. A field may hold fields. Numbers are always eight bytes,
 * texts end in the one NUL they have, so both are used where they lie.
 *
 * Reading allocates nothing and believes nothing. Used by both sides of isola/guest.h:
 * in isola-keeper, and in isola-init, which is built without the rest of util. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define TLV_HEAD_BYTES 8

struct tlv_reader {
	const uint8_t *at;
	size_t left;
};

struct tlv_field {
	uint16_t tag;
	uint32_t size;
	const uint8_t *data; /* borrowed from what is read */
};

static inline struct tlv_reader tlv_read(const void *data, size_t size)
{
	return (struct tlv_reader){ .at = data, .left = size };
}

/* The next field: 1, 0 at the end, -EPROTO for what is no field. */
int tlv_next(struct tlv_reader *r, struct tlv_field *ret);

/* The first field with @tag of @size bytes at @data: 1, 0 where there is none, -EPROTO.
 * Looks at all of them, so a malformed row is never half accepted. */
int tlv_find(const void *data, size_t size, uint16_t tag, struct tlv_field *ret);

/* 0, or -EPROTO where @f is no number, or no text. @ret_text borrows. */
int tlv_get_u64(const struct tlv_field *f, uint64_t *ret);
int tlv_get_text(const struct tlv_field *f, const char **ret_text);

/* The number, or text, with @tag; @otherwise where there is none, or it is not one. */
uint64_t tlv_u64_or(const void *data, size_t size, uint16_t tag, uint64_t otherwise);
const char *tlv_text_or(const void *data, size_t size, uint16_t tag, const char *otherwise);

/* Little-endian numbers at any place. */
uint64_t tlv_load(const uint8_t *at, unsigned int bytes);
void tlv_store(uint8_t *at, unsigned int bytes, uint64_t value);

/* A failure (memory, or more than TLV_BYTES_MAX) sticks: look at it once at the end. */
#define TLV_BYTES_MAX (1024 * 1024)
struct tlv_writer {
	uint8_t *data; /* owned */
	size_t size, cap;
	bool failed;
};

void tlv_writer_fini(struct tlv_writer *w);
#define cleanup_tlv __attribute__((cleanup(tlv_writer_fini)))

void tlv_put(struct tlv_writer *w, uint16_t tag, const void *data, size_t size);
void tlv_put_u64(struct tlv_writer *w, uint16_t tag, uint64_t value);
/* NULL: puts nothing. */
void tlv_put_text(struct tlv_writer *w, uint16_t tag, const char *text);
/* What is put between the two lies in a field with @tag. tlv_open() returns the mark for
 * tlv_close(). */
size_t tlv_open(struct tlv_writer *w, uint16_t tag);
void tlv_close(struct tlv_writer *w, size_t mark);

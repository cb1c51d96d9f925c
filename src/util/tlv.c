/* SPDX-License-Identifier: Apache-2.0 */
/* tlv - see include/isola/tlv.h. */
#include "isola/tlv.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

uint64_t tlv_load(const uint8_t *at, unsigned int bytes)
{
	uint64_t value = 0;
	for (unsigned int i = 0; i < bytes; i++)
		value |= (uint64_t)at[i] << (8 * i);
	return value;
}

void tlv_store(uint8_t *at, unsigned int bytes, uint64_t value)
{
	for (unsigned int i = 0; i < bytes; i++)
		at[i] = (uint8_t)(value >> (8 * i));
}

int tlv_next(struct tlv_reader *r, struct tlv_field *ret)
{
	if (r->left == 0)
		return 0;
	if (r->left < TLV_HEAD_BYTES || tlv_load(r->at + 2, 2) != 0)
		return -EPROTO;
	const uint32_t size = (uint32_t)tlv_load(r->at + 4, 4);
	if (size > r->left - TLV_HEAD_BYTES)
		return -EPROTO;
	*ret = (struct tlv_field){ .tag = (uint16_t)tlv_load(r->at, 2),
				   .size = size,
				   .data = r->at + TLV_HEAD_BYTES };
	r->at += TLV_HEAD_BYTES + size;
	r->left -= TLV_HEAD_BYTES + size;
	return 1;
}

int tlv_find(const void *data, size_t size, uint16_t tag, struct tlv_field *ret)
{
	struct tlv_reader r = tlv_read(data, size);
	struct tlv_field f, found = { 0 };
	bool has = false;
	int rc;
	while ((rc = tlv_next(&r, &f)) > 0) {
		if (f.tag != tag || has)
			continue;
		found = f;
		has = true;
	}
	if (rc < 0 || !has)
		return rc;
	*ret = found;
	return 1;
}

int tlv_get_u64(const struct tlv_field *f, uint64_t *ret)
{
	if (f->size != 8)
		return -EPROTO;
	*ret = tlv_load(f->data, 8);
	return 0;
}

int tlv_get_text(const struct tlv_field *f, const char **ret_text)
{
	if (f->size == 0 || memchr(f->data, '\0', f->size) != f->data + f->size - 1)
		return -EPROTO;
	*ret_text = (const char *)f->data;
	return 0;
}

uint64_t tlv_u64_or(const void *data, size_t size, uint16_t tag, uint64_t otherwise)
{
	struct tlv_field f;
	uint64_t value;
	if (tlv_find(data, size, tag, &f) <= 0 || tlv_get_u64(&f, &value) < 0)
		return otherwise;
	return value;
}

const char *tlv_text_or(const void *data, size_t size, uint16_t tag, const char *otherwise)
{
	struct tlv_field f;
	const char *text;
	if (tlv_find(data, size, tag, &f) <= 0 || tlv_get_text(&f, &text) < 0)
		return otherwise;
	return text;
}

void tlv_writer_fini(struct tlv_writer *w)
{
	free(w->data);
	*w = (struct tlv_writer){ 0 };
}

static uint8_t *reserve(struct tlv_writer *w, size_t size)
{
	if (w->failed || size > TLV_BYTES_MAX - w->size) {
		w->failed = true;
		return NULL;
	}
	if (size > w->cap - w->size) {
		size_t cap = w->cap ? w->cap : 512;
		while (cap < w->size + size)
			cap *= 2;
		uint8_t *data = realloc(w->data, cap);
		if (!data) {
			w->failed = true;
			return NULL;
		}
		w->data = data;
		w->cap = cap;
	}
	uint8_t *at = w->data + w->size;
	w->size += size;
	return at;
}

void tlv_put(struct tlv_writer *w, uint16_t tag, const void *data, size_t size)
{
	/* Not "head + size": that may wrap. */
	if (size > TLV_BYTES_MAX) {
		w->failed = true;
		return;
	}
	uint8_t *at = reserve(w, TLV_HEAD_BYTES + size);
	if (!at)
		return;
	tlv_store(at, 2, tag);
	tlv_store(at + 2, 2, 0);
	tlv_store(at + 4, 4, size);
	if (size)
		memcpy(at + TLV_HEAD_BYTES, data, size);
}

void tlv_put_u64(struct tlv_writer *w, uint16_t tag, uint64_t value)
{
	uint8_t bytes[8];
	tlv_store(bytes, 8, value);
	tlv_put(w, tag, bytes, sizeof(bytes));
}

void tlv_put_text(struct tlv_writer *w, uint16_t tag, const char *text)
{
	if (text)
		tlv_put(w, tag, text, strlen(text) + 1);
}

size_t tlv_open(struct tlv_writer *w, uint16_t tag)
{
	size_t mark = w->size;
	tlv_put(w, tag, NULL, 0);
	return mark;
}

void tlv_close(struct tlv_writer *w, size_t mark)
{
	if (!w->failed)
		tlv_store(w->data + mark + 4, 4, w->size - mark - TLV_HEAD_BYTES);
}

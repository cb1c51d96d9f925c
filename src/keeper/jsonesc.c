/* SPDX-License-Identifier: Apache-2.0 */
/* jsonesc - see jsonesc.h. Plain ASCII, which is nearly all of it, goes eight
 * bytes at a time: a word with any byte that needs care is found by the usual
 * bit tricks (a borrow can only mark bytes above the lowest true hit, and only
 * the lowest one is used). */
#include "jsonesc.h"

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#define ONES  0x0101010101010101ull
#define HIGHS 0x8080808080808080ull

/* Bits set in the bytes of @w below 0x20, above 0x7f, or equal to '"' or '\\'. */
static inline uint64_t special_bytes(uint64_t w)
{
	uint64_t quote = w ^ (ONES * '"'), slash = w ^ (ONES * '\\');
	uint64_t hits = (w - ONES * 0x20) | (quote - ONES) | (slash - ONES);
	/* A high byte of @w is special by itself; its XORs are high, too. */
	return ((hits & ~w) | w) & HIGHS;
}

static inline size_t copy_plain(char *out, const char *in, size_t size)
{
	size_t i = 0;
	for (; size - i >= 8; i += 8) {
		uint64_t w;
		memcpy(&w, in + i, 8);
		memcpy(out + i, &w, 8);
		uint64_t hits = special_bytes(w);
		if (!hits)
			continue;
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
		return i + (size_t)__builtin_ctzll(hits) / 8;
#else
		break;
#endif
	}
	for (; i < size; i++) {
		unsigned char c = (unsigned char)in[i];
		if (c < 0x20 || c >= 0x80 || c == '"' || c == '\\')
			break;
		out[i] = in[i];
	}
	return i;
}

/* By lead byte: length, and the range of the second byte (Unicode, table 3-7). */
struct lead {
	unsigned char len, low, high;
};

static struct lead lead_of(unsigned char c)
{
	if (c >= 0xc2 && c <= 0xdf)
		return (struct lead){ 2, 0x80, 0xbf };
	if (c >= 0xe0 && c <= 0xef)
		return (struct lead){ 3, c == 0xe0 ? 0xa0 : 0x80, c == 0xed ? 0x9f : 0xbf };
	if (c >= 0xf0 && c <= 0xf4)
		return (struct lead){ 4, c == 0xf0 ? 0x90 : 0x80, c == 0xf4 ? 0x8f : 0xbf };
	return (struct lead){ 0, 0, 0 };
}

static bool is_tail(unsigned char c)
{
	return (c & 0xc0) == 0x80;
}

/* Length of the well-formed multi-byte character at @in, or 0. */
static inline size_t char_len(const char *in, size_t size)
{
	const unsigned char *p = (const unsigned char *)in;
	struct lead l = lead_of(p[0]);
	if (l.len == 0 || size < l.len || p[1] < l.low || p[1] > l.high)
		return 0;
	for (size_t i = 2; i < l.len; i++)
		if (!is_tail(p[i]))
			return 0;
	return l.len;
}

static size_t escape_one(char *out, unsigned char c)
{
	static const char hex[] = "0123456789abcdef";
	static const char letters[] = { ['\b'] = 'b', ['\t'] = 't', ['\n'] = 'n', ['\f'] = 'f',
					['\r'] = 'r', ['"'] = '"',  ['\\'] = '\\' };
	out[0] = '\\';
	if (c < sizeof(letters) && letters[c]) {
		out[1] = letters[c];
		return 2;
	}
	memcpy(out + 1, "u00", 3);
	out[4] = hex[c >> 4];
	out[5] = hex[c & 15];
	return 6;
}

size_t jsonesc(char *out, const char *in, size_t size)
{
	char *o = out;
	for (size_t i = 0; i < size;) {
		size_t n = copy_plain(o, in + i, size - i);
		o += n;
		i += n;
		/* Text in other scripts comes in runs: stay here for a run. */
		while (i < size && (unsigned char)in[i] >= 0x80) {
			size_t len = char_len(in + i, size - i);
			memcpy(o, len ? in + i : "\\ufffd", len ? len : 6);
			o += len ? len : 6;
			i += len ? len : 1;
		}
		while (i < size && ((unsigned char)in[i] < 0x20 || in[i] == '"' || in[i] == '\\'))
			o += escape_one(o, (unsigned char)in[i++]);
	}
	return (size_t)(o - out);
}

size_t jsonesc_cut(const char *in, size_t size)
{
	for (size_t back = 1; back <= 3 && back <= size; back++) {
		unsigned char c = (unsigned char)in[size - back];
		if (is_tail(c))
			continue;
		/* @c begins the last character: is it longer than what is here? */
		return lead_of(c).len > back ? size - back : size;
	}
	return size;
}

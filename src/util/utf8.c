/* SPDX-License-Identifier: Apache-2.0 */
/* utf8 - see include/isola/utf8.h. */
#include "isola/utf8.h"

/* By lead byte: length, and the range of the second byte. */
static const struct {
	unsigned char from, to, len, low, high;
} rows[] = {
	{ 0x00, 0x7f, 1, 0x00, 0x00 }, { 0xc2, 0xdf, 2, 0x80, 0xbf }, { 0xe0, 0xe0, 3, 0xa0, 0xbf },
	{ 0xe1, 0xec, 3, 0x80, 0xbf }, { 0xed, 0xed, 3, 0x80, 0x9f }, { 0xee, 0xef, 3, 0x80, 0xbf },
	{ 0xf0, 0xf0, 4, 0x90, 0xbf }, { 0xf1, 0xf3, 4, 0x80, 0xbf }, { 0xf4, 0xf4, 4, 0x80, 0x8f },
};

size_t utf8_len(const char *text, size_t left)
{
	const unsigned char *p = (const unsigned char *)text;
	size_t i = 0;
	while (left > 0 && i < sizeof(rows) / sizeof(rows[0]) &&
	       (p[0] < rows[i].from || p[0] > rows[i].to))
		i++;
	if (left == 0 || i == sizeof(rows) / sizeof(rows[0]) || rows[i].len > left)
		return 0;
	if (rows[i].len > 1 && (p[1] < rows[i].low || p[1] > rows[i].high))
		return 0;
	for (size_t k = 2; k < rows[i].len; k++)
		if ((p[k] & 0xc0) != 0x80)
			return 0;
	return rows[i].len;
}

void utf8_make_harmless(char *text, size_t size)
{
	while (size && !text[size - 1])
		size--;
	for (size_t i = 0; i < size;) {
		unsigned char c = (unsigned char)text[i];
		size_t n = utf8_len(text + i, size - i);
		/* C1 controls; their second byte is none by itself. */
		if (n == 2 && c == 0xc2 && (unsigned char)text[i + 1] < 0xa0)
			n = 0;
		if (c == '\0')
			text[i] = ' ';
		else if (!n || c < 0x20 || c == 0x7f)
			text[i] = '?';
		i += n ? n : 1;
	}
	text[size] = '\0';
}

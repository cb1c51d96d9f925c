/* SPDX-License-Identifier: Apache-2.0 */
/* plain - see plain.h. Runs in the CLIs. */
#include "plain.h"

#include <stdint.h>

/* Length of the UTF-8 sequence at @p and its code point; 0 when it is none. */
static size_t decode(const unsigned char *p, uint32_t *ret)
{
	static const struct {
		unsigned char mask, lead;
		size_t size;
		uint32_t min;
	} rows[] = {
		{ 0x80, 0x00, 1, 0 },
		{ 0xe0, 0xc0, 2, 0x80 },
		{ 0xf0, 0xe0, 3, 0x800 },
		{ 0xf8, 0xf0, 4, 0x10000 },
	};
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		if ((p[0] & rows[i].mask) != rows[i].lead)
			continue;
		uint32_t c = p[0] & (unsigned char)~rows[i].mask;
		for (size_t k = 1; k < rows[i].size; k++) {
			if ((p[k] & 0xc0) != 0x80)
				return 0;
			c = c << 6 | (p[k] & 0x3f);
		}
		if (c < rows[i].min || c > 0x10ffff || (c >= 0xd800 && c < 0xe000))
			return 0;
		*ret = c;
		return rows[i].size;
	}
	return 0;
}

static bool is_harmful(uint32_t c)
{
	static const struct {
		uint32_t from, to;
	} rows[] = {
		{ 0x00, 0x1f },      /* C0 */
		{ 0x7f, 0x9f },      /* DEL, C1 */
		{ 0x061c, 0x061c },  /* Arabic letter mark */
		{ 0x200b, 0x200f },  /* zero width, direction marks */
		{ 0x2028, 0x202e },  /* separators, embeddings, overrides */
		{ 0x2060, 0x206f },  /* invisible operators, isolates */
		{ 0xfeff, 0xfeff },  /* byte order mark */
		{ 0xfff9, 0xfffb },  /* interlinear annotation */
		{ 0xe0000, 0xe007f } /* tags */
	};
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		if (c >= rows[i].from && c <= rows[i].to)
			return true;
	return false;
}

void plain_text(struct strbuf *out, const char *text, bool lines)
{
	for (const unsigned char *p = (const unsigned char *)text; *p;) {
		uint32_t c = 0;
		size_t n = decode(p, &c);
		if (n > 0 && ((c == '\n' && lines) || !is_harmful(c)))
			strbuf_add(out, p, n);
		else
			strbuf_putc(out, '?');
		p += n ? n : 1;
	}
}

void plain_ascii(char *ret, size_t size, const char *text)
{
	size_t n = 0;
	for (; text[n] && n + 1 < size; n++)
		ret[n] = text[n] >= ' ' && text[n] <= '~' ? text[n] : '?';
	ret[n] = '\0';
}

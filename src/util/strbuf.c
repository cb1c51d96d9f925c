/* SPDX-License-Identifier: Apache-2.0 */
/* strbuf - see include/isola/strbuf.h. */
#include "isola/strbuf.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void strbuf_fini(struct strbuf *b)
{
	free(b->text);
	*b = (struct strbuf)STRBUF_INIT;
}

static bool reserve(struct strbuf *b, size_t more)
{
	if (b->failed || more > SIZE_MAX / 4 - b->len)
		return !(b->failed = true);
	size_t need = b->len + more + 1, cap = b->cap ? b->cap : 64;
	if (need <= b->cap)
		return true;
	while (cap < need)
		cap *= 2;
	char *bigger = realloc(b->text, cap);
	if (!bigger)
		return !(b->failed = true);
	b->text = bigger;
	b->cap = cap;
	return true;
}

void strbuf_add(struct strbuf *b, const void *data, size_t size)
{
	if (!reserve(b, size))
		return;
	if (size)
		memcpy(b->text + b->len, data, size);
	b->len += size;
	b->text[b->len] = '\0';
}

void strbuf_puts(struct strbuf *b, const char *text)
{
	strbuf_add(b, text, strlen(text));
}

void strbuf_putc(struct strbuf *b, char c)
{
	strbuf_add(b, &c, 1);
}

void strbuf_vprintf(struct strbuf *b, const char *fmt, va_list ap)
{
	va_list again;
	va_copy(again, ap);
	int n = vsnprintf(NULL, 0, fmt, again);
	va_end(again);
	if (n < 0 || !reserve(b, (size_t)n)) {
		b->failed = true;
		return;
	}
	(void)vsnprintf(b->text + b->len, (size_t)n + 1, fmt, ap);
	b->len += (size_t)n;
}

void strbuf_printf(struct strbuf *b, const char *fmt, ...)
{
	va_list ap;
	va_start(ap, fmt);
	strbuf_vprintf(b, fmt, ap);
	va_end(ap);
}

void strbuf_drop(struct strbuf *b, size_t size)
{
	if (size > b->len)
		size = b->len;
	if (size == 0)
		return;
	memmove(b->text, b->text + size, b->len - size + 1);
	b->len -= size;
}

void strbuf_reset(struct strbuf *b)
{
	b->len = 0;
	b->failed = false;
	if (b->text)
		b->text[0] = '\0';
}

char *strbuf_take(struct strbuf *b)
{
	if (!reserve(b, 0)) {
		strbuf_fini(b);
		return NULL;
	}
	b->text[b->len] = '\0';
	char *text = b->text;
	*b = (struct strbuf)STRBUF_INIT;
	return text;
}

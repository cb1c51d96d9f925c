/* SPDX-License-Identifier: Apache-2.0 */
/* strbuf - a growing byte string. An allocation failure sticks: later calls do
 * nothing and strbuf_ok() says false, so callers check once at the end. */
#pragma once

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>

struct strbuf {
	char *text; /* NUL-terminated once anything was added; owned */
	size_t len, cap;
	bool failed;
};

#define STRBUF_INIT                                                                                \
	{                                                                                          \
		0                                                                                  \
	}

void strbuf_fini(struct strbuf *b);
#define cleanup_strbuf __attribute__((cleanup(strbuf_fini)))

void strbuf_add(struct strbuf *b, const void *data, size_t size);
void strbuf_puts(struct strbuf *b, const char *text);
void strbuf_putc(struct strbuf *b, char c);
void strbuf_printf(struct strbuf *b, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void strbuf_vprintf(struct strbuf *b, const char *fmt, va_list ap);

/* Drops the first @size bytes. */
void strbuf_drop(struct strbuf *b, size_t size);
void strbuf_reset(struct strbuf *b);

static inline bool strbuf_ok(const struct strbuf *b)
{
	return !b->failed;
}

/* Returns owned text ("" when empty), NULL after a failure; @b is empty then. */
char *strbuf_take(struct strbuf *b);

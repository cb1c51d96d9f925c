/* SPDX-License-Identifier: Apache-2.0 */
/* jsonesc - bytes that a payload wrote, as the inside of a JSON string. */
#pragma once

#include <stddef.h>

/* No input byte needs more room than this ("\u001f"). */
#define JSONESC_GROWTH 6

/* Writes @in to @out, JSON-escaped (RFC 8259, 7) and always valid UTF-8: each
 * byte that is not part of a well-formed sequence (Unicode 15, table 3-7)
 * becomes \ufffd, as Docker has it. @out holds JSONESC_GROWTH * @size + 8
 * bytes (it is written eight at a time). Returns the number of bytes. */
size_t jsonesc(char *out, const char *in, size_t size);

/* The largest n <= @size such that the first n bytes of @in do not end within a
 * UTF-8 character that goes on behind them. */
size_t jsonesc_cut(const char *in, size_t size);

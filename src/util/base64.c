/* SPDX-License-Identifier: Apache-2.0 */
/* base64 - see isola/base64.h. */
#include "isola/base64.h"

#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

char *base64_encode(const void *data, size_t size)
{
	const unsigned char *p = data;
	char *ret = malloc((size + 2) / 3 * 4 + 1), *out = ret;
	for (size_t i = 0; ret && i < size; i += 3) {
		uint32_t v = (uint32_t)p[i] << 16;
		if (i + 1 < size)
			v |= (uint32_t)p[i + 1] << 8;
		if (i + 2 < size)
			v |= p[i + 2];
		*out++ = digits[v >> 18];
		*out++ = digits[v >> 12 & 63];
		*out++ = i + 1 < size ? digits[v >> 6 & 63] : '=';
		*out++ = i + 2 < size ? digits[v & 63] : '=';
	}
	if (ret)
		*out = '\0';
	return ret;
}

static int value_of(char c)
{
	if (c == '-')
		return 62;
	if (c == '_')
		return 63;
	const char *at = c ? strchr(digits, c) : NULL;
	return at ? (int)(at - digits) : -1;
}

ssize_t base64_decode(const char *text, void *ret, size_t size)
{
	unsigned char *out = ret;
	size_t n = 0, i = 0;
	uint32_t bits = 0;
	for (; value_of(text[i]) >= 0; i++) {
		bits = bits << 6 | (uint32_t)value_of(text[i]);
		if (i % 4 == 0)
			continue;
		if (n == size)
			return -EINVAL;
		out[n++] = (unsigned char)(bits >> (6 - i % 4 * 2));
	}
	size_t padding = strspn(text + i, "=");
	if (i % 4 == 1 || text[i + padding] || (padding && (i + padding) % 4))
		return -EINVAL;
	return (ssize_t)n;
}

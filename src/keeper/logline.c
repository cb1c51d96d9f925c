/* SPDX-License-Identifier: Apache-2.0 */
/* logline - see logline.h. A JSON reader (RFC 8259) for this one shape; decoding
 * in place works as no escape is shorter than what it stands for. */
#include "logline.h"

#include "isola/num.h"

#include <ctype.h>
#include <errno.h>
#include <string.h>
#include <time.h>

#define DEPTH_MAX 16

struct cursor {
	char *p, *end;
};

static void skip_space(struct cursor *c)
{
	while (c->p < c->end && (*c->p == ' ' || *c->p == '\t' || *c->p == '\r'))
		c->p++;
}

/* Steps over @what, with space around it; false when it is not there. */
static bool take(struct cursor *c, char what)
{
	skip_space(c);
	if (c->p == c->end || *c->p != what)
		return false;
	c->p++;
	return true;
}

static int hex4(const char *p)
{
	int v = 0;
	for (int i = 0; i < 4; i++) {
		int c = tolower((unsigned char)p[i]);
		if (!isxdigit(c))
			return -1;
		v = v << 4 | (isdigit(c) ? c - '0' : c - 'a' + 10);
	}
	return v;
}

static char *put_utf8(char *out, unsigned int u)
{
	if (u < 0x80) {
		*out++ = (char)u;
	} else if (u < 0x800) {
		*out++ = (char)(0xc0 | u >> 6);
		*out++ = (char)(0x80 | (u & 63));
	} else if (u < 0x10000) {
		*out++ = (char)(0xe0 | u >> 12);
		*out++ = (char)(0x80 | (u >> 6 & 63));
		*out++ = (char)(0x80 | (u & 63));
	} else {
		*out++ = (char)(0xf0 | u >> 18);
		*out++ = (char)(0x80 | (u >> 12 & 63));
		*out++ = (char)(0x80 | (u >> 6 & 63));
		*out++ = (char)(0x80 | (u & 63));
	}
	return out;
}

/* Decodes \uXXXX, maybe a pair of them, at c->p (behind the "u"). A lone half of
 * a pair becomes U+FFFD. */
static char *take_unicode(struct cursor *c, char *out)
{
	if (c->end - c->p < 4)
		return NULL;
	int u = hex4(c->p);
	if (u < 0)
		return NULL;
	c->p += 4;
	if (u < 0xd800 || u > 0xdfff)
		return put_utf8(out, (unsigned int)u);
	int low = -1;
	if (u < 0xdc00 && c->end - c->p >= 6 && c->p[0] == '\\' && c->p[1] == 'u')
		low = hex4(c->p + 2);
	if (low < 0xdc00 || low > 0xdfff)
		return put_utf8(out, 0xfffd);
	c->p += 6;
	return put_utf8(out, 0x10000u + ((unsigned int)(u - 0xd800) << 10) +
				     (unsigned int)(low - 0xdc00));
}

/* Decodes the escape at c->p (behind the backslash). NULL when malformed. */
static char *take_escape(struct cursor *c, char *out)
{
	static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
	if (c->p == c->end)
		return NULL;
	char e = *c->p++;
	if (e == 'u')
		return take_unicode(c, out);
	const char *at = e ? strchr(from, e) : NULL;
	if (!at)
		return NULL;
	*out++ = to[at - from];
	return out;
}

/* Takes a string, decoded over itself. */
static bool take_string(struct cursor *c, char **ret, size_t *ret_size)
{
	if (!take(c, '"'))
		return false;
	char *begin = c->p, *out = c->p;
	for (;;) {
		char *quote = memchr(c->p, '"', (size_t)(c->end - c->p));
		if (!quote)
			return false;
		char *slash = memchr(c->p, '\\', (size_t)(quote - c->p));
		char *stop = slash ? slash : quote;
		size_t n = (size_t)(stop - c->p);
		if (out != c->p)
			memmove(out, c->p, n);
		out += n;
		c->p = stop + 1;
		if (!slash)
			break;
		out = take_escape(c, out);
		if (!out)
			return false;
	}
	*ret = begin;
	*ret_size = (size_t)(out - begin);
	return true;
}

/* Steps over a string without changing it. */
static bool skip_string(struct cursor *c)
{
	for (c->p++; c->p < c->end; c->p++) {
		if (*c->p == '"') {
			c->p++;
			return true;
		}
		if (*c->p == '\\' && ++c->p == c->end)
			return false;
	}
	return false;
}

/* Steps over any value; loosely, as nobody will read it. */
static bool skip_value(struct cursor *c)
{
	int depth = 0;
	do {
		skip_space(c);
		if (c->p == c->end)
			return false;
		if (*c->p == '"') {
			if (!skip_string(c))
				return false;
		} else if (*c->p == '{' || *c->p == '[') {
			if (++depth > DEPTH_MAX)
				return false;
			c->p++;
			continue;
		} else if (*c->p == '}' || *c->p == ']') {
			if (depth == 0)
				return false;
			depth--;
			c->p++;
		} else if (depth > 0 && (*c->p == ',' || *c->p == ':')) {
			c->p++;
			continue;
		} else {
			size_t n = 0, left = (size_t)(c->end - c->p);
			while (n < left && (isalnum((unsigned char)c->p[n]) || c->p[n] == '-' ||
					    c->p[n] == '+' || c->p[n] == '.'))
				n++;
			if (n == 0)
				return false;
			c->p += n;
		}
	} while (depth > 0);
	return true;
}

static bool is_key(const char *key, size_t size, const char *want)
{
	return size == strlen(want) && !memcmp(key, want, size);
}

static bool take_attrs(struct cursor *c, struct logline *l)
{
	skip_space(c);
	char *begin = c->p;
	if (c->p == c->end || *c->p != '{' || !skip_value(c))
		return false;
	l->attrs = begin + 1;
	l->attrs_size = (size_t)(c->p - begin) - 2;
	return true;
}

static bool take_member(struct cursor *c, struct logline *l, bool *has_stream)
{
	char *key, *value;
	size_t key_size, size;
	if (!take_string(c, &key, &key_size) || !take(c, ':'))
		return false;
	if (is_key(key, key_size, "log")) {
		if (!take_string(c, &value, &size))
			return false;
		l->text = value;
		l->size = size;
	} else if (is_key(key, key_size, "stream")) {
		if (!take_string(c, &value, &size))
			return false;
		l->is_stderr = is_key(value, size, "stderr");
		*has_stream = l->is_stderr || is_key(value, size, "stdout");
	} else if (is_key(key, key_size, "time")) {
		if (!take_string(c, &value, &size))
			return false;
		l->time = value;
		l->time_size = size;
	} else if (is_key(key, key_size, "attrs")) {
		return take_attrs(c, l);
	} else {
		return skip_value(c);
	}
	return true;
}

int logline_parse(char *line, size_t size, struct logline *ret)
{
	struct cursor c = { .p = line, .end = line + size };
	struct logline l = { .text = NULL };
	bool has_stream = false;
	if (!take(&c, '{'))
		return -EINVAL;
	do {
		if (!take_member(&c, &l, &has_stream))
			return -EINVAL;
	} while (take(&c, ','));
	if (!take(&c, '}'))
		return -EINVAL;
	skip_space(&c);
	if (c.p != c.end || !l.text || !l.time || !has_stream)
		return -EINVAL;
	*ret = l;
	return 0;
}

/* "2026-01-02T03:04:05.000000006Z", the only form that jlog.c writes. */
static bool parse_own_time(const char *t, int64_t *ret_ns)
{
	static const char shape[] = "0000-00-00T00:00:00.000000000Z";
	int64_t v[7] = { 0 };
	size_t part = 0;
	for (size_t i = 0; shape[i]; i++) {
		if (shape[i] != '0') {
			if (t[i] != shape[i])
				return false;
			part++;
		} else if (isdigit((unsigned char)t[i])) {
			v[part] = v[part] * 10 + t[i] - '0';
		} else {
			return false;
		}
	}
	struct tm tm = { .tm_year = (int)v[0] - 1900,
			 .tm_mon = (int)v[1] - 1,
			 .tm_mday = (int)v[2],
			 .tm_hour = (int)v[3],
			 .tm_min = (int)v[4],
			 .tm_sec = (int)v[5] };
	return !__builtin_mul_overflow((int64_t)timegm(&tm), (int64_t)1000000000, ret_ns) &&
	       !__builtin_add_overflow(*ret_ns, v[6], ret_ns);
}

int logline_time(const struct logline *line, int64_t *ret_ns)
{
	char text[64];
	if (line->time_size == 30 && parse_own_time(line->time, ret_ns))
		return 0;
	if (line->time_size >= sizeof(text) || memchr(line->time, 0, line->time_size))
		return -EINVAL;
	memcpy(text, line->time, line->time_size);
	text[line->time_size] = '\0';
	return num_parse_time(text, ret_ns) < 0 ? -EINVAL : 0;
}

/* As Go's url.QueryEscape. Returns the length, or 0 when it does not fit. */
static size_t url_escape(char *out, size_t room, const char *in, size_t size)
{
	static const char hex[] = "0123456789ABCDEF";
	size_t n = 0;
	for (size_t i = 0; i < size; i++) {
		unsigned char c = (unsigned char)in[i];
		if (room - n < 3)
			return 0;
		if ((c < 0x80 && isalnum(c)) || (c && strchr("-_.~", c))) {
			out[n++] = (char)c;
		} else if (c == ' ') {
			out[n++] = '+';
		} else {
			out[n++] = '%';
			out[n++] = hex[c >> 4];
			out[n++] = hex[c & 15];
		}
	}
	return n;
}

size_t logline_details(struct logline *line, char *out, size_t size)
{
	struct cursor c = { .p = line->attrs, .end = line->attrs + line->attrs_size };
	size_t n = 0;
	while (line->attrs && c.p < c.end) {
		char *key, *value;
		size_t key_size, value_size;
		if (!take_string(&c, &key, &key_size) || !take(&c, ':') ||
		    !take_string(&c, &value, &value_size))
			break;
		size_t at = n + (n > 0);
		/* Three bytes for each at the worst, and "=" between them. */
		if (at > size || size - at < 3 * (key_size + value_size) + 8)
			break;
		size_t k = url_escape(out + at, size - at, key, key_size);
		out[at + k] = '=';
		size_t v = url_escape(out + at + k + 1, size - at - k - 1, value, value_size);
		if (n > 0)
			out[n] = ',';
		n = at + k + 1 + v;
		if (!take(&c, ','))
			break;
	}
	return n;
}

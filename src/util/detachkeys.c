/* SPDX-License-Identifier: Apache-2.0 */
/* detachkeys - see include/isola/detachkeys.h. */
#include "isola/detachkeys.h"

#include <errno.h>
#include <string.h>

static int parse_key(const char *part, size_t len)
{
	if (len == 1)
		return (unsigned char)part[0];
	if (len != 6 || strncmp(part, "ctrl-", 5) != 0)
		return -1;
	char c = part[5];
	if (c >= 'a' && c <= 'z')
		return c - 'a' + 1;
	if (c == '@')
		return 0;
	return c >= '[' && c <= '_' ? c - '[' + 27 : -1;
}

int detachkeys_parse(const char *text, struct detachkeys *ret, struct err *err)
{
	struct detachkeys d = { .n = 0 };
	for (const char *p = text; *p;) {
		size_t len = strcspn(p, ",");
		int key = parse_key(p, len);
		if (key < 0)
			return err_set(err, EINVAL, "detach keys: \"%.*s\" is no key", (int)len, p);
		if (d.n == DETACHKEYS_MAX)
			return err_set(err, EINVAL, "detach keys: more than %d keys",
				       DETACHKEYS_MAX);
		d.keys[d.n++] = (unsigned char)key;
		p += len;
		if (*p == ',' && !*++p)
			return err_set(err, EINVAL,
				       "detach keys: a key is missing behind the comma");
	}
	*ret = d;
	return 0;
}

/* Longest proper prefix of the keys that the first @n of them, followed by @c,
 * end with; n <= DETACHKEYS_MAX, so trying each length is cheap. */
static size_t shorter_match(const struct detachkeys *d, size_t n, unsigned char c)
{
	for (size_t len = n; len > 0; len--) {
		if (d->keys[len - 1] == c && !memcmp(d->keys, d->keys + n + 1 - len, len - 1))
			return len;
	}
	return 0;
}

int detachkeys_scan(struct detachkeys *d, const unsigned char *in, size_t size, unsigned char *out,
		    size_t *ret_size)
{
	size_t n = 0;
	for (size_t i = 0; i < size; i++) {
		if (d->n > 0 && in[i] == d->keys[d->matched]) {
			if (++d->matched == d->n) {
				d->matched = 0;
				*ret_size = n;
				return 1;
			}
			continue;
		}
		/* Held-back bytes that can no longer be part of a match go on. */
		size_t held = d->matched, keep = d->n ? shorter_match(d, held, in[i]) : 0;
		size_t passed = held + 1 - keep;
		size_t from_keys = passed < held ? passed : held;
		memcpy(out + n, d->keys, from_keys);
		n += from_keys;
		if (passed > held)
			out[n++] = in[i];
		d->matched = keep;
	}
	*ret_size = n;
	return 0;
}

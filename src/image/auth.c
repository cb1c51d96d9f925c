/* SPDX-License-Identifier: Apache-2.0 */
/* auth - see auth.h. Runs in isola-image's network process. */
#include "auth.h"

#include "isola/base64.h"
#include "isola/fd.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define TEXT_BYTES_MAX (64 * 1024)

static bool is_token(char c)
{
	return c && strchr("!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyz"
			   "ABCDEFGHIJKLMNOPQRSTUVWXYZ",
			   c);
}

static const char *skip_space(const char *p)
{
	return p + strspn(p, " \t,");
}

static size_t token_length(const char *p)
{
	size_t n = 0;
	while (is_token(p[n]))
		n++;
	return n;
}

/* A token or a quoted string into @ret; the place behind it, NULL = malformed. */
static const char *take_value(const char *p, char *ret, size_t size)
{
	size_t n = 0;
	bool quoted = *p == '"';
	for (p += quoted; quoted ? *p != '"' : is_token(*p); p++) {
		if (quoted && *p == '\\')
			p++;
		if (!*p || n + 1 >= size || (unsigned char)*p < ' ')
			return NULL;
		ret[n++] = *p;
	}
	ret[n] = '\0';
	return p + quoted;
}

/* Parameters up to the next scheme; the place behind them, NULL = malformed. */
static const char *take_params(const char *p, struct auth_challenge *c)
{
	const struct {
		const char *name;
		char *value;
		size_t size;
	} rows[] = {
		{ "realm", c->realm, sizeof(c->realm) },
		{ "service", c->service, sizeof(c->service) },
		{ "scope", c->scope, sizeof(c->scope) },
	};
	for (p = skip_space(p); *p; p = skip_space(p)) {
		char other[2048];
		size_t n = token_length(p);
		const char *eq = p + n + strspn(p + n, " \t");
		if (n == 0 || *eq != '=')
			return p; /* the next scheme, or rubbish: the caller's */
		char *into = other;
		size_t size = sizeof(other);
		for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
			if (strlen(rows[i].name) == n && !strncasecmp(rows[i].name, p, n)) {
				into = rows[i].value;
				size = rows[i].size;
			}
		eq++;
		p = take_value(eq + strspn(eq, " \t"), into, size);
		if (!p)
			return NULL;
	}
	return p;
}

int auth_parse(const char *field, struct auth_challenge *ret, struct err *err)
{
	bool found = false;
	const char *p = skip_space(field);
	while (*p) {
		struct auth_challenge c = { 0 };
		size_t n = token_length(p);
		bool bearer = n == 6 && !strncasecmp(p, "Bearer", 6);
		bool basic = n == 5 && !strncasecmp(p, "Basic", 5);
		if (n == 0)
			break;
		c.scheme = bearer ? AUTH_BEARER : AUTH_BASIC;
		p = take_params(p + n, &c);
		if (!p)
			break;
		if ((bearer && *c.realm) || (basic && !found)) {
			*ret = c;
			found = true;
		}
		if (bearer && found)
			break;
	}
	return found ? 0
		     : err_set(err, EINVAL,
			       "the registry asks for a log-in of a kind that is not known: "
			       "%.200s",
			       field);
}

int auth_decode(const char *base64, char **ret_text, struct err *err)
{
	/* Clients differ in their padding. */
	size_t n = strcspn(base64, "=\r\n");
	if (n > TEXT_BYTES_MAX)
		return err_set(err, EINVAL, "the credentials are no base64");
	cleanup_free char *in = strndup(base64, n);
	cleanup_free char *out = malloc(n + 1);
	if (!in || !out)
		return err_set(err, ENOMEM, "out of memory");
	ssize_t size = base64_decode(in, out, n);
	if (size < 0 || memchr(out, '\0', (size_t)size))
		return err_set(err, EINVAL, "the credentials are no base64 of a text");
	out[size] = '\0';
	*ret_text = take_ptr(out);
	return 0;
}

int auth_encode(const char *text, char **ret_base64, struct err *err)
{
	size_t n = strlen(text);
	*ret_base64 = n > TEXT_BYTES_MAX ? NULL : base64_encode(text, n);
	return *ret_base64 ? 0 : err_set(err, ENOMEM, "out of memory, or credentials too long");
}

/* SPDX-License-Identifier: Apache-2.0 */
/* reference - Docker's image names (distribution's reference grammar): check,
 * fill in defaults, shorten for people. Pure text; runs in isolad and in
 * isola-image, so it depends on util alone. */
#include "isola/image.h"

#include <ctype.h>
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#define NAME_BYTES_MAX 255 /* domain and path together */
#define TAG_BYTES_MAX  128

#define DEFAULT_DOMAIN "docker.io"
#define OFFICIAL_REPO  "library/"

/* Where names without a host are. */
static char default_domain[NAME_BYTES_MAX + 1] = DEFAULT_DOMAIN;

/* A piece of the text that is looked at. */
struct span {
	const char *at;
	size_t len;
};

struct reference {
	struct span domain, path, tag, digest; /* len 0 = absent */
	bool official;                         /* "library/" goes in front of path */
};

static bool is_lower_alnum(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
}

static bool is_alnum(char c)
{
	return is_lower_alnum(c) || (c >= 'A' && c <= 'Z');
}

static bool span_is(struct span s, const char *text)
{
	return s.len == strlen(text) && memcmp(s.at, text, s.len) == 0;
}

static size_t find_char(struct span s, char c)
{
	const char *p = s.len ? memchr(s.at, c, s.len) : NULL;
	return p ? (size_t)(p - s.at) : s.len;
}

/* A run of separators inside a path component: one '.', one or two '_', or
 * any number of '-'. Returns its length, 0 when it is none of these. */
static size_t separator_len(const char *p, size_t left)
{
	size_t n = 0;
	while (n < left && p[n] == p[0])
		n++;
	switch (p[0]) {
	case '.':
		return n == 1 ? n : 0;
	case '_':
		return n <= 2 ? n : 0;
	case '-':
		return n;
	default:
		return 0;
	}
}

/* alnum+ (separator alnum+)*, lower case. */
static bool is_path_component(struct span s)
{
	size_t i = 0;
	for (;;) {
		size_t start = i;
		while (i < s.len && is_lower_alnum(s.at[i]))
			i++;
		if (i == start)
			return false;
		if (i == s.len)
			return true;
		size_t sep = separator_len(s.at + i, s.len - i);
		if (sep == 0)
			return false;
		i += sep;
	}
}

static bool is_path(struct span s)
{
	for (;;) {
		struct span part = { s.at, find_char(s, '/') };
		if (!is_path_component(part))
			return false;
		if (part.len == s.len)
			return true;
		s.at += part.len + 1;
		s.len -= part.len + 1;
	}
}

static bool is_host_label(struct span s)
{
	if (s.len == 0 || !is_alnum(s.at[0]) || !is_alnum(s.at[s.len - 1]))
		return false;
	for (size_t i = 0; i < s.len; i++)
		if (!is_alnum(s.at[i]) && s.at[i] != '-')
			return false;
	return true;
}

static bool is_host(struct span s)
{
	if (s.len > 2 && s.at[0] == '[' && s.at[s.len - 1] == ']') {
		for (size_t i = 1; i + 1 < s.len; i++)
			if (!isxdigit((unsigned char)s.at[i]) && s.at[i] != ':')
				return false;
		return true;
	}
	for (;;) {
		struct span label = { s.at, find_char(s, '.') };
		if (!is_host_label(label))
			return false;
		if (label.len == s.len)
			return true;
		s.at += label.len + 1;
		s.len -= label.len + 1;
	}
}

static bool is_domain(struct span s)
{
	size_t host_len = s.len;
	for (size_t i = s.len; i > 0 && s.at[i - 1] != ']'; i--)
		if (s.at[i - 1] == ':')
			host_len = i - 1;
	if (host_len < s.len) {
		if (host_len + 1 == s.len)
			return false;
		for (size_t i = host_len + 1; i < s.len; i++)
			if (s.at[i] < '0' || s.at[i] > '9')
				return false;
	}
	return is_host((struct span){ s.at, host_len });
}

static bool is_tag(struct span s)
{
	if (s.len == 0 || s.len > TAG_BYTES_MAX || !(is_alnum(s.at[0]) || s.at[0] == '_'))
		return false;
	for (size_t i = 0; i < s.len; i++)
		if (!is_alnum(s.at[i]) && !strchr("_.-", s.at[i]))
			return false;
	return true;
}

static bool is_digest(struct span s)
{
	static const struct {
		const char *prefix;
		size_t digits;
	} rows[] = { { "sha256:", 64 }, { "sha384:", 96 }, { "sha512:", 128 } };
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		size_t n = strlen(rows[i].prefix);
		if (s.len != n + rows[i].digits || memcmp(s.at, rows[i].prefix, n) != 0)
			continue;
		for (size_t k = n; k < s.len; k++)
			if (!strchr("0123456789abcdef", s.at[k]))
				return false;
		return true;
	}
	return false;
}

static bool is_image_id(struct span s)
{
	for (size_t i = 0; i < s.len; i++)
		if (!strchr("0123456789abcdef", s.at[i]))
			return false;
	return s.len == 64;
}

static bool has_upper(struct span s)
{
	for (size_t i = 0; i < s.len; i++)
		if (s.at[i] >= 'A' && s.at[i] <= 'Z')
			return true;
	return false;
}

/* Would the first part of a name be read as a host? It needs a dot, a port, upper
 * case, or to be "localhost"; else it belongs to Docker Hub's path. */
static bool begins_with_host(struct span name)
{
	struct span first = { name.at, find_char(name, '/') };
	return first.len < name.len &&
	       (find_char(first, '.') < first.len || find_char(first, ':') < first.len ||
		span_is(first, "localhost") || has_upper(first));
}

static void split_domain(struct span name, struct reference *ret)
{
	struct span first = { name.at, find_char(name, '/') };
	if (begins_with_host(name)) {
		ret->domain = first;
		ret->path = (struct span){ name.at + first.len + 1, name.len - first.len - 1 };
		if (span_is(first, "index." DEFAULT_DOMAIN))
			ret->domain = (struct span){ DEFAULT_DOMAIN, strlen(DEFAULT_DOMAIN) };
	} else {
		ret->domain = (struct span){ default_domain, strlen(default_domain) };
		ret->path = name;
	}
	ret->official =
		span_is(ret->domain, DEFAULT_DOMAIN) && find_char(ret->path, '/') == ret->path.len;
}

int image_ref_set_default(const char *host, struct err *err)
{
	struct span s = { host, strlen(host) };
	char name[sizeof(default_domain) + 2];
	/* As the first part of a name it must be read as a host. */
	int n = snprintf(name, sizeof(name), "%s/x", host);
	if (s.len == 0 || s.len >= sizeof(default_domain) || n < 0 || !is_domain(s) ||
	    !begins_with_host((struct span){ name, (size_t)n }))
		return err_set(err, EINVAL,
			       "\"%.200s\" is no registry's host[:port] with a dot or a port",
			       host);
	(void)snprintf(default_domain, sizeof(default_domain), "%s",
		       span_is(s, "index." DEFAULT_DOMAIN) ? DEFAULT_DOMAIN : host);
	return 0;
}

const char *image_ref_default(void)
{
	return default_domain;
}

static int reference_parse(const char *text, struct reference *ret, struct err *err)
{
	memset(ret, 0, sizeof(*ret));
	struct span name = { text, strlen(text) };
	size_t at = find_char(name, '@');
	if (at < name.len) {
		ret->digest = (struct span){ text + at + 1, name.len - at - 1 };
		name.len = at;
		if (!is_digest(ret->digest))
			return err_set(err, EINVAL,
				       "invalid reference format: \"%.200s\": the digest must be "
				       "sha256:<64 lower-case hex digits>",
				       text);
	}
	/* A colon behind the last slash starts the tag; before it, a port. */
	for (size_t i = name.len; i > 0 && name.at[i - 1] != '/' && name.at[i - 1] != ']'; i--) {
		if (name.at[i - 1] != ':')
			continue;
		ret->tag = (struct span){ name.at + i, name.len - i };
		name.len = i - 1;
		if (!is_tag(ret->tag))
			return err_set(err, EINVAL,
				       "invalid reference format: \"%.200s\": the tag must be 1 to "
				       "%d of A-Z a-z 0-9 _ . - and not begin with . or -",
				       text, TAG_BYTES_MAX);
		break;
	}
	if (is_image_id(name))
		return err_set(err, EINVAL,
			       "invalid repository name (%.64s), cannot specify 64-byte "
			       "hexadecimal strings",
			       text);
	split_domain(name, ret);
	if (has_upper(ret->path))
		return err_set(err, EINVAL,
			       "invalid reference format: repository name (%.*s) must be lowercase",
			       (int)(ret->path.len > 200 ? 200 : ret->path.len), ret->path.at);
	if (!is_domain(ret->domain) || !is_path(ret->path))
		return err_set(err, EINVAL, "invalid reference format: \"%.200s\"", text);
	return 0;
}

int image_ref_normalize(const char *text, char *ret, size_t size, struct err *err)
{
	struct reference r;
	int rc = reference_parse(text, &r, err);
	if (rc < 0)
		return rc;
	size_t name_len = r.domain.len + 1 + (r.official ? strlen(OFFICIAL_REPO) : 0) + r.path.len;
	if (name_len > NAME_BYTES_MAX)
		return err_set(err, EINVAL,
			       "invalid reference format: repository name must not be more than %d "
			       "characters",
			       NAME_BYTES_MAX);
	bool bare = r.tag.len == 0 && r.digest.len == 0;
	char full[IMAGE_REF_MAX + 256];
	int n = snprintf(full, sizeof(full), "%.*s/%s%.*s%s%.*s%s%.*s", (int)r.domain.len,
			 r.domain.at, r.official ? OFFICIAL_REPO : "", (int)r.path.len, r.path.at,
			 bare        ? ":latest"
			 : r.tag.len ? ":"
				     : "",
			 (int)r.tag.len, r.tag.len ? r.tag.at : "", r.digest.len ? "@" : "",
			 (int)r.digest.len, r.digest.len ? r.digest.at : "");
	if (n < 0 || (size_t)n >= size || (size_t)n >= sizeof(full))
		return err_set(err, EINVAL, "invalid reference format: \"%.200s\" is too long",
			       text);
	memcpy(ret, full, (size_t)n + 1);
	return 0;
}

void image_ref_familiar(const char *full, char *ret, size_t size)
{
	static const char official[] = OFFICIAL_REPO;
	size_t n = strlen(default_domain);
	bool here = !strncmp(full, default_domain, n) && full[n] == '/';
	const char *rest = here ? full + n + 1 : full;
	/* "docker.io/a.b/c" must not become "a.b/c", which is another name. */
	if (here && begins_with_host((struct span){ rest, strlen(rest) }))
		rest = full;
	/* "library/a/b" is no official image and keeps its path. */
	else if (here && !strcmp(default_domain, DEFAULT_DOMAIN) &&
		 !strncmp(rest, official, sizeof(official) - 1) &&
		 !strchr(rest + sizeof(official) - 1, '/'))
		rest += sizeof(official) - 1;
	/* What is left may look like an image's id, which is no name. */
	if (is_image_id((struct span){ rest, strcspn(rest, ":@") }))
		rest = rest == full + n + 1 ? full : full + n + 1;
	(void)snprintf(ret, size, "%s", rest);
}

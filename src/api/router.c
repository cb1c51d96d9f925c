/* SPDX-License-Identifier: Apache-2.0 */
/* router - see router.h. Foreign paths; isolad, loop thread. */
#include "router.h"

#include <ctype.h>
#include <errno.h>
#include <http_parser.h>
#include <stdio.h>
#include <string.h>

/* "v1.41" -> 1, 41. Docker takes any run of digits and dots as a version. */
static bool parse_version(const char *text, size_t size, unsigned int *ret_major,
			  unsigned int *ret_minor)
{
	unsigned int part[2] = { 0, 0 };
	size_t n = 0;
	if (size < 2 || text[0] != 'v' || !isdigit((unsigned char)text[1]))
		return false;
	for (size_t i = 1; i < size; i++) {
		if (text[i] == '.') {
			n++;
			continue;
		}
		if (!isdigit((unsigned char)text[i]))
			return false;
		if (n < 2 && part[n] < 100000)
			part[n] = part[n] * 10 + (unsigned int)(text[i] - '0');
	}
	*ret_major = part[0];
	*ret_minor = part[1];
	return true;
}

int path_split(const char *path, size_t size, struct path *ret, struct err *err)
{
	if (size == 0 || path[0] != '/')
		return err_set(err, EINVAL, "the path must begin with /");
	ret->has_version = false;
	ret->n = 0;
	for (const char *p = path, *end = path + size; p < end;) {
		const char *slash = memchr(p, '/', (size_t)(end - p));
		size_t len = (size_t)((slash ? slash : end) - p);
		if (len > 0 && ret->n == 0 && !ret->has_version &&
		    parse_version(p, len, &ret->major, &ret->minor)) {
			ret->has_version = true;
		} else if (len > 0) {
			if (ret->n == PATH_SEGMENTS_MAX)
				return err_set(err, EINVAL, "the path has too many segments");
			ret->segment[ret->n].text = p;
			ret->segment[ret->n].size = len;
			ret->n++;
		}
		p += len + 1;
	}
	return 0;
}

static size_t count_segments(const char *pattern)
{
	size_t n = 0;
	for (const char *p = pattern; *p; p++)
		n += p[0] == '/' && p[1] != '\0';
	return n;
}

static bool segment_is(const struct path *path, size_t i, const char *text, size_t size)
{
	return path->segment[i].size == size && !memcmp(path->segment[i].text, text, size);
}

/* Does @path fit @pattern? The variable's segments go to @ret_first, @ret_n. */
static bool pattern_fits(const char *pattern, const struct path *path, size_t *ret_first,
			 size_t *ret_n)
{
	size_t want = count_segments(pattern), first = 0, n = 0, i = 0;
	bool stretches = strstr(pattern, "*}") != NULL;
	if (path->n < want || (path->n > want && !stretches))
		return false;
	for (const char *p = pattern + 1; *p; i++) {
		size_t len = strcspn(p, "/");
		if (*p == '{') {
			first = i;
			n = 1 + path->n - want;
			i += n - 1;
		} else if (!segment_is(path, i, p, len)) {
			return false;
		}
		p += len + (p[len] == '/');
	}
	*ret_first = first;
	*ret_n = n;
	return true;
}

const struct route *route_find(unsigned int method, const struct path *path, size_t *ret_first,
			       size_t *ret_n)
{
	for (size_t i = 0; i < n_routes; i++)
		if (routes[i].method == method &&
		    pattern_fits(routes[i].pattern, path, ret_first, ret_n))
			return &routes[i];
	return NULL;
}

bool route_allow(const struct path *path, char *ret, size_t size)
{
	size_t len = 0, first, n;
	ret[0] = '\0';
	for (size_t i = 0; i < n_routes; i++) {
		if (!pattern_fits(routes[i].pattern, path, &first, &n))
			continue;
		const char *name = http_method_str((enum http_method)routes[i].method);
		if (strstr(ret, name) || len + strlen(name) + 3 > size)
			continue;
		len += (size_t)snprintf(ret + len, size - len, "%s%s", len ? ", " : "", name);
	}
	return len > 0;
}

const char *route_unsupported(const struct path *path)
{
	size_t first, n;
	for (size_t i = 0; i < n_unsupported_routes; i++)
		if (pattern_fits(unsupported_routes[i].pattern, path, &first, &n))
			return unsupported_routes[i].what;
	return NULL;
}

bool name_in(const char *names, const char *name)
{
	size_t len = strlen(name);
	while (names && *names) {
		size_t n = strcspn(names, ",");
		if (n == len && !memcmp(names, name, n))
			return true;
		names += n + (names[n] == ',');
	}
	return false;
}

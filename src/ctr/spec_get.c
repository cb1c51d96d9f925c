/* SPDX-License-Identifier: Apache-2.0 */
/* spec_get - see spec_get.h. */
#include "spec_get.h"

#include "isola/json.h"

#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

/* Writes the path from the top down; returns the length so far. */
static size_t put_path(char *buf, size_t size, const struct at *at)
{
	size_t n = 0;
	if (at->up)
		n = put_path(buf, size, at->up);
	if (n >= size)
		return n;
	int more = at->name ? snprintf(buf + n, size - n, "%s%.60s", n ? "." : "", at->name)
			    : snprintf(buf + n, size - n, "[%zu]", at->index);
	return n + (size_t)(more > 0 ? more : 0);
}

static int fail_va(struct spec_cx *cx, int code, const struct at *at, const char *key,
		   const char *fmt, va_list ap)
{
	const struct at leaf = { .up = at, .name = key };
	char path[256] = "", text[640];
	(void)vsnprintf(text, sizeof(text), fmt, ap);
	if (key)
		at = &leaf;
	if (at)
		(void)put_path(path, sizeof(path), at);
	return err_set(cx->err, code, "%s%s%s", path, *path ? ": " : "", text);
}

int spec_fail(struct spec_cx *cx, const struct at *at, const char *key, const char *fmt, ...)
{
	va_list ap;
	va_start(ap, fmt);
	int rc = fail_va(cx, EINVAL, at, key, fmt, ap);
	va_end(ap);
	return rc;
}

int spec_unsupported(struct spec_cx *cx, const struct at *at, const char *key, const char *fmt, ...)
{
	va_list ap;
	va_start(ap, fmt);
	int rc = fail_va(cx, EOPNOTSUPP, at, key, fmt, ap);
	va_end(ap);
	return rc;
}

void *spec_new(struct spec_cx *cx, size_t n, size_t size)
{
	void *p = spec_mem_alloc(cx->mem, n, size);
	if (!p)
		(void)err_set(cx->err, ENOMEM, "out of memory");
	return p;
}

static int get_typed(struct spec_cx *cx, const struct at *at, json_object *o, const char *key,
		     enum json_type type, const char *type_name, json_object **ret)
{
	json_object *v = json_get(o, key);
	if (!v)
		return 0;
	if (!json_object_is_type(v, type))
		return spec_fail(cx, at, key, "must be %s", type_name);
	*ret = v;
	return 1;
}

static bool has_nul(json_object *s)
{
	return strlen(json_object_get_string(s)) != (size_t)json_object_get_string_len(s);
}

int spec_str(struct spec_cx *cx, const struct at *at, json_object *o, const char *key,
	     const char **ret)
{
	json_object *v = NULL;
	int rc = get_typed(cx, at, o, key, json_type_string, "a string", &v);
	if (rc <= 0)
		return rc;
	if (has_nul(v))
		return spec_fail(cx, at, key, "must not hold a NUL byte");
	*ret = json_object_get_string(v);
	return 1;
}

int spec_text(struct spec_cx *cx, const struct at *at, json_object *o, const char *key,
	      const char **ret)
{
	const char *text = "";
	int rc = spec_str(cx, at, o, key, &text);
	if (rc <= 0 || !*text)
		return rc < 0 ? rc : 0;
	*ret = text;
	return 1;
}

int spec_need_str(struct spec_cx *cx, const struct at *at, json_object *o, const char *key,
		  const char **ret)
{
	int rc = spec_text(cx, at, o, key, ret);
	return rc ? rc : spec_fail(cx, at, key, "is missing");
}

int spec_int(struct spec_cx *cx, const struct at *at, json_object *o, const char *key, int64_t min,
	     int64_t max, int64_t *ret)
{
	json_object *v = NULL;
	int rc = get_typed(cx, at, o, key, json_type_int, "a whole number", &v);
	if (rc <= 0)
		return rc;
	int64_t n = json_object_get_int64(v);
	bool beyond = n == INT64_MAX && json_object_get_uint64(v) > INT64_MAX;
	if (beyond || n < min || n > max)
		return spec_fail(cx, at, key, "must be %" PRId64 " to %" PRId64, min, max);
	*ret = n;
	return 1;
}

int spec_need_int(struct spec_cx *cx, const struct at *at, json_object *o, const char *key,
		  int64_t min, int64_t max, int64_t *ret)
{
	int rc = spec_int(cx, at, o, key, min, max, ret);
	return rc ? rc : spec_fail(cx, at, key, "is missing");
}

int spec_u64(struct spec_cx *cx, const struct at *at, json_object *o, const char *key,
	     uint64_t *ret)
{
	json_object *v = NULL;
	int rc = get_typed(cx, at, o, key, json_type_int, "a whole number", &v);
	if (rc <= 0)
		return rc;
	if (json_object_get_int64(v) < 0)
		return spec_fail(cx, at, key, "must not be negative");
	*ret = json_object_get_uint64(v);
	return 1;
}

int spec_bool(struct spec_cx *cx, const struct at *at, json_object *o, const char *key, bool *ret)
{
	json_object *v = NULL;
	int rc = get_typed(cx, at, o, key, json_type_boolean, "true or false", &v);
	if (rc > 0)
		*ret = json_object_get_boolean(v);
	return rc;
}

int spec_obj(struct spec_cx *cx, const struct at *at, json_object *o, const char *key,
	     json_object **ret)
{
	return get_typed(cx, at, o, key, json_type_object, "an object", ret);
}

int spec_arr(struct spec_cx *cx, const struct at *at, json_object *o, const char *key,
	     json_object **ret)
{
	return get_typed(cx, at, o, key, json_type_array, "an array", ret);
}

int spec_check_path(struct spec_cx *cx, const struct at *at, const char *key, const char *path)
{
	if (*path != '/')
		return spec_fail(cx, at, key, "must be an absolute path, not \"%.100s\"", path);
	if (strlen(path) >= PATH_MAX)
		return spec_fail(cx, at, key, "is longer than %d bytes", PATH_MAX - 1);
	return 0;
}

static int read_strv(struct spec_cx *cx, const struct at *at, json_object *o, const char *key,
		     bool paths, char ***ret, size_t *ret_n)
{
	json_object *a = NULL;
	int rc = get_typed(cx, at, o, key, json_type_array, "an array of strings", &a);
	if (rc < 0)
		return rc;
	size_t n = json_len(a);
	char **v = spec_new(cx, n + 1, sizeof(*v));
	if (!v)
		return -ENOMEM;
	const struct at here = { .up = at, .name = key };
	for (size_t i = 0; i < n; i++) {
		const struct at item = { .up = &here, .index = i };
		json_object *s = json_object_array_get_idx(a, i);
		if (!json_object_is_type(s, json_type_string))
			return spec_fail(cx, &item, NULL, "must be a string");
		if (has_nul(s))
			return spec_fail(cx, &item, NULL, "must not hold a NUL byte");
		/* execve(2) wants char *, but nobody writes through it. */
		v[i] = (char *)(uintptr_t)json_object_get_string(s);
		if (paths && spec_check_path(cx, &item, NULL, v[i]) < 0)
			return -EINVAL;
	}
	*ret = v;
	if (ret_n)
		*ret_n = n;
	return rc;
}

int spec_strv(struct spec_cx *cx, const struct at *at, json_object *o, const char *key, char ***ret,
	      size_t *ret_n)
{
	return read_strv(cx, at, o, key, false, ret, ret_n);
}

int spec_path_strv(struct spec_cx *cx, const struct at *at, json_object *o, const char *key,
		   char ***ret, size_t *ret_n)
{
	return read_strv(cx, at, o, key, true, ret, ret_n);
}

int spec_items(struct spec_cx *cx, const struct at *at, json_object *o, const char *key, size_t max,
	       size_t size, spec_item_fn *item, void *ret_items, size_t *ret_n)
{
	json_object *a = NULL;
	int rc = spec_arr(cx, at, o, key, &a);
	if (rc <= 0)
		return rc;
	size_t n = json_len(a);
	if (n > max)
		return spec_fail(cx, at, key, "has more than %zu items", max);
	char *items = spec_new(cx, n, size);
	if (!items)
		return -ENOMEM;
	const struct at here = { .up = at, .name = key };
	for (size_t i = 0; i < n; i++) {
		const struct at place = { .up = &here, .index = i };
		json_object *member = json_object_array_get_idx(a, i);
		if (!json_object_is_type(member, json_type_object))
			return spec_fail(cx, &place, NULL, "must be an object");
		rc = item(cx, &place, member, items + i * size);
		if (rc < 0)
			return rc;
	}
	*(void **)ret_items = items;
	*ret_n = n;
	return 1;
}

int spec_find_word(struct spec_cx *cx, const struct at *at, const char *key, const char *what,
		   const struct spec_word *words, size_t n, const char *text, uint64_t *ret)
{
	for (size_t i = 0; i < n; i++) {
		if (!strcmp(words[i].word, text)) {
			*ret = words[i].value;
			return 0;
		}
	}
	return spec_fail(cx, at, key, "unknown %s \"%.100s\"", what, text);
}

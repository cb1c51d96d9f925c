/* SPDX-License-Identifier: Apache-2.0 */
/* cgroup_reader - see cgroup_reader.h. */
#include "cgroup_reader.h"

#include "isola/json.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int reader_bad(struct reader *r, const char *fmt, ...)
{
	char text[512];
	va_list ap;
	va_start(ap, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	return err_set(r->err, EINVAL, "resources.%s", text);
}

int reader_cannot(struct reader *r, const char *path, const char *why)
{
	return err_set(r->err, EOPNOTSUPP, "resources.%s: %s", path, why);
}

int reader_number(struct reader *r, json_object *o, const char *section, const char *key,
		  int64_t min, int64_t max, int64_t *ret)
{
	json_object *v = json_get(o, key);
	if (!v)
		return 0;
	if (!json_object_is_type(v, json_type_int))
		return reader_bad(r, "%s.%s: must be a whole number", section, key);
	int64_t n = json_object_get_int64(v);
	bool beyond = n == INT64_MAX && json_object_get_uint64(v) > INT64_MAX;
	if (beyond || n < min || n > max)
		return reader_bad(r, "%s.%s: must be %" PRId64 " to %" PRId64, section, key, min,
				  max);
	*ret = n;
	return 1;
}

int reader_bool(struct reader *r, json_object *o, const char *section, const char *key, bool *ret)
{
	json_object *v = json_get(o, key);
	if (!v)
		return 0;
	if (!json_object_is_type(v, json_type_boolean))
		return reader_bad(r, "%s.%s: must be true or false", section, key);
	*ret = json_object_get_boolean(v);
	return 1;
}

/* The next item, zeroed, or NULL when memory is out. */
static struct limit *push(struct limits *l)
{
	if (l->n == l->cap) {
		size_t cap = l->cap ? 2 * l->cap : 8;
		struct limit *items = reallocarray(l->items, cap, sizeof(*items));
		if (!items)
			return NULL;
		l->items = items;
		l->cap = cap;
	}
	struct limit *item = &l->items[l->n++];
	*item = (struct limit){ 0 };
	return item;
}

struct limit *reader_add(struct reader *r, enum limit_kind kind, const char *file,
			 const char *value, const char *what)
{
	char *copy = strdup(value);
	struct limit *item = copy ? push(r->limits) : NULL;
	if (!item) {
		free(copy);
		(void)err_set(r->err, ENOMEM, "out of memory");
		return NULL;
	}
	size_t dot = strcspn(file, ".");
	item->kind = kind;
	item->value = copy;
	if (strncmp(file, "cgroup.", 7))
		(void)snprintf(item->controller, sizeof(item->controller), "%.*s", (int)dot, file);
	(void)snprintf(item->file, sizeof(item->file), "%s", file);
	(void)snprintf(item->what, sizeof(item->what), "%s", what);
	return item;
}

int reader_add_number(struct reader *r, enum limit_kind kind, const char *file, const char *name,
		      int64_t value)
{
	char text[32], what[96];
	(void)snprintf(text, sizeof(text), "%" PRId64, value);
	if (value < 0)
		(void)snprintf(text, sizeof(text), "max");
	(void)snprintf(what, sizeof(what), "%s %s", name, text);
	return reader_add(r, kind, file, text, what) ? 0 : -ENOMEM;
}

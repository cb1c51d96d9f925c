/* SPDX-License-Identifier: Apache-2.0 */
/* fields - see fields.h. Pure; any thread. */
#include "fields.h"

#include "isola/fd.h"
#include "isola/json.h"

#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

static bool is_zero_object(json_object *v)
{
	json_object_object_foreach (v, key, member) {
		(void)key;
		if (!json_is_zero(member))
			return false;
	}
	return true;
}

bool json_is_zero(json_object *v)
{
	switch (json_object_get_type(v)) {
	case json_type_null:
		return true;
	case json_type_boolean:
		return !json_object_get_boolean(v);
	case json_type_int:
		return json_object_get_uint64(v) == 0 && json_object_get_int64(v) == 0;
	case json_type_double:
		return json_object_get_double(v) == 0.0;
	case json_type_string:
		return json_object_get_string_len(v) == 0;
	case json_type_array:
		return json_object_array_length(v) == 0;
	case json_type_object:
		return is_zero_object(v);
	}
	return false;
}

static const char *const kind_names[] = {
	[FIELD_BOOL] = "true or false",
	[FIELD_INT] = "a whole number",
	[FIELD_STR] = "a string",
	[FIELD_STRS] = "an array of strings",
	[FIELD_COMMAND] = "a string or an array of strings",
	[FIELD_MAP] = "an object of strings",
	[FIELD_SET] = "an object whose values are {}",
	[FIELD_OBJ] = "an object",
	[FIELD_OBJS] = "an array of objects",
	[FIELD_INTS] = "an array of whole numbers",
	[FIELD_ARRAY] = "an array",
	[FIELD_ANY] = "a value",
};

static bool is_clean_string(json_object *v)
{
	return json_object_is_type(v, json_type_string) &&
	       strlen(json_object_get_string(v)) == (size_t)json_object_get_string_len(v);
}

/* Beyond int64 json-c saturates; such a number must not pass as the limit. */
static bool is_int(json_object *v)
{
	return json_object_is_type(v, json_type_int) &&
	       (json_object_get_int64(v) != INT64_MAX ||
		json_object_get_uint64(v) == (uint64_t)INT64_MAX);
}

static bool is_object(json_object *v)
{
	return json_object_is_type(v, json_type_object);
}

static bool is_array_of(json_object *v, bool (*is_item)(json_object *))
{
	if (!json_object_is_type(v, json_type_array))
		return false;
	for (size_t i = 0; i < json_object_array_length(v); i++) {
		if (!is_item(json_object_array_get_idx(v, i)))
			return false;
	}
	return true;
}

static bool is_object_of(json_object *v, bool (*is_item)(json_object *))
{
	if (!is_object(v))
		return false;
	json_object_object_foreach (v, key, member) {
		(void)key;
		if (!is_item(member))
			return false;
	}
	return true;
}

static bool is_kind(json_object *v, enum field_kind kind)
{
	switch (kind) {
	case FIELD_BOOL:
		return json_object_is_type(v, json_type_boolean);
	case FIELD_INT:
		return is_int(v);
	case FIELD_STR:
		return is_clean_string(v);
	case FIELD_COMMAND:
		return is_clean_string(v) || is_array_of(v, is_clean_string);
	case FIELD_STRS:
		return is_array_of(v, is_clean_string);
	case FIELD_MAP:
		return is_object_of(v, is_clean_string);
	case FIELD_SET:
		return is_object_of(v, json_is_zero) && is_object(v);
	case FIELD_OBJ:
		return is_object(v);
	case FIELD_OBJS:
		return is_array_of(v, is_object);
	case FIELD_INTS:
		return is_array_of(v, is_int);
	case FIELD_ARRAY:
		return json_object_is_type(v, json_type_array);
	case FIELD_ANY:
		return true;
	}
	return false;
}

/* json-c has no object for null, so NULL alone does not tell a failure. */
static int add_default(json_object *out, const struct field *row)
{
	json_object *v = NULL;
	switch (row->zero) {
	case DEFAULT_ABSENT:
		return 0;
	case DEFAULT_NULL:
		return json_object_object_add(out, row->name, NULL);
	case DEFAULT_FALSE:
		v = json_object_new_boolean(false);
		break;
	case DEFAULT_TRUE:
		v = json_object_new_boolean(true);
		break;
	case DEFAULT_0:
		v = json_object_new_int64(0);
		break;
	case DEFAULT_EMPTY:
		v = json_object_new_string("");
		break;
	case DEFAULT_ARRAY:
		v = json_object_new_array();
		break;
	case DEFAULT_OBJECT:
		v = json_object_new_object();
		break;
	}
	if (!v)
		return -1;
	json_add(out, row->name, v);
	return 0;
}

const char *field_label(const char *prefix, const struct field *row, char *buf, size_t size)
{
	(void)snprintf(buf, size, "%s%s%s%s%s", prefix, row->name, row->flag ? " (" : "",
		       row->flag ? row->flag : "", row->flag ? ")" : "");
	return buf;
}

/* In a map the keys speak ({"/tmp": ""} mounts something), so only one without
 * any is unset. */
static bool is_unset(const struct field *row, json_object *v)
{
	if (row->only_null)
		return !v;
	if (v && (row->kind == FIELD_MAP || row->kind == FIELD_SET))
		return json_object_object_length(v) == 0;
	return json_is_zero(v);
}

static int check_row(const struct field *row, const char *prefix, json_object *v, void *arg,
		     json_object *out, struct err *err)
{
	char label[128];
	if (v && !is_kind(v, row->kind))
		return err_set(err, EINVAL, "%s must be %s",
			       field_label(prefix, row, label, sizeof(label)),
			       kind_names[row->kind]);
	if (is_unset(row, v))
		return add_default(out, row) < 0 ? err_set(err, ENOMEM, "out of memory") : 0;
	if (row->refuse)
		return err_set(err, EOPNOTSUPP, "%s is not supported%s%s",
			       field_label(prefix, row, label, sizeof(label)),
			       strchr(":", *row->refuse) ? "" : " ", row->refuse);
	if (row->min != row->max &&
	    (json_object_get_int64(v) < row->min || json_object_get_int64(v) > row->max))
		return err_set(err, EINVAL, "%s: %lld is not between %lld and %lld",
			       field_label(prefix, row, label, sizeof(label)),
			       (long long)json_object_get_int64(v), (long long)row->min,
			       (long long)row->max);
	json_object *value = NULL;
	if (row->check) {
		int rc = row->check(arg, row, v, &value, err);
		if (rc < 0) {
			(void)err_prefix(err, "%s", field_label(prefix, row, label, sizeof(label)));
			return rc;
		}
	} else {
		value = json_object_get(v);
	}
	if (!value)
		return add_default(out, row) < 0 ? err_set(err, ENOMEM, "out of memory") : 0;
	json_add(out, row->name, value);
	return 0;
}

static const struct field *find_row(const struct field *rows, size_t n, const char *name,
				    int (*compare)(const char *, const char *))
{
	for (size_t i = 0; i < n; i++) {
		if (!compare(rows[i].name, name))
			return &rows[i];
	}
	return NULL;
}

static int refuse_unknown(const struct field *rows, size_t n, const char *prefix, json_object *in,
			  struct err *err)
{
	if (!in)
		return 0;
	json_object_object_foreach (in, key, v) {
		if (json_is_zero(v) || find_row(rows, n, key, strcmp))
			continue;
		const struct field *like = find_row(rows, n, key, strcasecmp);
		return err_set(err, EINVAL, "%s%.64s is not a known field%s%s%s", prefix, key,
			       like ? " (did you mean " : "", like ? like->name : "",
			       like ? "?)" : "");
	}
	return 0;
}

int fields_check(const struct field *rows, size_t n, const char *prefix, json_object *in, void *arg,
		 json_object **ret, struct err *err)
{
	if (in && !is_object(in))
		return err_set(err, EINVAL, "%.*s must be an object", (int)strcspn(prefix, "."),
			       *prefix ? prefix : "the body");
	cleanup_json json_object *out = json_object_new_object();
	if (!out)
		return err_set(err, ENOMEM, "out of memory");
	int rc = refuse_unknown(rows, n, prefix, in, err);
	for (size_t i = 0; i < n && rc >= 0; i++)
		rc = check_row(&rows[i], prefix, json_get(in, rows[i].name), arg, out, err);
	if (rc < 0)
		return rc;
	*ret = take_ptr(out);
	return 0;
}

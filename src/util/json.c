/* SPDX-License-Identifier: Apache-2.0 */
/* json - see include/isola/json.h. Uses json-c's tokener in strict mode. */
#include "isola/json.h"

#include "isola/fd.h"
#include "isola/strbuf.h"
#include "isola/utf8.h"

#include <errno.h>
#include <limits.h>
#include <string.h>

int json_parse(const char *text, size_t size, const char *what, json_object **ret, struct err *err)
{
	if (size == 0 || size > INT_MAX - 1)
		return err_set(err, EINVAL, "%s: %s", what, size ? "too large" : "empty JSON");
	struct json_tokener *tok = json_tokener_new_ex(JSON_DEPTH_MAX);
	if (!tok)
		return err_set(err, ENOMEM, "%s: out of memory", what);
	json_tokener_set_flags(tok, JSON_TOKENER_STRICT | JSON_TOKENER_VALIDATE_UTF8);
	json_object *o = json_tokener_parse_ex(tok, text, (int)size);
	enum json_tokener_error state = json_tokener_get_error(tok);
	size_t end = json_tokener_get_parse_end(tok);
	if (state == json_tokener_continue) {
		/* A bare number or literal ends only with the text; anything
		 * else that wants more is cut off. */
		json_object_put(o);
		o = json_tokener_parse_ex(tok, "", -1);
		state = json_tokener_get_error(tok);
		end = size;
	}
	json_tokener_free(tok);
	while (end < size && strchr(" \t\r\n", text[end]) && text[end])
		end++;
	if (state != json_tokener_success || end != size) {
		json_object_put(o);
		return err_set(err, EINVAL, "%s: malformed JSON near byte %zu: %s", what, end,
			       state == json_tokener_success    ? "trailing bytes"
			       : state == json_tokener_continue ? "it is cut off"
								: json_tokener_error_desc(state));
	}
	*ret = o;
	return 0;
}

/* As many values as there are brackets that open and commas, but for those in strings. */
static size_t count_values(const char *text, size_t size)
{
	size_t n = 0;
	bool quoted = false;
	for (size_t i = 0; i < size; i++) {
		if (quoted && text[i] == '\\')
			i++;
		else if (text[i] == '"')
			quoted = !quoted;
		else if (!quoted)
			n += text[i] == '{' || text[i] == '[' || text[i] == ',';
	}
	return n;
}

int json_parse_max(const char *text, size_t size, const char *what, size_t values_max,
		   json_object **ret, struct err *err)
{
	if (count_values(text, size) > values_max)
		return err_set(err, EFBIG, "%s: more than %zu values", what, values_max);
	return json_parse(text, size, what, ret, err);
}

int json_read_file(int dirfd, const char *name, size_t max_bytes, json_object **ret,
		   struct err *err)
{
	cleanup_free char *text = NULL;
	size_t size = 0;
	int rc = fd_read_file(dirfd, name, max_bytes, &text, &size, err);
	if (rc < 0)
		return rc;
	return json_parse(text, size, name, ret, err);
}

int json_write_atomic(int dirfd, const char *name, json_object *o, int sync, struct err *err)
{
	size_t size = 0;
	const char *text = json_object_to_json_string_length(
		o, JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE, &size);
	if (!text)
		return err_set(err, ENOMEM, "cannot write %s: out of memory", name);
	return fd_write_atomic(dirfd, name, text, size, 0, (enum fd_sync)sync, err);
}

json_object *json_get(json_object *o, const char *key)
{
	json_object *v = NULL;
	if (o && json_object_is_type(o, json_type_object))
		(void)json_object_object_get_ex(o, key, &v);
	return v;
}

static int get_typed(json_object *o, const char *key, enum json_type type, const char *type_name,
		     json_object **ret, struct err *err)
{
	json_object *v = json_get(o, key);
	if (!v)
		return 0;
	if (!json_object_is_type(v, type))
		return err_set(err, EINVAL, "%s must be %s", key, type_name);
	*ret = v;
	return 1;
}

int json_get_str(json_object *o, const char *key, const char **ret, struct err *err)
{
	json_object *v = NULL;
	int rc = get_typed(o, key, json_type_string, "a string", &v, err);
	if (rc <= 0)
		return rc;
	const char *s = json_object_get_string(v);
	if (strlen(s) != (size_t)json_object_get_string_len(v))
		return err_set(err, EINVAL, "%s must not hold a NUL byte", key);
	*ret = s;
	return 1;
}

int json_get_i64(json_object *o, const char *key, int64_t *ret, struct err *err)
{
	json_object *v = NULL;
	int rc = get_typed(o, key, json_type_int, "a whole number", &v, err);
	if (rc <= 0)
		return rc;
	/* json-c saturates; a value beyond int64 must not pass as its limit. */
	if (json_object_get_uint64(v) > INT64_MAX && json_object_get_int64(v) == INT64_MAX)
		return err_set(err, EINVAL, "%s is out of range", key);
	*ret = json_object_get_int64(v);
	return 1;
}

int json_get_bool(json_object *o, const char *key, bool *ret, struct err *err)
{
	json_object *v = NULL;
	int rc = get_typed(o, key, json_type_boolean, "true or false", &v, err);
	if (rc > 0)
		*ret = json_object_get_boolean(v);
	return rc;
}

int json_get_obj(json_object *o, const char *key, json_object **ret, struct err *err)
{
	return get_typed(o, key, json_type_object, "an object", ret, err);
}

int json_get_arr(json_object *o, const char *key, json_object **ret, struct err *err)
{
	return get_typed(o, key, json_type_array, "an array", ret, err);
}

int json_get_strv(json_object *o, const char *key, json_object **ret, struct err *err)
{
	json_object *a = NULL;
	int rc = get_typed(o, key, json_type_array, "an array of strings", &a, err);
	if (rc <= 0)
		return rc;
	for (size_t i = 0; i < json_object_array_length(a); i++) {
		json_object *s = json_object_array_get_idx(a, i);
		if (!json_object_is_type(s, json_type_string) ||
		    strlen(json_object_get_string(s)) != (size_t)json_object_get_string_len(s))
			return err_set(err, EINVAL, "%s must be an array of strings", key);
	}
	*ret = a;
	return 1;
}

const char *json_item_str(json_object *a, size_t i)
{
	/* json-c asserts on anything but an array. */
	if (i >= json_len(a))
		return "";
	json_object *v = json_object_array_get_idx(a, i);
	return json_object_is_type(v, json_type_string) ? json_object_get_string(v) : "";
}

const char *json_str_or(json_object *o, const char *key, const char *fallback)
{
	json_object *v = json_get(o, key);
	return json_object_is_type(v, json_type_string) ? json_object_get_string(v) : fallback;
}

int64_t json_i64_or(json_object *o, const char *key, int64_t fallback)
{
	json_object *v = json_get(o, key);
	return json_object_is_type(v, json_type_int) ? json_object_get_int64(v) : fallback;
}

bool json_bool_or(json_object *o, const char *key, bool fallback)
{
	json_object *v = json_get(o, key);
	return json_object_is_type(v, json_type_boolean) ? json_object_get_boolean(v) : fallback;
}

void json_add(json_object *o, const char *key, json_object *taken)
{
	if (json_object_object_add(o, key, taken) < 0)
		json_object_put(taken);
}

void json_add_str(json_object *o, const char *key, const char *value)
{
	json_add(o, key, value ? json_object_new_string(value) : NULL);
}

json_object *json_new_text(const char *text, size_t size)
{
	cleanup_strbuf struct strbuf b = STRBUF_INIT;
	size_t clean = 0, n;
	while (clean < size && (n = utf8_len(text + clean, size - clean)) > 0)
		clean += n;
	if (clean == size)
		return json_object_new_string_len(text ? text : "", (int)size);
	strbuf_add(&b, text, clean);
	for (size_t i = clean; i < size; i += n) {
		n = utf8_len(text + i, size - i);
		if (n > 0)
			strbuf_add(&b, text + i, n);
		else
			strbuf_puts(&b, "\xef\xbf\xbd");
		n = n ? n : 1;
	}
	return json_object_new_string_len(strbuf_ok(&b) ? b.text : "",
					  strbuf_ok(&b) ? (int)b.len : 0);
}

void json_add_text(json_object *o, const char *key, const char *value)
{
	json_add(o, key, json_new_text(value, strlen(value)));
}

void json_add_i64(json_object *o, const char *key, int64_t value)
{
	json_add(o, key, json_object_new_int64(value));
}

void json_add_bool(json_object *o, const char *key, bool value)
{
	json_add(o, key, json_object_new_boolean(value));
}

size_t json_len(json_object *a)
{
	return json_object_is_type(a, json_type_array) ? json_object_array_length(a) : 0;
}

json_object *json_copy(json_object *o)
{
	json_object *copy = NULL;
	if (!o || json_object_deep_copy(o, &copy, NULL) < 0)
		return NULL;
	return copy;
}

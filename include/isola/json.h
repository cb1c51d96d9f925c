/* SPDX-License-Identifier: Apache-2.0 */
/* json - json-c with bounds and typed, named look-ups.
 *
 * Foreign JSON is parsed strictly: size and depth limits, no trailing bytes,
 * no NaN, UTF-8 only. Getters tell absent (and null) from the wrong type, and
 * their errors name the field, so that callers need no text of their own. */
#pragma once

#include "isola/err.h"

#include <json-c/json.h>
#include <stdbool.h>
#include <stdint.h>

#define JSON_DEPTH_MAX 32

static inline void json_cleanup(json_object **o)
{
	json_object_put(*o);
	*o = NULL;
}

#define cleanup_json __attribute__((cleanup(json_cleanup)))

/* Parses @size bytes as one document; @ret is owned by the caller. -EINVAL
 * with the place in the text. @what names the document in errors. */
int json_parse(const char *text, size_t size, const char *what, json_object **ret, struct err *err);

/* The same for text of strangers: a value of two bytes takes up to 1 KiB of memory, so
 * more than @values_max of them are -EFBIG before any is made. */
int json_parse_max(const char *text, size_t size, const char *what, size_t values_max,
		   json_object **ret, struct err *err);

/* fd_read_file() and json_parse(). */
int json_read_file(int dirfd, const char *name, size_t max_bytes, json_object **ret,
		   struct err *err);

/* fd_write_atomic() of the compact text. @sync: enum fd_sync as int. */
int json_write_atomic(int dirfd, const char *name, json_object *o, int sync, struct err *err);

/* Member @key of object @o, borrowed; NULL when @o is no object, has no such
 * key, or it is null. */
json_object *json_get(json_object *o, const char *key);

/* Typed members. Returns 1 and the value, 0 when absent or null (@ret
 * untouched), -EINVAL with "<key> must be a <type>". Strings and containers
 * are borrowed from @o. */
int json_get_str(json_object *o, const char *key, const char **ret, struct err *err);
int json_get_i64(json_object *o, const char *key, int64_t *ret, struct err *err);
int json_get_bool(json_object *o, const char *key, bool *ret, struct err *err);
int json_get_obj(json_object *o, const char *key, json_object **ret, struct err *err);
int json_get_arr(json_object *o, const char *key, json_object **ret, struct err *err);

/* Array whose items are all strings (a string with an embedded NUL is refused). */
int json_get_strv(json_object *o, const char *key, json_object **ret, struct err *err);

/* Item @i of array @a as a string; "" when it is none. */
const char *json_item_str(json_object *a, size_t i);

/* Quick readers for documents we wrote ourselves: a default for anything odd. */
const char *json_str_or(json_object *o, const char *key, const char *fallback);
int64_t json_i64_or(json_object *o, const char *key, int64_t fallback);
bool json_bool_or(json_object *o, const char *key, bool fallback);

/* Adders that build documents; @o takes the new value. NULL strings add null. */
void json_add_str(json_object *o, const char *key, const char *value);
void json_add_i64(json_object *o, const char *key, int64_t value);
void json_add_bool(json_object *o, const char *key, bool value);
void json_add(json_object *o, const char *key, json_object *taken);

/* json_add_str() for text of strangers, say a file's name: bytes that are no UTF-8, of
 * which no JSON may be made, become U+FFFD each. */
void json_add_text(json_object *o, const char *key, const char *value);
/* The same as a value, owned; it may hold NUL bytes. */
json_object *json_new_text(const char *text, size_t size);

/* Number of items; 0 when @a is NULL or no array. */
size_t json_len(json_object *a);

/* A deep copy, owned; NULL when memory is out or @o is NULL. */
json_object *json_copy(json_object *o);

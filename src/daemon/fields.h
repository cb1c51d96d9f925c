/* SPDX-License-Identifier: Apache-2.0 */
/* fields - a JSON object checked against a table, one row a field.
 *
 * Process: isolad. The objects are the client's (docker create, update): each
 * field gets its type checked, a value that asks for nothing ("zero": null,
 * false, 0, "", [], {}) becomes the row's default, any other goes through the
 * row's check, and a field without a row is refused unless it is zero. So
 * nothing is accepted and then ignored (API: Docker Engine, ContainerCreate). */
#pragma once

#include "isola/err.h"

#include <json-c/json.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum field_kind {
	FIELD_BOOL,
	FIELD_INT,
	FIELD_STR,
	FIELD_STRS,    /* array of strings */
	FIELD_COMMAND, /* a string or an array of strings */
	FIELD_MAP,     /* object whose values are strings */
	FIELD_SET,     /* object whose values are {} or null */
	FIELD_OBJ,
	FIELD_OBJS,  /* array of objects */
	FIELD_INTS,  /* array of integers */
	FIELD_ARRAY, /* of anything: the check looks */
	FIELD_ANY,   /* the check looks */
};

/* What stands in the result for a zero value. */
enum field_default {
	DEFAULT_NULL,
	DEFAULT_FALSE,
	DEFAULT_TRUE, /* with only_null: false says something */
	DEFAULT_0,
	DEFAULT_EMPTY, /* "" */
	DEFAULT_ARRAY,
	DEFAULT_OBJECT,
	DEFAULT_ABSENT,
};

struct field;

/* Judges the non-zero @value (of the row's kind, borrowed) and sets @ret to the
 * normalised one, owned. Sets a text that begins with what is wrong; the name
 * of the field is put in front by fields_check(). */
typedef int field_fn(void *arg, const struct field *row, json_object *value, json_object **ret,
		     struct err *err);

struct field {
	const char *name;
	const char *flag; /* what people type for it ("--memory"), or NULL */
	enum field_kind kind;
	enum field_default zero;
	bool only_null;     /* false, 0, "" and [] say something: only null is zero */
	const char *refuse; /* why a non-zero value is not supported, or NULL */
	int64_t min, max;   /* of a FIELD_INT; both 0 = any */
	const char *tag;    /* for the check */
	field_fn *check;    /* NULL = taken as it is; may leave @ret NULL: the default */
};

/* Checks @in (borrowed; NULL = empty) against @rows; @prefix ("HostConfig.")
 * stands before the names in errors. @ret is an owned object with every row in
 * order, its values shared with @in where unchanged. -EINVAL, -EOPNOTSUPP for
 * what is not supported, -ENOMEM, or what a check returned. */
int fields_check(const struct field *rows, size_t n, const char *prefix, json_object *in, void *arg,
		 json_object **ret, struct err *err);

/* Whether @v asks for nothing; objects when all their members do. */
bool json_is_zero(json_object *v);

/* "HostConfig.Memory (--memory)" and the like for errors of checks that look
 * at several fields; @buf is returned. */
const char *field_label(const char *prefix, const struct field *row, char *buf, size_t size);

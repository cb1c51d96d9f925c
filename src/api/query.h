/* SPDX-License-Identifier: Apache-2.0 */
/* query - query strings and Docker's filters, both foreign text. */
#pragma once

#include "isola/err.h"

#include <json-c/json.h>
#include <stdbool.h>
#include <stddef.h>

#define QUERY_PAIRS_MAX   128
#define FILTER_VALUES_MAX 1024

struct query_pair {
	const char *key, *value;
};

struct query {
	char *text; /* decoded, holds all strings; owned */
	struct query_pair *pair;
	size_t n;
};

/* Takes "a=1&b=%2Fx" apart (application/x-www-form-urlencoded). -EINVAL for a
 * broken escape, a NUL byte, or too many pairs. @ret is untouched on failure. */
int query_parse(const char *text, size_t size, struct query *ret, struct err *err);
void query_fini(struct query *q);

/* The first value of @key, or NULL. */
const char *query_get(const struct query *q, const char *key);

/* Decodes %XX in place-like fashion into @ret (of size + 1 bytes). */
int query_unescape(const char *text, size_t size, bool plus_is_space, char *ret, struct err *err);

/* Docker's filters: {"key":["value"]} or the form {"key":{"value":true}}, which
 * becomes the first. @ret is owned; NULL for an empty text or no filters. */
int filters_parse(const char *text, json_object **ret, struct err *err);

/* SPDX-License-Identifier: Apache-2.0 */
/* filter - Docker's filters: {"key": ["value", ...]}, or the older form
 * {"key": {"value": true}}. Values of one key are alternatives. */
#pragma once

#include "isola/err.h"

#include <json-c/json.h>
#include <stdbool.h>
#include <stddef.h>

/* Every key must be one of @keys (@n of them) and hold one of the two forms;
 * -EINVAL names the one that is not. NULL @filters is fine. */
int filter_check(json_object *filters, const char *const *keys, size_t n, struct err *err);

/* The values of @key as they come: 1 and the @i-th in @ret (borrowed), 0 when
 * there are no more. */
int filter_value(json_object *filters, const char *key, size_t i, const char **ret);

/* True when @key is absent or one of its values satisfies @is(value, arg). */
bool filter_any(json_object *filters, const char *key, bool (*is)(const char *value, void *arg),
		void *arg);
/* True when @key is absent or all of its values satisfy @is (labels). */
bool filter_all(json_object *filters, const char *key, bool (*is)(const char *value, void *arg),
		void *arg);
/* "name" or "name=value" against @labels, an object of strings or NULL; the form
 * of @is above with @arg = labels. */
bool filter_label(const char *value, void *labels);
/* Docker's names and ids are regular expressions, unanchored: 1 if @text (may be NULL)
 * fits @pattern, 0 if not, -EINVAL if @pattern is none. */
int filter_pattern(const char *pattern, const char *text);

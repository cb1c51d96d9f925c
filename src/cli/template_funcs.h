/* SPDX-License-Identifier: Apache-2.0 */
/* template_funcs - values and functions of --format templates. */
#pragma once

#include "isola/err.h"
#include "isola/strbuf.h"

#include <json-c/json.h>
#include <stdbool.h>

/* As Go's fmt prints: text bare, lists in [], maps as map[k:v]. */
void template_print_value(json_object *v, struct strbuf *out);
/* Go's truth: empty, zero and null are false. */
bool template_is_true(json_object *v);
/* Calls the function @name; arguments borrowed, @ret owned (NULL is null). */
int template_call(const char *name, json_object **argv, size_t argc, json_object **ret,
		  struct err *err);

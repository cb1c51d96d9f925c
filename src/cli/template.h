/* SPDX-License-Identifier: Apache-2.0 */
/* template - the subset of Go's text/template that --format needs: fields,
 * pipelines, if/range/with, variables of range, and Docker's helper functions
 * (json, upper, lower, title, join, split, len, index, println, print, printf,
 * eq ne lt le gt ge and or not, truncate). Runs in the CLIs. */
#pragma once

#include "isola/err.h"
#include "isola/strbuf.h"

#include <json-c/json.h>

struct template;

/* -EINVAL with what is wrong and where. @ret is owned. */
int template_parse(const char *text, struct template **ret, struct err *err);
void template_free(struct template *t);

/* Appends @t applied to @data to @out. A missing key is an error that names it. */
int template_run(const struct template *t, json_object *data, struct strbuf *out, struct err *err);

/* Calls @each with every top-level field name of @t ("ID", "Names"), in order:
 * the columns of a "table" format. */
void template_fields(const struct template *t, void (*each)(void *arg, const char *name),
		     void *arg);

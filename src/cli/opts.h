/* SPDX-License-Identifier: Apache-2.0 */
/* opts - values with parts, such as "disk.img,ro,cache=none" of --disk: an option is a
 * row. A first part without a key belongs to the first row; ",," is a comma. Runs in
 * vmctl. */
#pragma once

#include "isola/err.h"

#include <json-c/json.h>

struct args;

enum opt_kind {
	OPT_STR,
	OPT_PATH, /* made absolute */
	OPT_BOOL, /* "ro", "ro=true", "ro=false" */
	OPT_NOT,  /* "rw": the opposite of its field */
	OPT_INT,
	OPT_SIZE,
	OPT_RATE, /* bytes a second, with ":burst": a token bucket; 0 = no limit */
	OPT_OPS,  /* operations a second, likewise */
};

/* @field may name an object's field: "Rate.Ops". Ends with a row without a key. */
struct opt {
	const char *key;
	enum opt_kind kind;
	const char *field;
};

/* Adds the fields that @text asks for to @to. -EINVAL with a sentence that names
 * --@flag and what is wrong. */
int opts_parse(const char *flag, const char *text, const struct opt *rows, json_object *to,
	       struct err *err);
/* opts_parse() of every value of a repeated flag: an array in @to[@field], if any. */
int opts_list(struct args *args, const char *flag, const struct opt *rows, json_object *to,
	      const char *field, struct err *err);
/* "0-3,5" as an array of numbers, owned; NULL with @err. */
json_object *opts_cpu_list(const char *flag, const char *text, struct err *err);

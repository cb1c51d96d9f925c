/* SPDX-License-Identifier: Apache-2.0 */
/* words - text of a Dockerfile instruction into words: '...', "...", \x, $NAME,
 * ${NAME} and ${NAME:-word}, ${NAME:+word}, ${NAME:?word}, also without the colon
 * (Docker's Dockerfile reference, "Environment replacement"). */
#pragma once

#include "isola/err.h"

#include <json-c/json.h>
#include <stdbool.h>

struct words_scope {
	json_object *env; /* array of "NAME=VALUE", the first one counts; or NULL */
	char escape;      /* '\\' or '`'; 0 = '\\' */
	bool split;       /* white space in a variable's value separates words, too */
};

/* @ret: owned array of strings. -EINVAL for an open quote or an unknown ${...}
 * form. */
int words_split(const char *text, const struct words_scope *scope, json_object **ret,
		struct err *err);

/* All of @text as one word, spaces included; @ret an owned JSON string. */
int words_expand(const char *text, const struct words_scope *scope, json_object **ret,
		 struct err *err);

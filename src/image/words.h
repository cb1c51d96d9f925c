/* SPDX-License-Identifier: Apache-2.0 */
/* words - text of a Dockerfile instruction into words: '...', "...", \x, $NAME
 * and ${NAME} (Docker's Dockerfile reference, "Environment replacement"). */
#pragma once

#include "isola/err.h"

#include <json-c/json.h>

/* @ret: owned array of strings. @env: array of "NAME=VALUE" or NULL. -EINVAL for
 * an open quote or an unknown ${...} form. */
int words_split(const char *text, json_object *env, json_object **ret, struct err *err);

/* All of @text as one word, spaces included; @ret an owned JSON string. */
int words_expand(const char *text, json_object *env, json_object **ret, struct err *err);

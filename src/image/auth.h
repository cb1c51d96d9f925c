/* SPDX-License-Identifier: Apache-2.0 */
/* auth - what a registry wants to see before it answers: the WWW-Authenticate field
 * (RFC 9110, 11.6.1; distribution's token specification). Foreign text. */
#pragma once

#include "isola/err.h"

#include <stddef.h>

enum auth_scheme { AUTH_BASIC, AUTH_BEARER };

struct auth_challenge {
	enum auth_scheme scheme;
	char realm[1024], service[256], scope[1024]; /* "" = not given */
};

/* The first challenge in @field that is Bearer, else Basic. -EINVAL when it is
 * malformed, a value does not fit, or there is neither. */
int auth_parse(const char *field, struct auth_challenge *ret, struct err *err);

/* What X-Registry-Auth carries: base64 (either alphabet) of @ret_text, owned. */
int auth_decode(const char *base64, char **ret_text, struct err *err);

/* The other way round; owned. */
int auth_encode(const char *text, char **ret_base64, struct err *err);

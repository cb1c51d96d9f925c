/* SPDX-License-Identifier: Apache-2.0 */
/* platform - this host in the words of image indexes (image-spec
 * image-index.md, "platform"). */
#pragma once

#include "isola/err.h"

#include <json-c/json.h>
#include <stdbool.h>
#include <stddef.h>

struct platform {
	const char *architecture; /* static; "" = a machine without a name there */
	const char *variant;      /* static; "" = none */
};

struct platform platform_of_host(void);

/* How well does the platform object (may be NULL) fit @host? 0 = not at all; the
 * highest is best. */
int platform_rank(const struct platform *host, json_object *platform);

/* "linux/arm/v7" for people. */
void platform_text(json_object *platform, char *ret, size_t size);

/* Takes "linux/<architecture>[/<variant>]", "linux" or an architecture alone apart
 * (into @ret_arch, @ret_variant of 64 bytes each), with the names that uname(1) and
 * Docker have for the same as image-spec's. -EINVAL for another system or form. */
int platform_parse(const char *text, char ret_arch[64], char ret_variant[64], struct err *err);

/* Does an image for @arch and @variant ("" = not told) do where @want is wanted? */
bool platform_fits(const struct platform *want, const char *arch, const char *variant);

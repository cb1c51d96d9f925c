/* SPDX-License-Identifier: Apache-2.0 */
/* config - an image's configuration (image-spec config.md; Docker's is the same
 * with more keys): checked, cut down to what Isola uses. Pure JSON. */
#pragma once

#include "isola/err.h"

#include <json-c/json.h>
#include <stddef.h>

/* Parses the @size bytes of a config blob. *@ret is the start of an
 * IMAGE_RECORD (isola/image.h), owned: created_ns, architecture, os, variant,
 * author, comment, diff_ids, history, config. Unknown keys are dropped; a known
 * one of the wrong type is -EINVAL and named, as is another system than Linux. */
int config_parse(const char *text, size_t size, json_object **ret, struct err *err);

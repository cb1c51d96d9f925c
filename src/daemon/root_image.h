/* SPDX-License-Identifier: Apache-2.0 */
/* root_image - one file with an image's whole root, for guests: the merged tree of its
 * layers as EROFS, which isola-image makes (isola/image.h). isolad, loop thread. */
#pragma once

#include <json-c/json.h>
#include <stddef.h>

struct isolad;

/* Writes to @ret where the file of the image with IMAGE_RECORD @record is: 1 when it is
 * there, whole; 0 when it has not been made, or an image without layers has none. */
int root_image_find(const struct isolad *d, json_object *record, char *ret, size_t size);

/* SPDX-License-Identifier: Apache-2.0 */
/* fuzz_image_ref - image names as clients and archives give them. What is taken
 * is stable: normalised again, it is the same. */
#include "isola/image.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char text[1024], once[IMAGE_REF_MAX], twice[IMAGE_REF_MAX], shown[IMAGE_REF_MAX];
	struct err err = ERR_INIT;
	if (size >= sizeof(text))
		return 0;
	memcpy(text, data, size);
	text[size] = '\0';
	if (image_ref_normalize(text, once, sizeof(once), &err) < 0)
		return 0;
	image_ref_familiar(once, shown, sizeof(shown));
	if (image_ref_normalize(once, twice, sizeof(twice), &err) < 0 || strcmp(once, twice) != 0)
		abort();
	if (image_ref_normalize(shown, twice, sizeof(twice), &err) < 0 || strcmp(once, twice) != 0)
		abort();
	return 0;
}

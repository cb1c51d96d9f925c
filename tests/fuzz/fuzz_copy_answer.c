/* SPDX-License-Identifier: Apache-2.0 */
/* fuzz_copy_answer - what a guest answers to a copy (GUEST_COPY of isola/guest.h), as
 * isola-image reads it. */
#include "image/copy_guest.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct err err = ERR_INIT;
	uint8_t *exact = malloc(size + !size);
	if (!exact)
		return 0;
	if (size)
		memcpy(exact, data, size);
	int rc = copy_guest_answer(exact, size, &err);
	if ((rc == 0) != (size == 0) || (rc < 0 && (-rc != err.code || rc <= -4096)) ||
	    strlen(err.text) >= sizeof(err.text))
		abort();
	for (const char *p = err.text; *p; p++)
		if ((unsigned char)*p < ' ')
			abort();
	free(exact);
	return 0;
}

/* SPDX-License-Identifier: Apache-2.0 */
/* fuzz_image_change - instructions of an import, one a line. */
#include "image/change.h"
#include "isola/json.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	cleanup_json json_object *config = json_object_new_object();
	char *text = strndup((const char *)data, size), *at = text, *line;
	while (at && (line = strsep(&at, "\n"))) {
		struct err err = ERR_INIT;
		(void)change_apply(config, line, &err);
	}
	free(text);
	return 0;
}

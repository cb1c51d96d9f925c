/* SPDX-License-Identifier: Apache-2.0 */
/* fuzz_guest_tell - what a guest answers about its processes (first byte 0) and its use. */
#include "isola/fd.h"
#include "isola/json.h"
#include "isola/wire.h"

#include "keeper/guest_tell.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct err err = ERR_INIT;
	cleanup_json json_object *o = NULL;
	if (!size)
		return 0;
	int rc = data[0] ? guest_tell_stats(data + 1, size - 1, &o, &err)
			 : guest_tell_ps(data + 1, size - 1, &o, &err);
	if (rc < 0 ? o || !err.code || !*err.text : !o)
		abort();
	if (o && strlen(json_object_to_json_string_ext(o, JSON_C_TO_STRING_PLAIN)) > WIRE_BYTES_MAX)
		abort();
	return 0;
}

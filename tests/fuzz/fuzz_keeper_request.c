/* SPDX-License-Identifier: Apache-2.0 */
/* fuzz_keeper_request - what isola-keeper is told: a message of the link (the
 * first byte is the number of descriptors), or keeper.json. */
#include "isola/json.h"

#include "keeper/keepspec.h"
#include "keeper/request.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct err err = ERR_INIT;
	json_object *doc = NULL;
	if (size < 2 || json_parse((const char *)data + 1, size - 1, "message", &doc, &err) < 0)
		return 0;
	struct request request = { .seq = 0 };
	if (request_parse(doc, data[0] % 5, &request, &err) == 0) {
		if (request.op >= OP_COUNT || request.stream.head_size > REQUEST_HEAD_MAX)
			abort();
		request_fini(&request);
	} else if (!err.code || !err.text[0]) {
		abort();
	}
	struct keepspec spec;
	if (keepspec_parse(doc, &spec, &err) == 0) {
		if (!spec.id || !spec.cgroup || spec.log_limits.max_files < 1)
			abort();
		keepspec_shrink(&spec);
		keepspec_fini(&spec);
	}
	return 0;
}

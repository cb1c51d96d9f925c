/* SPDX-License-Identifier: Apache-2.0 */
/* fuzz_vmm_request - what a keeper tells isola-vmm: requests and answers. */
#include "isola/json.h"

#include "vmm/machine.h"
#include "vmm/request.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct err err = ERR_INIT;
	struct request r;
	json_object *doc = NULL;
	if (json_parse((const char *)data, size, "message", &doc, &err) < 0)
		return 0;
	if (request_parse(doc, &r, &err) == 0) {
		if (r.seq < 0 || !r.name || !r.phases || r.op > REQUEST_ANSWER ||
		    r.vcpu >= MACHINE_CPUS_MAX || r.code < 0 ||
		    (r.op == REQUEST_PIN && json_len(r.cpus) == 0) ||
		    (r.op == REQUEST_DISK && !r.id))
			abort();
	} else if (!err.code || !err.text[0] || r.seq < -1) {
		abort();
	}
	json_object_put(doc);
	return 0;
}

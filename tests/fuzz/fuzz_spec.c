/* SPDX-License-Identifier: Apache-2.0 */
/* fuzz_spec - config.json bytes through all that reads them: the spec's parser,
 * linux.resources, the compiler of device rules, the seccomp compiler. */
#include "ctr/spec.h"
#include "host/cgroup_devices.h"
#include "isola/cgroup.h"
#include "isola/json.h"
#include "isola/seccomp.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct bpf_insn insns[DEVICES_INSNS_MAX];

/* The parts again by themselves: most documents fail before they come to them. */
static void try_parts(json_object *doc)
{
	struct err err = ERR_INIT;
	struct ctr_process *process = NULL;
	struct seccomp_filter filter = SECCOMP_FILTER_INIT;
	json_object *part = json_get(doc, "linux");
	json_object *resources = json_get(part, "resources");
	char want[CGROUP_WANT_BYTES];
	if (ctr_process_parse(json_get(doc, "process"), &process, &err) == 0)
		ctr_process_free(process);
	if (resources && cgroup_resources_check(resources, &err) == 0)
		cgroup_wanted(resources, want);
	(void)cgroup_devices_check(json_get(resources, "devices"), &err);
	(void)devices_compile(json_get(resources, "devices"), insns, &err);
	if (seccomp_filter_load(json_get(part, "seccomp"), -1, &filter, &err) == 0)
		seccomp_filter_fini(&filter);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct err err = ERR_INIT;
	json_object *doc = NULL;
	struct ctr_spec *spec = NULL;
	if (json_parse((const char *)data, size, "config.json", &doc, &err) < 0)
		return 0;
	int rc = ctr_spec_parse(doc, &spec, &err);
	/* Every refusal says why. */
	if (rc < 0 && (err.code == 0 || !*err.text))
		abort();
	try_parts(doc);
	json_object_put(doc);
	ctr_spec_free(spec);
	return 0;
}

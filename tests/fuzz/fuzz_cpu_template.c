/* SPDX-License-Identifier: Apache-2.0 */
/* fuzz_cpu_template - a user's CPU template, checked and, when it passes, applied to a
 * processor that has every feature. */
#include "isola/json.h"

#include "vmm/cpu.h"
#include "vmm/cpu_cpuid.h"
#include "vmm/cpu_template.h"
#include "vmm/cpu_topology.h"

#include <assert.h>
#include <stdint.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void fill(struct cpuid *cpuid)
{
	static const uint32_t leaves[] = { 0, 1, 7, 0xd, 0x40000000, 0x40000001, 0x80000001 };
	const struct cpuid_feature *f;
	size_t n = cpuid_features(&f);
	for (size_t i = 0; i < sizeof(leaves) / sizeof(leaves[0]); i++)
		(void)cpuid_make(cpuid, leaves[i], 0, leaves[i] == 7 || leaves[i] == 0xd);
	for (size_t i = 0; i < n; i++) {
		struct kvm_cpuid_entry2 *e = cpuid_make(cpuid, f[i].leaf, f[i].subleaf,
							f[i].leaf == 7 || f[i].leaf == 0xd);
		assert(e);
		*cpuid_register_of(e, f[i].reg) |= 1U << f[i].bit;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct cpu_topology topology = { .threads = 2, .cores = 3, .cpus = 6 };
	struct err err = ERR_INIT;
	cleanup_json json_object *tpl = NULL;
	if (json_parse((const char *)data, size, "template", &tpl, &err) < 0)
		return 0;
	int rc = cpu_template_check(tpl, &err);
	if (rc < 0 || !json_object_is_type(tpl, json_type_object)) {
		assert(rc >= 0 || err.text[0] != '\0');
		return 0;
	}
	struct cpuid *cpuid = calloc(1, sizeof(*cpuid));
	struct cpu_msrs msrs = { .n = 0 };
	assert(cpuid);
	fill(cpuid);
	rc = template_apply(tpl, cpuid, &msrs, &err);
	assert(cpuid->n <= CPUID_ENTRIES_MAX && msrs.n <= CPU_MSRS_MAX);
	if (rc == 0)
		(void)topology_apply(&topology, 5, cpuid, &err);
	assert(cpuid->n <= CPUID_ENTRIES_MAX);
	free(cpuid);
	return 0;
}

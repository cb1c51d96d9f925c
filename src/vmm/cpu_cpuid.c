/* SPDX-License-Identifier: Apache-2.0 */
/* cpu_cpuid - see cpu_cpuid.h. isola-vmm, before the jail. */
#include "cpu_cpuid.h"

#include <errno.h>
#include <string.h>
#include <sys/ioctl.h>

_Static_assert(offsetof(struct cpuid, entries) == sizeof(struct kvm_cpuid2), "kvm_cpuid2");

int cpuid_supported(int kvm_fd, struct cpuid *ret, struct err *err)
{
	memset(ret, 0, sizeof(*ret));
	ret->n = CPUID_ENTRIES_MAX;
	if (ioctl(kvm_fd, KVM_GET_SUPPORTED_CPUID, ret) < 0)
		return err_sys(err, "cannot ask KVM for the processor's features");
	if (ret->n > CPUID_ENTRIES_MAX)
		return err_set(err, EPROTO, "KVM tells %u CPUID leaves", ret->n);
	return 0;
}

struct kvm_cpuid_entry2 *cpuid_find(struct cpuid *cpuid, uint32_t leaf, uint32_t subleaf)
{
	for (uint32_t i = 0; i < cpuid->n; i++) {
		struct kvm_cpuid_entry2 *e = &cpuid->entries[i];
		bool indexed = e->flags & KVM_CPUID_FLAG_SIGNIFCANT_INDEX;
		if (e->function == leaf && (!indexed || e->index == subleaf))
			return e;
	}
	return NULL;
}

struct kvm_cpuid_entry2 *cpuid_make(struct cpuid *cpuid, uint32_t leaf, uint32_t subleaf,
				    bool indexed)
{
	struct kvm_cpuid_entry2 *e = cpuid_find(cpuid, leaf, subleaf);
	if (e)
		return e;
	if (cpuid->n == CPUID_ENTRIES_MAX)
		return NULL;
	e = &cpuid->entries[cpuid->n++];
	*e = (struct kvm_cpuid_entry2){ .function = leaf,
					.index = subleaf,
					.flags = indexed ? KVM_CPUID_FLAG_SIGNIFCANT_INDEX : 0 };
	return e;
}

void cpuid_remove(struct cpuid *cpuid, uint32_t leaf)
{
	uint32_t kept = 0;
	for (uint32_t i = 0; i < cpuid->n; i++)
		if (cpuid->entries[i].function != leaf)
			cpuid->entries[kept++] = cpuid->entries[i];
	cpuid->n = kept;
}

uint32_t *cpuid_register_of(struct kvm_cpuid_entry2 *e, enum cpuid_register reg)
{
	switch (reg) {
	case CPUID_EAX:
		return &e->eax;
	case CPUID_EBX:
		return &e->ebx;
	case CPUID_ECX:
		return &e->ecx;
	default:
		return &e->edx;
	}
}

void cpuid_vendor(const struct cpuid *cpuid, char ret[13])
{
	const struct kvm_cpuid_entry2 *e = cpuid_find((struct cpuid *)cpuid, 0, 0);
	memset(ret, 0, 13);
	if (!e)
		return;
	memcpy(ret, &e->ebx, 4);
	memcpy(ret + 4, &e->edx, 4);
	memcpy(ret + 8, &e->ecx, 4);
}

bool cpuid_is_amd(const struct cpuid *cpuid)
{
	char vendor[13];
	cpuid_vendor(cpuid, vendor);
	return strcmp(vendor, "AuthenticAMD") == 0 || strcmp(vendor, "HygonGenuine") == 0;
}

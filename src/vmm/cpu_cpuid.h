/* SPDX-License-Identifier: Apache-2.0 */
/* cpu_cpuid - a table of CPUID leaves as KVM takes it, and the features in it by name. */
#pragma once

#include "isola/err.h"

#include <linux/kvm.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CPUID_ENTRIES_MAX 256 /* KVM_MAX_CPUID_ENTRIES */

/* A kvm_cpuid2 with its room: the same memory, so it goes to KVM as it is. */
struct cpuid {
	uint32_t n, padding;
	struct kvm_cpuid_entry2 entries[CPUID_ENTRIES_MAX];
};

enum cpuid_register { CPUID_EAX, CPUID_EBX, CPUID_ECX, CPUID_EDX };

/* What KVM on @kvm_fd can give a guest. */
int cpuid_supported(int kvm_fd, struct cpuid *ret, struct err *err);
/* The entry, or NULL. @subleaf is ignored for leaves that have none. */
struct kvm_cpuid_entry2 *cpuid_find(struct cpuid *cpuid, uint32_t leaf, uint32_t subleaf);
/* The entry, made (zero) when absent; @indexed: @subleaf counts. NULL: no room. */
struct kvm_cpuid_entry2 *cpuid_make(struct cpuid *cpuid, uint32_t leaf, uint32_t subleaf,
				    bool indexed);
void cpuid_remove(struct cpuid *cpuid, uint32_t leaf);
uint32_t *cpuid_register_of(struct kvm_cpuid_entry2 *entry, enum cpuid_register reg);
/* "GenuineIntel" */
void cpuid_vendor(const struct cpuid *cpuid, char ret[13]);
bool cpuid_is_amd(const struct cpuid *cpuid);

/* ---- features ---- */

struct cpuid_feature {
	const char *name; /* as in Linux' /proc/cpuinfo, where it is there */
	uint32_t leaf, subleaf;
	enum cpuid_register reg;
	uint8_t bit;
};

/* By name; NULL when there is no such row. */
const struct cpuid_feature *cpuid_feature(const char *name);
/* The table, for those that walk it. */
size_t cpuid_features(const struct cpuid_feature **ret);
bool cpuid_has(struct cpuid *cpuid, const struct cpuid_feature *feature);
void cpuid_clear(struct cpuid *cpuid, const struct cpuid_feature *feature);
/* Takes away what cannot be without what is missing (AVX2 without AVX ...), and fits
 * the XSAVE leaf to what is left. */
void cpuid_settle(struct cpuid *cpuid);

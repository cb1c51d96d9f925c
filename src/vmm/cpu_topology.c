/* SPDX-License-Identifier: Apache-2.0 */
/* cpu_topology - see cpu_topology.h (Intel SDM 3A, 9.9; AMD APM 3, E.4.7 and E.4.17). */
#include "cpu_topology.h"

#include <errno.h>
#include <stdbool.h>

#define LEVEL_THREAD 1
#define LEVEL_CORE   2

static unsigned int bits_for(unsigned int n)
{
	return n <= 1 ? 0 : 32 - (unsigned int)__builtin_clz(n - 1);
}

static unsigned int thread_bits(const struct cpu_topology *t)
{
	return bits_for(t->threads);
}

static unsigned int socket_shift(const struct cpu_topology *t)
{
	return thread_bits(t) + bits_for(t->cores);
}

uint32_t topology_apic_id(const struct cpu_topology *t, unsigned int index)
{
	unsigned int core = index / t->threads;
	return index % t->threads | core % t->cores << thread_bits(t) |
	       core / t->cores << socket_shift(t);
}

/* Replaces the bits @high to @low of @reg. */
static void put(uint32_t *reg, unsigned int high, unsigned int low, uint32_t value)
{
	uint32_t mask = (uint32_t)((1ULL << (high - low + 1)) - 1);
	*reg = (*reg & ~(mask << low)) | (value & mask) << low;
}

static void set_leaf_1(const struct cpu_topology *t, uint32_t apic_id, struct cpuid *cpuid)
{
	struct kvm_cpuid_entry2 *e = cpuid_find(cpuid, 1, 0);
	uint32_t logical = t->threads * t->cores;
	if (!e)
		return;
	put(&e->ebx, 31, 24, apic_id);
	put(&e->ebx, 23, 16, logical > 255 ? 255 : logical);
	put(&e->edx, 28, 28, logical > 1);
}

/* Which processors share a cache: bits 25-14 of EAX of leaf 4 and of 0x8000001D. Up to
 * the second level a core's threads, then the socket. */
static void set_caches(const struct cpu_topology *t, uint32_t leaf, struct cpuid *cpuid)
{
	for (uint32_t i = 0; i < cpuid->n; i++) {
		struct kvm_cpuid_entry2 *e = &cpuid->entries[i];
		if (e->function != leaf || (e->eax & 0x1f) == 0)
			continue;
		bool own = (e->eax >> 5 & 7) < 3;
		put(&e->eax, 25, 14, (1U << (own ? thread_bits(t) : socket_shift(t))) - 1);
		if (leaf == 4)
			put(&e->eax, 31, 26, (1U << bits_for(t->cores)) - 1);
	}
}

static int set_level(struct cpuid *cpuid, uint32_t leaf, uint32_t subleaf,
		     struct kvm_cpuid_entry2 values, struct err *err)
{
	struct kvm_cpuid_entry2 *e = cpuid_make(cpuid, leaf, subleaf, true);
	if (!e)
		return err_set(err, E2BIG, "no room for the CPUID leaves of the topology");
	e->eax = values.eax;
	e->ebx = values.ebx;
	e->ecx = subleaf | values.ecx << 8;
	e->edx = values.edx;
	return 0;
}

/* Leaves 0xB and 0x1F: one subleaf a level. KVM's own are gone before. */
static int set_levels(const struct cpu_topology *t, uint32_t apic_id, uint32_t leaf,
		      struct cpuid *cpuid, struct err *err)
{
	const struct kvm_cpuid_entry2 levels[] = {
		{ .eax = thread_bits(t), .ebx = t->threads, .ecx = LEVEL_THREAD, .edx = apic_id },
		{ .eax = socket_shift(t),
		  .ebx = t->threads * t->cores,
		  .ecx = LEVEL_CORE,
		  .edx = apic_id },
		{ .edx = apic_id },
	};
	const struct kvm_cpuid_entry2 *max = cpuid_find(cpuid, 0, 0);
	cpuid_remove(cpuid, leaf);
	if (!max || max->eax < leaf)
		return 0;
	int rc = 0;
	for (uint32_t i = 0; rc == 0 && i < sizeof(levels) / sizeof(levels[0]); i++)
		rc = set_level(cpuid, leaf, i, levels[i], err);
	return rc;
}

/* AMD tells threads of one core only by leaf 0x8000001E: a host without it (TOPOEXT)
 * gives its guests one all the same, for it says nothing but numbers. */
static int make_topoext(struct cpuid *cpuid, struct err *err)
{
	struct kvm_cpuid_entry2 *max = cpuid_find(cpuid, 0x80000000, 0);
	if (!max || cpuid_find(cpuid, 0x8000001e, 0))
		return 0;
	if (max->eax < 0x8000001e)
		max->eax = 0x8000001e;
	if (!cpuid_make(cpuid, 0x8000001e, 0, false))
		return err_set(err, E2BIG, "no room for the CPUID leaves of the topology");
	struct kvm_cpuid_entry2 *e = cpuid_find(cpuid, 0x80000001, 0);
	if (e)
		put(&e->ecx, 22, 22, 1);
	return 0;
}

static void set_amd(const struct cpu_topology *t, unsigned int index, uint32_t apic_id,
		    struct cpuid *cpuid)
{
	uint32_t logical = t->threads * t->cores;
	struct kvm_cpuid_entry2 *e = cpuid_find(cpuid, 0x80000008, 0);
	if (e) {
		put(&e->ecx, 7, 0, logical - 1);
		put(&e->ecx, 15, 12, socket_shift(t));
	}
	e = cpuid_find(cpuid, 0x80000001, 0);
	if (e)
		put(&e->ecx, 1, 1, logical > 1); /* CmpLegacy */
	set_caches(t, 0x8000001d, cpuid);
	e = cpuid_find(cpuid, 0x8000001e, 0);
	if (!e)
		return;
	e->eax = apic_id;
	e->ebx = index / t->threads % t->cores;
	put(&e->ebx, 15, 8, t->threads - 1);
	e->ecx = index / logical; /* node: one a socket */
}

int topology_apply(const struct cpu_topology *t, unsigned int index, struct cpuid *cpuid,
		   struct err *err)
{
	uint32_t apic_id = topology_apic_id(t, index);
	set_leaf_1(t, apic_id, cpuid);
	set_caches(t, 4, cpuid);
	int rc = set_levels(t, apic_id, 0xb, cpuid, err);
	if (rc == 0)
		rc = set_levels(t, apic_id, 0x1f, cpuid, err);
	if (rc == 0 && cpuid_is_amd(cpuid) && t->threads > 1)
		rc = make_topoext(cpuid, err);
	if (rc == 0 && cpuid_is_amd(cpuid))
		set_amd(t, index, apic_id, cpuid);
	return rc;
}

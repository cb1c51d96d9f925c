/* SPDX-License-Identifier: Apache-2.0 */
/* cpu_features - the feature bits by name (Intel SDM 2A, CPUID; AMD APM 3, E; Linux
 * Documentation/virt/kvm/x86/cpuid.rst), and which needs which. */
#include "cpu_cpuid.h"

#include <string.h>

/* clang-format off */

static const struct cpuid_feature features[] = {
	{ "sse3", 0x1, 0, CPUID_ECX, 0 },
	{ "pclmulqdq", 0x1, 0, CPUID_ECX, 1 },
	{ "monitor", 0x1, 0, CPUID_ECX, 3 },
	{ "vmx", 0x1, 0, CPUID_ECX, 5 },
	{ "ssse3", 0x1, 0, CPUID_ECX, 9 },
	{ "fma", 0x1, 0, CPUID_ECX, 12 },
	{ "cx16", 0x1, 0, CPUID_ECX, 13 },
	{ "pdcm", 0x1, 0, CPUID_ECX, 15 },
	{ "pcid", 0x1, 0, CPUID_ECX, 17 },
	{ "dca", 0x1, 0, CPUID_ECX, 18 },
	{ "sse4_1", 0x1, 0, CPUID_ECX, 19 },
	{ "sse4_2", 0x1, 0, CPUID_ECX, 20 },
	{ "x2apic", 0x1, 0, CPUID_ECX, 21 },
	{ "movbe", 0x1, 0, CPUID_ECX, 22 },
	{ "popcnt", 0x1, 0, CPUID_ECX, 23 },
	{ "tsc_deadline_timer", 0x1, 0, CPUID_ECX, 24 },
	{ "aes", 0x1, 0, CPUID_ECX, 25 },
	{ "xsave", 0x1, 0, CPUID_ECX, 26 },
	{ "osxsave", 0x1, 0, CPUID_ECX, 27 },
	{ "avx", 0x1, 0, CPUID_ECX, 28 },
	{ "f16c", 0x1, 0, CPUID_ECX, 29 },
	{ "rdrand", 0x1, 0, CPUID_ECX, 30 },
	{ "hypervisor", 0x1, 0, CPUID_ECX, 31 },
	{ "fpu", 0x1, 0, CPUID_EDX, 0 },
	{ "vme", 0x1, 0, CPUID_EDX, 1 },
	{ "de", 0x1, 0, CPUID_EDX, 2 },
	{ "pse", 0x1, 0, CPUID_EDX, 3 },
	{ "tsc", 0x1, 0, CPUID_EDX, 4 },
	{ "msr", 0x1, 0, CPUID_EDX, 5 },
	{ "pae", 0x1, 0, CPUID_EDX, 6 },
	{ "mce", 0x1, 0, CPUID_EDX, 7 },
	{ "cx8", 0x1, 0, CPUID_EDX, 8 },
	{ "apic", 0x1, 0, CPUID_EDX, 9 },
	{ "sep", 0x1, 0, CPUID_EDX, 11 },
	{ "mtrr", 0x1, 0, CPUID_EDX, 12 },
	{ "pge", 0x1, 0, CPUID_EDX, 13 },
	{ "mca", 0x1, 0, CPUID_EDX, 14 },
	{ "cmov", 0x1, 0, CPUID_EDX, 15 },
	{ "pat", 0x1, 0, CPUID_EDX, 16 },
	{ "pse36", 0x1, 0, CPUID_EDX, 17 },
	{ "clflush", 0x1, 0, CPUID_EDX, 19 },
	{ "dts", 0x1, 0, CPUID_EDX, 21 },
	{ "mmx", 0x1, 0, CPUID_EDX, 23 },
	{ "fxsr", 0x1, 0, CPUID_EDX, 24 },
	{ "sse", 0x1, 0, CPUID_EDX, 25 },
	{ "sse2", 0x1, 0, CPUID_EDX, 26 },
	{ "ss", 0x1, 0, CPUID_EDX, 27 },
	{ "ht", 0x1, 0, CPUID_EDX, 28 },
	{ "arat", 0x6, 0, CPUID_EAX, 2 },
	{ "fsgsbase", 0x7, 0, CPUID_EBX, 0 },
	{ "tsc_adjust", 0x7, 0, CPUID_EBX, 1 },
	{ "sgx", 0x7, 0, CPUID_EBX, 2 },
	{ "bmi1", 0x7, 0, CPUID_EBX, 3 },
	{ "hle", 0x7, 0, CPUID_EBX, 4 },
	{ "avx2", 0x7, 0, CPUID_EBX, 5 },
	{ "fdp_excptn_only", 0x7, 0, CPUID_EBX, 6 },
	{ "smep", 0x7, 0, CPUID_EBX, 7 },
	{ "bmi2", 0x7, 0, CPUID_EBX, 8 },
	{ "erms", 0x7, 0, CPUID_EBX, 9 },
	{ "invpcid", 0x7, 0, CPUID_EBX, 10 },
	{ "rtm", 0x7, 0, CPUID_EBX, 11 },
	{ "zero_fcs_fds", 0x7, 0, CPUID_EBX, 13 },
	{ "mpx", 0x7, 0, CPUID_EBX, 14 },
	{ "avx512f", 0x7, 0, CPUID_EBX, 16 },
	{ "avx512dq", 0x7, 0, CPUID_EBX, 17 },
	{ "rdseed", 0x7, 0, CPUID_EBX, 18 },
	{ "adx", 0x7, 0, CPUID_EBX, 19 },
	{ "smap", 0x7, 0, CPUID_EBX, 20 },
	{ "avx512ifma", 0x7, 0, CPUID_EBX, 21 },
	{ "clflushopt", 0x7, 0, CPUID_EBX, 23 },
	{ "clwb", 0x7, 0, CPUID_EBX, 24 },
	{ "avx512pf", 0x7, 0, CPUID_EBX, 26 },
	{ "avx512er", 0x7, 0, CPUID_EBX, 27 },
	{ "avx512cd", 0x7, 0, CPUID_EBX, 28 },
	{ "sha_ni", 0x7, 0, CPUID_EBX, 29 },
	{ "avx512bw", 0x7, 0, CPUID_EBX, 30 },
	{ "avx512vl", 0x7, 0, CPUID_EBX, 31 },
	{ "avx512vbmi", 0x7, 0, CPUID_ECX, 1 },
	{ "umip", 0x7, 0, CPUID_ECX, 2 },
	{ "pku", 0x7, 0, CPUID_ECX, 3 },
	{ "ospke", 0x7, 0, CPUID_ECX, 4 },
	{ "waitpkg", 0x7, 0, CPUID_ECX, 5 },
	{ "avx512_vbmi2", 0x7, 0, CPUID_ECX, 6 },
	{ "shstk", 0x7, 0, CPUID_ECX, 7 },
	{ "gfni", 0x7, 0, CPUID_ECX, 8 },
	{ "vaes", 0x7, 0, CPUID_ECX, 9 },
	{ "vpclmulqdq", 0x7, 0, CPUID_ECX, 10 },
	{ "avx512_vnni", 0x7, 0, CPUID_ECX, 11 },
	{ "avx512_bitalg", 0x7, 0, CPUID_ECX, 12 },
	{ "avx512_vpopcntdq", 0x7, 0, CPUID_ECX, 14 },
	{ "la57", 0x7, 0, CPUID_ECX, 16 },
	{ "rdpid", 0x7, 0, CPUID_ECX, 22 },
	{ "bus_lock_detect", 0x7, 0, CPUID_ECX, 24 },
	{ "cldemote", 0x7, 0, CPUID_ECX, 25 },
	{ "movdiri", 0x7, 0, CPUID_ECX, 27 },
	{ "movdir64b", 0x7, 0, CPUID_ECX, 28 },
	{ "sgx_lc", 0x7, 0, CPUID_ECX, 30 },
	{ "avx512_4vnniw", 0x7, 0, CPUID_EDX, 2 },
	{ "avx512_4fmaps", 0x7, 0, CPUID_EDX, 3 },
	{ "fsrm", 0x7, 0, CPUID_EDX, 4 },
	{ "avx512_vp2intersect", 0x7, 0, CPUID_EDX, 8 },
	{ "md_clear", 0x7, 0, CPUID_EDX, 10 },
	{ "serialize", 0x7, 0, CPUID_EDX, 14 },
	{ "tsxldtrk", 0x7, 0, CPUID_EDX, 16 },
	{ "ibt", 0x7, 0, CPUID_EDX, 20 },
	{ "amx_bf16", 0x7, 0, CPUID_EDX, 22 },
	{ "avx512_fp16", 0x7, 0, CPUID_EDX, 23 },
	{ "amx_tile", 0x7, 0, CPUID_EDX, 24 },
	{ "amx_int8", 0x7, 0, CPUID_EDX, 25 },
	{ "spec_ctrl", 0x7, 0, CPUID_EDX, 26 },
	{ "intel_stibp", 0x7, 0, CPUID_EDX, 27 },
	{ "flush_l1d", 0x7, 0, CPUID_EDX, 28 },
	{ "arch_capabilities", 0x7, 0, CPUID_EDX, 29 },
	{ "spec_ctrl_ssbd", 0x7, 0, CPUID_EDX, 31 },
	{ "avx_vnni", 0x7, 1, CPUID_EAX, 4 },
	{ "avx512_bf16", 0x7, 1, CPUID_EAX, 5 },
	{ "cmpccxadd", 0x7, 1, CPUID_EAX, 7 },
	{ "fzrm", 0x7, 1, CPUID_EAX, 10 },
	{ "fsrs", 0x7, 1, CPUID_EAX, 11 },
	{ "fsrc", 0x7, 1, CPUID_EAX, 12 },
	{ "amx_fp16", 0x7, 1, CPUID_EAX, 21 },
	{ "avx_ifma", 0x7, 1, CPUID_EAX, 23 },
	{ "lam", 0x7, 1, CPUID_EAX, 26 },
	{ "avx_vnni_int8", 0x7, 1, CPUID_EDX, 4 },
	{ "avx_ne_convert", 0x7, 1, CPUID_EDX, 5 },
	{ "prefetchiti", 0x7, 1, CPUID_EDX, 14 },
	{ "psfd", 0x7, 2, CPUID_EDX, 0 },
	{ "ipred_ctrl", 0x7, 2, CPUID_EDX, 1 },
	{ "rrsba_ctrl", 0x7, 2, CPUID_EDX, 2 },
	{ "bhi_ctrl", 0x7, 2, CPUID_EDX, 4 },
	{ "xsaveopt", 0xd, 1, CPUID_EAX, 0 },
	{ "xsavec", 0xd, 1, CPUID_EAX, 1 },
	{ "xgetbv1", 0xd, 1, CPUID_EAX, 2 },
	{ "xsaves", 0xd, 1, CPUID_EAX, 3 },
	{ "xfd", 0xd, 1, CPUID_EAX, 4 },
	{ "lahf_lm", 0x80000001, 0, CPUID_ECX, 0 },
	{ "cmp_legacy", 0x80000001, 0, CPUID_ECX, 1 },
	{ "svm", 0x80000001, 0, CPUID_ECX, 2 },
	{ "cr8_legacy", 0x80000001, 0, CPUID_ECX, 4 },
	{ "abm", 0x80000001, 0, CPUID_ECX, 5 },
	{ "sse4a", 0x80000001, 0, CPUID_ECX, 6 },
	{ "misalignsse", 0x80000001, 0, CPUID_ECX, 7 },
	{ "3dnowprefetch", 0x80000001, 0, CPUID_ECX, 8 },
	{ "osvw", 0x80000001, 0, CPUID_ECX, 9 },
	{ "xop", 0x80000001, 0, CPUID_ECX, 11 },
	{ "fma4", 0x80000001, 0, CPUID_ECX, 16 },
	{ "tbm", 0x80000001, 0, CPUID_ECX, 21 },
	{ "topoext", 0x80000001, 0, CPUID_ECX, 22 },
	{ "perfctr_core", 0x80000001, 0, CPUID_ECX, 23 },
	{ "syscall", 0x80000001, 0, CPUID_EDX, 11 },
	{ "nx", 0x80000001, 0, CPUID_EDX, 20 },
	{ "mmxext", 0x80000001, 0, CPUID_EDX, 22 },
	{ "fxsr_opt", 0x80000001, 0, CPUID_EDX, 25 },
	{ "pdpe1gb", 0x80000001, 0, CPUID_EDX, 26 },
	{ "rdtscp", 0x80000001, 0, CPUID_EDX, 27 },
	{ "lm", 0x80000001, 0, CPUID_EDX, 29 },
	{ "3dnowext", 0x80000001, 0, CPUID_EDX, 30 },
	{ "3dnow", 0x80000001, 0, CPUID_EDX, 31 },
	{ "invtsc", 0x80000007, 0, CPUID_EDX, 8 },
	{ "clzero", 0x80000008, 0, CPUID_EBX, 0 },
	{ "xsaveerptr", 0x80000008, 0, CPUID_EBX, 2 },
	{ "wbnoinvd", 0x80000008, 0, CPUID_EBX, 9 },
	{ "ibpb", 0x80000008, 0, CPUID_EBX, 12 },
	{ "ibrs", 0x80000008, 0, CPUID_EBX, 14 },
	{ "stibp", 0x80000008, 0, CPUID_EBX, 15 },
	{ "stibp_always_on", 0x80000008, 0, CPUID_EBX, 17 },
	{ "amd_ssbd", 0x80000008, 0, CPUID_EBX, 24 },
	{ "virt_ssbd", 0x80000008, 0, CPUID_EBX, 25 },
	{ "amd_ssb_no", 0x80000008, 0, CPUID_EBX, 26 },
	{ "amd_psfd", 0x80000008, 0, CPUID_EBX, 28 },
	{ "npt", 0x8000000a, 0, CPUID_EDX, 0 },
	{ "nrip_save", 0x8000000a, 0, CPUID_EDX, 3 },
	{ "no_nested_data_bp", 0x80000021, 0, CPUID_EAX, 0 },
	{ "lfence_rdtsc", 0x80000021, 0, CPUID_EAX, 2 },
	{ "null_sel_clr_base", 0x80000021, 0, CPUID_EAX, 6 },
	{ "autoibrs", 0x80000021, 0, CPUID_EAX, 8 },
	{ "kvm_clocksource", 0x40000001, 0, CPUID_EAX, 0 },
	{ "kvm_nop_io_delay", 0x40000001, 0, CPUID_EAX, 1 },
	{ "kvm_clocksource2", 0x40000001, 0, CPUID_EAX, 3 },
	{ "kvm_async_pf", 0x40000001, 0, CPUID_EAX, 4 },
	{ "kvm_steal_time", 0x40000001, 0, CPUID_EAX, 5 },
	{ "kvm_pv_eoi", 0x40000001, 0, CPUID_EAX, 6 },
	{ "kvm_pv_unhalt", 0x40000001, 0, CPUID_EAX, 7 },
	{ "kvm_pv_tlb_flush", 0x40000001, 0, CPUID_EAX, 9 },
	{ "kvm_async_pf_vmexit", 0x40000001, 0, CPUID_EAX, 10 },
	{ "kvm_pv_send_ipi", 0x40000001, 0, CPUID_EAX, 11 },
	{ "kvm_poll_control", 0x40000001, 0, CPUID_EAX, 12 },
	{ "kvm_pv_sched_yield", 0x40000001, 0, CPUID_EAX, 13 },
	{ "kvm_async_pf_int", 0x40000001, 0, CPUID_EAX, 14 },
	{ "kvm_msi_ext_dest_id", 0x40000001, 0, CPUID_EAX, 15 },
	{ "kvm_hc_map_gpa_range", 0x40000001, 0, CPUID_EAX, 16 },
	{ "kvm_migration_control", 0x40000001, 0, CPUID_EAX, 17 },
	{ "kvm_clocksource_stable", 0x40000001, 0, CPUID_EAX, 24 },
};

/* A feature, and the one that it is nothing without. What is needed comes first, so
 * that one pass from top to bottom is enough. */
static const struct {
	const char *name, *needs;
} needs[] = {
	{ "sse", "fxsr" },
	{ "sse2", "sse" },
	{ "sse3", "sse2" },
	{ "ssse3", "sse3" },
	{ "sse4_1", "ssse3" },
	{ "sse4_2", "sse4_1" },
	{ "aes", "sse2" },
	{ "pclmulqdq", "sse2" },
	{ "sha_ni", "sse2" },
	{ "sse4a", "sse3" },
	{ "mmxext", "mmx" },
	{ "xsaveopt", "xsave" },
	{ "xsavec", "xsave" },
	{ "xgetbv1", "xsave" },
	{ "xsaves", "xsavec" },
	{ "xfd", "xsavec" },
	{ "pku", "xsave" },
	{ "mpx", "xsave" },
	{ "avx", "xsave" },
	{ "xsaveerptr", "xsave" },
	{ "fma", "avx" },
	{ "f16c", "avx" },
	{ "avx2", "avx" },
	{ "xop", "avx" },
	{ "fma4", "avx" },
	{ "vaes", "avx" },
	{ "vpclmulqdq", "avx" },
	{ "gfni", "sse2" },
	{ "avx_vnni", "avx2" },
	{ "avx_ifma", "avx2" },
	{ "avx_vnni_int8", "avx2" },
	{ "avx_ne_convert", "avx2" },
	{ "avx512f", "avx2" },
	{ "avx512dq", "avx512f" },
	{ "avx512ifma", "avx512f" },
	{ "avx512pf", "avx512f" },
	{ "avx512er", "avx512f" },
	{ "avx512cd", "avx512f" },
	{ "avx512bw", "avx512f" },
	{ "avx512vl", "avx512f" },
	{ "avx512_vnni", "avx512f" },
	{ "avx512_vpopcntdq", "avx512f" },
	{ "avx512_4vnniw", "avx512f" },
	{ "avx512_4fmaps", "avx512f" },
	{ "avx512_vp2intersect", "avx512f" },
	{ "avx512vbmi", "avx512bw" },
	{ "avx512_vbmi2", "avx512bw" },
	{ "avx512_bitalg", "avx512bw" },
	{ "avx512_fp16", "avx512bw" },
	{ "avx512_bf16", "avx512bw" },
	{ "amx_tile", "xfd" },
	{ "amx_bf16", "amx_tile" },
	{ "amx_int8", "amx_tile" },
	{ "amx_fp16", "amx_tile" },
	{ "invpcid", "pcid" },
	{ "tsc_deadline_timer", "apic" },
	{ "x2apic", "apic" },
	{ "kvm_pv_eoi", "apic" },
	{ "invtsc", "tsc" },
	{ "rdtscp", "tsc" },
	{ "la57", "lm" },
	{ "npt", "svm" },
	{ "nrip_save", "svm" },
	{ "spec_ctrl_ssbd", "spec_ctrl" },
	{ "intel_stibp", "spec_ctrl" },
	{ "kvm_async_pf_int", "kvm_async_pf" },
	{ "kvm_clocksource_stable", "kvm_clocksource2" },
};

/* Parts of XCR0, and the feature that each is for (Intel SDM 1, 13.1). */
static const struct {
	uint64_t bits;
	const char *feature;
} states[] = {
	{ 0x000003, "xsave" }, /* x87, SSE */
	{ 0x000004, "avx" },
	{ 0x000018, "mpx" },
	{ 0x0000e0, "avx512f" },
	{ 0x000200, "pku" },
	{ 0x060000, "amx_tile" },
};

/* clang-format on */

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

#define LEAF_XSAVE   0xd
#define XSAVE_LEGACY 576 /* bytes: FXSAVE area and XSAVE header */
#define STATES_MAX   63

size_t cpuid_features(const struct cpuid_feature **ret)
{
	*ret = features;
	return COUNT(features);
}

const struct cpuid_feature *cpuid_feature(const char *name)
{
	for (size_t i = 0; i < COUNT(features); i++)
		if (strcmp(features[i].name, name) == 0)
			return &features[i];
	return NULL;
}

bool cpuid_has(struct cpuid *cpuid, const struct cpuid_feature *f)
{
	struct kvm_cpuid_entry2 *e = cpuid_find(cpuid, f->leaf, f->subleaf);
	return e && *cpuid_register_of(e, f->reg) >> f->bit & 1;
}

void cpuid_clear(struct cpuid *cpuid, const struct cpuid_feature *f)
{
	struct kvm_cpuid_entry2 *e = cpuid_find(cpuid, f->leaf, f->subleaf);
	if (e)
		*cpuid_register_of(e, f->reg) &= ~(1U << f->bit);
}

static bool has_name(struct cpuid *cpuid, const char *name)
{
	return cpuid_has(cpuid, cpuid_feature(name));
}

/* The size of the XSAVE area with all of @xcr0 on. */
static uint32_t xsave_bytes(struct cpuid *cpuid, uint64_t xcr0)
{
	uint32_t size = XSAVE_LEGACY;
	for (uint32_t i = 2; i < STATES_MAX; i++) {
		const struct kvm_cpuid_entry2 *e = cpuid_find(cpuid, LEAF_XSAVE, i);
		/* EAX: size, EBX: offset of a part */
		if ((xcr0 >> i & 1) && e && e->ebx + e->eax > size)
			size = e->ebx + e->eax;
	}
	return size;
}

static void settle_xsave(struct cpuid *cpuid)
{
	struct kvm_cpuid_entry2 *e = cpuid_find(cpuid, LEAF_XSAVE, 0);
	uint64_t xcr0 = 0;
	if (!e)
		return;
	if (!has_name(cpuid, "xsave")) {
		cpuid_remove(cpuid, LEAF_XSAVE);
		return;
	}
	for (size_t i = 0; i < COUNT(states); i++)
		if (has_name(cpuid, states[i].feature))
			xcr0 |= states[i].bits;
	xcr0 &= e->eax | (uint64_t)e->edx << 32;
	for (uint32_t i = 2; i < STATES_MAX; i++) {
		struct kvm_cpuid_entry2 *part = cpuid_find(cpuid, LEAF_XSAVE, i);
		/* Bit 0 of ECX: a supervisor state, which XCR0 does not know. */
		if (part && !(xcr0 >> i & 1) && !(part->ecx & 1))
			part->eax = part->ebx = part->ecx = part->edx = 0;
	}
	e->eax = (uint32_t)xcr0;
	e->edx = (uint32_t)(xcr0 >> 32);
	e->ecx = xsave_bytes(cpuid, xcr0);
	e->ebx = e->ecx; /* KVM makes it the size of what is switched on */
}

void cpuid_settle(struct cpuid *cpuid)
{
	for (size_t i = 0; i < COUNT(needs); i++)
		if (!has_name(cpuid, needs[i].needs))
			cpuid_clear(cpuid, cpuid_feature(needs[i].name));
	settle_xsave(cpuid);
}

/* SPDX-License-Identifier: Apache-2.0 */
/* boot_cpu - the state in which a kernel is entered: 64-bit mode with 4 GiB mapped
 * one to one, or for PVH flat 32-bit protected mode. */
#include "boot_priv.h"

#include <errno.h>
#include <linux/kvm.h>
#include <string.h>
#include <sys/ioctl.h>

#define CR0_PE   (1ULL << 0)
#define CR0_ET   (1ULL << 4)
#define CR0_NE   (1ULL << 5)
#define CR0_PG   (1ULL << 31)
#define CR4_PAE  (1ULL << 5)
#define EFER_LME (1ULL << 8)
#define EFER_LMA (1ULL << 10)

#define PTE_PRESENT 1ULL
#define PTE_WRITE   2ULL
#define PTE_LARGE   (1ULL << 7)

/* Access bytes and flag nibbles of a descriptor (Intel SDM 3A, 3.4.5). */
#define ACCESS_CODE 0x9b
#define ACCESS_DATA 0x93
#define ACCESS_TSS  0x8b
#define FLAGS_32    0xc /* granularity, 32-bit */
#define FLAGS_64    0xa /* granularity, long */

static uint64_t descriptor(uint64_t access, uint64_t flags, uint64_t limit)
{
	return (limit & 0xffff) | access << 40 | (limit >> 16 & 0xf) << 48 | flags << 52;
}

static int write_gdt(const struct memory *memory, enum boot_kind kind)
{
	const uint64_t gdt[] = {
		[BOOT_CS / 8] =
			descriptor(ACCESS_CODE, kind == BOOT_PVH ? FLAGS_32 : FLAGS_64, 0xfffff),
		[BOOT_DS / 8] = descriptor(ACCESS_DATA, FLAGS_32, 0xfffff),
		[BOOT_TR / 8] = descriptor(ACCESS_TSS, 0, 0x67),
		[BOOT_TR / 8 + 1] = 0, /* a TSS of 64-bit mode has two words */
	};
	return memory_write(memory, BOOT_GDT, gdt, sizeof(gdt));
}

static int write_pages(const struct memory *memory)
{
	uint64_t entries[512] = { BOOT_PDPT | PTE_PRESENT | PTE_WRITE };
	int rc = memory_write(memory, BOOT_PML4, entries, sizeof(entries));
	for (uint64_t i = 0; i < 4; i++)
		entries[i] = (BOOT_PD + i * sizeof(entries)) | PTE_PRESENT | PTE_WRITE;
	if (rc == 0)
		rc = memory_write(memory, BOOT_PDPT, entries, sizeof(entries));
	for (uint64_t gib = 0; rc == 0 && gib < 4; gib++) {
		for (uint64_t i = 0; i < 512; i++)
			entries[i] = (gib << 30 | i << 21) | PTE_PRESENT | PTE_WRITE | PTE_LARGE;
		rc = memory_write(memory, BOOT_PD + gib * sizeof(entries), entries,
				  sizeof(entries));
	}
	return rc;
}

int boot_write_tables(const struct boot_job *job, enum boot_kind kind, struct err *err)
{
	int rc = write_gdt(job->memory, kind);
	if (rc == 0 && kind != BOOT_PVH)
		rc = write_pages(job->memory);
	return rc < 0 ? err_set(err, E2BIG, "no room for the start tables") : 0;
}

static struct kvm_segment segment(uint16_t selector, uint8_t type)
{
	return (struct kvm_segment){ .base = 0,
				     .limit = 0xffffffff,
				     .selector = selector,
				     .type = type,
				     .present = 1,
				     .s = 1,
				     .g = 1 };
}

static void set_segments(struct kvm_sregs *s, enum boot_kind kind)
{
	struct kvm_segment code = segment(BOOT_CS, 0xb), data = segment(BOOT_DS, 0x3);
	code.l = kind != BOOT_PVH;
	code.db = !code.l;
	data.db = 1;
	s->cs = code;
	s->ds = s->es = s->fs = s->gs = s->ss = data;
	s->tr = (struct kvm_segment){
		.limit = 0x67, .selector = BOOT_TR, .type = 0xb, .present = 1
	};
	s->gdt = (struct kvm_dtable){ .base = BOOT_GDT, .limit = BOOT_TR + 15 };
	s->idt = (struct kvm_dtable){ .base = 0, .limit = 0 };
}

int boot_set_registers(const struct boot_entry *entry, int vcpu_fd, struct err *err)
{
	struct kvm_sregs s;
	struct kvm_regs regs = { .rip = entry->rip, .rflags = 2 };

	if (ioctl(vcpu_fd, KVM_GET_SREGS, &s) < 0)
		return err_sys(err, "KVM_GET_SREGS");
	set_segments(&s, entry->kind);
	s.cr0 = CR0_PE | CR0_ET | CR0_NE;
	s.cr4 = 0;
	s.efer = 0;
	if (entry->kind == BOOT_PVH) {
		s.cr0 = CR0_PE | CR0_ET;
		regs.rbx = entry->info;
	} else {
		s.cr0 |= CR0_PG;
		s.cr3 = BOOT_PML4;
		s.cr4 = CR4_PAE;
		s.efer = EFER_LME | EFER_LMA;
		regs.rsp = BOOT_STACK;
		regs.rsi = entry->info;
	}
	if (ioctl(vcpu_fd, KVM_SET_SREGS, &s) < 0)
		return err_sys(err, "KVM_SET_SREGS for the kernel's entry");
	if (ioctl(vcpu_fd, KVM_SET_REGS, &regs) < 0)
		return err_sys(err, "KVM_SET_REGS for the kernel's entry");
	return 0;
}

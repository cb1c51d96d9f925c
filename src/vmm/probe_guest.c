/* SPDX-License-Identifier: Apache-2.0 */
/* probe_guest - see probe_guest.h. What lies where, in the guest's 64 KiB:
 *   0x1000 PML4, 0x2000 PDPT, 0x3000 PD (2 MiB, for user mode too)
 *   0x4000 GDT   0x4800 TSS   0x5000 IDT   0x7000, 0x9000 tops of the stacks
 *   0xa000 one stub a vector, 0xa800 what they share, 0xa900 the system call */
#include "probe_guest.h"

#include <string.h>

#define PML4       0x1000
#define PDPT       0x2000
#define PD         0x3000
#define GDT        0x4000
#define TSS        0x4800
#define IDT        0x5000
#define USER_STACK 0x9000
#define STUBS      0xa000
#define STUB_BYTES 16
#define COMMON     0xa800
#define VECTORS    32
#define SEL_TSS    0x28
#define USER_SS    0x1b
#define PAGE_USER  0x7
#define PAGE_LARGE 0x80
/* Exceptions that push an error code: 8, 10-14, 17, 21, 29, 30. */
#define WITH_ERROR_CODE 0x60227d00U

static void put(uint8_t *memory, uint64_t at, const void *bytes, size_t size)
{
	memcpy(memory + at, bytes, size);
}

static void put64(uint8_t *memory, uint64_t at, uint64_t value)
{
	put(memory, at, &value, sizeof(value));
}

static void write_tables(uint8_t *memory)
{
	static const uint64_t gdt[] = {
		0,
		0x00af9b000000ffff, /* 0x08: kernel code */
		0x00cf93000000ffff, /* 0x10: kernel data */
		0x00cff3000000ffff, /* 0x18: user data */
		0x00affb000000ffff, /* 0x20: user code */
		0x0000890048000067, /* 0x28: the TSS, at 0x4800 */
		0,
	};
	put64(memory, PML4, PDPT | PAGE_USER);
	put64(memory, PDPT, PD | PAGE_USER);
	put64(memory, PD, PAGE_USER | PAGE_LARGE); /* the first 2 MiB */
	put(memory, GDT, gdt, sizeof(gdt));
	put64(memory, TSS + 4, GUEST_STACK); /* RSP0 */
}

/* push 0 (when the processor pushes nothing); push vector; jmp COMMON */
static void write_stub(uint8_t *memory, unsigned int vector)
{
	uint64_t at = STUBS + vector * STUB_BYTES;
	uint8_t code[] = { 0x6a, 0x00, 0x6a, (uint8_t)vector, 0xe9, 0, 0, 0, 0 };
	size_t skip = WITH_ERROR_CODE >> vector & 1 ? 2 : 0;
	int32_t distance = (int32_t)(COMMON - (at + sizeof(code) - skip));
	memcpy(code + 5, &distance, sizeof(distance));
	put(memory, at, code + skip, sizeof(code) - skip);
	/* a 64-bit interrupt gate that user mode may use (int3) */
	put64(memory, IDT + vector * 16,
	      (at & 0xffff) | GUEST_KERNEL_CS << 16 | 0xee00ULL << 32 | (at >> 16) << 48);
}

static void write_handlers(uint8_t *memory)
{
	/* pop rax; out 0xe0, al; hlt; jmp the hlt */
	static const uint8_t common[] = { 0x58, 0xe6, PORT_EXCEPTION, 0xf4, 0xeb, 0xfd };
	/* mov eax, cs; out 0xe2, al; sysretq */
	static const uint8_t system_call[] = { 0x8c, 0xc8, 0xe6, PORT_SYSCALL, 0x48, 0x0f, 0x07 };
	for (unsigned int v = 0; v < VECTORS; v++)
		write_stub(memory, v);
	put(memory, COMMON, common, sizeof(common));
	put(memory, GUEST_SYSCALL, system_call, sizeof(system_call));
}

/* Kernel cases are jumped to; user cases entered by iretq from a frame. */
static void write_start(uint8_t *memory, bool user)
{
	static const uint64_t frame[] = { GUEST_CODE, GUEST_USER_CS, 2, USER_STACK, USER_SS };
	/* mov eax, GUEST_DATA, then: */
	uint8_t kernel[] = { 0xb8, GUEST_DATA & 0xff, GUEST_DATA >> 8, 0, 0, 0xe9, 0, 0, 0, 0 };
	static const uint8_t to_user[] = {
		0xb8, GUEST_DATA & 0xff, GUEST_DATA >> 8, 0, 0, 0x48, 0xcf, /* iretq */
	};
	int32_t distance = (int32_t)(GUEST_CODE - (GUEST_START + sizeof(kernel)));
	memcpy(kernel + 6, &distance, sizeof(distance));
	if (user)
		put(memory, GUEST_START, to_user, sizeof(to_user));
	else
		put(memory, GUEST_START, kernel, sizeof(kernel));
	put(memory, GUEST_STACK - sizeof(frame), frame, sizeof(frame));
}

uint64_t guest_write(uint8_t memory[GUEST_BYTES], const struct probe_case *c)
{
	/* User mode has no ports: it ends by an exception. */
	static const uint8_t done[] = { 0xe6, PORT_DONE }, user_done[] = { 0x0f, 0x0b };
	memset(memory, 0, GUEST_BYTES);
	write_tables(memory);
	write_handlers(memory);
	write_start(memory, c->user);
	put(memory, GUEST_CODE, c->code, c->size);
	uint64_t end = GUEST_CODE + c->size;
	put(memory, end, c->user ? user_done : done, 2);
	return end;
}

static struct kvm_segment segment(uint16_t selector, uint8_t type)
{
	return (struct kvm_segment){ .limit = 0xffffffff,
				     .selector = selector,
				     .type = type,
				     .present = 1,
				     .s = 1,
				     .g = 1 };
}

void guest_sregs(struct kvm_sregs *s, bool xsave)
{
	s->cs = segment(GUEST_KERNEL_CS, 0xb);
	s->cs.l = 1;
	s->ss = s->ds = s->es = s->fs = s->gs = segment(0x10, 0x3);
	s->ss.db = 1;
	s->tr = (struct kvm_segment){
		.base = TSS, .limit = 0x67, .selector = SEL_TSS, .type = 0xb, .present = 1
	};
	s->gdt = (struct kvm_dtable){ .base = GDT, .limit = SEL_TSS + 15 };
	s->idt = (struct kvm_dtable){ .base = IDT, .limit = VECTORS * 16 - 1 };
	s->cr0 = 0x80000033; /* PG, NE, ET, MP, PE */
	s->cr3 = PML4;
	s->cr4 = 0x620 | (xsave ? 0x40000 : 0); /* PAE, OSFXSR, OSXMMEXCPT, OSXSAVE */
	s->efer = GUEST_EFER;
}

/* SPDX-License-Identifier: Apache-2.0 */
/* trap - exceptions: told on the serial port, then the machine is powered off,
 * unless a case asked for them. */
#include "kit.h"

#define GP_FAULT 13

struct gate {
	uint16_t offset_low, selector;
	uint8_t ist, type;
	uint16_t offset_mid;
	uint32_t offset_high, zero;
};

struct table_pointer {
	uint16_t limit;
	uint64_t base;
} __attribute__((packed));

extern uint8_t trap_stubs[][16];
bool (*trap_hook)(struct trap_frame *frame);
static struct gate idt[256] __attribute__((aligned(16)));
static volatile uint64_t msr_resume; /* an MSR instruction may fault: go on here */
static volatile bool msr_faulted;

void trap(struct trap_frame *frame);

void trap(struct trap_frame *frame)
{
	if (trap_hook && trap_hook(frame))
		return;
	if (frame->vector == GP_FAULT && msr_resume) {
		msr_faulted = true;
		frame->rip = msr_resume;
		return;
	}
	uint64_t cr2;
	__asm__ volatile("movq %%cr2, %0" : "=r"(cr2));
	say("\nBail out! exception %lu, error %lx, rip %lx, cr2 %lx, rsp %lx, rax %lx, rcx %lx\n",
	    frame->vector, frame->error, frame->rip, cr2, frame->rsp, frame->rax, frame->rcx);
	power_off(EXIT_TRAP);
}

void traps_load(void)
{
	for (unsigned int i = 0; i < 256 && !idt[255].selector; i++) {
		uint64_t at = (uint64_t)trap_stubs[i];
		idt[i] = (struct gate){ .offset_low = (uint16_t)at,
					.selector = 8,
					.type = 0x8e,
					.offset_mid = (uint16_t)(at >> 16),
					.offset_high = (uint32_t)(at >> 32) };
	}
	struct table_pointer pointer = { sizeof(idt) - 1, (uint64_t)idt };
	__asm__ volatile("lidt %0" ::"m"(pointer));
}

bool msr_read(uint32_t msr, uint64_t *ret)
{
	uint32_t lo = 0, hi = 0;
	msr_faulted = false;
	__asm__ volatile("movq $1f, %2\n\t"
			 "rdmsr\n"
			 "1:\tmovq $0, %2"
			 : "+a"(lo), "+d"(hi), "=m"(msr_resume)
			 : "c"(msr)
			 : "memory");
	*ret = (uint64_t)hi << 32 | lo;
	return !msr_faulted;
}

bool msr_write(uint32_t msr, uint64_t v)
{
	msr_faulted = false;
	__asm__ volatile("movq $1f, %0\n\t"
			 "wrmsr\n"
			 "1:\tmovq $0, %0"
			 : "=m"(msr_resume)
			 : "c"(msr), "a"((uint32_t)v), "d"((uint32_t)(v >> 32))
			 : "memory");
	return !msr_faulted;
}

/* SPDX-License-Identifier: Apache-2.0 */
/* kit - what test guests are made of: a few hundred lines that run alone on a
 * virtual machine and speak TAP on its serial port.
 *
 * A guest is an ELF file that boots by the 64-bit Linux protocol or by PVH. It
 * holds cases; "case=NAME" on the command line says which one to run. It ends by
 * isa-debug-exit at port 0xf4: 80 all good, 81 some result was "not ok", 82 an
 * exception nobody expected. "virtio=BASE,STRIDE,COUNT" says where the virtio-mmio
 * windows are if not at 0xd0000000, 0x1000, 18.
 *
 * Kernel mode, interrupts off, addresses are physical ones. No SSE, no popcnt, no
 * cmpxchg16b, no fwait: software KVMs do not run these in kernel mode, and every
 * instruction costs half a microsecond there, so loops are short. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define EXIT_GOOD 80
#define EXIT_BAD  81
#define EXIT_TRAP 82

/* ------------------------------------------------------------------- cases */

struct guest_case {
	const char *name;
	void (*run)(void);
};

/* @devices: what the machine must have, for the program that starts the guest
 * ("all", "blk,rng", "none", "blk cpus=2"); @ends: how the machine may end
 * ("exit", "reset", "triple-fault|kvm-error"). */
#define CASE(name, devices, ends, title)                                                           \
	static void case_##name(void);                                                             \
	static const char info_##name[] __attribute__((section(".caseinfo"), used, aligned(1))) =  \
		#name "\t" devices "\t" ends "\t" title;                                           \
	static const struct guest_case entry_##name                                                \
		__attribute__((section(".cases"), used, aligned(8))) = { #name, case_##name };     \
	static void case_##name(void)

/* -------------------------------------------------------------- the machine */

extern char cmdline[2048];
/* End of RAM below 3 GiB, and above 4 GiB (0: none there). */
extern uint64_t ram_end, ram_high_end;
extern bool booted_by_pvh;

/* The value of "key=" on the command line, up to the next blank; NULL if absent. */
const char *option(const char *key, size_t *ret_len);
uint64_t option_number(const char *key, uint64_t otherwise);

/* Zeroed memory of its own, at 16 MiB and up. @align: a power of two. */
void *take(size_t size, size_t align);
/* Forgets everything taken after @mark (a take() of before); zeroes it. */
void *take_mark(void);
void take_release(void *mark);

_Noreturn void power_off(uint8_t code); /* isa-debug-exit */

/* --------------------------------------------------------------------- TAP */

/* printf with %s %c %d %u %x %lx %ld %lu. */
void say(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
/* One result; returns @good. */
bool result(bool good, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void note(const char *fmt, ...) __attribute__((format(printf, 1, 2))); /* "# ..." */
/* Prints the plan and powers off; what a case's return does, too. */
_Noreturn void finish(void);

void serial_put(char c);
int serial_get(void); /* -1: nothing there */

/* ------------------------------------------------------------- instructions */

static inline uint8_t inb(uint16_t port)
{
	uint8_t v;
	__asm__ volatile("inb %1, %0" : "=a"(v) : "Nd"(port));
	return v;
}

static inline uint16_t inw(uint16_t port)
{
	uint16_t v;
	__asm__ volatile("inw %1, %0" : "=a"(v) : "Nd"(port));
	return v;
}

static inline uint32_t inl(uint16_t port)
{
	uint32_t v;
	__asm__ volatile("inl %1, %0" : "=a"(v) : "Nd"(port));
	return v;
}

static inline void outb(uint16_t port, uint8_t v)
{
	__asm__ volatile("outb %0, %1" ::"a"(v), "Nd"(port));
}

static inline void outw(uint16_t port, uint16_t v)
{
	__asm__ volatile("outw %0, %1" ::"a"(v), "Nd"(port));
}

static inline void outl(uint16_t port, uint32_t v)
{
	__asm__ volatile("outl %0, %1" ::"a"(v), "Nd"(port));
}

/* By width: 1, 2, 4. */
uint32_t port_read(uint16_t port, unsigned int width);
void port_write(uint16_t port, uint32_t v, unsigned int width);
/* rep ins / rep outs. */
void port_read_many(uint16_t port, void *buf, size_t count, unsigned int width);
void port_write_many(uint16_t port, const void *buf, size_t count, unsigned int width);

/* By width: 1, 2, 4, 8; any alignment. */
uint64_t mmio_read(uint64_t addr, unsigned int width);
void mmio_write(uint64_t addr, uint64_t v, unsigned int width);

static inline uint32_t mmio_read32(uint64_t addr)
{
	uint32_t v;
	__asm__ volatile("movl (%1), %0" : "=r"(v) : "r"(addr) : "memory");
	return v;
}

static inline void mmio_write32(uint64_t addr, uint32_t v)
{
	__asm__ volatile("movl %0, (%1)" ::"r"(v), "r"(addr) : "memory");
}

static inline uint64_t rdtsc(void)
{
	uint32_t lo, hi;
	__asm__ volatile("rdtsc" : "=a"(lo), "=d"(hi));
	return (uint64_t)hi << 32 | lo;
}

static inline void barrier(void)
{
	__asm__ volatile("mfence" ::: "memory");
}

void *memset(void *to, int c, size_t n);
void *memcpy(void *to, const void *from, size_t n);
int memcmp(const void *a, const void *b, size_t n);
size_t strlen(const char *s);

/* ---------------------------------------------------------------- exceptions */

struct trap_frame {
	uint64_t r15, r14, r13, r12, r11, r10, r9, r8, rdi, rsi, rbp, rbx, rdx, rcx, rax;
	uint64_t vector, error, rip, cs, rflags, rsp, ss;
};

/* When set, sees every exception and interrupt first; true: handled, go on. */
extern bool (*trap_hook)(struct trap_frame *frame);
void traps_load(void); /* the IDT, on this processor */

/* rdmsr and wrmsr that report #GP instead of dying of it. */
bool msr_read(uint32_t msr, uint64_t *ret);
bool msr_write(uint32_t msr, uint64_t v);

/* ---------------------------------------------------------------------- time */

/* Waits for about @ms, going by a processor of 1 to 5 GHz (never shorter, at most
 * five times longer). */
void wait_ms(unsigned int ms);
/* False once @ms have passed since *@since, which starts as 0. */
bool within_ms(uint64_t *since, unsigned int ms);
/* As long as anything may take in a slow, busy, sanitized host. */
#define PATIENCE_MS 15000
/* As long as we look for something that must not happen. */
#define SHORT_MS 40

/* ------------------------------------------------------- interrupts and CPUs */

/* Runs @fn(arg) on the second processor; false if there is none. It must come to
 * its end before second_wait() returns. */
bool second_start(void (*fn)(void *arg), void *arg);
bool second_wait(void);
/* Local APIC on, all else masked. */
void apic_enable(void);
/* I/O APIC: @gsi raises @vector here, edge-triggered. */
void ioapic_route(unsigned int gsi, uint8_t vector);
void ioapic_mask(unsigned int gsi);
void apic_eoi(void);

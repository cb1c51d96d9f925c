/* SPDX-License-Identifier: Apache-2.0 */
/* smp - interrupt controllers, and a second processor to race with. */
#include "kit.h"

#define APIC          0xfee00000ULL
#define APIC_EOI      (APIC + 0xb0)
#define APIC_SPURIOUS (APIC + 0xf0)
#define APIC_ICR_LOW  (APIC + 0x300)
#define APIC_ICR_HIGH (APIC + 0x310)
#define ICR_INIT      0x4500
#define ICR_STARTUP   0x4600
#define ICR_PENDING   0x1000
#define IOAPIC        0xfec00000ULL
#define WAKE_PAGE     8

extern const uint8_t wake_start[], wake_end[];
static void (*volatile second_fn)(void *arg);
static void *volatile second_arg;
static volatile bool second_is_up, second_is_done;

void second_main(void);

void second_main(void)
{
	traps_load();
	second_is_up = true;
	for (;;) {
		if (second_fn) {
			second_fn(second_arg);
			second_fn = NULL;
			second_is_done = true;
		}
		__asm__ volatile("pause");
	}
}

/* The old controller's lines stay off: it would raise exceptions' vectors. */
void apic_enable(void)
{
	outb(0x21, 0xff);
	outb(0xa1, 0xff);
	mmio_write32(APIC_SPURIOUS, 0x1ff);
}

void apic_eoi(void)
{
	mmio_write32(APIC_EOI, 0);
}

static void ipi(unsigned int apic_id, uint32_t low)
{
	mmio_write32(APIC_ICR_HIGH, apic_id << 24);
	mmio_write32(APIC_ICR_LOW, low);
	for (uint64_t since = 0; mmio_read32(APIC_ICR_LOW) & ICR_PENDING;)
		if (!within_ms(&since, 100))
			return;
}

static bool second_wake(void)
{
	memcpy((void *)(WAKE_PAGE * 4096ULL), wake_start, (size_t)(wake_end - wake_start));
	apic_enable();
	ipi(1, ICR_INIT);
	wait_ms(10);
	for (int i = 0; i < 2 && !second_is_up; i++) {
		ipi(1, ICR_STARTUP | WAKE_PAGE);
		for (uint64_t since = 0; !second_is_up && within_ms(&since, 5000);)
			__asm__ volatile("pause");
	}
	return second_is_up;
}

bool second_start(void (*fn)(void *arg), void *arg)
{
	if (!second_is_up && !second_wake())
		return false;
	second_is_done = false;
	second_arg = arg;
	second_fn = fn;
	return true;
}

bool second_wait(void)
{
	for (uint64_t since = 0; !second_is_done;)
		if (!within_ms(&since, PATIENCE_MS))
			return false;
	return true;
}

static void ioapic_write(unsigned int reg, uint32_t v)
{
	mmio_write32(IOAPIC, reg);
	mmio_write32(IOAPIC + 0x10, v);
}

void ioapic_route(unsigned int gsi, uint8_t vector)
{
	ioapic_write(0x11 + gsi * 2, 0);
	ioapic_write(0x10 + gsi * 2, vector);
}

void ioapic_mask(unsigned int gsi)
{
	ioapic_write(0x10 + gsi * 2, 0x10000);
}

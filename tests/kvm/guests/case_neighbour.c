/* SPDX-License-Identifier: Apache-2.0 */
/* case_neighbour - the VM next door: fills memory, sleeps until a byte comes on the
 * serial port, and then looks whether its memory and its devices are still its own. */
#include "virtio.h"

#define COM1        0x3f8
#define IRQ         4
#define VECTOR      0x44
#define PAGES       256U
#define PAGE_STRIDE 0x20000ULL

static volatile unsigned int n_interrupts;

static bool on_interrupt(struct trap_frame *frame)
{
	if (frame->vector != VECTOR)
		return false;
	n_interrupts++;
	apic_eoi();
	return true;
}

/* One word in each of many pages all over RAM, above everything else. */
static volatile uint64_t *word(unsigned int i)
{
	return (volatile uint64_t *)(0x4000000ULL + i * PAGE_STRIDE + 8 * (i % 512));
}

static uint64_t pattern(unsigned int i)
{
	return 0x0123456789abcdefULL * (i + 1);
}

static bool memory_is_ours(void)
{
	for (unsigned int i = 0; i < PAGES; i++)
		if (*word(i) != pattern(i)) {
			say("page %u has %lx instead of %lx\n", i, *word(i), pattern(i));
			return false;
		}
	return true;
}

static bool devices_are_ours(void)
{
	for_each_vdev(d)
	{
		void *mark = take_mark();
		if (!vdev_works(d)) {
			say("%s does not work, status %x\n", vdev_name(d), status(d));
			return false;
		}
		(void)vdev_reset(d);
		take_release(mark);
	}
	return true;
}

/* Interrupts are let in only together with the halt, so that none is slept over. */
static int next_byte(void)
{
	int c;
	while ((c = serial_get()) < 0)
		__asm__ volatile("sti; hlt; cli");
	return c;
}

CASE(watch, "blk,rng", "exit", "the neighbour")
{
	for (unsigned int i = 0; i < PAGES; i++)
		*word(i) = pattern(i);
	trap_hook = on_interrupt;
	apic_enable();
	ioapic_route(IRQ, VECTOR);
	outb(COM1 + 4, 0x0b); /* DTR, RTS, OUT2: interrupts reach the pin */
	outb(COM1 + 1, 0x01); /* received data */
	say("ready\n");
	unsigned int n = 0;
	while (next_byte() == '?')
		say("%s %u\n", memory_is_ours() && devices_are_ours() ? "well" : "ill", ++n);
	result(n_interrupts > 0, "interrupts came");
}

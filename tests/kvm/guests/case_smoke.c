/* SPDX-License-Identifier: Apache-2.0 */
/* case_smoke - does the kit itself work on this VMM? */
#include "virtio.h"

static volatile unsigned int n_interrupts, second_saw;

CASE(hello, "none", "exit", "a guest boots and ends")
{
	result(cmdline[0], "there is a command line: %s", cmdline);
	result(booted_by_pvh == option_number("pvh", booted_by_pvh), "booted by %s",
	       booted_by_pvh ? "PVH" : "the 64-bit Linux protocol");
	result(ram_end > 0x1000000, "RAM ends at 0x%lx, above 4 GiB at 0x%lx", ram_end,
	       ram_high_end);
	result(!((uint64_t)take(4096, 4096) & 4095), "memory can be taken");
	char buf[64];
	memset(buf, 7, sizeof(buf));
	result(buf[63] == 7 && memcmp(buf, buf + 1, 63) == 0, "memory functions");
	uint64_t since = 0;
	wait_ms(1);
	result(within_ms(&since, 1000), "time goes by");
}

CASE(msr, "none", "exit", "a faulting MSR access is survived")
{
	uint64_t v = 0;
	bool good = msr_read(0xc0000080, &v);
	result(good && v & 0x500, "EFER reads 0x%lx", v);
	result(!msr_read(0xdeadbeef, &v), "a bogus MSR faults");
	result(!msr_write(0xdeadbeef, 1), "and so does a write");
}

static bool on_interrupt(struct trap_frame *frame)
{
	if (frame->vector != 0x40)
		return false;
	n_interrupts++;
	apic_eoi();
	return true;
}

CASE(interrupt, "none", "exit", "the local APIC interrupts")
{
	trap_hook = on_interrupt;
	apic_enable();
	mmio_write32(0xfee00310, 0);
	__asm__ volatile("sti");
	mmio_write32(0xfee00300, 0x4040); /* to ourselves */
	for (uint64_t since = 0; !n_interrupts && within_ms(&since, 3000);)
		__asm__ volatile("pause");
	__asm__ volatile("cli");
	result(n_interrupts == 1, "one interrupt came (%u)", n_interrupts);
}

static void on_second(void *arg)
{
	second_saw = *(unsigned int *)arg;
}

CASE(second, "none cpus=2", "exit", "a second processor wakes up")
{
	unsigned int want = 4711;
	if (result(second_start(on_second, &want), "it starts"))
		result(second_wait() && second_saw == want, "and runs what it is told");
}

CASE(trap, "none", "trap", "an exception is told and ends the guest")
{
	result(true, "before");
	__asm__ volatile("ud2");
}

CASE(devices, "all", "exit", "every device answers an honest request, again and again")
{
	result(vdev_count() > 0, "%u virtio devices", vdev_count());
	for_each_vdev(d)
	{
		void *mark = take_mark();
		bool good = true;
		for (unsigned int i = 0; good && i < 3; i++)
			good = vdev_works(d);
		result(good, "%s in window %u works, with %u queues, features %lx", vdev_name(d),
		       d->window, d->n_queues, d->offered);
		if (!good)
			note("status %x", status(d));
		(void)vdev_reset(d);
		take_release(mark);
	}
}

/* SPDX-License-Identifier: Apache-2.0 */
/* case_cpu - MSRs, CPUID leaves, interrupt controllers, interrupt storms. KVM answers
 * most of it itself; the worker must live with whatever KVM makes of it. */
#include "evil.h"

static volatile unsigned int n_interrupts;

static bool count_all(struct trap_frame *frame)
{
	if (frame->vector < 32)
		return false;
	n_interrupts++;
	apic_eoi();
	return true;
}

CASE(msr_read_all, "none limit=120", "exit", "MSRs of all ranges are read")
{
	static const uint32_t starts[] = { 0,          0x170,      0x1a0,      0x200,
					   0x400,      0x480,      0x800,      0xc00,
					   0x40000000, 0x40000100, 0x4b564d00, 0xc0000080,
					   0xc0000100, 0xc0010000, 0xc0010100, 0xc0011000,
					   0xffffff00 };
	unsigned int good = 0;
	uint64_t v;
	for (unsigned int i = 0; i < sizeof(starts) / sizeof(starts[0]); i++)
		for (uint32_t n = 0; n < 96; n++)
			good += msr_read(starts[i] + n, &v);
	result(true, "%u exist", good);
}

/* Not those the kit itself stands on. */
CASE(msr_write_all, "none limit=120", "exit|trap|triple-fault|kvm-error",
     "MSRs get their own and other values")
{
	static const uint32_t starts[] = { 0x174,      0x1d9,      0x200,     0x250,
					   0x277,      0x2ff,      0x400,     0x4b564d00,
					   0xc0000081, 0xc0010000, 0x40000000 };
	uint64_t v;
	unsigned int good = 0;
	for (unsigned int i = 0; i < sizeof(starts) / sizeof(starts[0]); i++)
		for (uint32_t n = 0; n < 8; n++)
			if (msr_read(starts[i] + n, &v)) {
				good += msr_write(starts[i] + n, v);
				good += msr_write(starts[i] + n, 0);
				(void)msr_write(starts[i] + n, v);
			}
	result(true, "%u writes were taken", good);
}

/* kvmclock and its kin are given addresses: KVM writes there, not the worker. */
CASE(msr_clock, "none", "exit|kvm-error",
     "kvmclock's page in the hole, over the end of RAM, unaligned")
{
	static const uint32_t msrs[] = { 0x11,       0x12,       0x4b564d00, 0x4b564d01,
					 0x4b564d02, 0x4b564d03, 0x4b564d04 };
	const uint64_t places[] = { 0xe0000001, ram_end | 1, (ram_end - 8) | 1,
				    ~0ULL,      0xd0000001,  0x1000003,
				    1 };
	for (unsigned int i = 0; i < sizeof(msrs) / sizeof(msrs[0]); i++)
		for (unsigned int j = 0; j < sizeof(places) / sizeof(places[0]); j++) {
			(void)msr_write(msrs[i], places[j]);
			(void)inb(0x80);
		}
	for (unsigned int i = 0; i < sizeof(msrs) / sizeof(msrs[0]); i++)
		(void)msr_write(msrs[i], 0);
	result(true, "survived");
}

CASE(cpuid_all, "none", "exit", "CPUID leaves of all ranges")
{
	static const uint32_t starts[] = { 0, 0x40000000, 0x80000000, 0xc0000000, 0xffffffc0 };
	uint32_t any = 0;
	for (unsigned int i = 0; i < 5; i++)
		for (uint32_t n = 0; n < 64; n++)
			for (uint32_t sub = 0; sub < 4; sub++) {
				uint32_t a = starts[i] + n, b, c = sub, d;
				__asm__ volatile("cpuid" : "+a"(a), "=b"(b), "+c"(c), "=d"(d));
				any |= a | b | c | d;
			}
	result(any != 0, "answered");
}

CASE(apic_junk, "none", "exit|reset|triple-fault|kvm-error", "junk to every register of the APICs")
{
	for (unsigned int v = 0; v < 3; v++) {
		for (uint64_t at = 0; at < 0x400; at += 4)
			if (at < 0x300 || at > 0x31f) /* no messages to processors */
				mmio_write32(0xfee00000 + at, v * 0x7fffffff);
		for (uint64_t at = 0; at < 0x400; at += 13)
			for (unsigned int w = 1; w <= 8; w *= 2)
				(void)mmio_read(0xfee00000 + at, w);
		for (uint32_t reg = 0; reg < 256; reg++) {
			mmio_write32(0xfec00000, reg);
			mmio_write32(0xfec00010, v * 0x7fffffff | 0x10000);
			(void)mmio_read32(0xfec00010);
		}
	}
	result(true, "survived");
}

CASE(apic_messages, "none cpus=2", "exit|triple-fault|kvm-error",
     "messages of every kind to every processor")
{
	trap_hook = count_all;
	apic_enable();
	for (uint32_t to = 0; to < 256; to += 17)
		for (uint32_t mode = 0; mode < 8; mode++)
			if (mode != 4 && mode != 5) { /* NMI and INIT to ourselves end it */
				mmio_write32(0xfee00310, to << 24);
				mmio_write32(0xfee00300, mode << 8 | 0x40);
			}
	__asm__ volatile("sti; nop; nop; cli");
	result(true, "survived, %u interrupts", n_interrupts);
}

/* Every device's interrupt, as often as can be, and nobody acknowledges it. */
CASE(interrupt_storm, "all limit=120", "exit",
     "devices interrupt while requests come as fast as can be")
{
	trap_hook = count_all;
	apic_enable();
	for (unsigned int gsi = 5; gsi < 24; gsi++)
		ioapic_route(gsi, (uint8_t)(0x40 + gsi));
	for_each_vdev(d)
	{
		void *mark = take_mark();
		__asm__ volatile("sti");
		bool good = true;
		for (unsigned int i = 0; good && i < 20; i++)
			good = vdev_works(d);
		__asm__ volatile("cli");
		result(good, "%s works 20 times in the storm", vdev_name(d));
		(void)vdev_reset(d);
		take_release(mark);
	}
	result(n_interrupts > 0, "%u interrupts", n_interrupts);
}

CASE(interrupt_flood, "blk,rng limit=120", "exit", "3000 requests, each with an interrupt")
{
	trap_hook = count_all;
	apic_enable();
	for (unsigned int gsi = 5; gsi < 24; gsi++)
		ioapic_route(gsi, (uint8_t)(0x40 + gsi));
	struct vdev *d = vdev_find(VIRTIO_ID_BLOCK, 0);
	if (!d || !result(vdev_works(d), "the disk works"))
		return;
	__asm__ volatile("sti");
	bool good = true;
	for (unsigned int i = 0; good && i < 3000; i++) {
		vq_go(&d->q[0]); /* the descriptors of the request above */
		good = vq_used(&d->q[0], PATIENCE_MS, NULL, NULL);
	}
	__asm__ volatile("cli");
	result(good && n_interrupts > 0, "served, %u interrupts", n_interrupts);
	(void)works_again(d, "");
}

/* -------------------------------- guests that go on until who runs us ends them */

static void spin(void *arg)
{
	(void)arg;
	for (;;)
		__asm__ volatile("pause");
}

static void exit_always(void *arg)
{
	(void)arg;
	for (unsigned int i = 0;; i++) {
		(void)inb(0x60);
		(void)mmio_read32(0xd0000000 + i % 0x9000 / 4 * 4);
	}
}

static void kick_always(void *arg)
{
	(void)arg;
	for (;;)
		for_each_vdev(d)
		{
			for (unsigned int i = 0; i < 200; i++)
				reg_set(d, VIRTIO_MMIO_QUEUE_NOTIFY, i % 4);
			for (uint32_t v = 0; v < 16; v++)
				reg_set(d, VIRTIO_MMIO_STATUS, v);
		}
}

static void print_always(void *arg)
{
	(void)arg;
	static uint8_t line[4096] = { [0 ... 4095] = 'x' };
	for (;;)
		port_write_many(0x3f8, line, sizeof(line), 1);
}

CASE(never_yields, "none cpus=2", "quit", "two processors that never leave the guest")
{
	result(second_start(spin, NULL), "a second processor");
	say("spinning\n");
	spin(NULL);
}

CASE(never_wakes, "none", "quit", "a processor that halts with interrupts off")
{
	say("spinning\n");
	for (;;)
		__asm__ volatile("cli; hlt");
}

CASE(always_exits, "all cpus=2", "quit", "two processors that do nothing but exit")
{
	result(second_start(exit_always, NULL), "a second processor");
	say("spinning\n");
	exit_always(NULL);
}

CASE(always_kicks, "all cpus=2", "quit", "two processors that do nothing but kick and reset")
{
	(void)vdev_count(); /* found once, then shared */
	result(second_start(kick_always, NULL), "a second processor");
	say("spinning\n");
	kick_always(NULL);
}

CASE(always_prints, "none cpus=2", "quit", "two processors that do nothing but print")
{
	result(second_start(print_always, NULL), "a second processor");
	say("spinning\n");
	print_always(NULL);
}

CASE(always_works, "all", "quit", "honest requests to all devices without end")
{
	say("spinning\n");
	for (;;)
		for_each_vdev(d)
		{
			void *mark = take_mark();
			if (!vdev_works(d)) {
				result(false, "%s works", vdev_name(d));
				return;
			}
			(void)vdev_reset(d);
			take_release(mark);
		}
}

/* ----------------------------------- guests that sleep: then the worker sleeps, too */

CASE(sleeps, "all idle=1", "quit", "a guest that sleeps after it used everything")
{
	for_each_vdev(d)(void) vdev_works(d);
	say("spinning\n");
	for (;;)
		__asm__ volatile("cli; hlt");
}

CASE(sleeps_in_flood, "net idle=1 peer=flood", "quit", "a guest that sleeps in a flood of frames")
{
	struct vdev *d = vdev_find(VIRTIO_ID_NET, 0);
	result(d && vdev_start(d, ALL_FEATURES), "the network is up, without a buffer");
	say("spinning\n");
	for (;;)
		__asm__ volatile("cli; hlt");
}

CASE(sleeps_broken, "all idle=1", "quit", "a guest that sleeps with every device broken")
{
	for_each_vdev(d)
	{
		(void)vdev_start(d, ALL_FEATURES);
		for (unsigned int i = 0; i < d->n_queues; i++) {
			d->q[i].avail->idx = 0x4000;
			vq_kick(&d->q[i]);
		}
	}
	say("spinning\n");
	for (;;)
		__asm__ volatile("cli; hlt");
}

CASE(sleeps_full, "all idle=1", "quit", "a guest that sleeps and never takes answers back")
{
	for_each_vdev(d)
	{
		(void)vdev_works(d);
		for (unsigned int i = 0; i < 64; i++)
			vdev_provoke(d);
	}
	say("spinning\n");
	for (;;)
		__asm__ volatile("cli; hlt");
}

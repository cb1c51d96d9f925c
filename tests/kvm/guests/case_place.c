/* SPDX-License-Identifier: Apache-2.0 */
/* case_place - rings where no ring may be, and sizes that none may have: the device
 * must not come up, or fail at the first kick (virtio 1.2, 2.7, 4.2.3.2). */
#include "evil.h"

#define PLAIN (ALL_FEATURES & ~F_EVENT_IDX)
#define HOLE  0xe0000000ULL

struct place {
	const char *what;
	uint32_t size;              /* 0: 16 */
	uint64_t desc, avail, used; /* 0: a good place */
	enum verdict verdict;
};

/* One of three rings is misplaced by a row; @end is where RAM ends. */
static void try_queue(struct vdev *d, unsigned int victim, const struct place *p)
{
	void *mark = take_mark();
	result(vdev_begin(d, PLAIN), "%s agrees", vdev_name(d));
	for (unsigned int i = 0; i < d->n_queues; i++)
		vq_make(d, i, VQ_SIZE, i != victim);
	struct vq *q = &d->q[victim];
	vq_program(d, victim, p->size ? p->size : VQ_SIZE, p->desc ? p->desc : (uint64_t)q->desc,
		   p->avail ? p->avail : (uint64_t)q->avail, p->used ? p->used : (uint64_t)q->used);
	reg_set(d, VIRTIO_MMIO_STATUS, DRIVER_OK_ALL);
	vq_kick(q);
	vdev_provoke(d);
	if (p->verdict == REFUSED)
		result(needs_reset(d, PATIENCE_MS), "%s queue %u: refused: %s", vdev_name(d),
		       victim, p->what);
	(void)works_again(d, p->what);
	take_release(mark);
}

static void try_all(const struct place *places, unsigned int n)
{
	for_each_vdev(d) for (unsigned int i = 0; i < n; i++)
		try_queue(d, i % d->n_queues % 4, &places[i]);
}

#define N(a) (sizeof(a) / sizeof((a)[0]))

CASE(sizes, "all limit=120", "exit", "queue sizes that are none")
{
	static const struct place places[] = {
		{ "size 3", .size = 3 },
		{ "size 15", .size = 15 },
		{ "size 17", .size = 17 },
		{ "size 1000", .size = 1000 },
		{ "size 2048", .size = 2048 },
		{ "size 32768", .size = 32768 },
		{ "size 65535", .size = 65535 },
		{ "size 0x80000000", .size = 0x80000000 },
		{ "size 0xffffffff", .size = 0xffffffff },
		{ "size 0x10010", .size = 0x10010, .verdict = SURVIVED },
		{ "size 0x10000", .size = 0x10000 },
	};
	try_all(places, N(places));
}

CASE(size_zero, "all", "exit", "queues of no size at all")
{
	for_each_vdev(d)
	{
		void *mark = take_mark();
		result(vdev_begin(d, PLAIN), "%s agrees", vdev_name(d));
		for (unsigned int i = 0; i < d->n_queues; i++) {
			vq_make(d, i, VQ_SIZE, false);
			vq_program(d, i, 0, (uint64_t)d->q[i].desc, (uint64_t)d->q[i].avail,
				   (uint64_t)d->q[i].used);
		}
		reg_set(d, VIRTIO_MMIO_STATUS, DRIVER_OK_ALL);
		for (unsigned int i = 0; i < d->n_queues; i++)
			vq_go(&d->q[i]);
		result(needs_reset(d, PATIENCE_MS), "%s: refused", vdev_name(d));
		(void)works_again(d, "");
		take_release(mark);
	}
}

CASE(desc_place, "all limit=120", "exit", "descriptor tables in places that are none")
{
	const struct place places[] = {
		{ "in the hole", .desc = HOLE },
		{ "in the registers", .desc = 0xd0000000 },
		{ "in the APIC", .desc = 0xfee00000 },
		{ "behind RAM", .desc = ram_end },
		{ "across the end of RAM", .desc = ram_end - 16 },
		{ "at the last address", .desc = ~15ULL },
		{ "at 2^63", .desc = 1ULL << 63 },
		{ "at 8 mod 16", .desc = 0x1800008 },
		{ "at an odd address", .desc = 0x1800001 },
		{ "across 4 GiB", .desc = 0xfffffff0 },
	};
	try_all(places, N(places));
}

CASE(avail_place, "all limit=120", "exit", "avail rings in places that are none")
{
	const struct place places[] = {
		{ "in the hole", .avail = HOLE },
		{ "in the registers", .avail = 0xd0000000 },
		{ "behind RAM", .avail = ram_end },
		{ "across the end of RAM", .avail = ram_end - 4 },
		{ "at the last address", .avail = ~1ULL },
		{ "at an odd address", .avail = 0x1800001 },
		{ "2 bytes too near the end", .avail = ram_end - 4 - 2 * VQ_SIZE + 2 },
	};
	try_all(places, N(places));
}

CASE(used_place, "all limit=120", "exit", "used rings in places that are none")
{
	const struct place places[] = {
		{ "in the hole", .used = HOLE },
		{ "in the registers", .used = 0xd0000000 },
		{ "behind RAM", .used = ram_end },
		{ "across the end of RAM", .used = ram_end - 4 },
		{ "at the last address", .used = ~3ULL },
		{ "at 2 mod 4", .used = 0x1800002 },
		{ "at an odd address", .used = 0x1800001 },
		{ "4 bytes too near the end", .used = ram_end - 4 - 8 * VQ_SIZE + 4 },
	};
	try_all(places, N(places));
}

CASE(overlap, "all limit=120", "exit", "rings that lie over each other")
{
	const struct place places[] = {
		{ "all three at one address", .desc = 0x1800000, .avail = 0x1800000,
		  .used = 0x1800000, .verdict = SURVIVED },
		{ "avail in desc", .desc = 0x1800000, .avail = 0x1800010, .used = 0x1801000,
		  .verdict = SURVIVED },
		{ "used in avail", .desc = 0x1802000, .avail = 0x1800000, .used = 0x1800004,
		  .verdict = SURVIVED },
		{ "used in desc", .desc = 0x1800000, .avail = 0x1801000, .used = 0x1800020,
		  .verdict = SURVIVED },
	};
	try_all(places, N(places));
}

/* Exactly at the end is good, and must work. */
CASE(end_of_ram, "blk", "exit", "rings that fill the last bytes of RAM")
{
	struct vdev *d = vdev_find(VIRTIO_ID_BLOCK, 0);
	if (!d || !result(vdev_begin(d, PLAIN), "blk agrees"))
		return;
	for (unsigned int i = 1; i < d->n_queues; i++)
		vq_make(d, i, VQ_SIZE, true);
	struct vq *q = &d->q[0];
	*q = (struct vq){ .dev = d, .size = VQ_SIZE };
	uint64_t used = (ram_end - 6 - 8 * VQ_SIZE) & ~3ULL; /* 2.7: with avail_event */
	q->used = (void *)used;
	q->avail = (void *)(used - 1024);
	q->desc = (void *)((used - 4096) & ~15ULL);
	vq_program(d, 0, VQ_SIZE, (uint64_t)q->desc, (uint64_t)q->avail, used);
	reg_set(d, VIRTIO_MMIO_STATUS, DRIVER_OK_ALL);
	struct blk_header *h = take(sizeof(*h), 16);
	*h = (struct blk_header){ .type = VIRTIO_BLK_T_IN, .sector = 9 };
	volatile uint64_t *data = (uint64_t *)(used - 8192);
	volatile uint8_t *st = take(1, 1);
	*st = 0xee;
	desc_set(q, 0, (uint64_t)h, 16, NEXT, 1);
	desc_set(q, 1, (uint64_t)data, 512, NEXT | WRITE, 2);
	desc_set(q, 2, (uint64_t)st, 1, WRITE, 0);
	vq_go(q);
	result(vq_used(q, PATIENCE_MS, NULL, NULL) && !*st && data[0] == DISK_MARK + 9,
	       "a request by them is served");
	(void)works_again(d, "");
}

/* pmem of a read-only file: the device may not write there for us. */
CASE(read_only_memory, "pmem,blk,rng", "exit", "used rings and buffers in read-only memory")
{
	struct vdev *pmem = vdev_find(VIRTIO_ID_PMEM, 0);
	if (!pmem)
		return;
	uint64_t rom = mmio_read(pmem->base + 0x100, 4) | (uint64_t)mmio_read32(pmem->base + 0x104)
								  << 32;
	result(mmio_read(rom, 8) == 0xa5a5a5a5a5a5a5a5ULL, "the file is at 0x%lx", rom);
	const struct place places[] = {
		{ "used in read-only memory", .used = rom },
		{ "all in read-only memory", .desc = rom, .avail = rom + 4096, .used = rom + 8192 },
	};
	for_each_vdev(d) for (unsigned int i = 0; i < 2 && d->id != VIRTIO_ID_PMEM; i++)
		try_queue(d, 0, &places[i]);
	struct vdev *rng = vdev_find(VIRTIO_ID_RNG, 0);
	if (rng && vdev_start(rng, PLAIN)) {
		desc_set(&rng->q[0], 0, rom, 64, WRITE, 0);
		vq_go(&rng->q[0]);
		one_evil(rng, REFUSED, "a buffer in read-only memory");
	}
	struct vdev *blk = vdev_find(VIRTIO_ID_BLOCK, 0);
	if (blk && vdev_start(blk, PLAIN)) {
		struct blk_header *h = take(sizeof(*h), 16);
		desc_set(&blk->q[0], 0, (uint64_t)h, 16, NEXT, 1);
		desc_set(&blk->q[0], 1, rom, 512, NEXT | WRITE, 2);
		desc_set(&blk->q[0], 2, rom + 512, 1, WRITE, 0);
		vq_go(&blk->q[0]);
		one_evil(blk, REFUSED, "a disk read into read-only memory");
	}
	mmio_write(rom, 0, 8);
	result(mmio_read(rom, 8) == 0xa5a5a5a5a5a5a5a5ULL, "nor can the processor write");
}

static struct vdev *disk(void)
{
	struct vdev *d = vdev_find(VIRTIO_ID_BLOCK, 0);
	if (!d || !vdev_start(d, PLAIN)) {
		result(false, "the disk comes up");
		finish();
	}
	return d;
}

/* One sector between the disk and @at; the status, 0xee for none. */
static uint8_t transfer(struct vdev *d, uint32_t type, uint64_t at)
{
	struct blk_header *h = take(16, 16);
	volatile uint8_t *st = take(1, 1);
	*h = (struct blk_header){ .type = type, .sector = 4000 };
	*st = 0xee;
	desc_set(&d->q[0], 0, (uint64_t)h, 16, NEXT, 1);
	desc_set(&d->q[0], 1, at, 512, NEXT | (type == VIRTIO_BLK_T_IN ? WRITE : 0), 2);
	desc_set(&d->q[0], 2, (uint64_t)st, 1, WRITE, 0);
	vq_go(&d->q[0]);
	(void)vq_used(&d->q[0], PATIENCE_MS, NULL, NULL);
	return *st;
}

/* A buffer that begins in one region and ends in the next (CVE-2019-18960): the image
 * lies behind RAM, with or without a gap. */
CASE(two_regions, "pmem,blk mem=4096", "exit", "buffers from RAM into a read-only image behind it")
{
	struct vdev *pmem = vdev_find(VIRTIO_ID_PMEM, 0);
	if (!pmem)
		return;
	uint64_t rom = mmio_read32(pmem->base + 0x100) | (uint64_t)mmio_read32(pmem->base + 0x104)
								 << 32;
	uint64_t size = mmio_read32(pmem->base + 0x108);
	const uint64_t starts[] = { rom - 256, rom - 1, rom, rom + size - 256, ram_end - 256 };
	for (unsigned int i = 0; i < sizeof(starts) / sizeof(starts[0]); i++) {
		struct vdev *d = disk();
		uint8_t got = transfer(d, VIRTIO_BLK_T_IN, starts[i]);
		result(got != 0, "a read to 0x%lx is refused: %x", starts[i], got);
		(void)works_again(d, "");
		d = disk();
		got = transfer(d, VIRTIO_BLK_T_OUT, starts[i]);
		/* from one region to the next is fine as long as it is only read */
		bool inside = i == 2 || (i < 2 && rom == ram_high_end);
		result((got == 0) == inside, "a write from 0x%lx: %x", starts[i], got);
		(void)works_again(d, "");
	}
	result(mmio_read(rom, 8) == 0xa5a5a5a5a5a5a5a5ULL, "the image is as it was");
}

/* 3.25 GiB: the last quarter lies above 4 GiB. */
CASE(high_memory, "blk,rng mem=3328", "exit", "RAM on both sides of the hole")
{
	result(ram_end == 0xc0000000 && ram_high_end == 0x110000000ULL, "0x%lx and 0x%lx", ram_end,
	       ram_high_end);
	const struct {
		const char *what;
		uint64_t at;
		bool good;
	} rows[] = {
		{ "the first byte above", 0x100000000ULL, true },
		{ "the last sector above", 0x110000000ULL - 512, true },
		{ "the last sector below", 0xc0000000 - 512, true },
		{ "out of the low part", 0xc0000000 - 256, false },
		{ "into the high part", 0x100000000ULL - 256, false },
		{ "out of the high part", 0x110000000ULL - 256, false },
	};
	for (unsigned int i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct vdev *d = disk();
		uint8_t got = transfer(d, VIRTIO_BLK_T_IN, rows[i].at);
		result((got == 0) == rows[i].good, "%s: %x", rows[i].what, got);
		(void)works_again(d, rows[i].what);
	}
	struct vdev *d = vdev_find(VIRTIO_ID_RNG, 0);
	if (!d)
		return;
	const struct place places[] = {
		{ "rings over the low edge", .desc = 0xc0000000 - 128 },
		{ "rings over the high edge", .used = 0x110000000ULL - 64 },
		{ "rings into the high part", .desc = 0x100000000ULL - 128 },
	};
	for (unsigned int i = 0; i < sizeof(places) / sizeof(places[0]); i++)
		try_queue(d, 0, &places[i]);
}

/* SPDX-License-Identifier: Apache-2.0 */
/* case_race - a second processor rewrites descriptors, rings, buffers and registers
 * while a device works on them: whatever was judged must be what is used. */
#include "evil.h"

#define PLAIN  (ALL_FEATURES & ~F_EVENT_IDX)
#define ROUNDS 120

struct race {
	struct vdev *d;
	volatile bool stop;
	void (*change)(struct race *r, unsigned int i);
};

static void run(void *arg)
{
	struct race *r = arg;
	for (unsigned int i = 0; !r->stop; i++)
		r->change(r, i);
}

/* Requests go on while @change runs beside them; then a reset, and proof of life. */
static void race(struct vdev *d, uint64_t features, unsigned int rounds,
		 void (*change)(struct race *r, unsigned int i))
{
	struct race r = { .d = d, .change = change };
	void *mark = take_mark();
	if (!vdev_start(d, features)) {
		result(false, "%s comes up", vdev_name(d));
		return;
	}
	uint64_t at = (uint64_t)take(65536, 4096);
	bool started = second_start(run, &r);
	for (unsigned int i = 0; started && i < rounds; i++) {
		if (status(d) & NEEDS_RESET || !(i % 16)) {
			(void)vdev_reset(d);
			(void)vdev_start(d, features);
		}
		for (unsigned int j = 0; j < d->n_queues && j < 8; j++) {
			struct vq *q = &d->q[j];
			for (unsigned int k = 0; k < q->size; k++)
				desc_set(q, k, at + 64 * k, 64,
					 vq_direction(q) | (k % 3 < 2 ? NEXT : 0), k + 1);
			vq_offer(q, 3 * (i % 5));
			vq_kick(q);
		}
		if (i % 40 == 39)
			take_release((void *)(at + 65536));
	}
	r.stop = true;
	result(started && second_wait(), "%s raced", vdev_name(d));
	take_release(mark);
	(void)works_again(d, "");
}

static void race_all(uint64_t features, void (*change)(struct race *r, unsigned int i))
{
	for_each_vdev(d) if (vdev_is_ours(d)) race(d, features, ROUNDS, change);
}

/* The first processor makes queues anew meanwhile: each is copied, and may be gone. */
static bool any_queue(struct race *r, unsigned int i, struct vq *ret)
{
	memcpy(ret, &r->d->q[i % r->d->n_queues % 8], sizeof(*ret));
	return ret->desc && ret->avail && ret->used;
}

static void change_desc(struct race *r, unsigned int i)
{
	static const uint64_t addrs[] = { 0xe0000000, ~0ULL, 0x1000000, 0xd0000000 };
	struct vq q;
	if (!any_queue(r, i, &q))
		return;
	q.desc[i / 3 % VQ_SIZE].addr = addrs[i % 4];
	q.desc[i / 5 % VQ_SIZE].len = i * 0x10001000U;
	q.desc[i / 7 % VQ_SIZE].flags = (uint16_t)i;
	q.desc[i / 11 % VQ_SIZE].next = (uint16_t)(i * 31);
}

CASE(race_desc, "all cpus=2 limit=120", "exit", "descriptors change under the device")
{
	race_all(PLAIN, change_desc);
}

static void change_next(struct race *r, unsigned int i)
{
	struct vq q;
	if (any_queue(r, i, &q))
		q.desc[i % VQ_SIZE].next = (uint16_t)(i % 2 ? 0 : i % VQ_SIZE + 1);
}

CASE(race_next, "all cpus=2 limit=120", "exit", "chains become circles under the device")
{
	race_all(PLAIN, change_next);
}

static void change_index(struct race *r, unsigned int i)
{
	struct vq q;
	if (!any_queue(r, i, &q))
		return;
	q.avail->idx = (uint16_t)(i * 40503U);
	q.avail->ring[i % VQ_SIZE] = (uint16_t)(i * 7);
	q.avail->flags = (uint16_t)i;
}

CASE(race_index, "all cpus=2 limit=120", "exit", "the avail ring changes under the device")
{
	race_all(PLAIN, change_index);
}

CASE(race_event, "all cpus=2 limit=120", "exit", "the same with EVENT_IDX")
{
	race_all(ALL_FEATURES, change_index);
}

static void change_used(struct race *r, unsigned int i)
{
	struct vq q;
	if (!any_queue(r, i, &q))
		return;
	q.used->idx = (uint16_t)(i * 77);
	q.used->ring[i % VQ_SIZE].id = i;
	q.used->flags = 1;
}

CASE(race_used, "all cpus=2 limit=120", "exit", "the used ring is written by both")
{
	race_all(PLAIN, change_used);
}

static void change_table(struct race *r, unsigned int i)
{
	struct vq q;
	if (!any_queue(r, i, &q))
		return;
	q.desc[i % VQ_SIZE].addr = (uint64_t)q.desc;
	q.desc[i % VQ_SIZE].len = (i % 5) * 16;
	q.desc[i % VQ_SIZE].flags = i % 3 ? INDIRECT : NEXT;
}

CASE(race_indirect, "all cpus=2 limit=120", "exit", "plain and indirect in turns")
{
	race_all(PLAIN, change_table);
}

static void change_data(struct race *r, unsigned int i)
{
	(void)r;
	volatile uint32_t *data = (uint32_t *)((uint64_t)take_mark() & ~4095ULL) - 16384 / 4;
	data[i * 13 % 4096] = i * 2654435761U;
}

CASE(race_data, "all cpus=2 limit=120", "exit", "headers change after they were offered")
{
	race_all(PLAIN, change_data);
}

static void change_status(struct race *r, unsigned int i)
{
	reg_set(r->d, VIRTIO_MMIO_STATUS, i % 7 ? i % 16 : 0);
	reg_set(r->d, VIRTIO_MMIO_QUEUE_NOTIFY, i % 4);
}

CASE(race_status, "all cpus=2 limit=120", "exit", "one processor resets, the other starts")
{
	race_all(PLAIN, change_status);
}

static void change_queue(struct race *r, unsigned int i)
{
	reg_set(r->d, VIRTIO_MMIO_QUEUE_SEL, i % 40);
	reg_set(r->d, VIRTIO_MMIO_QUEUE_NUM, i * 5);
	reg_set(r->d, VIRTIO_MMIO_QUEUE_DESC_LOW, i * 4096);
	reg_set(r->d, VIRTIO_MMIO_QUEUE_READY, i % 2);
	(void)reg(r->d, VIRTIO_MMIO_QUEUE_NUM_MAX);
}

CASE(race_queue, "all cpus=2 limit=120", "exit",
     "one processor selects and sizes, the other starts")
{
	race_all(PLAIN, change_queue);
}

static void change_all(struct race *r, unsigned int i)
{
	mmio_write(r->d->base + i * 4 % 0x200, (uint64_t)i * 2654435761U, 4);
	(void)mmio_read(r->d->base + i * 12 % 0x200, 1U << i % 4);
}

CASE(race_registers, "all cpus=2 limit=120", "exit",
     "one processor writes all registers, the other works")
{
	race_all(PLAIN, change_all);
}

/* ------------------------------------------------- honest requests, one lie at a time */

struct flip {
	struct blk_header *header;
	volatile struct vring_desc *desc;
	volatile bool stop;
};

static void flip_sector(void *arg)
{
	struct flip *f = arg;
	volatile uint64_t *sector = &f->header->sector;
	while (!f->stop) {
		*sector = 7;
		*sector = ~0ULL - 1;
		*sector = DISK_SECTORS;
	}
}

static void flip_len(void *arg)
{
	struct flip *f = arg;
	while (!f->stop) {
		f->desc[1].len = 512;
		f->desc[1].len = 0x7fffffff;
		f->desc[1].len = 513;
	}
}

static void flip_addr(void *arg)
{
	struct flip *f = arg;
	uint64_t good = f->desc[1].addr;
	while (!f->stop) {
		f->desc[1].addr = good;
		f->desc[1].addr = 0xe0000000;
		f->desc[1].addr = ~0ULL - 100;
	}
}

static void flip_flags(void *arg)
{
	struct flip *f = arg;
	while (!f->stop) {
		f->desc[1].flags = NEXT | WRITE;
		f->desc[1].flags = NEXT;
		f->desc[1].flags = INDIRECT;
		f->desc[1].flags = WRITE;
	}
}

static void double_fetch(void (*flip)(void *arg))
{
	struct vdev *d = vdev_find(VIRTIO_ID_BLOCK, 0);
	if (!d)
		return;
	uint8_t *frame = take(1 << 16, 4096);
	struct flip f = { .header = (void *)frame };
	volatile uint8_t *data = frame + 8192, *st = frame + 4096;
	bool outside = false;
	unsigned int served = 0;
	for (unsigned int i = 0; i < 20; i++) {
		void *mark = take_mark();
		if (!vdev_start(d, PLAIN))
			break;
		struct vq *q = &d->q[0];
		*f.header = (struct blk_header){ .type = VIRTIO_BLK_T_IN, .sector = 7 };
		desc_set(q, 0, (uint64_t)f.header, 16, NEXT, 1);
		desc_set(q, 1, (uint64_t)data, 512, NEXT | WRITE, 2);
		desc_set(q, 2, (uint64_t)st, 1, WRITE, 0);
		memset((void *)(data + 4096), 0x5b, 512);
		f.desc = q->desc;
		f.stop = false;
		if (!second_start(flip, &f))
			break;
		for (unsigned int n = 0; n < 100 && !(status(d) & NEEDS_RESET); n++) {
			vq_go(q);
			served += vq_used(q, 50, NULL, NULL);
		}
		f.stop = true;
		(void)second_wait();
		outside = outside || (flip != flip_len && data[4096] != 0x5b);
		take_release(mark);
	}
	result(!outside, "nothing outside the buffer was written, %u requests served", served);
	(void)works_again(d, "");
}

CASE(fetch_sector, "blk cpus=2 limit=120", "exit", "a sector that changes between the looks")
{
	double_fetch(flip_sector);
}

CASE(fetch_len, "blk cpus=2 limit=120", "exit", "a length that changes between the looks")
{
	double_fetch(flip_len);
}

CASE(fetch_addr, "blk cpus=2 limit=120", "exit", "an address that changes between the looks")
{
	double_fetch(flip_addr);
}

CASE(fetch_flags, "blk cpus=2 limit=120", "exit", "flags that change between the looks")
{
	double_fetch(flip_flags);
}

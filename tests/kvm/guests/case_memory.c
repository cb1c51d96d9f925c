/* SPDX-License-Identifier: Apache-2.0 */
/* case_memory - devices that have to do with memory itself: balloon, pmem; and rng,
 * which fills what it is given (virtio 1.2, 5.5, 5.19, 5.4). */
#include "evil.h"

#define PLAIN   (ALL_FEATURES & ~F_EVENT_IDX)
#define INFLATE 0
#define DEFLATE 1
#define STATS   2

static struct vdev *start(uint32_t id)
{
	struct vdev *d = vdev_find(id, 0);
	if (!d || !vdev_start(d, PLAIN)) {
		result(false, "device %u comes up", id);
		finish();
	}
	return d;
}

/* One buffer of @n page numbers on queue @index. */
static void pages(struct vdev *d, unsigned int index, const uint32_t *pfns, uint32_t bytes)
{
	struct vq *q = &d->q[index];
	uint32_t *buf = take(bytes ? bytes : 4, 8);
	memcpy(buf, pfns, bytes);
	desc_set(q, 0, (uint64_t)buf, bytes, 0, 0);
	vq_go(q);
	bool back = vq_used(q, PATIENCE_MS, NULL, NULL);
	result(back || status(d) & NEEDS_RESET, "answered on queue %u", index);
}

CASE(balloon_pfns, "balloon", "exit", "pages that are none, or not RAM")
{
	const uint32_t rows[] = { 0xffffffff,
				  0xfffffffe,
				  0x80000000,
				  0xe0000,
				  0xd0000,
				  0xfee00,
				  0x100000,
				  (uint32_t)(ram_end >> 12),
				  (uint32_t)(ram_end >> 12) - 1,
				  0xbffff,
				  0xc0000 };
	struct vdev *d = start(VIRTIO_ID_BALLOON);
	for (unsigned int i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		for (unsigned int q = 0; q < 2; q++) {
			void *mark = take_mark();
			d = start(VIRTIO_ID_BALLOON);
			pages(d, q, &rows[i], 4);
			(void)works_again(d, "");
			take_release(mark);
		}
}

CASE(balloon_lengths, "balloon", "exit", "lists that are no whole number of pages, or endless")
{
	static const uint32_t lengths[] = { 0, 1, 2, 3, 5, 1023, 4096, 1 << 20 };
	for (unsigned int i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++)
		for (unsigned int q = 0; q < 2; q++) {
			void *mark = take_mark();
			struct vdev *d = start(VIRTIO_ID_BALLOON);
			uint32_t *list = take(1 << 20, 4096);
			memset(list, 0xff, lengths[i]);
			pages(d, q, list, lengths[i]);
			(void)works_again(d, "");
			take_release(mark);
		}
}

CASE(balloon_same_page, "balloon", "exit", "one page given 1024 times, taken back twice as often")
{
	struct vdev *d = start(VIRTIO_ID_BALLOON);
	uint32_t pfn = (uint32_t)((uint64_t)take(4096, 4096) >> 12);
	uint32_t *list = take(4096, 4096);
	for (unsigned int i = 0; i < 1024; i++)
		list[i] = pfn;
	pages(d, INFLATE, list, 4096);
	pages(d, DEFLATE, list, 4096);
	pages(d, DEFLATE, list, 4096);
	(void)works_again(d, "");
}

CASE(balloon_own_rings, "balloon", "exit", "the pages that hold the rings are given away")
{
	struct vdev *d = start(VIRTIO_ID_BALLOON);
	uint32_t pfn = (uint32_t)((uint64_t)d->q[0].desc >> 12);
	uint32_t *buf = take(4096, 4096);
	for (unsigned int i = 0; i < 8; i++)
		buf[i] = pfn + i;
	desc_set(&d->q[INFLATE], 0, (uint64_t)buf, 32, 0, 0);
	vq_go(&d->q[INFLATE]);
	wait_ms(SHORT_MS);
	(void)works_again(d, "");
}

CASE(balloon_gives_zeroes, "balloon", "exit", "a page given away comes back as zeroes, no other")
{
	struct vdev *d = start(VIRTIO_ID_BALLOON);
	uint8_t *three = take(3 * 4096, 4096);
	memset(three, 0x42, 3 * 4096);
	uint32_t pfn = (uint32_t)((uint64_t)(three + 4096) >> 12);
	pages(d, INFLATE, &pfn, 4);
	bool kept = three[4095] == 0x42 && three[8192] == 0x42;
	result(kept, "the neighbours keep their content");
	result(three[4096] == 0 || three[4096] == 0x42, "the page reads as %x", three[4096]);
	pages(d, DEFLATE, &pfn, 4);
	(void)works_again(d, "");
}

CASE(balloon_stats, "balloon", "exit", "statistics of all lengths, full of lies")
{
	static const uint32_t lengths[] = { 0, 1, 2, 9, 10, 11, 19, 20, 1000, 65536, 1 << 20 };
	for (unsigned int i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
		void *mark = take_mark();
		struct vdev *d = start(VIRTIO_ID_BALLOON);
		if (d->n_queues <= STATS) {
			result(true, "there is no statistics queue");
			return;
		}
		struct vq *q = &d->q[STATS];
		uint8_t *buf = take(1 << 20, 4096);
		memset(buf, 0xff, lengths[i]);
		desc_set(q, 0, (uint64_t)buf, lengths[i], 0, 0);
		vq_go(q);
		/* "stats_ms": 100: it is asked for again */
		for (unsigned int n = 0; n < 3 && vq_used(q, 250, NULL, NULL); n++)
			vq_go(q);
		(void)works_again(d, "");
		take_release(mark);
	}
}

CASE(balloon_stats_flood, "balloon", "exit", "statistics nobody asked for, 16 at a time")
{
	struct vdev *d = start(VIRTIO_ID_BALLOON);
	if (d->n_queues > STATS)
		for (unsigned int i = 0; i < 200; i++) {
			desc_set(&d->q[STATS], i % VQ_SIZE, (uint64_t)d->q[0].desc, 100, 0, 0);
			vq_offer(&d->q[STATS], i % VQ_SIZE);
			vq_kick(&d->q[STATS]);
		}
	(void)works_again(d, "");
}

/* Free pages are reported as buffers: any address may be in them (5.5.6.7). */
CASE(balloon_reporting, "balloon", "exit", "free pages that are not RAM, or not whole")
{
	const struct {
		uint64_t addr;
		uint32_t len;
	} rows[] = { { 0xe0000000, 4096 },      { ram_end, 4096 },
		     { ram_end - 4096, 8192 },  { 0x2000001, 4096 },
		     { 0x2000000, 1 },          { 0x2000fff, 2 },
		     { 0x2000000, 0xffffffff }, { ~0ULL, 1 },
		     { ~0xfffULL, 4096 },       { 0x2000000, 0 },
		     { 0xd0000000, 0x1000000 }, { 0x2000000, 0x1000000 } };
	for (unsigned int i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		void *mark = take_mark();
		struct vdev *d = start(VIRTIO_ID_BALLOON);
		for (unsigned int q = 3; q < d->n_queues; q++) {
			desc_set(&d->q[q], 0, rows[i].addr, rows[i].len, WRITE, 0);
			vq_go(&d->q[q]);
			(void)vq_used(&d->q[q], 300, NULL, NULL);
		}
		(void)works_again(d, "");
		take_release(mark);
	}
}

CASE(balloon_reports_rings, "balloon", "exit", "the rings themselves are reported free")
{
	struct vdev *d = start(VIRTIO_ID_BALLOON);
	for (unsigned int q = 3; q < d->n_queues; q++) {
		desc_set(&d->q[q], 0, (uint64_t)d->q[0].desc & ~4095ULL, 65536, WRITE, 0);
		vq_go(&d->q[q]);
		wait_ms(SHORT_MS);
	}
	(void)works_again(d, "");
}

CASE(balloon_config, "balloon", "exit", "num_pages and actual are written")
{
	struct vdev *d = start(VIRTIO_ID_BALLOON);
	static const uint32_t values[] = { 0xffffffff, 0x80000000, 1, 0 };
	for (unsigned int i = 0; i < 4; i++) {
		mmio_write32(d->base + 0x100, values[i]);
		mmio_write32(d->base + 0x104, values[i]);
		mmio_write(d->base + 0x102, ~0ULL, 4);
		result(mmio_read32(d->base + 0x100) == 0, "num_pages is the host's");
	}
	(void)works_again(d, "");
}

/* ------------------------------------------------------------------------ rng */

CASE(rng_huge, "rng limit=120", "exit", "GiBs of randomness are asked for")
{
	static const uint32_t sizes[] = { 0, 1, 65535, 65536, 65537, 1 << 20, 64 << 20 };
	for (unsigned int s = 0; s < sizeof(sizes) / sizeof(sizes[0]); s++) {
		void *mark = take_mark();
		struct vdev *d = start(VIRTIO_ID_RNG);
		uint64_t at = ((uint64_t)take(4096, 4096) + 0x100000) & ~4095ULL;
		for (unsigned int i = 0; i < VQ_SIZE; i++)
			desc_set(&d->q[0], i, at, sizes[s], WRITE | (i < VQ_SIZE - 1U ? NEXT : 0),
				 i + 1);
		vq_go(&d->q[0]);
		uint32_t len = 0;
		bool back = vq_used(&d->q[0], PATIENCE_MS, NULL, &len);
		result((back && len <= (uint64_t)sizes[s] * VQ_SIZE) || status(d) & NEEDS_RESET,
		       "%u bytes 16 times: %u", sizes[s], len);
		(void)works_again(d, "");
		take_release(mark);
	}
}

CASE(rng_readable, "rng", "exit", "buffers that may not be written")
{
	struct vdev *d = start(VIRTIO_ID_RNG);
	uint8_t *buf = take(4096, 4096);
	memset(buf, 0x11, 4096);
	desc_set(&d->q[0], 0, (uint64_t)buf, 4096, 0, 0);
	vq_go(&d->q[0]);
	(void)vq_used(&d->q[0], 300, NULL, NULL);
	result(buf[0] == 0x11 && buf[4095] == 0x11, "nothing is written");
	(void)works_again(d, "");
}

/* Where there is a limit, requests wait: a reset must not. */
CASE(rng_flood, "rng limit=120", "exit", "a full queue again and again, and resets")
{
	struct vdev *d = start(VIRTIO_ID_RNG);
	for (unsigned int n = 0; n < 50; n++) {
		void *mark = take_mark();
		(void)vdev_start(d, PLAIN);
		uint8_t *at = take(1 << 16, 4096);
		for (unsigned int i = 0; i < VQ_SIZE; i++) {
			desc_set(&d->q[0], i, (uint64_t)at, 1 << 16, WRITE, 0);
			vq_offer(&d->q[0], i);
		}
		vq_kick(&d->q[0]);
		bool good = vdev_reset(d);
		memset(at, 0x22, 4096);
		wait_ms(1);
		result(good && at[0] == 0x22 && at[4095] == 0x22, "quiet after the reset");
		take_release(mark);
	}
}

/* ----------------------------------------------------------------------- pmem */

CASE(pmem_requests, "pmem", "exit", "flushes that are none")
{
	static const uint32_t types[] = { 1, 2, 0x80000000, 0xffffffff };
	static const uint32_t lengths[] = { 0, 1, 3, 5, 4096 };
	for (unsigned int i = 0; i < 4; i++) {
		void *mark = take_mark();
		struct vdev *d = start(VIRTIO_ID_PMEM);
		uint32_t *r = take(8, 8);
		r[0] = types[i];
		desc_set(&d->q[0], 0, (uint64_t)r, 4, NEXT, 1);
		desc_set(&d->q[0], 1, (uint64_t)(r + 1), 4, WRITE, 0);
		vq_go(&d->q[0]);
		(void)vq_used(&d->q[0], 300, NULL, NULL);
		(void)works_again(d, "");
		take_release(mark);
	}
	for (unsigned int i = 0; i < 25; i++) {
		void *mark = take_mark();
		struct vdev *d = start(VIRTIO_ID_PMEM);
		uint32_t *r = take(8192, 4096);
		desc_set(&d->q[0], 0, (uint64_t)r, lengths[i % 5], NEXT, 1);
		desc_set(&d->q[0], 1, (uint64_t)(r + 1024), lengths[i / 5], WRITE, 0);
		vq_go(&d->q[0]);
		(void)vq_used(&d->q[0], 100, NULL, NULL);
		(void)works_again(d, "");
		take_release(mark);
	}
}

CASE(pmem_one_way, "pmem", "exit", "flushes without a question, without an answer")
{
	for (unsigned int i = 0; i < 2; i++) {
		void *mark = take_mark();
		struct vdev *d = start(VIRTIO_ID_PMEM);
		desc_set(&d->q[0], 0, (uint64_t)take(8, 8), 4, i ? WRITE : 0, 0);
		vq_go(&d->q[0]);
		(void)vq_used(&d->q[0], 300, NULL, NULL);
		(void)works_again(d, "");
		take_release(mark);
	}
}

/* The file is the host's: who runs us compares it afterwards. */
CASE(pmem_stores, "pmem", "exit|kvm-error", "the processor writes into a read-only image")
{
	struct vdev *d = start(VIRTIO_ID_PMEM);
	uint64_t at = mmio_read(d->base + 0x100, 4) | (uint64_t)mmio_read32(d->base + 0x104) << 32;
	uint64_t size = mmio_read32(d->base + 0x108);
	result(at && size, "%lu bytes at 0x%lx", size, at);
	static const unsigned int widths[] = { 1, 2, 4, 8 };
	for (unsigned int w = 0; w < 4; w++)
		for (uint64_t i = 0; i < 64; i++)
			mmio_write(at + i * 4093 % (size - 8), 0, widths[w]);
	result(mmio_read(at, 8) == 0xa5a5a5a5a5a5a5a5ULL, "nothing has changed");
	(void)works_again(d, "");
}

CASE(pmem_given_away, "pmem,balloon", "exit", "the balloon is given the image's pages")
{
	struct vdev *p = start(VIRTIO_ID_PMEM), *d = start(VIRTIO_ID_BALLOON);
	uint64_t at = mmio_read(p->base + 0x100, 4) | (uint64_t)mmio_read32(p->base + 0x104) << 32;
	uint32_t list[4];
	for (unsigned int i = 0; i < 4; i++)
		list[i] = (uint32_t)(at >> 12) + i;
	pages(d, INFLATE, list, sizeof(list));
	if (vdev_start(d, PLAIN) && d->n_queues > 3) {
		desc_set(&d->q[3], 0, at, 1 << 20, WRITE, 0);
		vq_go(&d->q[3]);
		(void)vq_used(&d->q[3], 300, NULL, NULL);
	}
	result(mmio_read(at, 8) == 0xa5a5a5a5a5a5a5a5ULL, "it is still there");
	(void)works_again(d, "");
}

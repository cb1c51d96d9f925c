/* SPDX-License-Identifier: Apache-2.0 */
/* case_blk - requests that a disk must refuse (virtio 1.2, 5.2.6). Disk 0 is
 * writable, disk 1 is not; who runs us compares disk 1 afterwards. */
#include "evil.h"

#define PLAIN     (ALL_FEATURES & ~F_EVENT_IDX)
#define CAPACITY  0x100
#define NO_STATUS 0xee
#define S_OK      0
#define S_IOERR   1
#define S_UNSUPP  2

struct request {
	struct vdev *d;
	struct vq *q;
	struct blk_header *header;
	uint8_t *data;
	volatile uint8_t *status;
};

static struct request start(unsigned int nth)
{
	struct request r = { .d = vdev_find(VIRTIO_ID_BLOCK, nth) };
	if (!r.d || !vdev_start(r.d, PLAIN)) {
		result(false, "disk %u comes up", nth);
		finish();
	}
	r.q = &r.d->q[0];
	r.header = take(16, 16);
	r.data = take(1 << 20, 4096);
	r.status = take(64, 64);
	*r.status = NO_STATUS;
	return r;
}

static void header(struct request *r, uint32_t type, uint64_t sector)
{
	*r->header = (struct blk_header){ .type = type, .sector = sector };
	*r->status = NO_STATUS;
	desc_set(r->q, 0, (uint64_t)r->header, 16, NEXT, 1);
}

/* Header, @len bytes of data with @flags, status. Returns the status; NO_STATUS: no
 * answer, the device needs a reset. */
static uint8_t ask(struct request *r, uint32_t type, uint64_t sector, uint32_t len,
		   unsigned int flags)
{
	header(r, type, sector);
	if (len)
		desc_set(r->q, 1, (uint64_t)r->data, len, NEXT | flags, 2);
	else
		r->q->desc[0].next = 2;
	desc_set(r->q, 2, (uint64_t)r->status, 1, WRITE, 0);
	vq_go(r->q);
	(void)vq_used(r->q, PATIENCE_MS, NULL, NULL);
	return *r->status;
}

static bool is_refused(const struct request *r, uint8_t got)
{
	return got == S_IOERR || got == S_UNSUPP ||
	       (got == NO_STATUS && status(r->d) & NEEDS_RESET);
}

/* Whatever the refusal was, the next request must be served. */
static void refuse(struct request *r, const char *what, uint8_t got)
{
	result(is_refused(r, got), "refused with %x: %s", got, what);
	if (status(r->d) & NEEDS_RESET) {
		(void)works_again(r->d, what);
		(void)vdev_start(r->d, PLAIN);
		r->q = &r->d->q[0];
	} else {
		uint8_t good = ask(r, VIRTIO_BLK_T_IN, 1, 512, WRITE);
		result(good == S_OK, "served after it: %s", what);
	}
}

static uint64_t capacity(const struct vdev *d)
{
	return reg(d, CAPACITY) | (uint64_t)reg(d, CAPACITY + 4) << 32;
}

CASE(reads, "blk", "exit", "honest reads of all sizes, the ground for the rest")
{
	struct request r = start(0);
	result(capacity(r.d) == DISK_SECTORS, "capacity %lu", capacity(r.d));
	for (uint32_t n = 1; n <= 256; n *= 2) {
		uint8_t got = ask(&r, VIRTIO_BLK_T_IN, n, 512 * n, WRITE);
		uint64_t first = *(uint64_t *)r.data;
		uint64_t last = *(uint64_t *)(r.data + 512 * (n - 1));
		result(got == S_OK && first == DISK_MARK + n && last == DISK_MARK + 2 * n - 1,
		       "%u sectors", n);
	}
	uint8_t got = ask(&r, VIRTIO_BLK_T_IN, DISK_SECTORS - 1, 512, WRITE);
	result(got == S_OK, "the last sector");
}

CASE(writes, "blk", "exit", "honest writes are read back")
{
	struct request r = start(0);
	memset(r.data, 0x5a, 4096);
	result(ask(&r, VIRTIO_BLK_T_OUT, 100, 4096, 0) == S_OK, "written");
	result(ask(&r, VIRTIO_BLK_T_FLUSH, 0, 0, 0) == S_OK, "flushed");
	memset(r.data, 0, 4096);
	uint8_t got = ask(&r, VIRTIO_BLK_T_IN, 100, 4096, WRITE);
	result(got == S_OK && r.data[0] == 0x5a && r.data[4095] == 0x5a, "read back");
}

CASE(sector_overflow, "blk", "exit", "sectors beyond the end, and such that wrap")
{
	static const struct {
		uint64_t sector;
		uint32_t len;
	} bad[] = {
		{ DISK_SECTORS, 512 },
		{ DISK_SECTORS - 1, 1024 },
		{ DISK_SECTORS - 7, 4096 },
		{ DISK_SECTORS + 1, 512 },
		{ 1ULL << 32, 512 },
		{ 1ULL << 54, 512 },
		{ 1ULL << 55, 512 },
		{ (1ULL << 55) - 1, 512 },
		{ 1ULL << 63, 512 },
		{ ~0ULL, 512 },
		{ ~0ULL, 1024 },
		{ ~0ULL - 7, 8192 },
		{ ~0ULL >> 1, 512 },
		{ 0, 16U << 20 },
	};
	struct request r = start(0);
	for (unsigned int i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		refuse(&r, "read", ask(&r, VIRTIO_BLK_T_IN, bad[i].sector, bad[i].len, WRITE));
		refuse(&r, "write", ask(&r, VIRTIO_BLK_T_OUT, bad[i].sector, bad[i].len, 0));
	}
}

CASE(odd_lengths, "blk", "exit", "data that is no whole number of sectors")
{
	static const uint32_t lengths[] = { 1, 2, 511, 513, 1000, 4095, 65537 };
	struct request r = start(0);
	for (unsigned int i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
		refuse(&r, "read", ask(&r, VIRTIO_BLK_T_IN, 0, lengths[i], WRITE));
		refuse(&r, "write", ask(&r, VIRTIO_BLK_T_OUT, 0, lengths[i], 0));
	}
}

/* To a device such a request has no data at all: it may be refused or be served, but
 * nothing may be moved. */
CASE(wrong_direction, "blk", "exit", "data of the wrong direction")
{
	static const uint32_t types[] = { VIRTIO_BLK_T_IN, VIRTIO_BLK_T_OUT, VIRTIO_BLK_T_GET_ID };
	struct request r = start(0);
	for (unsigned int i = 0; i < 3; i++) {
		memset(r.data, 0x77, 1024);
		uint8_t got = ask(&r, types[i], 8, 512, types[i] == VIRTIO_BLK_T_OUT ? WRITE : 0);
		result(got == S_OK || is_refused(&r, got), "type %u: %x", types[i], got);
		result(r.data[0] == 0x77 && r.data[511] == 0x77, "type %u: data untouched",
		       types[i]);
		if (status(r.d) & NEEDS_RESET)
			r = start(0);
	}
	uint8_t got = ask(&r, VIRTIO_BLK_T_IN, 8, 512, WRITE);
	result(got == S_OK && *(uint64_t *)r.data == DISK_MARK + 8, "nothing was written");
}

CASE(types, "blk", "exit", "request types that are none")
{
	struct request r = start(0);
	for (uint32_t type = 2; type < 40; type++) {
		if (type == VIRTIO_BLK_T_FLUSH || type == VIRTIO_BLK_T_GET_ID ||
		    type == VIRTIO_BLK_T_DISCARD || type == VIRTIO_BLK_T_WRITE_ZEROES)
			continue;
		refuse(&r, "with data to write", ask(&r, type, 0, 512, WRITE));
		refuse(&r, "with data to read", ask(&r, type, 0, 512, 0));
	}
	static const uint32_t far[] = { 0x80000000, 0xffffffff, 0x100, 0x80000001, 0x7fffffff };
	for (unsigned int i = 0; i < 5; i++)
		refuse(&r, "far away", ask(&r, far[i], 0, 512, WRITE));
}

CASE(no_data, "blk", "exit", "reads and writes of nothing")
{
	struct request r = start(0);
	static const uint32_t types[] = { VIRTIO_BLK_T_IN, VIRTIO_BLK_T_OUT, VIRTIO_BLK_T_DISCARD,
					  VIRTIO_BLK_T_WRITE_ZEROES, VIRTIO_BLK_T_GET_ID };
	for (unsigned int i = 0; i < 5; i++) {
		(void)ask(&r, types[i], 0, 0, 0);
		(void)works_again(r.d, "a request without data");
		r = start(0);
	}
}

CASE(get_id, "blk", "exit", "the serial number into buffers of all sizes")
{
	static const uint32_t sizes[] = { 1, 2, 19, 20, 21, 512, 4096, 65536 };
	struct request r = start(0);
	for (unsigned int i = 0; i < 8; i++) {
		memset(r.data, 0x77, 65600);
		uint8_t got = ask(&r, VIRTIO_BLK_T_GET_ID, 0, sizes[i], WRITE);
		if (sizes[i] >= 20)
			result(got == S_OK && r.data[0] == 'h' && r.data[sizes[i]] == 0x77,
			       "%u bytes", sizes[i]);
		else
			result((got == S_OK || is_refused(&r, got)) && r.data[sizes[i]] == 0x77,
			       "%u bytes: %x, nothing behind them", sizes[i], got);
		if (status(r.d) & NEEDS_RESET)
			r = start(0);
	}
}

/* -------------------------------------------------------------------- framing */

static void framing(const char *what, void (*lay)(struct request *r))
{
	void *mark = take_mark();
	struct request r = start(0);
	header(&r, VIRTIO_BLK_T_IN, 1);
	lay(&r);
	vq_go(r.q);
	(void)vq_used(r.q, 300, NULL, NULL);
	(void)works_again(r.d, what);
	take_release(mark);
}

static void short_header(struct request *r)
{
	desc_set(r->q, 0, (uint64_t)r->header, 15, NEXT, 1);
	desc_set(r->q, 1, (uint64_t)r->data, 513, WRITE, 0);
}

static void tiny_header(struct request *r)
{
	desc_set(r->q, 0, (uint64_t)r->header, 1, NEXT, 1);
	desc_set(r->q, 1, (uint64_t)r->status, 1, WRITE, 0);
}

static void header_only(struct request *r)
{
	desc_set(r->q, 0, (uint64_t)r->header, 16, 0, 0);
}

static void status_only(struct request *r)
{
	desc_set(r->q, 0, (uint64_t)r->status, 1, WRITE, 0);
}

static void header_to_write(struct request *r)
{
	desc_set(r->q, 0, (uint64_t)r->header, 16, NEXT | WRITE, 1);
	desc_set(r->q, 1, (uint64_t)r->data, 513, WRITE, 0);
}

static void no_status(struct request *r)
{
	header(r, VIRTIO_BLK_T_OUT, 1);
	desc_set(r->q, 1, (uint64_t)r->data, 512, 0, 0);
}

static void status_to_read(struct request *r)
{
	desc_set(r->q, 1, (uint64_t)r->data, 512, NEXT, 2);
	desc_set(r->q, 2, (uint64_t)r->status, 1, 0, 0);
}

static void status_empty(struct request *r)
{
	header(r, VIRTIO_BLK_T_OUT, 1);
	desc_set(r->q, 1, (uint64_t)r->data, 512, NEXT, 2);
	desc_set(r->q, 2, (uint64_t)r->status, 0, WRITE, 0);
}

static void status_long(struct request *r)
{
	desc_set(r->q, 1, (uint64_t)r->data, 512, NEXT | WRITE, 2);
	desc_set(r->q, 2, (uint64_t)r->data, 4096, WRITE, 0);
}

static void flush_with_data(struct request *r)
{
	header(r, VIRTIO_BLK_T_FLUSH, ~0ULL);
	desc_set(r->q, 1, (uint64_t)r->data, 4096, NEXT, 2);
	desc_set(r->q, 2, (uint64_t)r->data, 4097, WRITE, 0);
}

static void data_is_header(struct request *r)
{
	desc_set(r->q, 1, (uint64_t)r->header, 512, NEXT | WRITE, 2);
	desc_set(r->q, 2, (uint64_t)r->header, 1, WRITE, 0);
}

static void data_is_ring(struct request *r)
{
	desc_set(r->q, 1, (uint64_t)r->q->desc, 512, NEXT | WRITE, 2);
	desc_set(r->q, 2, (uint64_t)r->q->used, 1, WRITE, 0);
}

static void data_is_all(struct request *r)
{
	uint64_t at = ((uint64_t)r->data & ~4095ULL) + (1 << 20);
	desc_set(r->q, 1, at, (uint32_t)((ram_end - at) & ~511ULL), NEXT | WRITE, 2);
	desc_set(r->q, 2, (uint64_t)r->status, 1, WRITE, 0);
}

CASE(framings, "blk", "exit", "requests whose parts are missing, short or the same")
{
	static const struct {
		const char *what;
		void (*lay)(struct request *r);
	} rows[] = {
		{ "15 bytes of header", short_header },
		{ "1 byte of header", tiny_header },
		{ "nothing but a header", header_only },
		{ "nothing but a status", status_only },
		{ "a header to be written", header_to_write },
		{ "no status", no_status },
		{ "a status to be read", status_to_read },
		{ "a status of no bytes", status_empty },
		{ "a status of 4096 bytes", status_long },
		{ "a flush with data", flush_with_data },
		{ "data over header and status", data_is_header },
		{ "data over the rings", data_is_ring },
		{ "data that is all RAM", data_is_all },
	};
	for (unsigned int i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		framing(rows[i].what, rows[i].lay);
}

/* The header may be split as the driver likes (2.7.4.2). */
CASE(split_header, "blk", "exit", "a header in 16 pieces, data in odd ones")
{
	struct request r = start(0);
	if (!vdev_start_sized(r.d, PLAIN, 64))
		return;
	r.q = &r.d->q[0];
	header(&r, VIRTIO_BLK_T_IN, 5);
	for (unsigned int i = 0; i < 16; i++)
		desc_set(r.q, i, (uint64_t)r.header + i, 1, NEXT, i + 1);
	uint32_t at = 0, n = 16;
	for (uint32_t len = 1; at < 1024; at += len, len = 2 * len + 1, n++) {
		len = at + len > 1024 ? 1024 - at : len;
		desc_set(r.q, n, (uint64_t)r.data + at, len, NEXT | WRITE, n + 1);
	}
	desc_set(r.q, n, (uint64_t)r.status, 1, WRITE, 0);
	vq_go(r.q);
	result(vq_used(r.q, PATIENCE_MS, NULL, NULL) && !*r.status &&
		       *(uint64_t *)(r.data + 512) == DISK_MARK + 6,
	       "is served as any other");
	(void)works_again(r.d, "");
}

/* 127 buffers of 34 MiB: the sum is 4 GiB and a little. */
CASE(sum_wraps, "blk mem=96 limit=120", "exit", "data whose sum passes 2^32 by a sector")
{
	struct request r = start(0);
	if (!vdev_start_sized(r.d, PLAIN, 256))
		return;
	for (unsigned int out = 0; out < 2; out++) {
		r.q = &r.d->q[0];
		header(&r, out ? VIRTIO_BLK_T_OUT : VIRTIO_BLK_T_IN, 0);
		uint64_t at = 0x2000000, left = (1ULL << 32) + 512;
		unsigned int n = 1;
		for (uint32_t len; left; left -= len, n++) {
			len = left > 0x3000000 ? 0x3000000 : (uint32_t)left;
			desc_set(r.q, n, at, len, NEXT | (out ? 0 : WRITE), n + 1);
		}
		desc_set(r.q, n, (uint64_t)r.status, 1, WRITE, 0);
		vq_go(r.q);
		(void)vq_used(r.q, PATIENCE_MS, NULL, NULL);
		result(is_refused(&r, *r.status), "refused with %x", *r.status);
		(void)works_again(r.d, "");
		(void)vdev_start_sized(r.d, PLAIN, 256);
	}
}

/* ------------------------------------------------------------ discard and zeroes */

static uint8_t ranges(struct request *r, uint32_t type, const struct blk_range *list,
		      uint32_t bytes)
{
	if (bytes && list)
		memcpy(r->data, list, bytes);
	return ask(r, type, 0, bytes, 0);
}

CASE(discard_ranges, "blk", "exit", "discard and write-zeroes of ranges that are none")
{
	static const struct blk_range bad[] = {
		{ DISK_SECTORS, 1, 0 },
		{ DISK_SECTORS - 1, 2, 0 },
		{ 0, DISK_SECTORS + 1, 0 },
		{ 0, 0xffffffff, 0 },
		{ 1, 0xffffffff, 0 },
		{ ~0ULL, 1, 0 },
		{ ~0ULL, 0xffffffff, 0 },
		{ 1ULL << 55, 8, 0 },
		{ (1ULL << 55) - 1, 0xffffffff, 0 },
		{ 1ULL << 63, 8, 0 },
		{ 8, 8, 2 },
		{ 8, 8, 0xfffffffe },
	};
	struct request r = start(0);
	for (unsigned int i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		refuse(&r, "discard", ranges(&r, VIRTIO_BLK_T_DISCARD, &bad[i], 16));
		refuse(&r, "zeroes", ranges(&r, VIRTIO_BLK_T_WRITE_ZEROES, &bad[i], 16));
	}
	static const struct blk_range unmap = { 8, 8, 1 };
	refuse(&r, "discard with unmap", ranges(&r, VIRTIO_BLK_T_DISCARD, &unmap, 16));
}

CASE(discard_lengths, "blk", "exit", "discards of half a range, and of too many")
{
	static const uint32_t lengths[] = { 1, 8, 15, 17, 24, 31, 512, 16 * 4096, 1 << 20 };
	struct request r = start(0);
	for (unsigned int i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
		memset(r.data, 0xff, 4096);
		refuse(&r, "discard", ranges(&r, VIRTIO_BLK_T_DISCARD, NULL, lengths[i]));
		memset(r.data, 0xff, 4096);
		refuse(&r, "zeroes", ranges(&r, VIRTIO_BLK_T_WRITE_ZEROES, NULL, lengths[i]));
	}
}

CASE(discard_works, "blk", "exit", "honest discards and zeroes")
{
	struct request r = start(0);
	static const struct blk_range range = { 200, 8, 0 };
	bool offered = r.d->features >> VIRTIO_BLK_F_WRITE_ZEROES & 1;
	uint8_t got = ranges(&r, VIRTIO_BLK_T_WRITE_ZEROES, &range, 16);
	uint8_t read = ask(&r, VIRTIO_BLK_T_IN, 200, 4096, WRITE);
	result(!offered || (got == S_OK && read == S_OK && !*(uint64_t *)r.data), "zeroes: %x",
	       got);
	got = ranges(&r, VIRTIO_BLK_T_DISCARD, &range, 16);
	result(!(r.d->features >> VIRTIO_BLK_F_DISCARD & 1) || got == S_OK, "discard: %x", got);
	read = ask(&r, VIRTIO_BLK_T_IN, 208, 512, WRITE);
	result(read == S_OK && *(uint64_t *)r.data == DISK_MARK + 208, "and no sector more");
}

CASE(not_agreed, "blk", "exit", "discard, zeroes and flush that were not negotiated")
{
	static const struct blk_range range = { 8, 8, 0 };
	struct request r = start(0);
	(void)vdev_start(r.d, F_VERSION_1);
	r.q = &r.d->q[0];
	(void)ranges(&r, VIRTIO_BLK_T_DISCARD, &range, 16);
	(void)ranges(&r, VIRTIO_BLK_T_WRITE_ZEROES, &range, 16);
	(void)ask(&r, VIRTIO_BLK_T_FLUSH, 0, 0, 0);
	uint8_t got = ask(&r, VIRTIO_BLK_T_IN, 4, 512, WRITE);
	result(got == S_OK && *(uint64_t *)r.data == DISK_MARK + 4, "a read is served");
	(void)works_again(r.d, "");
}

/* ------------------------------------------------------------------- read-only */

CASE(read_only, "blk", "exit", "a read-only disk is written to in every way")
{
	static const struct blk_range range = { 8, 8, 0 };
	struct request r = start(1);
	result(r.d->offered >> VIRTIO_BLK_F_RO & 1, "the disk says it is read-only");
	for (uint64_t sector = 0; sector < 20; sector += 7) {
		memset(r.data, 0x66, 4096);
		refuse(&r, "write", ask(&r, VIRTIO_BLK_T_OUT, sector, 4096, 0));
	}
	refuse(&r, "discard", ranges(&r, VIRTIO_BLK_T_DISCARD, &range, 16));
	refuse(&r, "zeroes", ranges(&r, VIRTIO_BLK_T_WRITE_ZEROES, &range, 16));
	(void)vdev_start(r.d, F_VERSION_1); /* without RO: no way round */
	r.q = &r.d->q[0];
	memset(r.data, 0x66, 4096);
	refuse(&r, "write without the feature", ask(&r, VIRTIO_BLK_T_OUT, 8, 4096, 0));
}

/* ----------------------------------------------------------- in the middle of I/O */

static void many(struct request *r, uint32_t type, unsigned int n, uint32_t len)
{
	for (unsigned int i = 0; i < n; i++) {
		r->header[0] = (struct blk_header){ .type = type, .sector = 4096 };
		desc_set(r->q, 3 * i, (uint64_t)r->header, 16, NEXT, 3 * i + 1);
		desc_set(r->q, 3 * i + 1, (uint64_t)r->data, len,
			 NEXT | (type == VIRTIO_BLK_T_IN ? WRITE : 0), 3 * i + 2);
		desc_set(r->q, 3 * i + 2, (uint64_t)r->status, 1, WRITE, 0);
		vq_offer(r->q, 3 * i);
	}
	vq_kick(r->q);
}

static void reset_amid(const char *options, uint32_t type)
{
	struct request r = start(0);
	bool quiet = true;
	for (unsigned int i = 0; i < 30; i++) {
		if (!vdev_start_sized(r.d, PLAIN, 128))
			break;
		r.q = &r.d->q[0];
		many(&r, type, 42, 1 << 20);
		for (volatile unsigned int w = 0; w < i * 30; w++)
			;
		if (!vdev_reset(r.d))
			break;
		/* From here on nothing may be written any more. */
		memset(r.data, 0x3c, 4096);
		memset((void *)r.q->used, 0, 4);
		*r.status = 0x3c;
		wait_ms(i % 4 ? 1 : 30);
		quiet = quiet && r.data[0] == 0x3c && r.data[512] == 0x3c && *r.status == 0x3c &&
			!r.q->used->idx;
	}
	result(quiet, "no write after the reset (%s)", options);
	(void)works_again(r.d, "");
}

CASE(reset_amid_reads, "blk limit=120", "exit", "reset with 42 MiB of reads under way")
{
	reset_amid("reads", VIRTIO_BLK_T_IN);
}

CASE(reset_amid_writes, "blk limit=120", "exit", "reset with 42 MiB of writes under way")
{
	reset_amid("writes", VIRTIO_BLK_T_OUT);
}

CASE(reset_amid_sync, "blk limit=120 engine=sync", "exit", "the same with the simple engine")
{
	reset_amid("sync", VIRTIO_BLK_T_IN);
}

/* 42 requests, of which a few a second are let through. */
CASE(reset_amid_limited, "blk limit=120 rate=65536", "exit",
     "reset with requests held back by a limit")
{
	reset_amid("limited", VIRTIO_BLK_T_IN);
}

CASE(end_amid_limited, "blk rate=4096", "exit",
     "the machine ends with requests held back by a limit")
{
	struct request r = start(0);
	result(vdev_start_sized(r.d, PLAIN, 128), "up");
	r.q = &r.d->q[0];
	many(&r, VIRTIO_BLK_T_IN, 42, 65536);
}

CASE(end_amid, "blk", "exit", "the machine ends with requests under way")
{
	struct request r = start(0);
	result(vdev_start_sized(r.d, PLAIN, 128), "up");
	r.q = &r.d->q[0];
	many(&r, VIRTIO_BLK_T_OUT, 42, 1 << 20);
}

CASE(triple_amid, "blk", "triple-fault|kvm-error", "a triple fault with requests under way")
{
	struct request r = start(0);
	result(vdev_start_sized(r.d, PLAIN, 128), "up");
	r.q = &r.d->q[0];
	many(&r, VIRTIO_BLK_T_IN, 42, 1 << 20);
	static const struct {
		uint16_t limit;
		uint64_t base;
	} __attribute__((packed)) none = { 0, 0 };
	__asm__ volatile("lidt %0\n\tud2" ::"m"(none));
}

CASE(second_queue, "blk", "exit", "both queues at once, each with the other's descriptors")
{
	struct request r = start(0);
	if (r.d->n_queues < 2) {
		result(true, "the disk has one queue");
		return;
	}
	header(&r, VIRTIO_BLK_T_IN, 3);
	for (unsigned int i = 0; i < 2; i++) {
		r.q = &r.d->q[i];
		desc_set(r.q, 0, (uint64_t)r.header, 16, NEXT, 1);
		desc_set(r.q, 1, (uint64_t)r.d->q[1 - i].desc, 512, NEXT | WRITE, 2);
		desc_set(r.q, 2, (uint64_t)r.d->q[1 - i].used, 1, WRITE, 0);
		vq_offer(r.q, 0);
	}
	vq_kick(&r.d->q[0]);
	vq_kick(&r.d->q[1]);
	wait_ms(SHORT_MS);
	(void)works_again(r.d, "");
}

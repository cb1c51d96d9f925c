/* SPDX-License-Identifier: Apache-2.0 */
/* blk_request - see blk_request.h. isola-vmm, loop thread. */
#include "blk_request.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

#define ZEROES_BYTES 65536
#define ZEROES_IOVS  64

static const uint8_t zeroes[ZEROES_BYTES] __attribute__((aligned(4096)));

struct blk_request *blk_request_take(struct blk *b)
{
	struct blk_request *r = b->free_requests;
	if (r)
		b->free_requests = r->next_free;
	else
		r = &b->requests[b->n_fresh++];
	virtq_chain_init(&r->chain, r->iov, BLK_IOVS);
	r->blk = b;
	return r;
}

void blk_request_give_back(struct blk_request *r)
{
	r->next_free = r->blk->free_requests;
	r->blk->free_requests = r;
}

static void count(struct blk_request *r, uint8_t status)
{
	struct blk_queue_stats *s = &r->blk->stats[r->queue];
	if (status != VIRTIO_BLK_S_OK) {
		s->errors++;
		return;
	}
	switch (r->type) {
	case VIRTIO_BLK_T_IN:
		s->reads++;
		s->read_bytes += r->bytes;
		return;
	case VIRTIO_BLK_T_OUT:
		s->writes++;
		s->written_bytes += r->bytes;
		return;
	case VIRTIO_BLK_T_FLUSH:
		s->flushes++;
		return;
	case VIRTIO_BLK_T_DISCARD:
		s->discards++;
		return;
	case VIRTIO_BLK_T_WRITE_ZEROES:
		s->zeroes++;
		return;
	default:
		return;
	}
}

/* The status is the last byte that the device writes (5.2.6). */
static void finish(struct blk_request *r, uint8_t status)
{
	struct blk *b = r->blk;
	uint32_t last = r->chain.write_bytes - 1;
	(void)chain_write(&r->chain, last, &status, sizeof(status));
	count(r, status);
	virtq_push(&b->v.queues[r->queue], r->chain.head,
		   status == VIRTIO_BLK_S_OK || last == 0 ? last + 1 : 0);
	b->dirty |= 1ULL << r->queue;
	b->in_flight--;
	blk_request_give_back(r);
}

void blk_settle(void *arg)
{
	struct blk *b = arg;
	for (unsigned int i = 0; b->dirty; i++, b->dirty >>= 1)
		if (b->dirty & 1)
			virtio_publish(&b->v, i);
	if (b->in_flight == 0 && b->rested) {
		void (*rested)(void *) = b->rested;
		b->rested = NULL;
		rested(b->rested_arg);
	}
}

static void host_failed(struct blk_request *r, const char *what, int result)
{
	vm_warn(r->blk->v.device.vm, "%s: the host's disk failed: %s (offset %llu): %s",
		r->blk->v.device.id, what, (unsigned long long)r->io.offset, strerror(-result));
	finish(r, VIRTIO_BLK_S_IOERR);
}

/* Every write is durable when it is done: asked for, or the driver knows no flush, or
 * it switched the cache off (5.2.6.2). */
static bool writes_through(const struct blk *b)
{
	if (b->cache == BLK_UNSAFE)
		return false;
	return b->cache == BLK_WRITETHROUGH || !virtio_has(&b->v, VIRTIO_BLK_F_FLUSH) ||
	       (virtio_has(&b->v, VIRTIO_BLK_F_CONFIG_WCE) && !b->wce);
}

static void on_transferred(struct aio_request *io, int result)
{
	struct blk_request *r = (struct blk_request *)io;
	if (result < 0)
		host_failed(r, r->type == VIRTIO_BLK_T_IN ? "read" : "write", result);
	else
		finish(r, VIRTIO_BLK_S_OK);
}

/* [@sector, + @n) is within the disk. */
static bool is_within(const struct blk *b, uint64_t sector, uint64_t n)
{
	return n <= b->file.sectors && sector <= b->file.sectors - n;
}

/* IN and OUT: @bytes of data, @skip bytes of header before them. */
static void start_transfer(struct blk_request *r, uint64_t sector, size_t skip, uint64_t bytes)
{
	struct blk *b = r->blk;
	bool in = r->type == VIRTIO_BLK_T_IN;
	uint64_t n_sectors = bytes / BLK_SECTOR_BYTES;
	if (bytes % BLK_SECTOR_BYTES || !is_within(b, sector, n_sectors) || (!in && b->readonly)) {
		finish(r, VIRTIO_BLK_S_IOERR);
		return;
	}
	int n = chain_slice(&r->chain, in, skip, bytes, r->data, BLK_IOVS);
	if (n <= 0) { /* no data at all is no error */
		finish(r, (uint8_t)(n < 0 ? VIRTIO_BLK_S_IOERR : VIRTIO_BLK_S_OK));
		return;
	}
	uint64_t offset = sector * BLK_SECTOR_BYTES;
	bool direct = b->file.direct_fd >= 0 && blk_file_is_aligned(&b->file, offset, r->data, n);
	r->bytes = bytes;
	r->io = (struct aio_request){ .op = in ? AIO_READ : AIO_WRITE,
				      .file = direct,
				      .offset = offset,
				      .iov = r->data,
				      .n_iov = n,
				      .dsync = !in && writes_through(b),
				      .done = on_transferred };
	aio_submit(b->aio, &r->io);
}

static void on_synced(struct aio_request *io, int result)
{
	struct blk_request *r = (struct blk_request *)io;
	if (result < 0)
		host_failed(r, "flush", result);
	else
		finish(r, VIRTIO_BLK_S_OK);
}

static void start_sync(struct blk_request *r)
{
	r->io = (struct aio_request){ .op = AIO_SYNC_DATA, .done = on_synced };
	aio_submit(r->blk->aio, &r->io);
}

static void start_flush(struct blk_request *r)
{
	if (!virtio_has(&r->blk->v, VIRTIO_BLK_F_FLUSH))
		finish(r, VIRTIO_BLK_S_UNSUPP);
	else if (r->blk->cache == BLK_UNSAFE)
		finish(r, VIRTIO_BLK_S_OK);
	else
		start_sync(r);
}

static void start_get_id(struct blk_request *r)
{
	char id[VIRTIO_BLK_ID_BYTES] = "";
	uint32_t room = r->chain.write_bytes - 1;
	memcpy(id, r->blk->serial, strlen(r->blk->serial)); /* 20 have no NUL (5.2.6.1) */
	(void)chain_write(&r->chain, 0, id, room < sizeof(id) ? room : sizeof(id));
	finish(r, VIRTIO_BLK_S_OK);
}

/* ---- discard and write-zeroes: one segment after the other ---- */

static void next_segment(struct blk_request *r);

static bool is_zeroing(const struct blk_request *r)
{
	return r->type == VIRTIO_BLK_T_WRITE_ZEROES;
}

static bool may_unmap(const struct blk_request *r)
{
	return r->segs[r->seg].flags & VIRTIO_BLK_WRITE_ZEROES_FLAG_UNMAP && r->blk->discard;
}

static void on_segment(struct aio_request *io, int result)
{
	struct blk_request *r = (struct blk_request *)io;
	struct blk *b = r->blk;
	bool punched = io->op == AIO_ALLOCATE && io->mode & FALLOC_FL_PUNCH_HOLE;
	if (result == -EOPNOTSUPP && io->op == AIO_ALLOCATE) {
		if (!is_zeroing(r)) {
			finish(r, VIRTIO_BLK_S_UNSUPP);
			return;
		}
		if (punched)
			b->no_punch = true;
		else
			b->no_zero_range = true;
		next_segment(r); /* the same one by other means */
		return;
	}
	if (result < 0) {
		host_failed(r, is_zeroing(r) ? "write of zeroes" : "discard", result);
		return;
	}
	r->seg_done += io->op == AIO_ALLOCATE ? io->size : r->bytes;
	if (r->seg_done >= r->segs[r->seg].num_sectors * (uint64_t)BLK_SECTOR_BYTES) {
		r->seg++;
		r->seg_done = 0;
	}
	next_segment(r);
}

/* No way but to write them. */
static void write_zeroes(struct blk_request *r, uint64_t offset, uint64_t left)
{
	int n = 0;
	for (r->bytes = 0; n < ZEROES_IOVS && r->bytes < left; n++) {
		uint64_t part = left - r->bytes < ZEROES_BYTES ? left - r->bytes : ZEROES_BYTES;
		r->data[n] = (struct iovec){ (void *)(uintptr_t)zeroes, part };
		r->bytes += part;
	}
	r->io = (struct aio_request){ .op = AIO_WRITE,
				      .offset = offset + r->seg_done,
				      .iov = r->data,
				      .n_iov = n,
				      .done = on_segment };
	aio_submit(r->blk->aio, &r->io);
}

static void next_segment(struct blk_request *r)
{
	struct blk *b = r->blk;
	if (r->seg == r->n_segs) {
		if (writes_through(b))
			start_sync(r);
		else
			finish(r, VIRTIO_BLK_S_OK);
		return;
	}
	uint64_t offset = r->segs[r->seg].sector * BLK_SECTOR_BYTES;
	uint64_t size = r->segs[r->seg].num_sectors * (uint64_t)BLK_SECTOR_BYTES;
	int mode = FALLOC_FL_KEEP_SIZE;
	if (!is_zeroing(r) || (may_unmap(r) && !b->no_punch))
		mode |= FALLOC_FL_PUNCH_HOLE;
	else if (!b->no_zero_range)
		mode |= FALLOC_FL_ZERO_RANGE;
	else {
		write_zeroes(r, offset, size - r->seg_done);
		return;
	}
	r->io = (struct aio_request){
		.op = AIO_ALLOCATE, .mode = mode, .offset = offset, .size = size, .done = on_segment
	};
	aio_submit(b->aio, &r->io);
}

/* What is wrong with the segments, or VIRTIO_BLK_S_OK (5.2.6.2). */
static uint8_t judge_segments(const struct blk_request *r)
{
	uint32_t most = is_zeroing(r) ? BLK_ZERO_SECTORS : BLK_DISCARD_SECTORS;
	uint32_t flags = is_zeroing(r) ? VIRTIO_BLK_WRITE_ZEROES_FLAG_UNMAP : 0;
	for (unsigned int i = 0; i < r->n_segs; i++) {
		if (r->segs[i].flags & ~flags)
			return VIRTIO_BLK_S_UNSUPP;
		if (r->segs[i].num_sectors == 0 || r->segs[i].num_sectors > most ||
		    !is_within(r->blk, r->segs[i].sector, r->segs[i].num_sectors))
			return VIRTIO_BLK_S_IOERR;
	}
	return VIRTIO_BLK_S_OK;
}

static void start_segments(struct blk_request *r, size_t skip, uint64_t bytes)
{
	unsigned int feature = is_zeroing(r) ? VIRTIO_BLK_F_WRITE_ZEROES : VIRTIO_BLK_F_DISCARD;
	if (!virtio_has(&r->blk->v, feature)) {
		finish(r, VIRTIO_BLK_S_UNSUPP);
		return;
	}
	if (r->blk->readonly || bytes == 0 || bytes % sizeof(r->segs[0]) ||
	    bytes > sizeof(r->segs)) {
		finish(r, VIRTIO_BLK_S_IOERR);
		return;
	}
	(void)chain_read(&r->chain, skip, r->segs, bytes);
	r->n_segs = (unsigned int)(bytes / sizeof(r->segs[0]));
	r->seg = 0;
	r->seg_done = 0;
	uint8_t status = judge_segments(r);
	if (status != VIRTIO_BLK_S_OK)
		finish(r, status);
	else
		next_segment(r);
}

/* ---- all of them ---- */

void blk_request_start(struct blk_request *r, const struct virtio_blk_outhdr *header,
		       uint64_t out_bytes)
{
	r->type = header->type;
	r->bytes = 0;
	r->blk->in_flight++;
	switch (header->type) {
	case VIRTIO_BLK_T_IN:
		start_transfer(r, header->sector, 0, r->chain.write_bytes - 1);
		return;
	case VIRTIO_BLK_T_OUT:
		start_transfer(r, header->sector, sizeof(*header), out_bytes);
		return;
	case VIRTIO_BLK_T_FLUSH:
		start_flush(r);
		return;
	case VIRTIO_BLK_T_GET_ID:
		start_get_id(r);
		return;
	case VIRTIO_BLK_T_DISCARD:
	case VIRTIO_BLK_T_WRITE_ZEROES:
		start_segments(r, sizeof(*header), out_bytes);
		return;
	default:
		finish(r, VIRTIO_BLK_S_UNSUPP);
	}
}

/* SPDX-License-Identifier: Apache-2.0 */
/* dev_blk - a disk: virtio-blk over a raw file or block device (virtio 1.2, 5.2).
 *
 * A request's way: popped from its queue, its header copied and judged, its tokens
 * taken (or put back to wait), its data as iovecs to aio, its status byte written and
 * the chain given back. Between, it is owned by aio; a reset waits for all of them
 * before the rings are let go. What the host refuses is VIRTIO_BLK_S_IOERR for the
 * guest and a warning for the operator; a chain that is no request is the driver's
 * fault: NEEDS_RESET. isola-vmm, loop thread. */
#include "isola/fd.h"
#include "isola/json.h"

#include "aio.h"
#include "blk_file.h"
#include "machine.h"
#include "ratelimit.h"
#include "virtio.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/virtio_blk.h>
#include <linux/virtio_config.h>
#include <linux/virtio_ids.h>
#include <linux/virtio_ring.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define QUEUE_SIZE    256
#define QUEUES_MAX    16
#define IOVS          (QUEUE_SIZE + 8) /* a few more where regions of memory meet */
#define SEGMENT_BYTES (4u << 20)
#define DISCARD_SEGS  32
/* So that one segment is seconds of work at worst. */
#define DISCARD_SECTORS (4u << 20)
#define ZERO_SECTORS    (1u << 20)
#define ZEROES_BYTES    65536
#define ZEROES_IOVS     64
/* A disk that does not answer for so long ends the VM. */
#define DRAIN_MS    30000
#define CONFIG_SIZE offsetof(struct virtio_blk_config, max_secure_erase_sectors)

struct request {
	struct aio_request io; /* first */
	struct blk *blk;
	struct request *next_free;
	struct virtq_chain chain;
	unsigned int queue;
	uint32_t type;
	uint64_t bytes; /* of data */
	/* DISCARD, WRITE_ZEROES: the segments, which one is at hand, how much is done of
	 * it when zeroes have to be written */
	struct virtio_blk_discard_write_zeroes segs[DISCARD_SEGS];
	unsigned int n_segs, seg;
	uint64_t seg_done;
	bool syncing; /* all is done but the fdatasync that makes it durable */
	struct iovec iov[IOVS], data[IOVS];
};

struct queue_stats {
	uint64_t reads, read_bytes, writes, written_bytes, flushes, discards, zeroes, errors;
};

struct blk {
	struct virtio v; /* first */
	struct blk_file file;
	enum blk_cache cache;
	bool readonly, discard, wce, throttled;
	bool no_zero_range, no_punch; /* the file system has none */
	char serial[VIRTIO_BLK_ID_BYTES + 1];
	struct virtio_blk_config config;
	struct aio *aio;
	struct ratelimit *limit;
	/* Requests are as many as can be out; memory of those never needed at once is
	 * never touched. */
	struct request *requests, *free_requests;
	unsigned int n_requests, n_fresh, in_flight;
	uint64_t dirty; /* queues with pushed chains, not yet published */
	struct queue_stats stats[QUEUES_MAX];
	void (*rested)(void *arg);
	void *rested_arg;
};

extern const struct device_type device_blk;

static const uint8_t zeroes[ZEROES_BYTES] __attribute__((aligned(4096)));

/* ---- the machine file ---- */

struct blk_conf {
	const char *id, *serial;
	struct source source;
	bool readonly, discard;
	unsigned int cache, engine, queues;
	struct ratelimit_args rate;
};

static int check_serial(const char *serial, struct err *err)
{
	if (strlen(serial) > VIRTIO_BLK_ID_BYTES)
		return err_set(err, EINVAL, "serial: \"%.64s\" is longer than %d bytes", serial,
			       VIRTIO_BLK_ID_BYTES);
	for (const char *c = serial; *c; c++)
		if (*c <= ' ' || *c > '~')
			return err_set(err, EINVAL, "serial: only printable ASCII, no spaces");
	return 0;
}

static int parse(json_object *conf, struct blk_conf *ret, struct err *err)
{
	static const char *const known[] = { "id",      "source", "readonly", "format",
					     "cache",   "engine", "serial",   "queues",
					     "discard", "rate",   NULL };
	static const char *const caches[] = { "writeback", "writethrough", "none", "unsafe", NULL };
	static const char *const engines[] = { "auto", "io_uring", "sync", NULL };
	struct blk_conf c = { .discard = true };
	int64_t queues = 1;
	const char *format = "raw";
	int rc = machine_only(conf, known, "", err);
	if (rc < 0)
		return rc;
	if ((rc = json_get_str(conf, "id", &c.id, err)) < 0 ||
	    (rc = json_get_bool(conf, "readonly", &c.readonly, err)) < 0 ||
	    (rc = json_get_bool(conf, "discard", &c.discard, err)) < 0 ||
	    (rc = json_get_str(conf, "format", &format, err)) < 0 ||
	    (rc = machine_word(conf, "", "cache", caches, &c.cache, err)) < 0 ||
	    (rc = machine_word(conf, "", "engine", engines, &c.engine, err)) < 0 ||
	    (rc = machine_int(conf, "", "queues", 1, QUEUES_MAX, &queues, err)) < 0 ||
	    (rc = json_get_str(conf, "serial", &c.serial, err)) < 0 ||
	    (rc = ratelimit_parse(json_get(conf, "rate"), &c.rate, err)) < 0)
		return rc;
	if (!c.id)
		return err_set(err, EINVAL, "id: is missing");
	if (strcmp(format, "raw"))
		return err_set(err, EINVAL,
			       "format: \"%.32s\" is not supported, only \"raw\"; convert it: "
			       "qemu-img convert -O raw",
			       format);
	if (c.serial && (rc = check_serial(c.serial, err)) < 0)
		return rc;
	rc = source_get(conf, "source", &c.source, err);
	if (rc <= 0)
		return rc < 0 ? rc : err_set(err, EINVAL, "source: is missing");
	c.queues = (unsigned int)queues;
	*ret = c;
	return 0;
}

static int blk_check(json_object *conf, struct err *err)
{
	struct blk_conf c;
	return parse(conf, &c, err);
}

/* ---- requests ---- */

/* There always is one: a queue gives out no more chains than it has entries. */
static struct request *request_take(struct blk *b)
{
	struct request *r = b->free_requests;
	if (r)
		b->free_requests = r->next_free;
	else
		r = &b->requests[b->n_fresh++];
	virtq_chain_init(&r->chain, r->iov, IOVS);
	r->blk = b;
	return r;
}

static void request_give_back(struct request *r)
{
	r->next_free = r->blk->free_requests;
	r->blk->free_requests = r;
}

static void count(struct request *r, uint8_t status)
{
	struct queue_stats *s = &r->blk->stats[r->queue];
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
static void finish(struct request *r, uint8_t status)
{
	struct blk *b = r->blk;
	uint32_t last = r->chain.write_bytes - 1;
	(void)chain_write(&r->chain, last, &status, sizeof(status));
	count(r, status);
	virtq_push(&b->v.queues[r->queue], r->chain.head,
		   status == VIRTIO_BLK_S_OK || last == 0 ? last + 1 : 0);
	b->dirty |= 1ULL << r->queue;
	b->in_flight--;
	request_give_back(r);
}

/* Tells the driver, and who waits for the device to rest. */
static void settle(void *arg)
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

static void host_failed(struct request *r, const char *what, int result)
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
	struct request *r = (struct request *)io;
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
static void start_transfer(struct request *r, uint64_t sector, size_t skip, uint64_t bytes)
{
	struct blk *b = r->blk;
	bool in = r->type == VIRTIO_BLK_T_IN;
	uint64_t n_sectors = bytes / BLK_SECTOR_BYTES;
	if (bytes % BLK_SECTOR_BYTES || !is_within(b, sector, n_sectors) || (!in && b->readonly)) {
		finish(r, VIRTIO_BLK_S_IOERR);
		return;
	}
	int n = chain_slice(&r->chain, in, skip, bytes, r->data, IOVS);
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
	struct request *r = (struct request *)io;
	if (result < 0)
		host_failed(r, "flush", result);
	else
		finish(r, VIRTIO_BLK_S_OK);
}

static void start_sync(struct request *r)
{
	r->io = (struct aio_request){ .op = AIO_SYNC_DATA, .done = on_synced };
	aio_submit(r->blk->aio, &r->io);
}

static void start_flush(struct request *r)
{
	if (!virtio_has(&r->blk->v, VIRTIO_BLK_F_FLUSH))
		finish(r, VIRTIO_BLK_S_UNSUPP);
	else if (r->blk->cache == BLK_UNSAFE)
		finish(r, VIRTIO_BLK_S_OK);
	else
		start_sync(r);
}

static void start_get_id(struct request *r)
{
	char id[VIRTIO_BLK_ID_BYTES] = "";
	uint32_t room = r->chain.write_bytes - 1;
	memcpy(id, r->blk->serial, strlen(r->blk->serial)); /* 20 have no NUL (5.2.6.1) */
	(void)chain_write(&r->chain, 0, id, room < sizeof(id) ? room : sizeof(id));
	finish(r, VIRTIO_BLK_S_OK);
}

/* ---- discard and write-zeroes: one segment after the other ---- */

static void next_segment(struct request *r);

static bool is_zeroing(const struct request *r)
{
	return r->type == VIRTIO_BLK_T_WRITE_ZEROES;
}

static bool may_unmap(const struct request *r)
{
	return r->segs[r->seg].flags & VIRTIO_BLK_WRITE_ZEROES_FLAG_UNMAP && r->blk->discard;
}

static void on_segment(struct aio_request *io, int result)
{
	struct request *r = (struct request *)io;
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
static void write_zeroes(struct request *r, uint64_t offset, uint64_t left)
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

static void next_segment(struct request *r)
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
static uint8_t judge_segments(const struct request *r)
{
	uint32_t most = is_zeroing(r) ? ZERO_SECTORS : DISCARD_SECTORS;
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

static void start_segments(struct request *r, size_t skip, uint64_t bytes)
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

/* ---- queues ---- */

static void start(struct request *r, const struct virtio_blk_outhdr *header, uint64_t out_bytes)
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

/* One request of queue @index. False: none, or it has to wait, or the driver failed. */
static bool serve_one(struct blk *b, unsigned int index)
{
	struct virtq *q = &b->v.queues[index];
	struct request *r = request_take(b);
	struct virtio_blk_outhdr header;
	int rc = virtq_pop(q, &r->chain);
	if (rc <= 0) {
		request_give_back(r);
		if (rc < 0)
			virtio_fail(&b->v, "queue %u: no valid chain of buffers", index);
		return false;
	}
	r->queue = index;
	if (chain_read(&r->chain, 0, &header, sizeof(header)) < sizeof(header) ||
	    r->chain.write_bytes == 0) {
		virtq_unpop(q);
		request_give_back(r);
		virtio_fail(&b->v, "queue %u: a request without header or status", index);
		return false;
	}
	uint64_t out_bytes = r->chain.read_bytes - sizeof(header), bytes = 0;
	if (header.type == VIRTIO_BLK_T_IN)
		bytes = r->chain.write_bytes - 1;
	else if (header.type == VIRTIO_BLK_T_OUT)
		bytes = out_bytes;
	if (!ratelimit_take(b->limit, bytes, 1)) {
		virtq_unpop(q);
		request_give_back(r);
		b->throttled = true;
		return false;
	}
	start(r, &header, out_bytes);
	return true;
}

static void on_kick(struct virtio *v, unsigned int index)
{
	struct blk *b = (struct blk *)v;
	struct virtq *q = &v->queues[index];
	unsigned int n = 0;
	if (b->throttled)
		return;
	do {
		virtq_disable_kicks(q);
		while (n < VIRTQ_DRAIN_MAX && serve_one(b, index))
			n++;
	} while (n < VIRTQ_DRAIN_MAX && !b->throttled && v->active &&
		 !(v->status & VIRTIO_CONFIG_S_NEEDS_RESET) && virtq_enable_kicks(q));
	if (n == VIRTQ_DRAIN_MAX)
		virtio_again(v, index);
	aio_flush(b->aio);
	settle(b);
}

static void on_tokens(void *arg)
{
	struct blk *b = arg;
	b->throttled = false;
	for (unsigned int i = 0; i < b->v.n_queues; i++)
		virtio_kicked(&b->v, i);
}

static void on_reset(struct virtio *v)
{
	struct blk *b = (struct blk *)v;
	if (!aio_drain(b->aio, DRAIN_MS))
		vm_end(v->device.vm, VM_DEVICE_ERROR, -1,
		       "%s: the host's disk did not answer for %d seconds", v->device.id,
		       DRAIN_MS / 1000);
	b->throttled = false;
	b->dirty = 0;
	b->wce = b->config.wce;
	settle(b);
}

static void on_config_read(struct virtio *v, uint32_t offset, void *data, uint32_t size)
{
	const struct blk *b = (const struct blk *)v;
	struct virtio_blk_config now = b->config;
	now.wce = b->wce;
	memcpy(data, (const uint8_t *)&now + offset, size);
}

static void on_config_write(struct virtio *v, uint32_t offset, const void *data, uint32_t size)
{
	struct blk *b = (struct blk *)v;
	if (offset == offsetof(struct virtio_blk_config, wce) && size == 1 &&
	    virtio_has(v, VIRTIO_BLK_F_CONFIG_WCE))
		b->wce = *(const uint8_t *)data & 1;
}

static const struct virtio_type blk_type = { .id = VIRTIO_ID_BLOCK,
					     .reset = on_reset,
					     .kick = on_kick,
					     .config_read = on_config_read,
					     .config_write = on_config_write };

/* ---- the device ---- */

static uint64_t offered(const struct blk *b, const struct blk_conf *c)
{
	uint64_t f = 1ULL << VIRTIO_BLK_F_SIZE_MAX | 1ULL << VIRTIO_BLK_F_SEG_MAX |
		     1ULL << VIRTIO_BLK_F_BLK_SIZE | 1ULL << VIRTIO_BLK_F_TOPOLOGY;
	if (c->queues > 1)
		f |= 1ULL << VIRTIO_BLK_F_MQ;
	if (b->cache != BLK_WRITETHROUGH && !b->readonly)
		f |= 1ULL << VIRTIO_BLK_F_FLUSH | 1ULL << VIRTIO_BLK_F_CONFIG_WCE;
	if (b->readonly)
		return f | 1ULL << VIRTIO_BLK_F_RO;
	f |= 1ULL << VIRTIO_BLK_F_WRITE_ZEROES;
	return b->discard ? f | 1ULL << VIRTIO_BLK_F_DISCARD : f;
}

static void fill_config(struct blk *b, unsigned int queues)
{
	uint32_t block = b->file.block_bytes, page = 4096;
	b->config = (struct virtio_blk_config){
		.capacity = b->file.sectors,
		.size_max = SEGMENT_BYTES,
		.seg_max = QUEUE_SIZE - 2, /* header and status */
		.blk_size = block,
		.physical_block_exp =
			block < page ? (uint8_t)__builtin_ctz(page / block) : (uint8_t)0,
		.min_io_size = (uint16_t)(block < page ? page / block : 1),
		.wce = b->cache != BLK_WRITETHROUGH,
		.num_queues = (uint16_t)queues,
		.max_discard_sectors = DISCARD_SECTORS,
		.max_discard_seg = DISCARD_SEGS,
		.discard_sector_alignment = (block < page ? page : block) / BLK_SECTOR_BYTES,
		.max_write_zeroes_sectors = ZERO_SECTORS,
		.max_write_zeroes_seg = DISCARD_SEGS,
		.write_zeroes_may_unmap = b->discard,
	};
	b->wce = b->config.wce;
}

static void blk_free(struct device *dev)
{
	struct blk *b = (struct blk *)dev;
	if (!b)
		return;
	virtio_fini(&b->v);
	if (b->aio && aio_in_flight(b->aio) > 0)
		return; /* it hangs, the VM ends for it, and the kernel still writes here */
	ratelimit_free(b->limit);
	aio_free(b->aio);
	blk_file_close(&b->file);
	free(b->requests);
	free(b);
}

static int build(struct blk *b, struct vm *vm, const struct blk_conf *c, struct err *err)
{
	int rc = blk_file_open(&b->file, &c->source, c->readonly, b->cache, err);
	if (rc < 0)
		return rc;
	if (b->file.tail_bytes)
		vm_warn(vm, "%s: the last %u bytes of the disk are no whole sector and not shown",
			c->id, b->file.tail_bytes);
	b->n_requests = c->queues * QUEUE_SIZE;
	/* one more: request_take() before virtq_pop() says no */
	b->requests = calloc(b->n_requests + 1, sizeof(*b->requests));
	if (!b->requests)
		return err_set(err, ENOMEM, "out of memory");
	const int fds[] = { b->file.fd, b->file.direct_fd };
	static const enum aio_engine engines[] = { AIO_AUTO, AIO_URING, AIO_SYNC };
	if ((rc = aio_new(&vm->loop, engines[c->engine], fds, b->file.direct_fd < 0 ? 1 : 2,
			  b->n_requests, settle, b, &b->aio, err)) < 0 ||
	    (rc = ratelimit_new(&vm->loop, &c->rate, on_tokens, b, &b->limit, err)) < 0)
		return rc;
	fill_config(b, c->queues);
	return virtio_init(&b->v, vm, &device_blk, &blk_type, c->queues, QUEUE_SIZE, offered(b, c),
			   CONFIG_SIZE, err);
}

static int blk_make(struct vm *vm, json_object *conf, struct device **ret, struct err *err)
{
	struct blk_conf c;
	int rc = parse(conf, &c, err);
	if (rc < 0)
		return rc;
	struct blk *b = calloc(1, sizeof(*b));
	if (!b)
		return err_set(err, ENOMEM, "out of memory");
	b->file.fd = b->file.direct_fd = -1;
	b->cache = (enum blk_cache)c.cache;
	b->readonly = c.readonly;
	b->discard = c.discard;
	(void)snprintf(b->v.device.id, sizeof(b->v.device.id), "%s", c.id);
	(void)snprintf(b->serial, sizeof(b->serial), "%s", c.serial ? c.serial : c.id);
	rc = build(b, vm, &c, err);
	if (rc < 0) {
		blk_free(&b->v.device);
		return err_prefix(err, "%s", c.id);
	}
	*ret = &b->v.device;
	return 0;
}

static int look_at_size(struct blk *b, struct err *err)
{
	uint64_t sectors;
	uint32_t tail;
	int rc = blk_file_measure(&b->file, &sectors, &tail);
	if (rc < 0)
		return err_rc(err, rc, "cannot find the size of the disk");
	if (sectors == b->file.sectors)
		return 0;
	b->file.sectors = sectors;
	b->file.tail_bytes = tail;
	b->config.capacity = sectors;
	virtio_config_changed(&b->v);
	return 0;
}

/* "disk": { "rate", "resize" }; nothing changes when one of them is wrong. */
static int blk_update(struct device *dev, const char *op, json_object *args, struct err *err)
{
	struct blk *b = (struct blk *)dev;
	struct ratelimit_args rate;
	bool resize = false;
	if (strcmp(op, "disk"))
		return err_set(err, EINVAL, "a disk has no \"%s\" to update", op);
	json_object *o = json_get(args, "rate");
	if (json_get_bool(args, "resize", &resize, err) < 0 || ratelimit_parse(o, &rate, err) < 0)
		return -EINVAL;
	int rc = resize ? look_at_size(b, err) : 0;
	if (rc == 0 && o)
		ratelimit_set(b->limit, &rate);
	return rc;
}

static json_object *queue_stats(const struct queue_stats *s)
{
	json_object *o = json_object_new_object();
	json_add_i64(o, "reads", (int64_t)s->reads);
	json_add_i64(o, "read_bytes", (int64_t)s->read_bytes);
	json_add_i64(o, "writes", (int64_t)s->writes);
	json_add_i64(o, "written_bytes", (int64_t)s->written_bytes);
	json_add_i64(o, "flushes", (int64_t)s->flushes);
	json_add_i64(o, "discards", (int64_t)s->discards);
	json_add_i64(o, "zeroes", (int64_t)s->zeroes);
	json_add_i64(o, "errors", (int64_t)s->errors);
	return o;
}

static json_object *blk_stats(struct device *dev)
{
	const struct blk *b = (const struct blk *)dev;
	json_object *o = json_object_new_object(), *queues = json_object_new_array();
	json_add_i64(o, "size_bytes", (int64_t)(b->file.sectors * BLK_SECTOR_BYTES));
	json_add_str(o, "engine", aio_engine_name(b->aio));
	json_add_i64(o, "in_flight", b->in_flight);
	json_add_i64(o, "throttled", (int64_t)ratelimit_refusals(b->limit));
	json_add_i64(o, "kicks", (int64_t)b->v.n_kicks);
	json_add_i64(o, "interrupts", (int64_t)b->v.n_interrupts);
	for (unsigned int i = 0; i < b->v.n_queues; i++)
		json_object_array_add(queues, queue_stats(&b->stats[i]));
	json_add(o, "queues", queues);
	return o;
}

static void blk_quiesce(struct device *dev, void (*done)(void *arg), void *arg)
{
	struct blk *b = (struct blk *)dev;
	virtio_quiesce(&b->v);
	if (b->in_flight == 0) {
		done(arg);
		return;
	}
	b->rested = done;
	b->rested_arg = arg;
}

static void blk_resume(struct device *dev)
{
	virtio_resume(&((struct blk *)dev)->v);
}

const struct device_type device_blk = { .key = "disks",
					.many = true,
					.check = blk_check,
					.make = blk_make,
					.update = blk_update,
					.stats = blk_stats,
					.quiesce = blk_quiesce,
					.resume = blk_resume,
					.free = blk_free };

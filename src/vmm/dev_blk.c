/* SPDX-License-Identifier: Apache-2.0 */
/* dev_blk - a disk: virtio-blk over a raw file or block device (virtio 1.2, 5.2).
 *
 * A request's way: popped from its queue, its header copied and judged, its tokens
 * taken (or put back to wait); the rest is blk_request.c's. A chain that is no request
 * is the driver's fault: NEEDS_RESET. isola-vmm, loop thread. */
#include "isola/fd.h"
#include "isola/json.h"

#include "blk_request.h"
#include "machine.h"

#include <errno.h>
#include <linux/virtio_blk.h>
#include <linux/virtio_config.h>
#include <linux/virtio_ids.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SEGMENT_BYTES (4u << 20)
/* A disk that does not answer for so long ends the VM. */
#define DRAIN_MS    30000
#define CONFIG_SIZE offsetof(struct virtio_blk_config, max_secure_erase_sectors)

extern const struct device_type device_blk;

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
	    (rc = machine_int(conf, "", "queues", 1, BLK_QUEUES_MAX, &queues, err)) < 0 ||
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

/* ---- queues ---- */

/* One request of queue @index. False: none, or it has to wait, or the driver failed. */
static bool serve_one(struct blk *b, unsigned int index)
{
	struct virtq *q = &b->v.queues[index];
	struct blk_request *r = blk_request_take(b);
	struct virtio_blk_outhdr header;
	int rc = virtq_pop(q, &r->chain);
	if (rc <= 0) {
		blk_request_give_back(r);
		if (rc < 0)
			virtio_fail(&b->v, "queue %u: no valid chain of buffers", index);
		return false;
	}
	r->queue = index;
	if (chain_read(&r->chain, 0, &header, sizeof(header)) < sizeof(header) ||
	    r->chain.write_bytes == 0) {
		virtq_unpop(q);
		blk_request_give_back(r);
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
		blk_request_give_back(r);
		b->throttled = true;
		return false;
	}
	blk_request_start(r, &header, out_bytes);
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
	blk_settle(b);
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
	blk_settle(b);
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
		.seg_max = BLK_QUEUE_SIZE - 2, /* header and status */
		.blk_size = block,
		.physical_block_exp =
			block < page ? (uint8_t)__builtin_ctz(page / block) : (uint8_t)0,
		.min_io_size = (uint16_t)(block < page ? page / block : 1),
		.wce = b->cache != BLK_WRITETHROUGH,
		.num_queues = (uint16_t)queues,
		.max_discard_sectors = BLK_DISCARD_SECTORS,
		.max_discard_seg = BLK_DISCARD_SEGS,
		.discard_sector_alignment = (block < page ? page : block) / BLK_SECTOR_BYTES,
		.max_write_zeroes_sectors = BLK_ZERO_SECTORS,
		.max_write_zeroes_seg = BLK_DISCARD_SEGS,
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
	b->n_requests = c->queues * BLK_QUEUE_SIZE;
	/* one more: blk_request_take() before virtq_pop() says no */
	b->requests = calloc(b->n_requests + 1, sizeof(*b->requests));
	if (!b->requests)
		return err_set(err, ENOMEM, "out of memory");
	const int fds[] = { b->file.fd, b->file.direct_fd };
	static const enum aio_engine engines[] = { AIO_AUTO, AIO_URING, AIO_SYNC };
	if ((rc = aio_new(&vm->loop, engines[c->engine], fds, b->file.direct_fd < 0 ? 1 : 2,
			  b->n_requests, blk_settle, b, &b->aio, err)) < 0 ||
	    (rc = ratelimit_new(&vm->loop, &c->rate, on_tokens, b, &b->limit, err)) < 0)
		return rc;
	fill_config(b, c->queues);
	return virtio_init(&b->v, vm, &device_blk, &blk_type, c->queues, BLK_QUEUE_SIZE,
			   offered(b, c), CONFIG_SIZE, err);
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

static json_object *queue_stats(const struct blk_queue_stats *s)
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

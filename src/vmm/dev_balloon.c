/* SPDX-License-Identifier: Apache-2.0 */
/* dev_balloon - virtio-balloon (virtio 1.2, 5.5): memory the guest gives back, by a
 * target we set, and by reporting what it has free; its own memory statistics.
 *
 * Every page number and length comes from the guest: memory_discard() refuses what
 * is not RAM, the number of pages a request may name is bounded, and what the guest
 * claims to hold is never trusted in arithmetic. isola-vmm, loop thread. */
#include "isola/json.h"
#include "isola/list.h"

#include "device.h"
#include "turn.h"
#include "virtio.h"

#include <endian.h>
#include <errno.h>
#include <linux/virtio_balloon.h>
#include <linux/virtio_ids.h>
#include <stdlib.h>
#include <string.h>

#define QUEUE_SIZE    128
#define IOV_MAX_CHAIN (2 * QUEUE_SIZE) /* a buffer may lie in two regions */
#define QUEUES_MAX    4
#define PAGE_BYTES    4096ULL
/* Page numbers in one request: Linux sends 256, others up to a page full. */
#define PFNS_MAX     4096
#define PFNS_AT_ONCE 256
/* Requests served in one turn, so that others get theirs. */
#define BUDGET       16
#define STATS_MAX    64
#define STAT_BYTES   10 /* le16 tag, le64 value (virtio 1.2, 5.5.6.3) */
#define STATS_MS_MAX (24 * 3600 * 1000)

enum role { ROLE_INFLATE, ROLE_DEFLATE, ROLE_STATS, ROLE_REPORTING, ROLE_NONE };

struct balloon {
	struct virtio v;
	enum role roles[QUEUES_MAX]; /* of the queues, as negotiated */
	uint32_t target_pages;
	uint32_t actual_pages; /* what the guest says */
	struct turn turn;
	uv_timer_t timer;
	unsigned int handles, stats_ms;
	unsigned int stats_queue; /* valid while stats_held */
	bool stats_held;          /* a buffer of the guest, returned to ask for new ones */
	uint16_t stats_head;
	uint64_t stats[VIRTIO_BALLOON_S_NR];
	uint32_t stats_known;
	uint64_t stats_at_ms;
	uint64_t n_inflated, n_deflated, n_refused, reported_bytes;
	struct iovec iov[IOV_MAX_CHAIN];
};

extern const struct device_type device_balloon;

static const char *const stat_names[VIRTIO_BALLOON_S_NR] = {
	[VIRTIO_BALLOON_S_SWAP_IN] = "swap_in",
	[VIRTIO_BALLOON_S_SWAP_OUT] = "swap_out",
	[VIRTIO_BALLOON_S_MAJFLT] = "major_faults",
	[VIRTIO_BALLOON_S_MINFLT] = "minor_faults",
	[VIRTIO_BALLOON_S_MEMFREE] = "free",
	[VIRTIO_BALLOON_S_MEMTOT] = "total",
	[VIRTIO_BALLOON_S_AVAIL] = "available",
	[VIRTIO_BALLOON_S_CACHES] = "caches",
	[VIRTIO_BALLOON_S_HTLB_PGALLOC] = "hugetlb_allocations",
	[VIRTIO_BALLOON_S_HTLB_PGFAIL] = "hugetlb_failures",
};

static struct balloon *balloon_of(struct virtio *v)
{
	return container_of(v, struct balloon, v);
}

/* One run of neighbouring pages back to the host. */
static void discard_run(struct balloon *b, uint64_t first, uint64_t n)
{
	if (memory_discard(b->v.device.vm->memory, first * PAGE_BYTES, n * PAGE_BYTES) < 0)
		b->n_refused += n;
	else
		b->n_inflated += n;
}

/* Linux hands out pages in any order, mostly downwards: runs both ways are joined. */
static void discard_pfns(struct balloon *b, const uint32_t *pfns, size_t n)
{
	uint64_t first = 0, length = 0;
	for (size_t i = 0; i < n; i++) {
		uint64_t pfn = le32toh(pfns[i]);
		if (length && pfn == first + length) {
			length++;
		} else if (length && pfn + 1 == first) {
			first--;
			length++;
		} else {
			if (length)
				discard_run(b, first, length);
			first = pfn;
			length = 1;
		}
	}
	if (length)
		discard_run(b, first, length);
}

/* -EPROTO with the reason given to virtio_fail(). */
static int serve_pages(struct balloon *b, const struct virtq_chain *chain, enum role role)
{
	if (chain->n_write || chain->read_bytes % sizeof(uint32_t) ||
	    chain->read_bytes > PFNS_MAX * sizeof(uint32_t)) {
		virtio_fail(&b->v,
			    "a request of %u bytes of page numbers and %u to write: at most %zu "
			    "bytes, a multiple of 4, only to read",
			    chain->read_bytes, chain->write_bytes, PFNS_MAX * sizeof(uint32_t));
		return -EPROTO;
	}
	if (role == ROLE_DEFLATE) {
		b->n_deflated += chain->read_bytes / sizeof(uint32_t);
		return 0;
	}
	uint32_t pfns[PFNS_AT_ONCE];
	for (size_t at = 0, n; (n = chain_read(chain, at, pfns, sizeof(pfns))) > 0; at += n)
		discard_pfns(b, pfns, n / sizeof(uint32_t));
	return 0;
}

/* Free pages come as buffers to write to, and nothing is written. */
static int serve_report(struct balloon *b, const struct virtq_chain *chain)
{
	if (chain->n_read) {
		virtio_fail(&b->v, "a free page report with %u bytes to read", chain->read_bytes);
		return -EPROTO;
	}
	const struct memory_region *regions;
	size_t n_regions = memory_regions(b->v.device.vm->memory, &regions);
	for (unsigned int i = 0; i < chain->n_write; i++) {
		uint8_t *host = chain->iov[i].iov_base;
		for (size_t r = 0; r < n_regions; r++) {
			if (host < regions[r].host ||
			    host >= regions[r].host + regions[r].size_bytes)
				continue;
			gpa_t gpa = regions[r].start + (uint64_t)(host - regions[r].host);
			if (memory_discard(b->v.device.vm->memory, gpa, chain->iov[i].iov_len) == 0)
				b->reported_bytes += chain->iov[i].iov_len;
			else
				b->n_refused += chain->iov[i].iov_len / PAGE_BYTES;
			break;
		}
	}
	return 0;
}

static void stats_request(struct balloon *b)
{
	if (!b->v.active || b->v.quiescent || !b->stats_held)
		return;
	b->stats_held = false;
	virtq_push(&b->v.queues[b->stats_queue], b->stats_head, 0);
	virtio_publish(&b->v, b->stats_queue);
}

static void serve_stats(struct balloon *b, unsigned int index, const struct virtq_chain *chain)
{
	uint8_t buf[STATS_MAX * STAT_BYTES];
	size_t n = chain_read(chain, 0, buf, sizeof(buf));
	for (size_t at = 0; at + STAT_BYTES <= n; at += STAT_BYTES) {
		uint16_t tag;
		uint64_t value;
		memcpy(&tag, buf + at, sizeof(tag));
		memcpy(&value, buf + at + sizeof(tag), sizeof(value));
		tag = le16toh(tag);
		if (tag < VIRTIO_BALLOON_S_NR) {
			b->stats[tag] = le64toh(value);
			b->stats_known |= 1U << tag;
		}
	}
	/* A driver keeps one buffer with us; of two the older goes back. */
	stats_request(b);
	b->stats_held = true;
	b->stats_head = chain->head;
	b->stats_queue = index;
	b->stats_at_ms = uv_now(&b->v.device.vm->loop);
}

static int serve(struct balloon *b, unsigned int index, const struct virtq_chain *chain)
{
	enum role role = b->roles[index];
	if (role == ROLE_STATS) {
		serve_stats(b, index, chain);
		return 0;
	}
	int rc = role == ROLE_REPORTING ? serve_report(b, chain) : serve_pages(b, chain, role);
	if (rc == 0)
		virtq_push(&b->v.queues[index], chain->head, 0);
	return rc;
}

static void on_kick(struct virtio *v, unsigned int index)
{
	struct balloon *b = balloon_of(v);
	struct virtq *q = &v->queues[index];
	if (index >= QUEUES_MAX || b->roles[index] == ROLE_NONE || !q->live)
		return;
	int rc = 0;
	virtq_disable_kicks(q);
	for (unsigned int n = 0; n < BUDGET; n++) {
		struct virtq_chain chain;
		virtq_chain_init(&chain, b->iov, IOV_MAX_CHAIN);
		rc = virtq_pop(q, &chain);
		if (rc == 0 && virtq_enable_kicks(q))
			continue;
		if (rc <= 0)
			break;
		if (serve(b, index, &chain) < 0)
			return;
	}
	if (rc < 0) {
		virtio_fail(v, "queue %u is broken", index);
		return;
	}
	virtio_publish(v, index);
	if (rc > 0)
		turn_again(&b->turn, index);
}

static void on_turn(struct turn *turn, unsigned int index)
{
	struct balloon *b = container_of(turn, struct balloon, turn);
	if (b->v.active && !b->v.quiescent)
		on_kick(&b->v, index);
}

static void on_timer(uv_timer_t *timer)
{
	stats_request(timer->data);
}

/* Which queue is which depends on what was negotiated: Linux numbers only those
 * that exist (virtio 1.2, 5.5.2). */
static int activate(struct virtio *v, struct err *err)
{
	struct balloon *b = balloon_of(v);
	(void)err;
	unsigned int n = 0;
	for (unsigned int i = 0; i < QUEUES_MAX; i++)
		b->roles[i] = ROLE_NONE;
	b->roles[n++] = ROLE_INFLATE;
	b->roles[n++] = ROLE_DEFLATE;
	if (virtio_has(v, VIRTIO_BALLOON_F_STATS_VQ))
		b->roles[n++] = ROLE_STATS;
	if (virtio_has(v, VIRTIO_BALLOON_F_REPORTING))
		b->roles[n++] = ROLE_REPORTING;
	if (b->stats_ms)
		(void)uv_timer_start(&b->timer, on_timer, b->stats_ms, b->stats_ms);
	return 0;
}

static void reset(struct virtio *v)
{
	struct balloon *b = balloon_of(v);
	b->stats_held = false;
	b->stats_known = 0;
	b->actual_pages = 0;
	turn_forget(&b->turn);
	(void)uv_timer_stop(&b->timer);
}

static void config_read(struct virtio *v, uint32_t offset, void *data, uint32_t size)
{
	const struct balloon *b = balloon_of(v);
	struct virtio_balloon_config config = {
		.num_pages = htole32(b->target_pages),
		.actual = htole32(b->actual_pages),
	};
	memcpy(data, (const uint8_t *)&config + offset, size);
}

/* Only "actual" is the driver's. */
static void config_write(struct virtio *v, uint32_t offset, const void *data, uint32_t size)
{
	struct balloon *b = balloon_of(v);
	struct virtio_balloon_config config = { .actual = htole32(b->actual_pages) };
	memcpy((uint8_t *)&config + offset, data, size);
	b->actual_pages = le32toh(config.actual);
}

static const struct virtio_type balloon_virtio = {
	.id = VIRTIO_ID_BALLOON,
	.activate = activate,
	.reset = reset,
	.kick = on_kick,
	.config_read = config_read,
	.config_write = config_write,
};

/* --- the machine file --- */

struct balloon_conf {
	int64_t size_bytes, stats_ms;
	bool deflate_on_oom, reporting;
};

static int conf_parse(json_object *conf, struct balloon_conf *ret, struct err *err)
{
	static const char *const known[] = { "size", "deflate_on_oom", "reporting", "stats_ms",
					     NULL };
	*ret = (struct balloon_conf){ .deflate_on_oom = true, .reporting = true };
	if (!conf)
		return 0;
	if (machine_only(conf, known, "balloon", err) < 0 ||
	    machine_int(conf, "balloon", "size", 0, INT64_MAX, &ret->size_bytes, err) < 0 ||
	    machine_int(conf, "balloon", "stats_ms", 0, STATS_MS_MAX, &ret->stats_ms, err) < 0)
		return -EINVAL;
	if (json_get_bool(conf, "deflate_on_oom", &ret->deflate_on_oom, err) < 0 ||
	    json_get_bool(conf, "reporting", &ret->reporting, err) < 0)
		return err_prefix(err, "balloon");
	return 0;
}

static int check(json_object *conf, struct err *err)
{
	struct balloon_conf parsed;
	return conf_parse(conf, &parsed, err);
}

static int set_target(struct balloon *b, int64_t size_bytes, struct err *err)
{
	uint64_t ram = memory_ram_bytes(b->v.device.vm->memory);
	if (size_bytes < 0 || (uint64_t)size_bytes > ram)
		return err_set(err, EINVAL,
			       "the balloon can hold from 0 to %llu bytes (the guest's memory), "
			       "not %lld",
			       (unsigned long long)ram, (long long)size_bytes);
	b->target_pages = (uint32_t)((uint64_t)size_bytes / PAGE_BYTES);
	return 0;
}

static void on_closed(uv_handle_t *handle)
{
	struct balloon *b = handle->data;
	if (--b->handles == 0)
		free(b);
}

static void balloon_free(struct device *dev)
{
	if (!dev)
		return;
	struct balloon *b = container_of(dev, struct balloon, v.device);
	virtio_fini(&b->v);
	uv_close((uv_handle_t *)&b->turn.idle, on_closed);
	uv_close((uv_handle_t *)&b->timer, on_closed);
}

static int make(struct vm *vm, json_object *conf, struct device **ret, struct err *err)
{
	struct balloon_conf parsed;
	int rc = conf_parse(conf, &parsed, err);
	if (rc < 0)
		return rc;
	struct balloon *b = calloc(1, sizeof(*b));
	if (!b)
		return err_set(err, ENOMEM, "no memory for the balloon");
	b->v.device.vm = vm;
	b->stats_ms = (unsigned int)parsed.stats_ms;
	memcpy(b->v.device.id, "balloon", sizeof("balloon"));
	rc = set_target(b, parsed.size_bytes, err);
	uint64_t offered = 1ULL << VIRTIO_BALLOON_F_STATS_VQ;
	offered |= (uint64_t)parsed.deflate_on_oom << VIRTIO_BALLOON_F_DEFLATE_ON_OOM;
	offered |= (uint64_t)parsed.reporting << VIRTIO_BALLOON_F_REPORTING;
	if (rc < 0 || (rc = virtio_init(&b->v, vm, &device_balloon, &balloon_virtio,
					3 + parsed.reporting, QUEUE_SIZE, offered,
					sizeof(struct virtio_balloon_config), err)) < 0) {
		free(b);
		return rc;
	}
	(void)turn_init(&b->turn, &vm->loop, on_turn);
	(void)uv_timer_init(&vm->loop, &b->timer);
	b->turn.idle.data = b->timer.data = b;
	b->handles = 2;
	*ret = &b->v.device;
	return 0;
}

static int update(struct device *dev, const char *op, json_object *args, struct err *err)
{
	struct balloon *b = container_of(dev, struct balloon, v.device);
	int64_t size = -1;
	if (strcmp(op, "balloon") != 0)
		return err_set(err, ENOTSUP, "the balloon knows no \"%s\"", op);
	int rc = json_get_i64(args, "size", &size, err);
	if (rc < 0)
		return rc;
	if (rc == 0)
		return err_set(err, EINVAL, "size is missing");
	rc = set_target(b, size, err);
	if (rc == 0)
		virtio_config_changed(&b->v);
	return rc;
}

static json_object *stats(struct device *dev)
{
	struct balloon *b = container_of(dev, struct balloon, v.device);
	json_object *o = json_object_new_object();
	uint64_t actual = b->actual_pages * PAGE_BYTES;
	uint64_t ram = memory_ram_bytes(dev->vm->memory);
	json_add_i64(o, "target", (int64_t)(b->target_pages * PAGE_BYTES));
	json_add_i64(o, "actual", (int64_t)(actual < ram ? actual : ram));
	json_add_i64(o, "inflated", (int64_t)(b->n_inflated * PAGE_BYTES));
	json_add_i64(o, "deflated", (int64_t)(b->n_deflated * PAGE_BYTES));
	json_add_i64(o, "reported", (int64_t)b->reported_bytes);
	json_add_i64(o, "refused_pages", (int64_t)b->n_refused);
	if (b->stats_known) {
		json_object *guest = json_object_new_object();
		for (unsigned int i = 0; i < VIRTIO_BALLOON_S_NR; i++)
			if (b->stats_known >> i & 1)
				json_add(guest, stat_names[i], json_object_new_uint64(b->stats[i]));
		json_add_i64(guest, "age_ms", (int64_t)(uv_now(&dev->vm->loop) - b->stats_at_ms));
		json_add(o, "guest", guest);
	}
	/* Who looks wants new ones the next time. */
	if (!b->stats_ms)
		stats_request(b);
	return o;
}

static void quiesce(struct device *dev, void (*done)(void *arg), void *arg)
{
	struct balloon *b = container_of(dev, struct balloon, v.device);
	virtio_quiesce(&b->v);
	turn_forget(&b->turn);
	done(arg);
}

static void resume(struct device *dev)
{
	virtio_resume(&container_of(dev, struct balloon, v.device)->v);
}

const struct device_type device_balloon = {
	.key = "balloon",
	.by_default = true,
	.check = check,
	.make = make,
	.update = update,
	.stats = stats,
	.quiesce = quiesce,
	.resume = resume,
	.free = balloon_free,
};

/* SPDX-License-Identifier: Apache-2.0 */
/* dev_rng - virtio-rng: the host's randomness for the guest (virtio 1.2, 5.4). Every VM
 * has one; how much a guest may draw is bounded by a default rate. isola-vmm, loop. */
#include "isola/json.h"

#include "machine.h"
#include "ratelimit.h"
#include "virtio.h"

#include <linux/virtio_config.h>
#include <linux/virtio_ids.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#define QUEUE_SIZE 64
#define IOVS       (QUEUE_SIZE + 8)
/* More is cut: a driver asks again (5.4.6). */
#define REQUEST_BYTES 4096

/* A boot takes some hundred bytes, a busy TLS server some KiB a second. */
static const struct ratelimit_args default_rate = {
	.bandwidth = { .size = 64 << 10, .burst = 64 << 10, .refill_ms = 1000 }
};

struct rng {
	struct virtio v; /* first */
	struct ratelimit *limit;
	bool throttled;
	uint64_t n_requests, n_bytes;
};

extern const struct device_type device_rng;

static int parse(json_object *conf, struct ratelimit_args *ret, struct err *err)
{
	static const char *const known[] = { "rate", NULL };
	json_object *rate = json_get(conf, "rate");
	int rc = conf ? machine_only(conf, known, "", err) : 0;
	if (rc < 0)
		return rc;
	*ret = default_rate;
	return rate ? ratelimit_parse(rate, ret, err) : 0;
}

static int rng_check(json_object *conf, struct err *err)
{
	struct ratelimit_args rate;
	return parse(conf, &rate, err);
}

/* False: the ring is empty, or it has to wait, or it cannot go on. */
static bool serve_one(struct rng *r)
{
	struct virtq *q = &r->v.queues[0];
	struct iovec iov[IOVS];
	struct virtq_chain chain;
	uint8_t bytes[REQUEST_BYTES];
	virtq_chain_init(&chain, iov, IOVS);
	int rc = virtq_pop(q, &chain);
	if (rc < 0 || (rc > 0 && chain.write_bytes == 0)) {
		virtio_fail(&r->v, "no valid buffer to fill");
		return false;
	}
	if (rc == 0)
		return false;
	size_t n = chain.write_bytes < sizeof(bytes) ? chain.write_bytes : sizeof(bytes);
	if (!ratelimit_take(r->limit, n, 1)) {
		virtq_unpop(q);
		r->throttled = true;
		return false;
	}
	ssize_t got = getrandom(bytes, n, 0);
	if (got <= 0) {
		virtq_unpop(q);
		virtio_fail(&r->v, "the host gives no randomness");
		return false;
	}
	virtq_push(q, chain.head, (uint32_t)chain_write(&chain, 0, bytes, (size_t)got));
	explicit_bzero(bytes, sizeof(bytes));
	r->n_requests++;
	r->n_bytes += (uint64_t)got;
	return true;
}

static void on_kick(struct virtio *v, unsigned int index)
{
	struct rng *r = (struct rng *)v;
	struct virtq *q = &v->queues[index];
	unsigned int n = 0;
	if (r->throttled)
		return;
	do {
		virtq_disable_kicks(q);
		while (n < VIRTQ_DRAIN_MAX && serve_one(r))
			n++;
	} while (n < VIRTQ_DRAIN_MAX && !r->throttled &&
		 !(v->status & VIRTIO_CONFIG_S_NEEDS_RESET) && virtq_enable_kicks(q));
	if (n == VIRTQ_DRAIN_MAX)
		virtio_again(v, index);
	virtio_publish(v, index);
}

static void on_tokens(void *arg)
{
	struct rng *r = arg;
	r->throttled = false;
	virtio_kicked(&r->v, 0);
}

static void on_reset(struct virtio *v)
{
	((struct rng *)v)->throttled = false;
}

static const struct virtio_type rng_type = { .id = VIRTIO_ID_RNG,
					     .reset = on_reset,
					     .kick = on_kick };

static void rng_free(struct device *dev)
{
	struct rng *r = (struct rng *)dev;
	if (!r)
		return;
	virtio_fini(&r->v);
	ratelimit_free(r->limit);
	free(r);
}

static int rng_make(struct vm *vm, json_object *conf, struct device **ret, struct err *err)
{
	struct ratelimit_args rate;
	int rc = parse(conf, &rate, err);
	if (rc < 0)
		return rc;
	struct rng *r = calloc(1, sizeof(*r));
	if (!r)
		return err_set(err, ENOMEM, "out of memory");
	(void)snprintf(r->v.device.id, sizeof(r->v.device.id), "rng");
	if ((rc = ratelimit_new(&vm->loop, &rate, on_tokens, r, &r->limit, err)) < 0 ||
	    (rc = virtio_init(&r->v, vm, &device_rng, &rng_type, 1, QUEUE_SIZE, 0, 0, err)) < 0) {
		rng_free(&r->v.device);
		return rc;
	}
	*ret = &r->v.device;
	return 0;
}

static json_object *rng_stats(struct device *dev)
{
	const struct rng *r = (const struct rng *)dev;
	json_object *o = json_object_new_object();
	json_add_i64(o, "requests", (int64_t)r->n_requests);
	json_add_i64(o, "bytes", (int64_t)r->n_bytes);
	json_add_i64(o, "throttled", (int64_t)ratelimit_refusals(r->limit));
	return o;
}

static void rng_quiesce(struct device *dev, void (*done)(void *arg), void *arg)
{
	virtio_quiesce(&((struct rng *)dev)->v);
	done(arg);
}

static void rng_resume(struct device *dev)
{
	virtio_resume(&((struct rng *)dev)->v);
}

const struct device_type device_rng = { .key = "rng",
					.by_default = true,
					.check = rng_check,
					.make = rng_make,
					.stats = rng_stats,
					.quiesce = rng_quiesce,
					.resume = rng_resume,
					.free = rng_free };

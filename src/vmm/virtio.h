/* SPDX-License-Identifier: Apache-2.0 */
/* virtio - what all virtio devices have in common, independent of the transport
 * (virtio 1.2, 2 and 3).
 *
 * Status register:
 *   reset -> ACKNOWLEDGE -> DRIVER -> FEATURES_OK -> DRIVER_OK --error--> NEEDS_RESET
 * Bits are only ever added, except by writing 0: reset. Features freeze at
 * FEATURES_OK, queue registers at DRIVER_OK (CVE-2026-5747), both until reset.
 *
 * All callbacks run on the loop's thread; the transport sees to that. */
#pragma once

#include "isola/err.h"

#include "device.h"
#include "virtq.h"
#include "vm.h"

#include <linux/virtio_config.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <uv.h>

#define VIRTIO_QUEUES_MAX 34

struct virtio;

/* How a device reaches the driver: virtio_mmio.c; later virtio_pci.c. Embedded first
 * in the transport's own. */
struct virtio_transport {
	/* Used buffers of queue @index, or a changed configuration (generation + 1, or
	 * with NEEDS_RESET only the interrupt). */
	void (*interrupt)(struct virtio_transport *t, unsigned int index);
	void (*config_interrupt)(struct virtio_transport *t, bool changed);
	/* The driver wrote 0 to the status: interrupts and selectors as new. */
	void (*reset)(struct virtio_transport *t);
	/* Kicks queue @index as the driver would. */
	void (*kick)(struct virtio_transport *t, unsigned int index);
	void (*free)(struct virtio_transport *t);
};

struct virtio_type {
	uint32_t id; /* virtio 1.2, 5: device ID */
	/* DRIVER_OK: features and queues are settled; queues that the driver did not
	 * set up are not live. A failure leaves nothing behind and becomes NEEDS_RESET. */
	int (*activate)(struct virtio *v, struct err *err);
	/* Back to the start. When it returns, no request touches guest memory any
	 * more: under way ones were waited for, or detached. */
	void (*reset)(struct virtio *v);
	/* The driver kicked queue @index (a live one), or it may have since the last
	 * drain. */
	void (*kick)(struct virtio *v, unsigned int index);
	/* Device configuration; offset + size are within config_size. Writes may be
	 * ignored by leaving it NULL. */
	void (*config_read)(struct virtio *v, uint32_t offset, void *data, uint32_t size);
	void (*config_write)(struct virtio *v, uint32_t offset, const void *data, uint32_t size);
};

/* Embedded in each virtio device, as its first member (device is first in here). */
struct virtio {
	struct device device;
	const struct virtio_type *type;
	uint64_t offered;  /* features; VERSION_1, EVENT_IDX and INDIRECT are added */
	uint64_t features; /* negotiated */
	uint8_t status;    /* atomic: the loop writes it; see virtio_status() */
	uint32_t config_size;
	unsigned int n_queues;
	struct virtq *queues; /* size_max is settled when virtio_init() is over */
	struct virtio_transport *transport;
	bool active;    /* between activate() and reset() */
	bool quiescent; /* paused: kicks are kept until virtio_resume() */
	bool absent;    /* atomic: an empty place, device ID 0 (4.2.2.1) */
	uint64_t n_kicks, n_interrupts;
};

/* Sets up @v (zeroed but for device.id) with @n queues of at most @queue_size, gives
 * it a place on the bus (virtio-mmio) and watches its kicks. */
int virtio_init(struct virtio *v, struct vm *vm, const struct device_type *device_type,
		const struct virtio_type *type, unsigned int n, uint16_t queue_size,
		uint64_t offered, uint32_t config_size, struct err *err);
/* Closes what virtio_init() made. Resets an active device first. */
void virtio_fini(struct virtio *v);

static inline bool virtio_has(const struct virtio *v, unsigned int feature_bit)
{
	return v->features >> feature_bit & 1;
}

/* An empty place on the bus becomes a device that offers @offered, as if it were new; and
 * the other way round, by a reset that the driver has not asked for. What the device shows
 * of itself is to be there before. Drivers look only when they are told to. */
void virtio_plug(struct virtio *v, uint64_t offered);
void virtio_unplug(struct virtio *v);

static inline bool virtio_is_absent(const struct virtio *v)
{
	return __atomic_load_n(&v->absent, __ATOMIC_SEQ_CST);
}

/* The status register. Any thread. */
static inline uint8_t virtio_status(const struct virtio *v)
{
	return __atomic_load_n(&v->status, __ATOMIC_SEQ_CST);
}

/* Queues may be served: activated, not paused, not waiting for a reset. */
static inline bool virtio_serving(const struct virtio *v)
{
	return v->active && !v->quiescent && !(v->status & VIRTIO_CONFIG_S_NEEDS_RESET);
}

/* Publishes what was pushed on queue @index and interrupts if the driver wants it. */
void virtio_publish(struct virtio *v, unsigned int index);
/* A kick of queue @index once the loop has gone round: how a drain that is long
 * enough (VIRTQ_DRAIN_MAX) lets others have their turn. */
void virtio_again(struct virtio *v, unsigned int index);
/* The configuration changed: generation + 1, interrupt. */
void virtio_config_changed(struct virtio *v);
/* The driver broke the rules, or the device cannot go on: NEEDS_RESET, no more
 * queue is served until the reset. The reason goes to vm_warn(). */
void virtio_fail(struct virtio *v, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* Pause support for device_type.quiesce/resume of devices without own requests in
 * flight; others call it once they are drained. */
void virtio_quiesce(struct virtio *v);
void virtio_resume(struct virtio *v); /* kicks every queue once */

/* Transport side (virtio_mmio.c): on the loop's thread. */
/* What the driver wrote to the status register. @features: those it chose, used when it
 * sets FEATURES_OK; @configs: one per queue, used when it sets DRIVER_OK. */
void virtio_set_status(struct virtio *v, uint8_t status, uint64_t features,
		       const struct virtq_config *configs);
/* The driver may still change queue registers. Any thread. */
bool virtio_queues_open(const struct virtio *v);
/* A kick of queue @index arrived; passes it on unless it is to be kept or dropped. */
void virtio_kicked(struct virtio *v, unsigned int index);
/* The configuration space, clipped to its size; reads of what is behind it are 0. */
void virtio_config_read(struct virtio *v, uint64_t offset, void *data, uint32_t size);
void virtio_config_write(struct virtio *v, uint64_t offset, const void *data, uint32_t size);

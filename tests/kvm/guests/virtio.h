/* SPDX-License-Identifier: Apache-2.0 */
/* virtio - a driver that can be told to break every rule (virtio 1.2, 2.7 and 4.2).
 *
 * vdev_start() brings a device up as the specification says, with rings of 16
 * descriptors; after that, and instead of it, a case writes any register, any
 * descriptor and any index itself. */
#pragma once

#include "kit.h"

#include <linux/virtio_config.h>
#include <linux/virtio_ids.h>
#include <linux/virtio_mmio.h>
#include <linux/virtio_ring.h>

#define VQ_MAX        34
#define VQ_SIZE       16
#define VDEV_MAX      18
#define ALL_FEATURES  (~0ULL)
#define F_INDIRECT    (1ULL << VIRTIO_RING_F_INDIRECT_DESC)
#define F_EVENT_IDX   (1ULL << VIRTIO_RING_F_EVENT_IDX)
#define F_VERSION_1   (1ULL << VIRTIO_F_VERSION_1)
#define NEXT          VRING_DESC_F_NEXT
#define WRITE         VRING_DESC_F_WRITE
#define INDIRECT      VRING_DESC_F_INDIRECT
#define DRIVER_OK_ALL 0x0f /* ACKNOWLEDGE, DRIVER, FEATURES_OK, DRIVER_OK */
#define NEEDS_RESET   VIRTIO_CONFIG_S_NEEDS_RESET

struct vdev;

struct vq {
	struct vdev *dev;
	uint16_t index, size;
	volatile struct vring_desc *desc;
	volatile struct vring_avail *avail;
	volatile struct vring_used *used;
	uint16_t next_avail, seen_used;
};

struct vdev {
	uint64_t base;
	unsigned int window;
	uint32_t id; /* VIRTIO_ID_* */
	uint64_t offered, features;
	unsigned int n_queues;
	struct vq q[VQ_MAX];
};

/* All devices, found by the windows' magic; borrowed. */
unsigned int vdev_all(struct vdev **ret);
/* The @nth (from 0) device with @id; a missing one is a failed result and NULL. */
struct vdev *vdev_find(uint32_t id, unsigned int nth);
const char *vdev_name(const struct vdev *d); /* "blk" */

static inline uint32_t reg(const struct vdev *d, unsigned int offset)
{
	return mmio_read32(d->base + offset);
}

static inline void reg_set(const struct vdev *d, unsigned int offset, uint32_t v)
{
	mmio_write32(d->base + offset, v);
}

static inline uint32_t status(const struct vdev *d)
{
	return reg(d, VIRTIO_MMIO_STATUS);
}

bool vdev_reset(struct vdev *d); /* false: the status did not become 0 */
/* Reset, ACKNOWLEDGE, DRIVER, features; true if FEATURES_OK sticks. */
bool vdev_begin(struct vdev *d, uint64_t wanted);
/* Rings in memory of their own, told to the device when @program. */
void vq_make(struct vdev *d, unsigned int index, uint16_t size, bool program);
void vq_program(struct vdev *d, unsigned int index, uint32_t size, uint64_t desc, uint64_t avail,
		uint64_t used);
/* All of it; true if the device is live. */
bool vdev_start(struct vdev *d, uint64_t wanted);
bool vdev_start_sized(struct vdev *d, uint64_t wanted, uint16_t size);

void desc_set(struct vq *q, unsigned int i, uint64_t addr, uint32_t len, unsigned int flags,
	      unsigned int next);
void vq_offer(struct vq *q, unsigned int head); /* no kick */
void vq_kick(struct vq *q);
/* Offers descriptor 0 and kicks. */
void vq_go(struct vq *q);
/* Takes the next used entry; false when none comes in @ms, or the device needs a reset. */
bool vq_used(struct vq *q, unsigned int ms, uint32_t *ret_id, uint32_t *ret_len);

/* Waits for NEEDS_RESET. */
bool needs_reset(const struct vdev *d, unsigned int ms);

/* Resets, starts and makes an honest request; true if it is answered as it should. */
bool vdev_works(struct vdev *d);
/* Does the device take requests from this queue by itself (and not only when it has
 * something for the driver)? */
bool vq_is_served(const struct vq *q);
/* Makes a live device want to use the other queues: a packet, a message. */
void vdev_provoke(struct vdev *d);
/* Can a broken ring be seen by the VMM? (not with vhost-user) */
bool vdev_is_ours(const struct vdev *d);

#define for_each_vdev(d)                                                                           \
	for (struct vdev *d = vdev_first(), *d##_end = d + vdev_count(); d < d##_end; d++)

static inline struct vdev *vdev_first(void)
{
	struct vdev *all;
	(void)vdev_all(&all);
	return all;
}

static inline unsigned int vdev_count(void)
{
	struct vdev *all;
	return vdev_all(&all);
}

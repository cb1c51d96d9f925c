/* SPDX-License-Identifier: Apache-2.0 */
/* virtio - finding devices, bringing them up, rings. */
#include "virtio.h"

#define MAGIC 0x74726976

static struct vdev devices[VDEV_MAX];
static unsigned int n_devices;

static void probe(struct vdev *d, uint64_t base, unsigned int window)
{
	*d = (struct vdev){ .base = base, .window = window };
	d->id = reg(d, VIRTIO_MMIO_DEVICE_ID);
	for (unsigned int i = 0; i < 2; i++) {
		reg_set(d, VIRTIO_MMIO_DEVICE_FEATURES_SEL, i);
		d->offered |= (uint64_t)reg(d, VIRTIO_MMIO_DEVICE_FEATURES) << 32 * i;
	}
	while (d->n_queues < VQ_MAX) {
		reg_set(d, VIRTIO_MMIO_QUEUE_SEL, d->n_queues);
		if (!reg(d, VIRTIO_MMIO_QUEUE_NUM_MAX))
			break;
		d->n_queues++;
	}
}

static void number_at(const char **s, uint64_t *v)
{
	char c;
	unsigned int base = (*s)[0] == '0' && (*s)[1] == 'x' ? 16 : 10;
	*s += base == 16 ? 2 : 0;
	for (*v = 0; (c = **s) && c != ',' && c != ' '; (*s)++)
		*v = *v * base + (unsigned int)(c >= 'a' ? c - 'a' + 10 : c - '0');
	*s += c == ',';
}

unsigned int vdev_all(struct vdev **ret)
{
	static bool found;
	uint64_t base = 0xd0000000, stride = 0x1000, count = VDEV_MAX;
	size_t len;
	const char *s = option("virtio", &len);
	if (s) {
		number_at(&s, &base);
		number_at(&s, &stride);
		number_at(&s, &count);
	}
	for (unsigned int i = 0; !found && i < count && n_devices < VDEV_MAX; i++) {
		uint64_t at = base + i * stride;
		if (mmio_read32(at) == MAGIC && mmio_read32(at + VIRTIO_MMIO_VERSION) == 2 &&
		    mmio_read32(at + VIRTIO_MMIO_DEVICE_ID))
			probe(&devices[n_devices++], at, i);
	}
	found = true;
	*ret = devices;
	return n_devices;
}

struct vdev *vdev_find(uint32_t id, unsigned int nth)
{
	for_each_vdev(d) if (d->id == id && !nth--) return d;
	result(false, "the machine has a virtio device %u", id);
	return NULL;
}

const char *vdev_name(const struct vdev *d)
{
	static const char *const names[] = {
		[VIRTIO_ID_NET] = "net",         [VIRTIO_ID_BLOCK] = "blk",
		[VIRTIO_ID_CONSOLE] = "console", [VIRTIO_ID_RNG] = "rng",
		[VIRTIO_ID_BALLOON] = "balloon", [VIRTIO_ID_VSOCK] = "vsock",
		[VIRTIO_ID_FS] = "fs",           [VIRTIO_ID_PMEM] = "pmem",
	};
	bool known = d->id < sizeof(names) / sizeof(names[0]) && names[d->id];
	return known ? names[d->id] : "unknown device";
}

bool vdev_reset(struct vdev *d)
{
	reg_set(d, VIRTIO_MMIO_STATUS, 0);
	for (uint64_t since = 0; status(d);)
		if (!within_ms(&since, PATIENCE_MS))
			return false;
	return true;
}

bool vdev_begin(struct vdev *d, uint64_t wanted)
{
	if (!vdev_reset(d))
		return false;
	reg_set(d, VIRTIO_MMIO_STATUS, 1);
	reg_set(d, VIRTIO_MMIO_STATUS, 3);
	d->features = d->offered & (wanted | F_VERSION_1);
	for (unsigned int i = 0; i < 2; i++) {
		reg_set(d, VIRTIO_MMIO_DRIVER_FEATURES_SEL, i);
		reg_set(d, VIRTIO_MMIO_DRIVER_FEATURES, (uint32_t)(d->features >> 32 * i));
	}
	reg_set(d, VIRTIO_MMIO_STATUS, 0x0b);
	return status(d) == 0x0b;
}

static void reg_set64(const struct vdev *d, unsigned int offset, uint64_t v)
{
	reg_set(d, offset, (uint32_t)v);
	reg_set(d, offset + 4, (uint32_t)(v >> 32));
}

void vq_program(struct vdev *d, unsigned int index, uint32_t size, uint64_t desc, uint64_t avail,
		uint64_t used)
{
	reg_set(d, VIRTIO_MMIO_QUEUE_SEL, index);
	reg_set(d, VIRTIO_MMIO_QUEUE_NUM, size);
	reg_set64(d, VIRTIO_MMIO_QUEUE_DESC_LOW, desc);
	reg_set64(d, VIRTIO_MMIO_QUEUE_AVAIL_LOW, avail);
	reg_set64(d, VIRTIO_MMIO_QUEUE_USED_LOW, used);
	reg_set(d, VIRTIO_MMIO_QUEUE_READY, 1);
}

void vq_make(struct vdev *d, unsigned int index, uint16_t size, bool program)
{
	struct vq *q = &d->q[index];
	*q = (struct vq){ .dev = d, .index = (uint16_t)index, .size = size };
	q->desc = take(16U * size, 16);
	q->avail = take(6 + 2U * size, 2);
	q->used = take(6 + 8U * size, 4);
	if (program)
		vq_program(d, index, size, (uint64_t)q->desc, (uint64_t)q->avail,
			   (uint64_t)q->used);
}

bool vdev_start_sized(struct vdev *d, uint64_t wanted, uint16_t size)
{
	if (!vdev_begin(d, wanted))
		return false;
	for (unsigned int i = 0; i < d->n_queues; i++)
		vq_make(d, i, size, true);
	reg_set(d, VIRTIO_MMIO_STATUS, DRIVER_OK_ALL);
	return status(d) == DRIVER_OK_ALL;
}

bool vdev_start(struct vdev *d, uint64_t wanted)
{
	return vdev_start_sized(d, wanted, VQ_SIZE);
}

void desc_set(struct vq *q, unsigned int i, uint64_t addr, uint32_t len, unsigned int flags,
	      unsigned int next)
{
	q->desc[i].addr = addr;
	q->desc[i].len = len;
	q->desc[i].flags = (uint16_t)flags;
	q->desc[i].next = (uint16_t)next;
}

void vq_offer(struct vq *q, unsigned int head)
{
	q->avail->ring[q->next_avail % q->size] = (uint16_t)head;
	barrier();
	q->avail->idx = ++q->next_avail;
	barrier();
}

void vq_kick(struct vq *q)
{
	reg_set(q->dev, VIRTIO_MMIO_QUEUE_NOTIFY, q->index);
}

void vq_go(struct vq *q)
{
	vq_offer(q, 0);
	vq_kick(q);
}

bool vq_used(struct vq *q, unsigned int ms, uint32_t *ret_id, uint32_t *ret_len)
{
	uint64_t since = 0;
	for (unsigned int n = 1; q->used->idx == q->seen_used; n++)
		if (!within_ms(&since, ms) || (!(n % 1024) && status(q->dev) & NEEDS_RESET))
			return false;
	barrier();
	volatile struct vring_used_elem *e = &q->used->ring[q->seen_used++ % q->size];
	if (ret_id)
		*ret_id = e->id;
	if (ret_len)
		*ret_len = e->len;
	return true;
}

bool needs_reset(const struct vdev *d, unsigned int ms)
{
	for (uint64_t since = 0; !(status(d) & NEEDS_RESET);)
		if (!within_ms(&since, ms))
			return false;
	return true;
}

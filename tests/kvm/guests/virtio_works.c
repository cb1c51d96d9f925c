/* SPDX-License-Identifier: Apache-2.0 */
/* virtio_works - one honest request of each kind of device: the proof that it is
 * alive, and what makes it use the queues it fills. */
#include "virtio.h"
#include "proto.h"

static bool blk_works(struct vdev *d)
{
	struct vq *q = &d->q[0];
	struct blk_header *h = take(sizeof(*h), 16);
	volatile uint64_t *data = take(512, 512);
	volatile uint8_t *st = take(1, 1);
	*h = (struct blk_header){ .type = VIRTIO_BLK_T_IN, .sector = 3 };
	*st = 0xee;
	desc_set(q, 0, (uint64_t)h, 16, NEXT, 1);
	desc_set(q, 1, (uint64_t)data, 512, NEXT | WRITE, 2);
	desc_set(q, 2, (uint64_t)st, 1, WRITE, 0);
	vq_go(q);
	return vq_used(q, PATIENCE_MS, NULL, NULL) && *st == 0 && data[0] == DISK_MARK + 3;
}

static bool rng_works(struct vdev *d)
{
	struct vq *q = &d->q[0];
	uint8_t *buf = take(64, 1), any = 0;
	uint32_t len = 0;
	desc_set(q, 0, (uint64_t)buf, 64, WRITE, 0);
	vq_go(q);
	if (!vq_used(q, PATIENCE_MS, NULL, &len) || !len || len > 64)
		return false;
	for (uint32_t i = 0; i < len; i++)
		any |= buf[i];
	return any;
}

void net_send(struct vdev *d, unsigned int at, uint32_t frame_size)
{
	uint8_t *buf = take(NET_HEADER + frame_size, 1);
	memset(buf + NET_HEADER, 0xff, 6);
	buf[NET_HEADER + 6] = 2;
	buf[NET_HEADER + 12] = 0x88; /* an ethertype for experiments */
	buf[NET_HEADER + 13] = 0xb5;
	desc_set(&d->q[1], at, (uint64_t)buf, NET_HEADER + frame_size, 0, 0);
	vq_offer(&d->q[1], at);
	vq_kick(&d->q[1]);
}

/* "echo=1": the other end sends every frame back. */
static bool net_works(struct vdev *d)
{
	uint32_t len = 0;
	for (unsigned int i = 0; i < VQ_SIZE; i++) {
		desc_set(&d->q[0], i, (uint64_t)take(2048, 1), 2048, WRITE, 0);
		vq_offer(&d->q[0], i);
	}
	vq_kick(&d->q[0]);
	net_send(d, 0, 60);
	if (!vq_used(&d->q[1], PATIENCE_MS, NULL, NULL))
		return false;
	/* Frames that an evil sent may come back first. */
	for (unsigned int i = 0; option_number("echo", 0) && len != NET_HEADER + 60; i++) {
		uint32_t id = 0;
		if (i > 4096 || !vq_used(&d->q[0], PATIENCE_MS, &id, &len))
			return false;
		vq_offer(&d->q[0], id % VQ_SIZE);
		vq_kick(&d->q[0]);
	}
	return true;
}

void vsock_send(struct vdev *d, unsigned int at, uint16_t op, uint32_t port)
{
	struct vsock_header *h = take(sizeof(*h), 8);
	*h = (struct vsock_header){ .src_cid = option_number("cid", 3),
				    .dst_cid = 2,
				    .src_port = 1024 + at,
				    .dst_port = port,
				    .type = 1,
				    .op = op,
				    .buf_alloc = 65536 };
	desc_set(&d->q[1], at, (uint64_t)h, sizeof(*h), 0, 0);
	vq_offer(&d->q[1], at);
	vq_kick(&d->q[1]);
}

/* Nobody listens at port 1: a connection is refused. */
static bool vsock_works(struct vdev *d)
{
	struct vq *q = &d->q[0];
	struct vsock_header *h[VQ_SIZE];
	for (unsigned int i = 0; i < VQ_SIZE; i++) {
		h[i] = take(4096, 8);
		desc_set(q, i, (uint64_t)h[i], 4096, WRITE, 0);
		vq_offer(q, i);
	}
	vq_kick(q);
	vsock_send(d, 0, VIRTIO_VSOCK_OP_REQUEST, 1);
	uint32_t id;
	while (vq_used(q, PATIENCE_MS, &id, NULL))
		if (id < VQ_SIZE && h[id]->op == VIRTIO_VSOCK_OP_RST && h[id]->src_port == 1)
			return true;
	return false;
}

void console_control(struct vdev *d, unsigned int at, uint32_t id, uint16_t event, uint16_t value)
{
	struct virtio_console_control *c = take(sizeof(*c), 8);
	*c = (struct virtio_console_control){ .id = id, .event = event, .value = value };
	desc_set(&d->q[3], at, (uint64_t)c, sizeof(*c), 0, 0);
	vq_offer(&d->q[3], at);
	vq_kick(&d->q[3]);
}

static bool console_works(struct vdev *d)
{
	if (d->features >> VIRTIO_CONSOLE_F_MULTIPORT & 1 && d->n_queues > 3) {
		for (unsigned int i = 0; i < VQ_SIZE; i++) {
			desc_set(&d->q[2], i, (uint64_t)take(64, 8), 64, WRITE, 0);
			vq_offer(&d->q[2], i);
		}
		vq_kick(&d->q[2]);
		console_control(d, 0, 0xffffffff, VIRTIO_CONSOLE_DEVICE_READY, 1);
		if (!vq_used(&d->q[3], PATIENCE_MS, NULL, NULL) ||
		    !vq_used(&d->q[2], PATIENCE_MS, NULL, NULL))
			return false;
	}
	desc_set(&d->q[1], 0, (uint64_t) "x", 1, 0, 0);
	vq_go(&d->q[1]);
	return vq_used(&d->q[1], PATIENCE_MS, NULL, NULL);
}

static bool balloon_works(struct vdev *d)
{
	uint32_t *pfn = take(4, 4);
	*pfn = (uint32_t)((uint64_t)take(4096, 4096) >> 12);
	for (unsigned int i = 0; i < 2; i++) { /* in and out */
		desc_set(&d->q[i], 0, (uint64_t)pfn, 4, 0, 0);
		vq_go(&d->q[i]);
		if (!vq_used(&d->q[i], PATIENCE_MS, NULL, NULL))
			return false;
	}
	return true;
}

static bool pmem_works(struct vdev *d)
{
	uint32_t *request = take(8, 8);
	request[1] = 0xeeeeeeee;
	desc_set(&d->q[0], 0, (uint64_t)request, 4, NEXT, 1);
	desc_set(&d->q[0], 1, (uint64_t)(request + 1), 4, WRITE, 0);
	vq_go(&d->q[0]);
	return vq_used(&d->q[0], PATIENCE_MS, NULL, NULL) && request[1] != 0xeeeeeeee;
}

static bool fs_works(struct vdev *d)
{
	struct vq *q = &d->q[1];
	struct fuse_init *in = take(sizeof(*in), 8);
	struct fuse_answer *out = take(256, 8);
	*in = (struct fuse_init){
		.len = sizeof(*in), .opcode = FUSE_INIT, .unique = 7, .major = 7, .minor = 31
	};
	desc_set(q, 0, (uint64_t)in, sizeof(*in), NEXT, 1);
	desc_set(q, 1, (uint64_t)out, 256, WRITE, 0);
	vq_go(q);
	return vq_used(q, PATIENCE_MS, NULL, NULL) && out->unique == 7 && !out->error;
}

bool vdev_works(struct vdev *d)
{
	static bool (*const works[])(struct vdev *) = {
		[VIRTIO_ID_NET] = net_works,         [VIRTIO_ID_BLOCK] = blk_works,
		[VIRTIO_ID_CONSOLE] = console_works, [VIRTIO_ID_RNG] = rng_works,
		[VIRTIO_ID_BALLOON] = balloon_works, [VIRTIO_ID_VSOCK] = vsock_works,
		[VIRTIO_ID_FS] = fs_works,           [VIRTIO_ID_PMEM] = pmem_works,
	};
	bool known = d->id < sizeof(works) / sizeof(works[0]) && works[d->id];
	return vdev_start(d, ALL_FEATURES & ~F_EVENT_IDX) && known && works[d->id](d);
}

bool vdev_is_ours(const struct vdev *d)
{
	return d->id != VIRTIO_ID_FS;
}

bool vq_is_served(const struct vq *q)
{
	switch (q->dev->id) {
	case VIRTIO_ID_NET: /* receive, transmit, ..., control */
		return q->index % 2 || q->index + 1U == q->dev->n_queues;
	case VIRTIO_ID_CONSOLE:
		return q->index % 2;
	case VIRTIO_ID_VSOCK:
		return q->index == 1;
	case VIRTIO_ID_BALLOON:
		return q->index < 2;
	case VIRTIO_ID_FS:
		return false;
	default:
		return true;
	}
}

void vdev_provoke(struct vdev *d)
{
	if (d->id == VIRTIO_ID_NET)
		net_send(d, VQ_SIZE - 1, 60);
	else if (d->id == VIRTIO_ID_VSOCK)
		vsock_send(d, VQ_SIZE - 1, VIRTIO_VSOCK_OP_REQUEST, 1);
	else if (d->id == VIRTIO_ID_CONSOLE && d->n_queues > 3)
		console_control(d, VQ_SIZE - 1, 0xffffffff, VIRTIO_CONSOLE_DEVICE_READY, 1);
}

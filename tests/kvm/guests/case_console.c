/* SPDX-License-Identifier: Apache-2.0 */
/* case_console - control messages about ports that are none, floods (virtio 1.2,
 * 5.3.6). Queues: receive 0, transmit 0, control in, control out, receive 1, ... */
#include "evil.h"

#define PLAIN (ALL_FEATURES & ~F_EVENT_IDX)

static struct vdev *start(void)
{
	struct vdev *d = vdev_find(VIRTIO_ID_CONSOLE, 0);
	if (!d || !vdev_start(d, PLAIN)) {
		result(false, "the console comes up");
		finish();
	}
	for (unsigned int q = 0; q < d->n_queues; q += 2) {
		for (unsigned int i = 0; i < VQ_SIZE; i++) {
			desc_set(&d->q[q], i, (uint64_t)take(64, 8), 64, WRITE, 0);
			vq_offer(&d->q[q], i);
		}
		vq_kick(&d->q[q]);
	}
	return d;
}

static bool has_control(const struct vdev *d)
{
	return d->features >> VIRTIO_CONSOLE_F_MULTIPORT & 1;
}

static void tell(struct vdev *d, uint32_t id, uint16_t event, uint16_t value)
{
	console_control(d, 0, id, event, value);
	(void)vq_used(&d->q[3], PATIENCE_MS, NULL, NULL);
}

CASE(console_events, "console", "exit", "control messages of every kind about every port")
{
	static const uint32_t ids[] = {
		0, 1, 2, 30, 31, 32, 255, 0x7fffffff, 0x80000000, 0xffffffff
	};
	struct vdev *d = start();
	if (!has_control(d)) {
		result(true, "there are no control queues");
		return;
	}
	void *mark = take_mark();
	for (unsigned int i = 0; i < sizeof(ids) / sizeof(ids[0]); i++) {
		for (uint16_t event = 0; event < 12; event++)
			for (uint16_t value = 0; value < 3; value++)
				tell(d, ids[i], event, value);
		result(!(status(d) & NEEDS_RESET), "port %x", ids[i]);
		take_release(mark);
	}
	tell(d, 0, 0xffff, 0xffff);
	tell(d, 0xffffffff, 0xffff, 0xffff);
	(void)works_again(d, "");
}

CASE(console_ready_flood, "console", "exit", "DEVICE_READY 1000 times, answers not taken")
{
	struct vdev *d = start();
	if (has_control(d)) {
		void *mark = take_mark();
		for (unsigned int i = 0; i < 1000; i++) {
			tell(d, 0xffffffff, VIRTIO_CONSOLE_DEVICE_READY, 1);
			tell(d, i % 3, VIRTIO_CONSOLE_PORT_READY, 1);
			tell(d, i % 3, VIRTIO_CONSOLE_PORT_OPEN, i % 2);
			take_release(mark);
		}
	}
	(void)works_again(d, "");
}

CASE(console_short, "console", "exit", "control messages of 0 to 9 bytes, and of 1 MiB")
{
	struct vdev *d = start();
	for (uint32_t len = 0; len < 11 && has_control(d); len++) {
		void *mark = take_mark();
		d = start();
		desc_set(&d->q[3], 0, (uint64_t)take(1 << 20, 8), len < 10 ? len : 1 << 20, 0, 0);
		vq_go(&d->q[3]);
		(void)vq_used(&d->q[3], 300, NULL, NULL);
		(void)works_again(d, "");
		take_release(mark);
	}
	(void)works_again(d, "");
}

CASE(console_control_in_short, "console", "exit", "answers come and the buffers are too small")
{
	static const uint32_t sizes[] = { 0, 1, 7, 8, 9 };
	for (unsigned int i = 0; i < 5; i++) {
		void *mark = take_mark();
		struct vdev *d = start();
		if (has_control(d)) {
			(void)vdev_start(d, PLAIN);
			for (unsigned int j = 0; j < VQ_SIZE; j++) {
				desc_set(&d->q[2], j, (uint64_t)take(64, 8), sizes[i], WRITE, 0);
				vq_offer(&d->q[2], j);
			}
			vq_kick(&d->q[2]);
			for (unsigned int j = 0; j < 20; j++)
				tell(d, 0xffffffff, VIRTIO_CONSOLE_DEVICE_READY, 1);
		}
		(void)works_again(d, "");
		take_release(mark);
	}
}

CASE(console_flood, "console limit=120", "exit", "16 MiB of output")
{
	struct vdev *d = start();
	uint64_t at = (uint64_t)take(1 << 20, 4096);
	for (unsigned int i = 0; i < 16; i++) {
		desc_set(&d->q[1], 0, at, 1 << 20, 0, 0);
		vq_go(&d->q[1]);
		if (!vq_used(&d->q[1], PATIENCE_MS, NULL, NULL))
			break;
	}
	result(!(status(d) & NEEDS_RESET), "taken or dropped");
	(void)works_again(d, "");
}

CASE(console_reset_amid, "console", "exit", "reset with output under way")
{
	struct vdev *d = start();
	for (unsigned int i = 0; i < 20; i++) {
		void *mark = take_mark();
		d = start();
		uint64_t at = (uint64_t)take(4096, 4096);
		for (unsigned int j = 0; j < VQ_SIZE; j++) {
			desc_set(&d->q[1], j, at, 1 << 20, 0, 0);
			vq_offer(&d->q[1], j);
		}
		vq_kick(&d->q[1]);
		result(vdev_reset(d), "reset");
		take_release(mark);
	}
	(void)works_again(d, "");
}

/* "Emergency write" is a register (5.3.4); only with its feature. */
CASE(console_config, "console", "exit", "the emergency register and the size are written")
{
	struct vdev *d = start();
	for (unsigned int i = 0; i < 500; i++) {
		mmio_write32(d->base + 0x108, '!');
		mmio_write(d->base + 0x100, ~0ULL, 8);
	}
	(void)works_again(d, "");
}

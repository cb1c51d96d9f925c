/* SPDX-License-Identifier: Apache-2.0 */
/* case_fs - a shared folder: file requests go to virtiofsd, not to the VMM, which has
 * the registers, the set-up of rings, and the end of either side to get right. */
#include "evil.h"

#define PLAIN (ALL_FEATURES & ~F_EVENT_IDX)

static struct vdev *start(void)
{
	struct vdev *d = vdev_find(VIRTIO_ID_FS, 0);
	if (!d || !vdev_start(d, PLAIN)) {
		result(false, "the share comes up");
		finish();
	}
	return d;
}

CASE(fs_works, "fs", "exit", "an honest request, the ground for the rest")
{
	struct vdev *d = vdev_find(VIRTIO_ID_FS, 0);
	if (d)
		(void)works_again(d, "nothing");
}

CASE(fs_registers, "fs", "exit", "registers and configuration at all widths")
{
	struct vdev *d = start();
	for (unsigned int w = 1; w <= 8; w *= 2)
		for (unsigned int at = 0; at < 0x200; at++)
			(void)mmio_read(d->base + at, w);
	for (unsigned int w = 1; w <= 8; w *= 2)
		for (unsigned int at = 0x100; at < 0x200; at++)
			mmio_write(d->base + at, ~0ULL, w);
	(void)works_again(d, "");
}

CASE(fs_resets, "fs", "exit", "up and down 20 times")
{
	for (unsigned int i = 0; i < 20; i++) {
		void *mark = take_mark();
		struct vdev *d = start();
		result(vdev_reset(d), "reset");
		take_release(mark);
	}
	(void)works_again(vdev_find(VIRTIO_ID_FS, 0), "");
}

CASE(fs_places, "fs", "exit", "rings where none may be: told by us, not by virtiofsd")
{
	const uint64_t places[] = { 0xe0000000, ram_end, ~0xfULL, 0x1800001, 0xd0000000 };
	struct vdev *d = vdev_find(VIRTIO_ID_FS, 0);
	for (unsigned int i = 0; d && i < sizeof(places) / sizeof(places[0]); i++) {
		(void)vdev_begin(d, PLAIN);
		for (unsigned int q = 0; q < d->n_queues; q++)
			vq_program(d, q, VQ_SIZE, places[i], places[i], places[i]);
		reg_set(d, VIRTIO_MMIO_STATUS, DRIVER_OK_ALL);
		one_evil(d, REFUSED, "a ring that is none");
	}
}

CASE(fs_kicks, "fs", "exit", "5000 kicks of empty queues")
{
	struct vdev *d = start();
	for (unsigned int i = 0; i < 5000; i++)
		vq_kick(&d->q[i % d->n_queues]);
	(void)works_again(d, "");
}

/* virtiofsd may give up on these; the VMM and its other devices must not. */
CASE(fs_junk, "fs,rng", "exit", "broken rings and requests, seen by virtiofsd only")
{
	struct vdev *d = start(), *rng = vdev_find(VIRTIO_ID_RNG, 0);
	uint8_t *buf = take(65536, 4096);
	memset(buf, 0xff, 4096);
	for (unsigned int i = 0; i < 6; i++) {
		struct vq *q = &d->q[d->n_queues - 1];
		desc_set(q, 0, i == 1 ? 0xe0000000 : (uint64_t)buf, i == 2 ? 0xffffffff : 100,
			 i == 3 ? NEXT : 0, 0);
		if (i == 4)
			q->next_avail = 0x8000;
		vq_go(q);
		wait_ms(5);
		(void)vdev_reset(d);
		(void)vdev_start(d, PLAIN);
	}
	if (rng)
		(void)works_again(rng, "broken requests to virtiofsd");
}

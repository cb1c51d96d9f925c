/* SPDX-License-Identifier: Apache-2.0 */
/* evil - the loop over devices and queues, and the verdicts. */
#include "evil.h"

#define QUEUES_TRIED 8U

unsigned int vq_direction(const struct vq *q)
{
	bool fills = !vq_is_served(q) || q->dev->id == VIRTIO_ID_RNG;
	return fills && q->dev->id != VIRTIO_ID_BALLOON ? WRITE : 0;
}

bool works_again(struct vdev *d, const char *what)
{
	bool good = vdev_works(d);
	result(good, "%s works after it%s%s", vdev_name(d), *what ? ": " : "", what);
	if (!good)
		note("status %x", status(d));
	(void)vdev_reset(d);
	return good;
}

void one_evil(struct vdev *d, enum verdict verdict, const char *what)
{
	if (verdict == REFUSED)
		result(needs_reset(d, PATIENCE_MS), "%s: refused: %s", vdev_name(d), what);
	else
		wait_ms(1);
	(void)works_again(d, what);
}

static void one_queue(struct vdev *d, unsigned int i, uint64_t features, enum verdict verdict,
		      void (*lay)(struct vq *q))
{
	struct vq *q = &d->q[i];
	if (!vdev_start(d, features)) {
		result(false, "%s comes up", vdev_name(d));
		return;
	}
	bool gone = !(d->features & F_INDIRECT) && features & F_INDIRECT;
	lay(q);
	if (!q->next_avail && q->avail->idx == 0)
		vq_offer(q, 0);
	vq_kick(q);
	if (!vq_is_served(q))
		vdev_provoke(d);
	if (verdict == REFUSED && vq_is_served(q) && !gone)
		result(needs_reset(d, PATIENCE_MS), "%s queue %u: refused", vdev_name(d), i);
	else
		wait_ms(2);
}

void each_queue(uint64_t features, enum verdict verdict, void (*lay)(struct vq *q))
{
	for_each_vdev(d)
	{
		if (!vdev_is_ours(d))
			continue;
		for (unsigned int i = 0; i < d->n_queues && i < QUEUES_TRIED; i++) {
			void *mark = take_mark();
			one_queue(d, i, features, verdict, lay);
			(void)works_again(d, "");
			take_release(mark);
		}
	}
}

void each_device(enum verdict verdict, void (*lay)(struct vdev *d))
{
	for_each_vdev(d)
	{
		void *mark = take_mark();
		if (!vdev_is_ours(d) || !vdev_reset(d))
			continue;
		lay(d);
		one_evil(d, verdict, "");
		take_release(mark);
	}
}

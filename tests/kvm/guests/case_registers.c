/* SPDX-License-Identifier: Apache-2.0 */
/* case_registers - every register of the virtio-mmio windows at every width, and
 * what may no longer be changed when (virtio 1.2, 2.1, 3.1.1, 4.2.2). */
#include "evil.h"

#define WINDOW      0x1000U
#define DENSE       0x180U /* below it every offset is tried, above it some */
#define WIDTHS      4
#define PLAIN       (ALL_FEATURES & ~F_EVENT_IDX)
#define QUEUE_TOP   64U
#define MAGIC       0x74726976U
#define QUEUE_RESET 0x0c0

static const unsigned int widths[WIDTHS] = { 1, 2, 4, 8 };

static unsigned int step(unsigned int offset)
{
	return offset < DENSE ? 1 : 127;
}

static bool is_itself(const struct vdev *d)
{
	return reg(d, VIRTIO_MMIO_MAGIC_VALUE) == MAGIC && reg(d, VIRTIO_MMIO_VERSION) == 2 &&
	       reg(d, VIRTIO_MMIO_DEVICE_ID) == d->id;
}

/* The last ones reach into the next window. */
static void read_all(const struct vdev *d)
{
	for (unsigned int w = 0; w < WIDTHS; w++)
		for (unsigned int at = 0; at < WINDOW; at += step(at))
			(void)mmio_read(d->base + at, widths[w]);
	for (unsigned int at = WINDOW - 8; at < WINDOW; at++)
		(void)mmio_read(d->base + at, 8);
}

static void write_all(const struct vdev *d, uint64_t v)
{
	for (unsigned int w = 0; w < WIDTHS; w++)
		for (unsigned int at = 0; at < WINDOW; at += step(at))
			mmio_write(d->base + at, v, widths[w]);
}

CASE(read_all, "all limit=120", "exit", "every offset is read at every width")
{
	for_each_vdev(d)
	{
		read_all(d);
		result(is_itself(d), "%s is still itself", vdev_name(d));
		(void)works_again(d, "");
	}
}

CASE(read_all_live, "all limit=120", "exit", "every offset of a live device is read")
{
	for_each_vdev(d)
	{
		result(vdev_works(d), "%s is live", vdev_name(d));
		read_all(d);
		result(status(d) == DRIVER_OK_ALL, "%s stays live", vdev_name(d));
		(void)works_again(d, "");
	}
}

static void write_case(uint64_t v, bool live)
{
	for_each_vdev(d)
	{
		if (live)
			result(vdev_works(d), "%s is live", vdev_name(d));
		else
			result(vdev_reset(d), "%s is reset", vdev_name(d));
		write_all(d, v);
		result(is_itself(d), "%s is still itself", vdev_name(d));
		(void)works_again(d, "");
	}
}

CASE(write_zeros, "all limit=120", "exit", "zeros to every offset at every width")
{
	write_case(0, false);
}

CASE(write_ones, "all limit=120", "exit", "ones to every offset at every width")
{
	write_case(~0ULL, false);
}

CASE(write_pattern, "all limit=120", "exit", "a pattern to every offset at every width")
{
	write_case(0x0f0f55aa0f0f55aaULL, false);
}

CASE(write_zeros_live, "all limit=120", "exit", "zeros to every offset of a live device")
{
	write_case(0, true);
}

CASE(write_ones_live, "all limit=120", "exit", "ones to every offset of a live device")
{
	write_case(~0ULL, true);
}

CASE(write_small_live, "all limit=120", "exit", "small numbers to every offset of a live device")
{
	for (uint64_t v = 1; v < 4; v++)
		write_case(v * 0x0000000100000001ULL, true);
}

/* ------------------------------------------------------------ read-only ones */

CASE(identity, "all", "exit", "what identifies a device cannot be written")
{
	static const unsigned int fixed[] = {
		VIRTIO_MMIO_MAGIC_VALUE, VIRTIO_MMIO_VERSION,       VIRTIO_MMIO_DEVICE_ID,
		VIRTIO_MMIO_VENDOR_ID,   VIRTIO_MMIO_QUEUE_NUM_MAX, VIRTIO_MMIO_CONFIG_GENERATION
	};
	for_each_vdev(d)
	{
		bool same = true;
		reg_set(d, VIRTIO_MMIO_QUEUE_SEL, 0);
		for (unsigned int i = 0; i < sizeof(fixed) / sizeof(fixed[0]); i++) {
			uint32_t was = reg(d, fixed[i]);
			reg_set(d, fixed[i], ~was);
			same = same && reg(d, fixed[i]) == was;
		}
		result(same, "%s keeps its identity", vdev_name(d));
	}
}

CASE(features_above, "all", "exit", "feature words that do not exist read as zero")
{
	static const uint32_t words[] = { 2, 3, 4, 63, 64, 0x7fffffff, 0x80000000, 0xffffffff };
	for_each_vdev(d)
	{
		uint32_t any = 0;
		for (unsigned int i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
			reg_set(d, VIRTIO_MMIO_DEVICE_FEATURES_SEL, words[i]);
			any |= reg(d, VIRTIO_MMIO_DEVICE_FEATURES);
			reg_set(d, VIRTIO_MMIO_DRIVER_FEATURES_SEL, words[i]);
			reg_set(d, VIRTIO_MMIO_DRIVER_FEATURES, 0xffffffff);
		}
		result(!any, "%s has no feature above 63", vdev_name(d));
		(void)works_again(d, "");
	}
}

CASE(shared_memory, "all", "exit", "shared memory regions that do not exist")
{
	for_each_vdev(d)
	{
		bool good = true;
		for (uint32_t id = 0; id < 260; id += id < 3 ? 1 : 64) {
			reg_set(d, VIRTIO_MMIO_SHM_SEL, id);
			good = good && reg(d, VIRTIO_MMIO_SHM_LEN_LOW) == 0xffffffff &&
			       reg(d, VIRTIO_MMIO_SHM_LEN_HIGH) == 0xffffffff;
		}
		/* 4.2.2: the length of a region that is not there reads as -1 */
		result(good || d->id == VIRTIO_ID_FS || d->id == VIRTIO_ID_PMEM, "%s has none",
		       vdev_name(d));
		(void)works_again(d, "");
	}
}

/* ------------------------------------------------------- status and features */

static bool offer(struct vdev *d, uint64_t features)
{
	(void)vdev_reset(d);
	reg_set(d, VIRTIO_MMIO_STATUS, 1);
	reg_set(d, VIRTIO_MMIO_STATUS, 3);
	for (unsigned int i = 0; i < 2; i++) {
		reg_set(d, VIRTIO_MMIO_DRIVER_FEATURES_SEL, i);
		reg_set(d, VIRTIO_MMIO_DRIVER_FEATURES, (uint32_t)(features >> 32 * i));
	}
	reg_set(d, VIRTIO_MMIO_STATUS, 0x0b);
	return status(d) & VIRTIO_CONFIG_S_FEATURES_OK;
}

CASE(features_not_offered, "all", "exit", "features that were not offered are not agreed to")
{
	for_each_vdev(d)
	{
		for (unsigned int bit = 0; bit < 64; bit += 5)
			if (!(d->offered >> bit & 1))
				result(!offer(d, d->offered | 1ULL << bit), "%s: bit %u refused",
				       vdev_name(d), bit);
		result(!offer(d, ~0ULL), "%s: all bits refused", vdev_name(d));
		(void)works_again(d, "");
	}
}

CASE(features_legacy, "all", "exit", "a driver of the old kind is refused")
{
	for_each_vdev(d)
	{
		result(!offer(d, d->offered & ~F_VERSION_1), "%s: without VERSION_1 refused",
		       vdev_name(d));
		(void)works_again(d, "");
	}
}

/* Taken back or added to between FEATURES_OK and DRIVER_OK: too late (3.1.1). */
CASE(features_late, "all", "exit", "features changed after FEATURES_OK")
{
	static const uint64_t late[] = { 0, ALL_FEATURES, F_VERSION_1, F_INDIRECT };
	for_each_vdev(d) for (unsigned int i = 0; i < 4; i++)
	{
		void *mark = take_mark();
		result(vdev_begin(d, PLAIN), "%s agrees", vdev_name(d));
		for (uint32_t w = 0; w < 4; w++) {
			reg_set(d, VIRTIO_MMIO_DRIVER_FEATURES_SEL, w);
			reg_set(d, VIRTIO_MMIO_DRIVER_FEATURES,
				w < 2 ? (uint32_t)(late[i] >> 32 * w) : ~0U);
		}
		for (unsigned int q = 0; q < d->n_queues; q++)
			vq_make(d, q, VQ_SIZE, true);
		reg_set(d, VIRTIO_MMIO_STATUS, DRIVER_OK_ALL);
		result(status(d) == DRIVER_OK_ALL, "%s came up with what was agreed", vdev_name(d));
		(void)works_again(d, "");
		take_release(mark);
	}
}

CASE(status_cleared, "all", "exit", "status bits are cleared by a reset only")
{
	for_each_vdev(d)
	{
		result(vdev_works(d), "%s is live", vdev_name(d));
		for (uint32_t v = 1; v < 0x0f; v++)
			reg_set(d, VIRTIO_MMIO_STATUS, v);
		result((status(d) & DRIVER_OK_ALL) == DRIVER_OK_ALL, "%s keeps its bits: %x",
		       vdev_name(d), status(d));
		(void)works_again(d, "");
	}
}

CASE(status_junk, "all", "exit", "every value is written to the status, live and not")
{
	for_each_vdev(d)
	{
		for (uint32_t v = 0; v < 256; v++) {
			reg_set(d, VIRTIO_MMIO_STATUS, v * 0x01010101);
			reg_set(d, VIRTIO_MMIO_QUEUE_NOTIFY, 0);
		}
		(void)works_again(d, "not live");
		result(vdev_works(d), "%s is live", vdev_name(d));
		for (uint32_t v = 1; v < 256; v++)
			reg_set(d, VIRTIO_MMIO_STATUS, v);
		(void)works_again(d, "live");
	}
}

CASE(status_failed, "all", "exit", "the driver gives up, and comes back")
{
	for_each_vdev(d)
	{
		result(vdev_works(d), "%s is live", vdev_name(d));
		reg_set(d, VIRTIO_MMIO_STATUS, DRIVER_OK_ALL | VIRTIO_CONFIG_S_FAILED);
		vq_kick(&d->q[0]);
		(void)works_again(d, "");
	}
}

CASE(status_at_once, "all", "exit", "DRIVER_OK as the first word, without features")
{
	for_each_vdev(d)
	{
		(void)vdev_reset(d);
		for (unsigned int i = 0; i < d->n_queues; i++)
			vq_make(d, i, VQ_SIZE, true);
		reg_set(d, VIRTIO_MMIO_STATUS, VIRTIO_CONFIG_S_DRIVER_OK);
		for (unsigned int i = 0; i < d->n_queues; i++)
			vq_go(&d->q[i]);
		(void)works_again(d, "");
	}
}

CASE(status_needs_reset, "all", "exit", "the driver itself writes NEEDS_RESET")
{
	for_each_vdev(d)
	{
		result(vdev_works(d), "%s is live", vdev_name(d));
		reg_set(d, VIRTIO_MMIO_STATUS, DRIVER_OK_ALL | NEEDS_RESET);
		vq_kick(&d->q[0]);
		(void)works_again(d, "");
	}
}

CASE(no_queues, "all", "exit", "DRIVER_OK without a single queue")
{
	for_each_vdev(d)
	{
		result(vdev_begin(d, PLAIN), "%s agrees", vdev_name(d));
		reg_set(d, VIRTIO_MMIO_STATUS, DRIVER_OK_ALL);
		for (unsigned int i = 0; i < QUEUE_TOP; i++)
			reg_set(d, VIRTIO_MMIO_QUEUE_NOTIFY, i);
		(void)works_again(d, "");
	}
}

CASE(some_queues, "all", "exit", "DRIVER_OK with all queues but one")
{
	for_each_vdev(d) for (unsigned int missing = 0; missing < d->n_queues && missing < 8;
			      missing++)
	{
		void *mark = take_mark();
		(void)vdev_begin(d, PLAIN);
		for (unsigned int i = 0; i < d->n_queues; i++)
			vq_make(d, i, VQ_SIZE, i != missing);
		reg_set(d, VIRTIO_MMIO_STATUS, DRIVER_OK_ALL);
		for (unsigned int i = 0; i < d->n_queues; i++)
			vq_kick(&d->q[i]);
		vdev_provoke(d);
		(void)works_again(d, "");
		take_release(mark);
	}
}

/* -------------------------------------------------------------------- queues */

CASE(queue_select, "all", "exit", "queues that do not exist")
{
	static const uint32_t bad[] = { 34,     35,     63,     64,      255,        256,
					0x7fff, 0x8000, 0xffff, 0x10000, 0x7fffffff, 0xffffffff };
	for_each_vdev(d)
	{
		bool good = vdev_begin(d, PLAIN);
		for (unsigned int i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
			vq_program(d, bad[i], 16, 0x1000000, 0x1001000, 0x1002000);
			good = good && !reg(d, VIRTIO_MMIO_QUEUE_NUM_MAX) &&
			       !reg(d, VIRTIO_MMIO_QUEUE_READY);
			reg_set(d, VIRTIO_MMIO_QUEUE_NOTIFY, bad[i]);
		}
		result(good, "%s knows none of them", vdev_name(d));
		(void)works_again(d, "");
	}
}

CASE(notify_junk, "all", "exit", "notifications at all widths and of all values")
{
	for_each_vdev(d)
	{
		result(vdev_works(d), "%s is live", vdev_name(d));
		for (uint64_t v = 0; v < 80; v++)
			for (unsigned int w = 0; w < WIDTHS; w++)
				mmio_write(d->base + VIRTIO_MMIO_QUEUE_NOTIFY, v * 0x01000001,
					   widths[w]);
		mmio_write(d->base + VIRTIO_MMIO_QUEUE_NOTIFY - 2, ~0ULL, 8);
		mmio_write(d->base + VIRTIO_MMIO_QUEUE_NOTIFY + 1, ~0ULL, 4);
		(void)works_again(d, "");
	}
}

CASE(notify_early, "all", "exit", "notifications of a device that is not live")
{
	for_each_vdev(d)
	{
		(void)vdev_reset(d);
		for (unsigned int i = 0; i < QUEUE_TOP; i++)
			reg_set(d, VIRTIO_MMIO_QUEUE_NOTIFY, i);
		(void)vdev_begin(d, PLAIN);
		for (unsigned int i = 0; i < d->n_queues; i++)
			vq_make(d, i, VQ_SIZE, true);
		for (unsigned int i = 0; i < QUEUE_TOP; i++)
			reg_set(d, VIRTIO_MMIO_QUEUE_NOTIFY, i);
		result(!(status(d) & NEEDS_RESET), "%s takes it calmly", vdev_name(d));
		(void)works_again(d, "");
	}
}

CASE(notify_flood, "all limit=120", "exit", "20000 kicks of empty queues")
{
	for_each_vdev(d)
	{
		result(vdev_works(d), "%s is live", vdev_name(d));
		for (unsigned int i = 0; i < 20000 / d->n_queues; i++)
			for (unsigned int j = 0; j < d->n_queues; j++)
				vq_kick(&d->q[j]);
		result(status(d) == DRIVER_OK_ALL, "%s stays live", vdev_name(d));
		(void)works_again(d, "");
	}
}

CASE(ack_junk, "all", "exit", "interrupts acknowledged that never were")
{
	for_each_vdev(d)
	{
		result(vdev_works(d), "%s is live", vdev_name(d));
		for (unsigned int i = 0; i < 32; i++)
			reg_set(d, VIRTIO_MMIO_INTERRUPT_ACK, 1U << i);
		reg_set(d, VIRTIO_MMIO_INTERRUPT_ACK, 0xffffffff);
		result(!reg(d, VIRTIO_MMIO_INTERRUPT_STATUS), "%s has none left", vdev_name(d));
		(void)works_again(d, "");
	}
}

/* After DRIVER_OK the rings are where they were (CVE-2026-5747). */
static void move_rings(struct vdev *d, uint32_t size, uint64_t to)
{
	for (unsigned int i = 0; i < d->n_queues; i++) {
		vq_program(d, i, size, to, to + 0x10000, to + 0x20000);
		reg_set(d, VIRTIO_MMIO_QUEUE_READY, 1);
	}
}

CASE(frozen, "all", "exit", "rings moved after DRIVER_OK stay where they were")
{
	for_each_vdev(d)
	{
		static const uint32_t sizes[] = { 0, 3, 16, 1024, 0xffff };
		for (unsigned int i = 0; i < 5; i++) {
			void *mark = take_mark();
			volatile uint64_t *other = take(0x30000, 4096);
			result(vdev_start(d, PLAIN), "%s is live", vdev_name(d));
			move_rings(d, sizes[i], (uint64_t)other);
			vdev_provoke(d);
			for (unsigned int j = 0; j < d->n_queues; j++)
				vq_kick(&d->q[j]);
			wait_ms(1);
			result(!other[0] && !other[0x10000 / 8] && !other[0x20000 / 8],
			       "%s wrote nothing elsewhere", vdev_name(d));
			(void)works_again(d, "");
			take_release(mark);
		}
	}
}

CASE(ready_again, "all", "exit", "QueueReady to and fro on a live device")
{
	static const uint32_t values[] = { 0, 1, 2, 0xffffffff, 0, 1 };
	for_each_vdev(d)
	{
		result(vdev_works(d), "%s is live", vdev_name(d));
		for (unsigned int i = 0; i < 6 * d->n_queues; i++) {
			reg_set(d, VIRTIO_MMIO_QUEUE_SEL, i / 6);
			reg_set(d, VIRTIO_MMIO_QUEUE_READY, values[i % 6]);
			reg_set(d, QUEUE_RESET, values[i % 6]);
			reg_set(d, VIRTIO_MMIO_QUEUE_NOTIFY, i / 6);
		}
		(void)works_again(d, "");
	}
}

/* ------------------------------------------------------------- configuration */

CASE(config_overrun, "all", "exit", "configuration read and written beyond its end")
{
	for_each_vdev(d)
	{
		result(vdev_works(d), "%s is live", vdev_name(d));
		for (unsigned int at = 0x100; at < 0x300; at++)
			for (unsigned int w = 0; w < WIDTHS; w++)
				(void)mmio_read(d->base + at, widths[w]);
		result(status(d) == DRIVER_OK_ALL, "%s reads calmly", vdev_name(d));
		/* No device has that much: nothing of the host's may show there. */
		uint64_t leaked = 0;
		for (unsigned int at = 0x200; at < 0x1000 - 8; at += 8) {
			uint64_t v = mmio_read(d->base + at, 8);
			leaked |= v == ~0ULL ? 0 : v;
		}
		result(!leaked, "%s shows nothing behind its end", vdev_name(d));
		for (unsigned int at = 0x100; at < 0x300; at += 3)
			for (unsigned int w = 0; w < WIDTHS; w++)
				mmio_write(d->base + at, ~0ULL, widths[w]);
		(void)works_again(d, "");
	}
}

/* ------------------------------------------------------------------- resets */

CASE(reset_flood, "all limit=120", "exit", "a device is brought up and reset 100 times")
{
	for_each_vdev(d)
	{
		bool good = true;
		for (unsigned int i = 0; good && i < 100; i++) {
			void *mark = take_mark();
			good = vdev_start(d, PLAIN);
			vdev_provoke(d);
			take_release(mark);
		}
		result(good, "%s came up each time", vdev_name(d));
		(void)works_again(d, "");
	}
}

CASE(reset_only, "all", "exit", "3000 resets of nothing")
{
	for_each_vdev(d)
	{
		for (unsigned int i = 0; i < 3000; i++)
			reg_set(d, VIRTIO_MMIO_STATUS, 0);
		(void)works_again(d, "");
	}
}

/* What does not exist is all ones. */
CASE(windows_without_device, "all", "exit", "windows in which there is no device")
{
	for (unsigned int i = vdev_count(); i < VDEV_MAX + 2; i++) {
		uint64_t at = 0xd0000000ULL + i * 0x1000ULL;
		bool good = true;
		for (unsigned int w = 0; w < WIDTHS; w++) {
			mmio_write(at + 0x70, ~0ULL, widths[w]);
			good = good && mmio_read(at, widths[w]) == ~0ULL >> (64 - 8 * widths[w]);
		}
		result(good, "window %u is empty", i);
	}
}

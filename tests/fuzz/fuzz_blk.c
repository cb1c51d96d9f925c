/* SPDX-License-Identifier: Apache-2.0 */
/* fuzz_blk - requests to a disk of 128 sectors: whatever a driver asks, it gets an
 * answer or NEEDS_RESET, and the file keeps its size.
 *
 * Input: how the disk is made, features of the driver, then requests: header (16
 * bytes), a byte with the number of readable (low half) and writable buffers, two
 * bytes of length for each, and a byte that fills their memory. */
#include "rig.h"

#include "isola/json.h"

#include <linux/virtio_blk.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define DISK_BYTES (128 * 512)
#define HEADER     0x20000ULL
#define DATA       0x40000ULL
#define DATA_STEP  0x10000ULL
#define BUFS_MAX   30

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

extern const struct device_type device_blk;

struct input {
	const uint8_t *data;
	size_t size;
};

static void check(bool good)
{
	if (!good)
		abort();
}

static bool take(struct input *in, void *out, size_t size)
{
	if (in->size < size)
		return false;
	memcpy(out, in->data, size);
	in->data += size;
	in->size -= size;
	return true;
}

static struct device *make(struct rig *rig, int fd, uint8_t how)
{
	static const char *const caches[] = { "writeback", "writethrough", "writeback", "unsafe" };
	struct err err = ERR_INIT;
	struct device *dev = NULL;
	char text[256];
	(void)snprintf(
		text, sizeof(text),
		"{\"id\":\"vda\",\"source\":{\"path\":\"/proc/self/fd/%d\"},\"engine\":\"sync\","
		"\"readonly\":%s,\"discard\":%s,\"cache\":\"%s\"}",
		fd, how & 1 ? "true" : "false", how & 2 ? "false" : "true", caches[how >> 2 & 3]);
	cleanup_json json_object *conf = json_tokener_parse(text);
	check(device_blk.check(conf, &err) == 0);
	check(device_blk.make(&rig->vm, conf, &dev, &err) == 0);
	return dev;
}

/* Queues one request; its buffers, so that the status can be looked at. */
static bool put_request(struct input *in, struct guestq *g, struct guestbuf *bufs, unsigned int *n,
			unsigned int *n_out)
{
	uint8_t header[16], counts, byte;
	if (!take(in, header, sizeof(header)) || !take(in, &counts, 1) || !take(in, &byte, 1))
		return false;
	*n_out = counts & 15;
	*n = *n_out + (counts >> 4);
	if (*n == 0 || *n > BUFS_MAX)
		return false;
	rig_put(g->rig, HEADER, header, sizeof(header));
	for (unsigned int i = 0; i < *n; i++) {
		uint16_t len;
		uint8_t fill[64];
		if (!take(in, &len, sizeof(len)))
			return false;
		memset(fill, byte, sizeof(fill));
		bufs[i] = (struct guestbuf){ DATA + DATA_STEP * i, len };
		rig_put(g->rig, bufs[i].gpa, fill, sizeof(fill));
		/* segments of a discard are more than one byte's worth */
		size_t some = in->size < 32 ? in->size : 32;
		rig_put(g->rig, bufs[i].gpa, in->data, some);
	}
	if (*n_out > 0 && bufs[0].len >= 16)
		bufs[0].gpa = HEADER;
	guestq_add(g, bufs, *n_out, *n - *n_out);
	return true;
}

static void serve(struct rig *rig, struct input *in, struct guestq *g, uint64_t features)
{
	struct guestbuf bufs[BUFS_MAX];
	unsigned int n, n_out;
	uint32_t id, len;
	for (int i = 0; i < 64 && put_request(in, g, bufs, &n, &n_out); i++) {
		uint64_t sum = 0;
		for (unsigned int b = n_out; b < n; b++)
			sum += bufs[b].len;
		rig_kick(rig, 0, 0);
		if (guestq_used(g, &id, &len)) {
			check(len <= sum);
			continue;
		}
		check(rig_read(rig, 0, VIRTIO_MMIO_STATUS) & VIRTIO_CONFIG_S_NEEDS_RESET);
		(void)guestq_init(g, rig, 0x1000, 64);
		check(!(rig_start(rig, 0, features, g, 1) & VIRTIO_CONFIG_S_NEEDS_RESET));
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input in = { data, size };
	struct rig rig;
	struct guestq g;
	struct stat st;
	uint8_t how, wants;
	if (!take(&in, &how, 1) || !take(&in, &wants, 1))
		return 0;
	int fd = memfd_create("disk", MFD_CLOEXEC);
	check(fd >= 0 && ftruncate(fd, DISK_BYTES) == 0);
	rig_init(&rig, 0);
	struct device *dev = make(&rig, fd, how);
	(void)guestq_init(&g, &rig, 0x1000, 64);
	rig_write(&rig, 0, VIRTIO_MMIO_DEVICE_FEATURES_SEL, 0);
	uint64_t offered = rig_read(&rig, 0, VIRTIO_MMIO_DEVICE_FEATURES), features = 0;
	static const uint8_t bits[] = { VIRTIO_BLK_F_FLUSH, VIRTIO_BLK_F_CONFIG_WCE,
					VIRTIO_BLK_F_DISCARD, VIRTIO_BLK_F_WRITE_ZEROES };
	for (size_t i = 0; i < sizeof(bits); i++)
		if (wants >> i & 1)
			features |= offered & 1ULL << bits[i];
	(void)rig_start(&rig, 0, features, &g, 1);
	serve(&rig, &in, &g, features);
	device_blk.free(dev);
	rig_fini(&rig);
	check(fstat(fd, &st) == 0 && st.st_size == DISK_BYTES);
	(void)close(fd);
	return 0;
}

/* SPDX-License-Identifier: Apache-2.0 */
/* test_dev_pmem - an image as memory of the guest: shared, read-only, whole sections. */
#include "rig.h"

#include "isola/fd.h"
#include "isola/json.h"

#include <errno.h>
#include <linux/virtio_pmem.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define READY                                                                                      \
	(VIRTIO_CONFIG_S_ACKNOWLEDGE | VIRTIO_CONFIG_S_DRIVER | VIRTIO_CONFIG_S_FEATURES_OK |      \
	 VIRTIO_CONFIG_S_DRIVER_OK)
#define SECTION (2u << 20)
#define BYTES   (SECTION + 5000) /* more than a section, no whole page */
#define REQ     0x100000ULL
#define RESP    0x101000ULL

extern const struct device_type device_pmem, device_blk;

struct fixture {
	struct rig rig;
	struct device *dev;
	struct guestq g;
	int fd;
};

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));
	assert_non_null(f);
	rig_init(&f->rig, 0);
	(void)guestq_init(&f->g, &f->rig, 0x10000, 64);
	f->fd = memfd_create("image", MFD_CLOEXEC);
	assert_true(f->fd >= 0);
	assert_int_equal(ftruncate(f->fd, BYTES), 0);
	assert_int_equal(pwrite(f->fd, "first", 5, 0), 5);
	assert_int_equal(pwrite(f->fd, "last", 4, BYTES - 4), 4);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;
	device_pmem.free(f->dev);
	rig_fini(&f->rig);
	fd_close(&f->fd);
	free(f);
	return 0;
}

static int make_as(struct fixture *f, const struct device_type *type, const char *more,
		   struct device **ret, struct err *err)
{
	char text[256];
	(void)snprintf(text, sizeof(text),
		       "{\"id\":\"pmem0\",\"source\":{\"path\":\"/proc/self/fd/%d\"}%s}", f->fd,
		       more);
	cleanup_json json_object *o = json_tokener_parse(text);
	int rc = type->check(o, err);
	return rc < 0 ? rc : type->make(&f->rig.vm, o, ret, err);
}

static void start(struct fixture *f)
{
	struct err err = ERR_INIT;
	if (make_as(f, &device_pmem, "", &f->dev, &err) < 0)
		fail_msg("%s", err.text);
	assert_int_equal(rig_start(&f->rig, 0, 0, &f->g, 1), READY);
}

static gpa_t where(struct fixture *f, uint64_t *ret_size)
{
	uint32_t word[4];
	for (uint32_t i = 0; i < 4; i++)
		word[i] = rig_read(&f->rig, 0, VIRTIO_MMIO_CONFIG + 4 * i);
	*ret_size = word[2] | (uint64_t)word[3] << 32;
	return word[0] | (uint64_t)word[1] << 32;
}

static void check__wants_a_read_only_image(void **state)
{
	struct fixture *f = *state;
	struct err err = ERR_INIT;
	struct device *dev;
	assert_int_equal(make_as(f, &device_pmem, ",\"readonly\":false", &dev, &err), -EINVAL);
	assert_non_null(strstr(err.text, "read-only"));
	assert_int_equal(make_as(f, &device_pmem, ",\"cache\":\"x\"", &dev, &err), -EINVAL);
	assert_non_null(strstr(err.text, "cache"));
	assert_int_equal(ftruncate(f->fd, 0), 0);
	assert_int_equal(make_as(f, &device_pmem, "", &dev, &err), -EINVAL);
}

static void region__shows_the_file_and_zeroes(void **state)
{
	struct fixture *f = *state;
	uint64_t size;
	char buf[8];
	start(f);
	gpa_t at = where(f, &size);
	assert_int_equal(size, 2 * SECTION);
	assert_int_equal(at % SECTION, 0);
	assert_true(at >= memory_low_end(f->rig.vm.memory));
	rig_get(&f->rig, at, buf, 5);
	assert_memory_equal(buf, "first", 5);
	rig_get(&f->rig, at + BYTES - 4, buf, 8);
	assert_memory_equal(buf, "last\0\0\0\0", 8);
	rig_get(&f->rig, at + size - 8, buf, 8);
	assert_memory_equal(buf, "\0\0\0\0\0\0\0\0", 8);
	assert_int_equal(memory_read(f->rig.vm.memory, at + size, buf, 1), -EFAULT);
	/* shared: what changes in the file is seen */
	assert_int_equal(pwrite(f->fd, "FIRST", 5, 0), 5);
	rig_get(&f->rig, at, buf, 5);
	assert_memory_equal(buf, "FIRST", 5);
}

static void region__cannot_be_written(void **state)
{
	struct fixture *f = *state;
	uint64_t size;
	start(f);
	gpa_t at = where(f, &size);
	assert_int_equal(memory_write(f->rig.vm.memory, at, "x", 1), -EFAULT);
	/* nor as the answer's place of a request */
	const struct guestbuf bufs[] = { { REQ, 4 }, { at, 4 } };
	guestq_add(&f->g, bufs, 1, 1);
	rig_kick(&f->rig, 0, 0);
	assert_int_equal(rig_read(&f->rig, 0, VIRTIO_MMIO_STATUS),
			 READY | VIRTIO_CONFIG_S_NEEDS_RESET);
	char buf[5];
	assert_int_equal(pread(f->fd, buf, 5, 0), 5);
	assert_memory_equal(buf, "first", 5);
}

static void requests__flush_and_nothing_else(void **state)
{
	struct fixture *f = *state;
	static const uint32_t types[] = { 0, 1, UINT32_MAX }, want[] = { 0, 1, 1 };
	const struct guestbuf bufs[] = { { REQ, 4 }, { RESP, 4 } };
	uint32_t id, len, ret;
	start(f);
	for (int i = 0; i < 3; i++) {
		rig_put(&f->rig, REQ, &types[i], 4);
		guestq_add(&f->g, bufs, 1, 1);
		rig_kick(&f->rig, 0, 0);
		assert_true(guestq_used(&f->g, &id, &len));
		assert_int_equal(len, 4);
		rig_get(&f->rig, RESP, &ret, 4);
		assert_int_equal(ret, want[i]);
	}
}

static void requests__that_are_short_need_reset(void **state)
{
	struct fixture *f = *state;
	static const struct guestbuf bufs[][2] = { { { REQ, 3 }, { RESP, 4 } },
						   { { REQ, 4 }, { RESP, 3 } } };
	start(f);
	for (int i = 0; i < 2; i++) {
		(void)guestq_init(&f->g, &f->rig, 0x10000, 64);
		assert_int_equal(rig_start(&f->rig, 0, 0, &f->g, 1), READY);
		guestq_add(&f->g, bufs[i], 1, 1);
		rig_kick(&f->rig, 0, 0);
		assert_int_equal(rig_read(&f->rig, 0, VIRTIO_MMIO_STATUS),
				 READY | VIRTIO_CONFIG_S_NEEDS_RESET);
	}
}

static void lock__keeps_writers_away(void **state)
{
	struct fixture *f = *state;
	struct err err = ERR_INIT;
	struct device *dev;
	start(f);
	assert_int_equal(make_as(f, &device_blk, "", &dev, &err), -EBUSY);
	assert_int_equal(make_as(f, &device_pmem, "", &dev, &err), 0); /* one more reader */
	device_pmem.free(dev);
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	static const struct CMUnitTest tests[] = {
		T(check__wants_a_read_only_image),      T(region__shows_the_file_and_zeroes),
		T(region__cannot_be_written),           T(requests__flush_and_nothing_else),
		T(requests__that_are_short_need_reset), T(lock__keeps_writers_away),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

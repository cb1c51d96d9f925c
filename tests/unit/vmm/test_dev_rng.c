/* SPDX-License-Identifier: Apache-2.0 */
/* test_dev_rng - randomness on demand, no more than the rate allows. */
#include "rig.h"

#include "isola/json.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define READY                                                                                      \
	(VIRTIO_CONFIG_S_ACKNOWLEDGE | VIRTIO_CONFIG_S_DRIVER | VIRTIO_CONFIG_S_FEATURES_OK |      \
	 VIRTIO_CONFIG_S_DRIVER_OK)
#define DATA 0x100000ULL

extern const struct device_type device_rng;

struct fixture {
	struct rig rig;
	struct device *dev;
	struct guestq g;
};

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));
	assert_non_null(f);
	rig_init(&f->rig, 0);
	(void)guestq_init(&f->g, &f->rig, 0x10000, 64);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;
	device_rng.free(f->dev);
	rig_fini(&f->rig);
	free(f);
	return 0;
}

static void start(struct fixture *f, const char *conf)
{
	struct err err = ERR_INIT;
	cleanup_json json_object *o = conf ? json_tokener_parse(conf) : NULL;
	assert_int_equal(device_rng.check(o, &err), 0);
	assert_int_equal(device_rng.make(&f->rig.vm, o, &f->dev, &err), 0);
	assert_int_equal(rig_start(&f->rig, 0, 0, &f->g, 1), READY);
}

static void ask(struct fixture *f, gpa_t gpa, uint32_t len)
{
	const struct guestbuf buf = { gpa, len };
	guestq_add(&f->g, &buf, 0, 1);
	rig_kick(&f->rig, 0, 0);
}

static void check__names_what_is_wrong(void **state)
{
	struct err err = ERR_INIT;
	(void)state;
	cleanup_json json_object *o = json_tokener_parse("{\"source\":1}");
	assert_int_equal(device_rng.check(o, &err), -EINVAL);
	assert_non_null(strstr(err.text, "source"));
	cleanup_json json_object *r = json_tokener_parse("{\"rate\":{\"ops\":{\"size\":1}}}");
	assert_int_equal(device_rng.check(r, &err), -EINVAL);
	assert_int_equal(device_rng.check(NULL, &err), 0);
}

static void requests__are_filled(void **state)
{
	struct fixture *f = *state;
	uint8_t a[64], b[64], zero[64] = { 0 };
	uint32_t id, len;
	start(f, NULL);
	ask(f, DATA, 64);
	assert_true(guestq_used(&f->g, &id, &len));
	assert_int_equal(len, 64);
	rig_get(&f->rig, DATA, a, 64);
	rig_get(&f->rig, DATA + 64, b, 64);
	assert_memory_not_equal(a, zero, 64);
	assert_memory_equal(b, zero, 64); /* not a byte more */
	ask(f, DATA, 64);
	rig_get(&f->rig, DATA, b, 64);
	assert_memory_not_equal(a, b, 64);
	assert_int_equal(rig_irqs(&f->rig, 0) > 0, 1);
}

static void requests__that_are_large_are_cut(void **state)
{
	struct fixture *f = *state;
	uint32_t id, len;
	start(f, "{\"rate\":{}}");
	ask(f, DATA, 1 << 20);
	assert_true(guestq_used(&f->g, &id, &len));
	assert_in_range(len, 1, 4096);
}

static void requests__without_room_need_reset(void **state)
{
	struct fixture *f = *state;
	const struct guestbuf readable = { DATA, 64 };
	start(f, NULL);
	guestq_add(&f->g, &readable, 1, 0);
	rig_kick(&f->rig, 0, 0);
	assert_int_equal(rig_read(&f->rig, 0, VIRTIO_MMIO_STATUS),
			 READY | VIRTIO_CONFIG_S_NEEDS_RESET);
	(void)guestq_init(&f->g, &f->rig, 0x10000, 64);
	assert_int_equal(rig_start(&f->rig, 0, 0, &f->g, 1), READY);
	uint32_t id, len;
	ask(f, DATA, 8);
	assert_true(guestq_used(&f->g, &id, &len));
}

static uint64_t drawn(struct fixture *f)
{
	cleanup_json json_object *o = device_rng.stats(f->dev);
	return (uint64_t)json_i64_or(o, "bytes", -1);
}

/* A guest that only draws gets the default rate, not the host's processor. */
static void rate__bounds_a_greedy_guest(void **state)
{
	struct fixture *f = *state;
	uint32_t id, len;
	start(f, NULL);
	for (int i = 0; i < 1000; i++) {
		ask(f, DATA, 4096);
		while (guestq_used(&f->g, &id, &len))
			;
		if ((uint16_t)(f->g.avail_idx - f->g.last_used) >= 60)
			break;
	}
	assert_in_range(drawn(f), 128 << 10, 256 << 10); /* what the bucket holds, about */
	/* and what waits is served when the time has come, or at the reset forgotten */
	rig_write(&f->rig, 0, VIRTIO_MMIO_STATUS, 0);
}

static bool has_used(void *arg)
{
	struct guestq *g = arg;
	return guestq_used_idx(g) != g->last_used;
}

static void rate__goes_on_in_time(void **state)
{
	struct fixture *f = *state;
	uint32_t id, len;
	start(f, "{\"rate\":{\"bandwidth\":{\"size\":64,\"refill_ms\":30}}}");
	ask(f, DATA, 64);
	assert_true(guestq_used(&f->g, &id, &len));
	ask(f, DATA, 64);
	rig_wait(&f->rig, has_used, &f->g, 10000);
	assert_true(guestq_used(&f->g, &id, &len));
	assert_int_equal(len, 64);
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(check__names_what_is_wrong),
		T(requests__are_filled),
		T(requests__that_are_large_are_cut),
		T(requests__without_room_need_reset),
		T(rate__bounds_a_greedy_guest),
		T(rate__goes_on_in_time),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

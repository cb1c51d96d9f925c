/* SPDX-License-Identifier: Apache-2.0 */
/* test_dev_balloon - inflation, reporting and statistics, right and wrong, seen in what
 * the guest's memory holds afterwards. */
#include "isola/fd.h"
#include "isola/json.h"

#include "rig.h"

#include <errno.h>
#include <linux/virtio_balloon.h>
#include <stdlib.h>
#include <string.h>

#define QUEUE 64
#define NEEDS VIRTIO_CONFIG_S_NEEDS_RESET
#define ALL                                                                                        \
	(1ULL << VIRTIO_BALLOON_F_STATS_VQ | 1ULL << VIRTIO_BALLOON_F_DEFLATE_ON_OOM |             \
	 1ULL << VIRTIO_BALLOON_F_REPORTING)
#define PFNS  0x200000
#define STATS 0x300000

extern const struct device_type device_balloon;

enum { INFLATE, DEFLATE, STATS_Q, REPORT };

struct fixture {
	struct rig rig;
	struct device *dev;
	struct guestq q[4];
};

static void make(struct fixture *f, const char *conf_text)
{
	struct err err = ERR_INIT;
	rig_init(&f->rig, 16ULL << 20);
	json_object *conf = conf_text ? json_tokener_parse(conf_text) : NULL;
	assert_int_equal(device_balloon.check(conf, &err), 0);
	assert_int_equal(device_balloon.make(&f->rig.vm, conf, &f->dev, &err), 0);
	json_object_put(conf);
}

static uint32_t start(struct fixture *f, uint64_t features, unsigned int n)
{
	gpa_t at = 0x10000;
	for (unsigned int i = 0; i < n; i++)
		at = guestq_init(&f->q[i], &f->rig, at, QUEUE);
	return rig_start(&f->rig, 0, features, f->q, n);
}

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));
	assert_non_null(f);
	make(f, NULL);
	assert_int_equal(start(f, ALL, 4) & NEEDS, 0);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;
	device_balloon.free(f->dev);
	rig_fini(&f->rig);
	free(f);
	return 0;
}

static int64_t stat_of(struct fixture *f, const char *name)
{
	json_object *o = device_balloon.stats(f->dev);
	int64_t n = json_i64_or(o, name, -1);
	json_object_put(o);
	return n;
}

static void fill(struct fixture *f, gpa_t gpa, size_t size, int byte)
{
	cleanup_free void *buf = malloc(size);
	memset(buf, byte, size);
	rig_put(&f->rig, gpa, buf, size);
}

static bool is_all(struct fixture *f, gpa_t gpa, size_t size, int byte)
{
	cleanup_free uint8_t *buf = malloc(size);
	rig_get(&f->rig, gpa, buf, size);
	for (size_t i = 0; i < size; i++)
		if (buf[i] != byte)
			return false;
	return true;
}

static void give(struct fixture *f, unsigned int queue, const uint32_t *pfns, unsigned int n)
{
	uint32_t id, len;
	const struct guestbuf buf = { PFNS, n * 4 };
	rig_put(&f->rig, PFNS, pfns, n * 4);
	uint16_t head = guestq_add(&f->q[queue], &buf, 1, 0);
	rig_kick(&f->rig, 0, queue);
	assert_true(guestq_used(&f->q[queue], &id, &len));
	assert_int_equal(id, head);
	assert_int_equal(len, 0);
}

static void target__is_set_live(void **state)
{
	struct fixture *f = *state;
	struct err err = ERR_INIT;
	uint32_t generation = rig_read(&f->rig, 0, VIRTIO_MMIO_CONFIG_GENERATION);
	assert_int_equal(rig_read(&f->rig, 0, VIRTIO_MMIO_CONFIG), 0);
	json_object *args = json_tokener_parse("{\"op\":\"balloon\",\"size\":4194304}");
	(void)rig_irqs(&f->rig, 0);
	assert_int_equal(device_balloon.update(f->dev, "balloon", args, &err), 0);
	json_object_put(args);
	assert_int_equal(rig_read(&f->rig, 0, VIRTIO_MMIO_CONFIG), 1024);
	assert_int_equal(rig_irqs(&f->rig, 0), 1);
	assert_int_not_equal(rig_read(&f->rig, 0, VIRTIO_MMIO_CONFIG_GENERATION), generation);
	static const char *const bad[] = { "{\"size\":16777217}", "{\"size\":-1}", "{}",
					   "{\"size\":\"1\"}" };
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		args = json_tokener_parse(bad[i]);
		assert_true(device_balloon.update(f->dev, "balloon", args, &err) < 0);
		json_object_put(args);
	}
	assert_int_equal(rig_read(&f->rig, 0, VIRTIO_MMIO_CONFIG), 1024);
}

static void inflate__gives_pages_back(void **state)
{
	struct fixture *f = *state;
	/* up, down, alone */
	const uint32_t pfns[] = { 0x400, 0x401, 0x402, 0x505, 0x504, 0x503, 0x600 };
	fill(f, 0x400000, 0x300000, 0xaa);
	give(f, INFLATE, pfns, 7);
	assert_true(is_all(f, 0x400000, 0x3000, 0));
	assert_true(is_all(f, 0x403000, 0x100000, 0xaa));
	assert_true(is_all(f, 0x503000, 0x3000, 0));
	assert_true(is_all(f, 0x600000, 0x1000, 0));
	assert_true(is_all(f, 0x601000, 0x1000, 0xaa));
	assert_int_equal(stat_of(f, "inflated"), 7 * 4096);
	give(f, DEFLATE, pfns, 7);
	assert_int_equal(stat_of(f, "deflated"), 7 * 4096);
}

static void inflate__pages_that_are_none_are_refused(void **state)
{
	struct fixture *f = *state;
	const uint32_t pfns[] = { 0x1000, UINT32_MAX, 0xfffffffe, 0x400, 0xd0000, 0x400 };
	fill(f, 0x400000, 0x1000, 0xaa);
	give(f, INFLATE, pfns, 6);
	assert_true(is_all(f, 0x400000, 0x1000, 0));
	assert_int_equal(stat_of(f, "refused_pages"), 4);
	assert_int_equal(rig_read(&f->rig, 0, VIRTIO_MMIO_STATUS) & NEEDS, 0);
}

static void inflate__lengths_are_bounded(void **state)
{
	static const struct {
		struct guestbuf bufs[2];
		unsigned int n_out, n_in;
	} bad[] = {
		{ { { PFNS, 3 } }, 1, 0 },
		{ { { PFNS, 16388 } }, 1, 0 },
		{ { { PFNS, 0xf00000 - 0x200000 } }, 1, 0 },
		{ { { PFNS, 4 } }, 0, 1 },
		{ { { PFNS, 4 }, { PFNS, 4 } }, 1, 1 },
	};
	struct fixture *f = *state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		for (unsigned int queue = INFLATE; queue <= DEFLATE; queue++) {
			assert_int_equal(start(f, ALL, 4) & NEEDS, 0);
			(void)guestq_add(&f->q[queue], bad[i].bufs, bad[i].n_out, bad[i].n_in);
			rig_kick(&f->rig, 0, queue);
			assert_int_equal(rig_read(&f->rig, 0, VIRTIO_MMIO_STATUS) & NEEDS, NEEDS);
		}
}

/* A busy queue leaves room for the others, and is finished all the same. */
static void inflate__more_than_one_turn(void **state)
{
	struct fixture *f = *state;
	const struct guestbuf buf = { PFNS, 4 };
	const uint32_t pfn = 0x400;
	rig_put(&f->rig, PFNS, &pfn, 4);
	for (unsigned int i = 0; i < QUEUE; i++)
		(void)guestq_add(&f->q[INFLATE], &buf, 1, 0);
	rig_kick(&f->rig, 0, INFLATE);
	rig_turn(&f->rig);
	assert_int_equal(guestq_used_idx(&f->q[INFLATE]), QUEUE);
}

static void report__frees_what_is_reported(void **state)
{
	struct fixture *f = *state;
	const struct guestbuf bufs[] = { { 0x400000, 0x200000 }, { 0x800000, 0x1000 } };
	uint32_t id, len;
	fill(f, 0x400000, 0x500000, 0xaa);
	(void)guestq_add(&f->q[REPORT], bufs, 0, 2);
	rig_kick(&f->rig, 0, REPORT);
	assert_true(guestq_used(&f->q[REPORT], &id, &len));
	assert_true(is_all(f, 0x400000, 0x200000, 0));
	assert_true(is_all(f, 0x600000, 0x200000, 0xaa));
	assert_true(is_all(f, 0x800000, 0x1000, 0));
	assert_int_equal(stat_of(f, "reported"), 0x201000);
	(void)guestq_add(&f->q[REPORT], bufs, 1, 1);
	rig_kick(&f->rig, 0, REPORT);
	assert_int_equal(rig_read(&f->rig, 0, VIRTIO_MMIO_STATUS) & NEEDS, NEEDS);
}

/* Linux numbers only the queues it negotiated: without statistics reporting is third. */
static void report__is_third_without_statistics(void **state)
{
	struct fixture *f = *state;
	const struct guestbuf buf = { 0x400000, 0x1000 };
	assert_int_equal(start(f, 1ULL << VIRTIO_BALLOON_F_REPORTING, 3) & NEEDS, 0);
	fill(f, 0x400000, 0x1000, 0xaa);
	(void)guestq_add(&f->q[2], &buf, 0, 1);
	rig_kick(&f->rig, 0, 2);
	assert_true(is_all(f, 0x400000, 0x1000, 0));
}

static void put_stat(struct fixture *f, unsigned int i, uint16_t tag, uint64_t value)
{
	rig_put(&f->rig, STATS + 10 * i, &tag, 2);
	rig_put(&f->rig, STATS + 10 * i + 2, &value, 8);
}

static int64_t guest_stat(struct fixture *f, const char *name)
{
	json_object *o = device_balloon.stats(f->dev);
	int64_t n = json_i64_or(json_get(o, "guest"), name, -1);
	json_object_put(o);
	return n;
}

static void statistics__asked_for_by_looking(void **state)
{
	struct fixture *f = *state;
	struct guestbuf buf = { STATS, 30 };
	uint32_t id, len;
	put_stat(f, 0, VIRTIO_BALLOON_S_MEMFREE, 12345);
	put_stat(f, 1, VIRTIO_BALLOON_S_MEMTOT, 99999);
	put_stat(f, 2, 0x7fff, 1); /* not known: passed over */
	(void)guestq_add(&f->q[STATS_Q], &buf, 1, 0);
	rig_kick(&f->rig, 0, STATS_Q);
	assert_false(guestq_used(&f->q[STATS_Q], &id, &len));
	assert_int_equal(guest_stat(f, "free"), 12345);
	assert_true(guestq_used(&f->q[STATS_Q], &id, &len));
	/* an odd length, far too long, empty */
	static const uint32_t sizes[] = { 29, 0x100000, 0, 1 };
	put_stat(f, 0, VIRTIO_BALLOON_S_MEMFREE, 54321);
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		buf.len = sizes[i];
		(void)guestq_add(&f->q[STATS_Q], &buf, 1, 0);
		rig_kick(&f->rig, 0, STATS_Q);
		assert_int_equal(guest_stat(f, "free"), 54321);
		assert_true(guestq_used(&f->q[STATS_Q], &id, &len));
	}
	/* two at once: the older comes back */
	(void)guestq_add(&f->q[STATS_Q], &buf, 1, 0);
	(void)guestq_add(&f->q[STATS_Q], &buf, 1, 0);
	rig_kick(&f->rig, 0, STATS_Q);
	assert_true(guestq_used(&f->q[STATS_Q], &id, &len));
	assert_false(guestq_used(&f->q[STATS_Q], &id, &len));
}

static bool has_used(void *arg)
{
	struct guestq *g = arg;
	return guestq_used_idx(g) != g->last_used;
}

static void statistics__asked_for_by_the_clock(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));
	const struct guestbuf buf = { STATS, 10 };
	uint32_t id, len;
	(void)state;
	make(f, "{\"size\":0,\"stats_ms\":20,\"reporting\":false}");
	assert_int_equal(start(f, 1ULL << VIRTIO_BALLOON_F_STATS_VQ, 3) & NEEDS, 0);
	for (int i = 0; i < 3; i++) {
		(void)guestq_add(&f->q[STATS_Q], &buf, 1, 0);
		rig_kick(&f->rig, 0, STATS_Q);
		rig_wait(&f->rig, has_used, &f->q[STATS_Q], 2000);
		assert_true(guestq_used(&f->q[STATS_Q], &id, &len));
	}
	device_balloon.free(f->dev);
	rig_fini(&f->rig);
	free(f);
}

static void actual__is_the_guests_word(void **state)
{
	struct fixture *f = *state;
	rig_write(&f->rig, 0, VIRTIO_MMIO_CONFIG + 4, 10);
	assert_int_equal(stat_of(f, "actual"), 40960);
	rig_write(&f->rig, 0, VIRTIO_MMIO_CONFIG + 4, UINT32_MAX);
	assert_int_equal(stat_of(f, "actual"), 16 << 20);
	/* the target is ours */
	rig_write(&f->rig, 0, VIRTIO_MMIO_CONFIG, 77);
	assert_int_equal(rig_read(&f->rig, 0, VIRTIO_MMIO_CONFIG), 0);
	rig_write(&f->rig, 0, VIRTIO_MMIO_CONFIG + 8, 77);
	assert_int_equal(rig_read(&f->rig, 0, VIRTIO_MMIO_CONFIG + 8), 0);
}

static void on_quiet(void *arg)
{
	*(bool *)arg = true;
}

static void pause__holds_requests_and_goes_on(void **state)
{
	struct fixture *f = *state;
	const struct guestbuf buf = { PFNS, 4 };
	const uint32_t pfn = 0x400;
	bool quiet = false;
	device_balloon.quiesce(f->dev, on_quiet, &quiet);
	assert_true(quiet);
	rig_put(&f->rig, PFNS, &pfn, 4);
	(void)guestq_add(&f->q[INFLATE], &buf, 1, 0);
	rig_kick(&f->rig, 0, INFLATE);
	assert_int_equal(guestq_used_idx(&f->q[INFLATE]), 0);
	device_balloon.resume(f->dev);
	assert_int_equal(guestq_used_idx(&f->q[INFLATE]), 1);
}

static void machine_file__names_what_is_wrong(void **state)
{
	static const struct {
		const char *conf, *word;
	} bad[] = {
		{ "{\"size\":-1}", "size" },
		{ "{\"stats_ms\":-5}", "stats_ms" },
		{ "{\"reporting\":1}", "reporting" },
		{ "{\"x\":1}", "x" },
		{ "true", "balloon" },
	};
	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct err err = ERR_INIT;
		json_object *conf = json_tokener_parse(bad[i].conf);
		assert_true(device_balloon.check(conf, &err) < 0);
		assert_non_null(strstr(err.text, bad[i].word));
		json_object_put(conf);
	}
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(target__is_set_live),
		CASE(inflate__gives_pages_back),
		CASE(inflate__pages_that_are_none_are_refused),
		CASE(inflate__lengths_are_bounded),
		CASE(inflate__more_than_one_turn),
		CASE(report__frees_what_is_reported),
		CASE(report__is_third_without_statistics),
		CASE(statistics__asked_for_by_looking),
		cmocka_unit_test(statistics__asked_for_by_the_clock),
		CASE(actual__is_the_guests_word),
		CASE(pause__holds_requests_and_goes_on),
		cmocka_unit_test(machine_file__names_what_is_wrong),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

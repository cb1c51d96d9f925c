/* SPDX-License-Identifier: Apache-2.0 */
/* test_dev_blk - a disk on a temporary file, asked by a driver: each request, each way
 * to ask wrongly, caches, limits, resize, pause and reset. */
#include "rig.h"

#include "isola/fd.h"
#include "isola/json.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/virtio_blk.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define SECTORS 2048
#define DISK    (SECTORS * 512)
#define HEADER  0x100000ULL
#define DATA    0x110000ULL
#define STATUS  0x101000ULL
#define READY                                                                                      \
	(VIRTIO_CONFIG_S_ACKNOWLEDGE | VIRTIO_CONFIG_S_DRIVER | VIRTIO_CONFIG_S_FEATURES_OK |      \
	 VIRTIO_CONFIG_S_DRIVER_OK)
#define BIT(n) (1ULL << (n))
#define ALL                                                                                        \
	(BIT(VIRTIO_BLK_F_FLUSH) | BIT(VIRTIO_BLK_F_CONFIG_WCE) | BIT(VIRTIO_BLK_F_DISCARD) |      \
	 BIT(VIRTIO_BLK_F_WRITE_ZEROES))

extern const struct device_type device_blk;

struct fixture {
	struct rig rig;
	struct device *dev;
	struct guestq g;
	char path[64];
	int fd; /* of the file, to look at it; no lock */
};

static json_object *conf_of(const struct fixture *f, const char *more)
{
	char text[512];
	(void)snprintf(text, sizeof(text), "{\"id\":\"vda\",\"source\":{\"path\":\"%s\"}%s%s}",
		       f->path, *more ? "," : "", more);
	json_object *o = json_tokener_parse(text);
	assert_non_null(o);
	return o;
}

static int make(struct fixture *f, const char *more, struct device **ret, struct err *err)
{
	cleanup_json json_object *o = conf_of(f, more);
	int rc = device_blk.check(o, err);
	return rc < 0 ? rc : device_blk.make(&f->rig.vm, o, ret, err);
}

static void make_disk(struct fixture *f, const char *more)
{
	struct err err = ERR_INIT;
	int rc = make(f, more, &f->dev, &err);
	if (rc < 0)
		fail_msg("%s", err.text);
}

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));
	assert_non_null(f);
	rig_init(&f->rig, 0);
	(void)snprintf(f->path, sizeof(f->path), "/var/tmp/test_dev_blk.XXXXXX");
	f->fd = mkostemp(f->path, O_CLOEXEC);
	assert_true(f->fd >= 0);
	assert_int_equal(ftruncate(f->fd, DISK), 0);
	(void)guestq_init(&f->g, &f->rig, 0x10000, 64);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;
	device_blk.free(f->dev);
	rig_fini(&f->rig);
	fd_close(&f->fd);
	(void)unlink(f->path);
	free(f);
	return 0;
}

static void start(struct fixture *f, const char *more, uint64_t features)
{
	make_disk(f, more);
	assert_int_equal(rig_start(&f->rig, 0, features, &f->g, 1), READY);
}

static bool has_used(void *arg)
{
	struct guestq *g = arg;
	return guestq_used_idx(g) != g->last_used;
}

/* Waits for the next used entry; its length. */
static uint32_t used(struct fixture *f)
{
	uint32_t id, len;
	rig_wait(&f->rig, has_used, &f->g, 10000);
	assert_true(guestq_used(&f->g, &id, &len));
	return len;
}

static uint8_t status(struct fixture *f)
{
	uint8_t s;
	rig_get(&f->rig, STATUS, &s, 1);
	return s;
}

static void put_header(struct fixture *f, uint32_t type, uint64_t sector)
{
	const struct virtio_blk_outhdr h = { .type = type, .sector = sector };
	rig_put(&f->rig, HEADER, &h, sizeof(h));
	rig_put(&f->rig, STATUS, "\xff", 1);
}

/* A request with @bytes of data at DATA. */
static void begin(struct fixture *f, uint32_t type, uint64_t sector, uint32_t bytes)
{
	bool in = type == VIRTIO_BLK_T_IN || type == VIRTIO_BLK_T_GET_ID;
	struct guestbuf bufs[3] = { { HEADER, sizeof(struct virtio_blk_outhdr) } };
	unsigned int n = 1;
	put_header(f, type, sector);
	if (bytes)
		bufs[n++] = (struct guestbuf){ DATA, bytes };
	bufs[n++] = (struct guestbuf){ STATUS, 1 };
	unsigned int n_in = in && bytes ? 2 : 1;
	guestq_add(&f->g, bufs, n - n_in, n_in);
	rig_kick(&f->rig, 0, 0);
}

static uint8_t ask(struct fixture *f, uint32_t type, uint64_t sector, uint32_t bytes)
{
	begin(f, type, sector, bytes);
	(void)used(f);
	return status(f);
}

static void fill(struct fixture *f, gpa_t gpa, int byte, size_t size)
{
	uint8_t buf[4096];
	memset(buf, byte, sizeof(buf));
	for (size_t at = 0; at < size; at += sizeof(buf))
		rig_put(&f->rig, gpa + at, buf, size - at < sizeof(buf) ? size - at : sizeof(buf));
}

static void assert_disk(struct fixture *f, off_t at, int byte, size_t size)
{
	for (size_t i = 0; i < size; i++) {
		uint8_t b;
		assert_int_equal(pread(f->fd, &b, 1, at + (off_t)i), 1);
		assert_int_equal(b, byte);
	}
}

static const struct virtq *queue(const struct fixture *f)
{
	return &((const struct virtio *)f->dev)->queues[0];
}

static void assert_needs_reset(struct fixture *f)
{
	rig_turn(&f->rig);
	assert_int_equal(rig_read(&f->rig, 0, VIRTIO_MMIO_STATUS),
			 READY | VIRTIO_CONFIG_S_NEEDS_RESET);
	assert_non_null(strstr(f->rig.warn, "vda"));
	(void)guestq_init(&f->g, &f->rig, 0x10000, 64);
	assert_int_equal(rig_start(&f->rig, 0, ALL, &f->g, 1), READY);
	assert_int_equal(ask(f, VIRTIO_BLK_T_IN, 0, 512), VIRTIO_BLK_S_OK);
}

/* ---- the machine file ---- */

static void check__names_what_is_wrong(void **state)
{
	static const struct {
		const char *more, *names;
	} bad[] = {
		{ "\"colour\":1", "colour" },
		{ "\"format\":\"qcow2\"", "qcow2" },
		{ "\"cache\":\"fast\"", "cache" },
		{ "\"engine\":\"aio\"", "engine" },
		{ "\"queues\":0", "queues" },
		{ "\"queues\":17", "queues" },
		{ "\"serial\":\"123456789012345678901\"", "serial" },
		{ "\"serial\":\"a b\"", "serial" },
		{ "\"readonly\":1", "readonly" },
		{ "\"rate\":{\"ops\":{\"size\":0,\"refill_ms\":1}}", "size" },
	};
	struct fixture *f = *state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct err err = ERR_INIT;
		struct device *dev;
		assert_int_equal(make(f, bad[i].more, &dev, &err), -EINVAL);
		assert_non_null(strstr(err.text, bad[i].names));
	}
	static const char *const missing[] = { "{\"id\":\"vda\"}", "{\"source\":{\"path\":\"/x\"}}",
					       "{}" };
	for (size_t i = 0; i < 3; i++) {
		struct err err = ERR_INIT;
		cleanup_json json_object *o = json_tokener_parse(missing[i]);
		assert_int_equal(device_blk.check(o, &err), -EINVAL);
		assert_non_null(strstr(err.text, "missing"));
	}
}

static void make__refuses_what_is_no_disk(void **state)
{
	struct fixture *f = *state;
	struct err err = ERR_INIT;
	struct device *dev;
	assert_int_equal(ftruncate(f->fd, 511), 0);
	assert_int_equal(make(f, "", &dev, &err), -EINVAL);
	assert_non_null(strstr(err.text, "sector"));
	(void)unlink(f->path);
	assert_int_equal(mkfifo(f->path, 0600), 0);
	assert_int_equal(make(f, "\"readonly\":true", &dev, &err), -EINVAL);
	assert_non_null(strstr(err.text, "regular file"));
	(void)unlink(f->path);
	assert_int_equal(make(f, "", &dev, &err), -ENOENT);
	assert_non_null(strstr(err.text, f->path));
}

static void lock__one_writer_or_many_readers(void **state)
{
	struct fixture *f = *state;
	struct err err = ERR_INIT;
	struct device *dev, *more[2];
	make_disk(f, "");
	assert_int_equal(make(f, "", &dev, &err), -EBUSY);
	assert_non_null(strstr(err.text, "in use"));
	assert_int_equal(make(f, "\"readonly\":true", &dev, &err), -EBUSY);
	device_blk.free(f->dev);
	f->dev = NULL;
	assert_int_equal(make(f, "\"readonly\":true", &more[0], &err), 0);
	assert_int_equal(make(f, "\"readonly\":true", &more[1], &err), 0);
	assert_int_equal(make(f, "", &dev, &err), -EBUSY);
	device_blk.free(more[0]);
	device_blk.free(more[1]);
}

/* ---- requests ---- */

static void requests__write_read_flush(void **state)
{
	struct fixture *f = *state;
	start(f, "", ALL);
	fill(f, DATA, 'x', 8192);
	assert_int_equal(ask(f, VIRTIO_BLK_T_OUT, 3, 8192), VIRTIO_BLK_S_OK);
	assert_disk(f, 3 * 512, 'x', 8192);
	assert_disk(f, 2 * 512, 0, 512);
	fill(f, DATA, 0, 8192);
	begin(f, VIRTIO_BLK_T_IN, 2, 1024);
	assert_int_equal(used(f), 1025);
	assert_int_equal(status(f), VIRTIO_BLK_S_OK);
	uint8_t buf[1024];
	rig_get(&f->rig, DATA, buf, sizeof(buf));
	assert_int_equal(buf[511], 0);
	assert_int_equal(buf[512], 'x');
	assert_int_equal(buf[1023], 'x');
	assert_int_equal(ask(f, VIRTIO_BLK_T_FLUSH, 0, 0), VIRTIO_BLK_S_OK);
	assert_int_equal(rig_irqs(&f->rig, 0) > 0, 1);
}

/* Headers, data and status in pieces of any size (2.7.4.3: no assumption). */
static void requests__may_be_framed_anyhow(void **state)
{
	struct fixture *f = *state;
	start(f, "", ALL);
	fill(f, DATA, 'y', 1024);
	put_header(f, VIRTIO_BLK_T_OUT, 1);
	const struct guestbuf out[] = { { HEADER, 3 },       { HEADER + 3, 13 }, { DATA, 7 },
					{ DATA + 100, 505 }, { DATA, 0 },        { STATUS, 1 } };
	guestq_add(&f->g, out, 5, 1);
	rig_kick(&f->rig, 0, 0);
	(void)used(f);
	assert_int_equal(status(f), VIRTIO_BLK_S_OK);
	assert_disk(f, 512, 'y', 512);
	assert_disk(f, 1024, 0, 512);
	/* header and data in one, data and status in one */
	const struct guestbuf in[] = { { HEADER, 16 }, { DATA, 513 } };
	put_header(f, VIRTIO_BLK_T_IN, 1);
	fill(f, DATA, 0xee, 1024);
	guestq_add(&f->g, in, 1, 1);
	rig_kick(&f->rig, 0, 0);
	assert_int_equal(used(f), 513);
	uint8_t buf[514];
	rig_get(&f->rig, DATA, buf, sizeof(buf));
	assert_int_equal(buf[511], 'y');
	assert_int_equal(buf[512], VIRTIO_BLK_S_OK);
	assert_int_equal(buf[513], 0xee);
}

static void requests__beyond_the_disk_fail(void **state)
{
	struct fixture *f = *state;
	static const uint64_t sectors[] = { SECTORS - 1,          SECTORS,        SECTORS + 1,
					    UINT64_MAX,           UINT64_MAX - 1, UINT64_MAX / 512,
					    UINT64_MAX / 512 + 1, 1ULL << 63,     1ULL << 55 };
	start(f, "", ALL);
	for (size_t i = 0; i < sizeof(sectors) / sizeof(sectors[0]); i++) {
		assert_int_equal(ask(f, VIRTIO_BLK_T_IN, sectors[i], 1024), VIRTIO_BLK_S_IOERR);
		assert_int_equal(ask(f, VIRTIO_BLK_T_OUT, sectors[i], 1024), VIRTIO_BLK_S_IOERR);
	}
	assert_int_equal(ask(f, VIRTIO_BLK_T_IN, SECTORS - 2, 1024), VIRTIO_BLK_S_OK);
	assert_int_equal(ask(f, VIRTIO_BLK_T_OUT, SECTORS - 2, 1024), VIRTIO_BLK_S_OK);
	struct stat st;
	assert_int_equal(fstat(f->fd, &st), 0);
	assert_int_equal(st.st_size, DISK);
}

static void requests__of_parts_of_sectors_fail(void **state)
{
	struct fixture *f = *state;
	start(f, "", ALL);
	static const uint32_t sizes[] = { 1, 511, 513, 1000 };
	for (int i = 0; i < 4; i++) {
		assert_int_equal(ask(f, VIRTIO_BLK_T_IN, 0, sizes[i]), VIRTIO_BLK_S_IOERR);
		assert_int_equal(ask(f, VIRTIO_BLK_T_OUT, 0, sizes[i]), VIRTIO_BLK_S_IOERR);
	}
	assert_int_equal(ask(f, VIRTIO_BLK_T_IN, 0, 0), VIRTIO_BLK_S_OK);
}

static void requests__of_unknown_type_are_unsupported(void **state)
{
	struct fixture *f = *state;
	static const uint32_t types[] = { 2,  3,  5,  7,  9,   10,         12,
					  14, 15, 16, 24, 255, 0x80000000, UINT32_MAX };
	start(f, "", ALL);
	for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++)
		assert_int_equal(ask(f, types[i], 0, 512), VIRTIO_BLK_S_UNSUPP);
}

static void requests__without_header_need_reset(void **state)
{
	struct fixture *f = *state;
	const struct guestbuf bufs[] = { { HEADER, 15 }, { STATUS, 1 } };
	start(f, "", ALL);
	put_header(f, VIRTIO_BLK_T_IN, 0);
	guestq_add(&f->g, bufs, 1, 1);
	rig_kick(&f->rig, 0, 0);
	assert_needs_reset(f);
}

static void requests__without_status_need_reset(void **state)
{
	struct fixture *f = *state;
	const struct guestbuf bufs[] = { { HEADER, 16 }, { DATA, 512 } };
	start(f, "", ALL);
	put_header(f, VIRTIO_BLK_T_OUT, 0);
	guestq_add(&f->g, bufs, 2, 0);
	rig_kick(&f->rig, 0, 0);
	assert_needs_reset(f);
	assert_disk(f, 0, 0, 512);
}

static void requests__in_broken_rings_need_reset(void **state)
{
	struct fixture *f = *state;
	start(f, "", ALL);
	guestq_set_avail_idx(&f->g, 65);
	rig_kick(&f->rig, 0, 0);
	assert_needs_reset(f);
	guestq_desc(&f->g, 0, HEADER, 16, VRING_DESC_F_NEXT, 0);
	guestq_avail(&f->g, 0);
	rig_kick(&f->rig, 0, 0);
	assert_needs_reset(f);
	const struct guestbuf bufs[] = { { HEADER, 16 }, { DATA, UINT32_MAX }, { STATUS, 1 } };
	guestq_add(&f->g, bufs, 1, 2);
	rig_kick(&f->rig, 0, 0);
	assert_needs_reset(f);
}

static void many__complete_in_one_go(void **state)
{
	struct fixture *f = *state;
	struct guestq big;
	make_disk(f, "");
	(void)guestq_init(&big, &f->rig, 0x20000, 256);
	assert_int_equal(rig_start(&f->rig, 0, BIT(VIRTIO_RING_F_EVENT_IDX), &big, 1), READY);
	f->g = big;
	put_header(f, VIRTIO_BLK_T_IN, 0);
	const struct guestbuf bufs[] = { { HEADER, 16 }, { DATA, 4096 }, { STATUS, 1 } };
	for (int i = 0; i < 85; i++)
		guestq_add(&f->g, bufs, 1, 2);
	rig_kick(&f->rig, 0, 0);
	for (int i = 0; i < 85; i++)
		assert_int_equal(used(f), 4097);
	assert_int_equal(queue(f)->in_flight, 0);
	assert_int_equal(guestq_avail_event(&f->g), 85);
}

static void get_id__gives_the_serial(void **state)
{
	struct fixture *f = *state;
	char id[21] = "";
	start(f, "\"serial\":\"12345678901234567890\"", ALL);
	fill(f, DATA, 0xee, 32);
	assert_int_equal(ask(f, VIRTIO_BLK_T_GET_ID, 0, 20), VIRTIO_BLK_S_OK);
	rig_get(&f->rig, DATA, id, 20);
	assert_string_equal(id, "12345678901234567890");
	fill(f, DATA, 0xee, 32);
	assert_int_equal(ask(f, VIRTIO_BLK_T_GET_ID, 0, 4), VIRTIO_BLK_S_OK);
	rig_get(&f->rig, DATA, id, 5);
	assert_memory_equal(id, "1234\xee", 5);
	assert_int_equal(ask(f, VIRTIO_BLK_T_GET_ID, 0, 0), VIRTIO_BLK_S_OK);
}

static void readonly__refuses_to_write(void **state)
{
	struct fixture *f = *state;
	start(f, "\"readonly\":true", BIT(VIRTIO_BLK_F_RO));
	fill(f, DATA, 'x', 512);
	assert_int_equal(ask(f, VIRTIO_BLK_T_OUT, 0, 512), VIRTIO_BLK_S_IOERR);
	assert_int_equal(ask(f, VIRTIO_BLK_T_DISCARD, 0, 16), VIRTIO_BLK_S_UNSUPP);
	assert_int_equal(ask(f, VIRTIO_BLK_T_WRITE_ZEROES, 0, 16), VIRTIO_BLK_S_UNSUPP);
	assert_int_equal(ask(f, VIRTIO_BLK_T_IN, 0, 512), VIRTIO_BLK_S_OK);
	assert_disk(f, 0, 0, 512);
	rig_write(&f->rig, 0, VIRTIO_MMIO_DEVICE_FEATURES_SEL, 0);
	uint32_t offered = rig_read(&f->rig, 0, VIRTIO_MMIO_DEVICE_FEATURES);
	assert_int_equal(offered & (uint32_t)ALL, 0);
}

/* ---- discard, zeroes ---- */

static uint8_t ask_segments(struct fixture *f, uint32_t type,
			    const struct virtio_blk_discard_write_zeroes *segs, unsigned int n)
{
	rig_put(&f->rig, DATA, segs, sizeof(*segs) * n);
	return ask(f, type, 0, (uint32_t)sizeof(*segs) * n);
}

static void soil(struct fixture *f)
{
	uint8_t buf[4096];
	memset(buf, 'z', sizeof(buf));
	for (off_t at = 0; at < DISK; at += (off_t)sizeof(buf))
		assert_int_equal(pwrite(f->fd, buf, sizeof(buf), at), sizeof(buf));
}

static off_t blocks(const struct fixture *f)
{
	struct stat st;
	assert_int_equal(fstat(f->fd, &st), 0);
	return st.st_blocks;
}

static void discard__gives_space_back(void **state)
{
	struct fixture *f = *state;
	const struct virtio_blk_discard_write_zeroes segs[] = { { 8, 8, 0 }, { 1024, 1024, 0 } };
	start(f, "", ALL);
	soil(f);
	off_t before = blocks(f);
	assert_int_equal(ask_segments(f, VIRTIO_BLK_T_DISCARD, segs, 2), VIRTIO_BLK_S_OK);
	assert_disk(f, 8 * 512, 0, 8 * 512);
	assert_disk(f, 16 * 512, 'z', 512);
	assert_disk(f, 1024 * 512, 0, 4096);
	assert_true(blocks(f) < before);
}

static void zeroes__keep_or_give_space(void **state)
{
	struct fixture *f = *state;
	const struct virtio_blk_discard_write_zeroes keep = { 1, 3, 0 }, give = { 1024, 1024, 1 };
	start(f, "", ALL);
	soil(f);
	off_t before = blocks(f);
	assert_int_equal(ask_segments(f, VIRTIO_BLK_T_WRITE_ZEROES, &keep, 1), VIRTIO_BLK_S_OK);
	assert_disk(f, 0, 'z', 512);
	assert_disk(f, 512, 0, 3 * 512);
	assert_disk(f, 4 * 512, 'z', 512);
	assert_true(blocks(f) >= before);
	assert_int_equal(ask_segments(f, VIRTIO_BLK_T_WRITE_ZEROES, &give, 1), VIRTIO_BLK_S_OK);
	assert_disk(f, 1024 * 512, 0, 4096);
	assert_true(blocks(f) < before);
}

static void discard__off_keeps_space(void **state)
{
	struct fixture *f = *state;
	const struct virtio_blk_discard_write_zeroes seg = { 1024, 1024, 1 };
	start(f, "\"discard\":false", BIT(VIRTIO_BLK_F_WRITE_ZEROES));
	soil(f);
	off_t before = blocks(f);
	assert_int_equal(ask_segments(f, VIRTIO_BLK_T_WRITE_ZEROES, &seg, 1), VIRTIO_BLK_S_OK);
	assert_disk(f, 1024 * 512, 0, 4096);
	assert_true(blocks(f) >= before);
	assert_int_equal(ask_segments(f, VIRTIO_BLK_T_DISCARD, &seg, 1), VIRTIO_BLK_S_UNSUPP);
}

/* A file system without ZERO_RANGE (tmpfs): they are written, however many. */
static void zeroes__are_written_if_need_be(void **state)
{
	struct fixture *f = *state;
	(void)unlink(f->path);
	fd_close(&f->fd);
	(void)snprintf(f->path, sizeof(f->path), "/dev/shm/test_dev_blk.XXXXXX");
	f->fd = mkostemp(f->path, O_CLOEXEC);
	if (f->fd < 0)
		skip(); /* no tmpfs at /dev/shm */
	enum { SIZE = 10 << 20 };
	assert_int_equal(ftruncate(f->fd, SIZE), 0);
	uint8_t *all = malloc(SIZE);
	assert_non_null(all);
	memset(all, 'z', SIZE);
	assert_int_equal(pwrite(f->fd, all, SIZE, 0), SIZE);
	start(f, "", ALL);
	const struct virtio_blk_discard_write_zeroes segs[] = { { 1, SIZE / 512 - 3, 0 },
								{ SIZE / 512 - 1, 1, 0 } };
	assert_int_equal(ask_segments(f, VIRTIO_BLK_T_WRITE_ZEROES, segs, 2), VIRTIO_BLK_S_OK);
	assert_int_equal(pread(f->fd, all, SIZE, 0), SIZE);
	for (size_t i = 0; i < SIZE; i++) {
		size_t sector = i / 512;
		bool kept = sector == 0 || sector == SIZE / 512 - 2;
		if (all[i] != (kept ? 'z' : 0))
			fail_msg("byte %zu is %#x", i, all[i]);
	}
	free(all);
}

static void segments__are_judged_before_any_is_done(void **state)
{
	struct fixture *f = *state;
	static const struct {
		struct virtio_blk_discard_write_zeroes seg;
		uint8_t discard, zeroes;
	} bad[] = {
		{ { SECTORS, 1, 0 }, VIRTIO_BLK_S_IOERR, VIRTIO_BLK_S_IOERR },
		{ { SECTORS - 1, 2, 0 }, VIRTIO_BLK_S_IOERR, VIRTIO_BLK_S_IOERR },
		{ { UINT64_MAX, 1, 0 }, VIRTIO_BLK_S_IOERR, VIRTIO_BLK_S_IOERR },
		{ { UINT64_MAX, UINT32_MAX, 0 }, VIRTIO_BLK_S_IOERR, VIRTIO_BLK_S_IOERR },
		{ { 0, 0, 0 }, VIRTIO_BLK_S_IOERR, VIRTIO_BLK_S_IOERR },
		{ { 0, UINT32_MAX, 0 }, VIRTIO_BLK_S_IOERR, VIRTIO_BLK_S_IOERR },
		{ { 0, 8, 2 }, VIRTIO_BLK_S_UNSUPP, VIRTIO_BLK_S_UNSUPP },
		{ { 0, 8, UINT32_MAX }, VIRTIO_BLK_S_UNSUPP, VIRTIO_BLK_S_UNSUPP },
	};
	start(f, "", ALL);
	soil(f);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		const struct virtio_blk_discard_write_zeroes segs[] = { { 0, 8, 0 }, bad[i].seg };
		assert_int_equal(ask_segments(f, VIRTIO_BLK_T_DISCARD, segs, 2), bad[i].discard);
		assert_int_equal(ask_segments(f, VIRTIO_BLK_T_WRITE_ZEROES, segs, 2),
				 bad[i].zeroes);
	}
	/* unmap has no meaning for discard (5.2.6.2) */
	const struct virtio_blk_discard_write_zeroes unmap = { 0, 8, 1 };
	assert_int_equal(ask_segments(f, VIRTIO_BLK_T_DISCARD, &unmap, 1), VIRTIO_BLK_S_UNSUPP);
	static const uint32_t sizes[] = { 0, 1, 15, 17, 31, 33 * 16, 4096 };
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++)
		assert_int_equal(ask(f, VIRTIO_BLK_T_DISCARD, 0, sizes[i]), VIRTIO_BLK_S_IOERR);
	assert_disk(f, 0, 'z', 8 * 512);
}

/* ---- caches ---- */

static uint8_t config_wce(struct fixture *f)
{
	uint8_t wce = 0xff;
	bus_read(f->rig.vm.bus, BUS_MMIO,
		 f->rig.windows[0] + VIRTIO_MMIO_CONFIG + offsetof(struct virtio_blk_config, wce),
		 &wce, 1);
	return wce;
}

static void cache__wce_is_the_drivers_to_set(void **state)
{
	struct fixture *f = *state;
	start(f, "", ALL);
	assert_int_equal(config_wce(f), 1);
	uint64_t at =
		f->rig.windows[0] + VIRTIO_MMIO_CONFIG + offsetof(struct virtio_blk_config, wce);
	bus_write(f->rig.vm.bus, BUS_MMIO, at, "\0", 1);
	assert_int_equal(config_wce(f), 0);
	assert_int_equal(ask(f, VIRTIO_BLK_T_OUT, 0, 512), VIRTIO_BLK_S_OK); /* RWF_DSYNC */
	const struct virtio_blk_discard_write_zeroes seg = { 0, 8, 0 };
	assert_int_equal(ask_segments(f, VIRTIO_BLK_T_WRITE_ZEROES, &seg, 1), VIRTIO_BLK_S_OK);
	/* the rest of the configuration is not */
	bus_write(f->rig.vm.bus, BUS_MMIO, f->rig.windows[0] + VIRTIO_MMIO_CONFIG, "\1", 1);
	assert_int_equal(rig_read(&f->rig, 0, VIRTIO_MMIO_CONFIG), SECTORS);
	rig_write(&f->rig, 0, VIRTIO_MMIO_STATUS, 0);
	assert_int_equal(config_wce(f), 1);
}

static void cache__writethrough_has_no_flush(void **state)
{
	struct fixture *f = *state;
	make_disk(f, "\"cache\":\"writethrough\"");
	rig_write(&f->rig, 0, VIRTIO_MMIO_DEVICE_FEATURES_SEL, 0);
	uint32_t offered = rig_read(&f->rig, 0, VIRTIO_MMIO_DEVICE_FEATURES);
	assert_int_equal(offered & (1u << VIRTIO_BLK_F_FLUSH | 1u << VIRTIO_BLK_F_CONFIG_WCE), 0);
	assert_int_equal(rig_start(&f->rig, 0, BIT(VIRTIO_BLK_F_WRITE_ZEROES), &f->g, 1), READY);
	fill(f, DATA, 'w', 512);
	assert_int_equal(ask(f, VIRTIO_BLK_T_OUT, 5, 512), VIRTIO_BLK_S_OK);
	assert_disk(f, 5 * 512, 'w', 512);
	assert_int_equal(ask(f, VIRTIO_BLK_T_FLUSH, 0, 0), VIRTIO_BLK_S_UNSUPP);
}

static void cache__unsafe_answers_flush_at_once(void **state)
{
	struct fixture *f = *state;
	start(f, "\"cache\":\"unsafe\"", ALL);
	assert_int_equal(ask(f, VIRTIO_BLK_T_FLUSH, 0, 0), VIRTIO_BLK_S_OK);
}

static void cache__none_takes_any_alignment(void **state)
{
	struct fixture *f = *state;
	struct err err = ERR_INIT;
	int rc = make(f, "\"cache\":\"none\"", &f->dev, &err);
	if (rc < 0 && strstr(err.text, "O_DIRECT"))
		skip(); /* a file system without it under /var/tmp */
	assert_int_equal(rc, 0);
	assert_int_equal(rig_start(&f->rig, 0, ALL, &f->g, 1), READY);
	fill(f, DATA, 'a', 8192);
	assert_int_equal(ask(f, VIRTIO_BLK_T_OUT, 8, 4096), VIRTIO_BLK_S_OK);
	assert_disk(f, 8 * 512, 'a', 4096);
	/* one sector from an odd address: by the page cache, and both views agree */
	fill(f, DATA, 'b', 8192);
	const struct guestbuf odd[] = { { HEADER, 16 }, { DATA + 3, 512 }, { STATUS, 1 } };
	put_header(f, VIRTIO_BLK_T_OUT, 9);
	guestq_add(&f->g, odd, 2, 1);
	rig_kick(&f->rig, 0, 0);
	(void)used(f);
	assert_int_equal(status(f), VIRTIO_BLK_S_OK);
	assert_int_equal(ask(f, VIRTIO_BLK_T_FLUSH, 0, 0), VIRTIO_BLK_S_OK);
	assert_int_equal(ask(f, VIRTIO_BLK_T_IN, 8, 4096), VIRTIO_BLK_S_OK);
	uint8_t buf[4096];
	rig_get(&f->rig, DATA, buf, sizeof(buf));
	assert_int_equal(buf[511], 'a');
	assert_int_equal(buf[512], 'b');
	assert_int_equal(buf[1023], 'b');
	assert_int_equal(buf[1024], 'a');
}

static void engine__sync_does_the_same(void **state)
{
	struct fixture *f = *state;
	start(f, "\"engine\":\"sync\"", ALL);
	fill(f, DATA, 's', 4096);
	assert_int_equal(ask(f, VIRTIO_BLK_T_OUT, 0, 4096), VIRTIO_BLK_S_OK);
	assert_int_equal(ask(f, VIRTIO_BLK_T_FLUSH, 0, 0), VIRTIO_BLK_S_OK);
	assert_disk(f, 0, 's', 4096);
	cleanup_json json_object *o = device_blk.stats(f->dev);
	assert_string_equal(json_str_or(o, "engine", ""), "sync");
}

/* ---- while it runs ---- */

static void host_errors__are_ioerr_and_a_warning(void **state)
{
	struct fixture *f = *state;
	start(f, "", ALL);
	assert_int_equal(ftruncate(f->fd, 512), 0); /* behind our back */
	assert_int_equal(ask(f, VIRTIO_BLK_T_IN, 100, 512), VIRTIO_BLK_S_IOERR);
	assert_non_null(strstr(f->rig.warn, "vda"));
	assert_non_null(strstr(f->rig.warn, "read"));
	assert_int_equal(ask(f, VIRTIO_BLK_T_IN, 0, 512), VIRTIO_BLK_S_OK);
}

static int update(struct fixture *f, const char *text, struct err *err)
{
	cleanup_json json_object *o = json_tokener_parse(text);
	return device_blk.update(f->dev, "disk", o, err);
}

static void resize__tells_the_driver(void **state)
{
	struct fixture *f = *state;
	struct err err = ERR_INIT;
	start(f, "", ALL);
	(void)rig_irqs(&f->rig, 0);
	uint32_t generation = rig_read(&f->rig, 0, VIRTIO_MMIO_CONFIG_GENERATION);
	assert_int_equal(update(f, "{\"id\":\"vda\",\"resize\":true}", &err), 0);
	assert_int_equal(rig_irqs(&f->rig, 0), 0); /* nothing new */
	assert_int_equal(ftruncate(f->fd, 2 * DISK), 0);
	assert_int_equal(ask(f, VIRTIO_BLK_T_IN, SECTORS, 512), VIRTIO_BLK_S_IOERR);
	(void)rig_irqs(&f->rig, 0);
	assert_int_equal(update(f, "{\"id\":\"vda\",\"resize\":true}", &err), 0);
	assert_int_equal(rig_irqs(&f->rig, 0), 1);
	assert_int_equal(rig_read(&f->rig, 0, VIRTIO_MMIO_CONFIG_GENERATION), generation + 1);
	assert_int_equal(rig_read(&f->rig, 0, VIRTIO_MMIO_CONFIG), 2 * SECTORS);
	assert_int_equal(ask(f, VIRTIO_BLK_T_IN, SECTORS, 512), VIRTIO_BLK_S_OK);
	assert_int_equal(ftruncate(f->fd, DISK), 0);
	assert_int_equal(update(f, "{\"resize\":true}", &err), 0);
	assert_int_equal(ask(f, VIRTIO_BLK_T_IN, SECTORS, 512), VIRTIO_BLK_S_IOERR);
}

static void update__refuses_nonsense(void **state)
{
	struct fixture *f = *state;
	struct err err = ERR_INIT;
	start(f, "", ALL);
	assert_int_equal(update(f, "{\"resize\":7}", &err), -EINVAL);
	assert_int_equal(update(f, "{\"rate\":{\"ops\":{\"size\":1}}}", &err), -EINVAL);
	assert_int_equal(device_blk.update(f->dev, "net", NULL, &err), -EINVAL);
}

static void rate__holds_requests_back(void **state)
{
	struct fixture *f = *state;
	struct err err = ERR_INIT;
	start(f, "\"rate\":{\"ops\":{\"size\":2,\"refill_ms\":3600000}}", ALL);
	for (int i = 0; i < 3; i++)
		begin(f, VIRTIO_BLK_T_IN, 0, 512);
	(void)used(f);
	(void)used(f);
	rig_turn(&f->rig);
	assert_false(has_used(&f->g));
	assert_int_equal(queue(f)->in_flight, 0); /* it waits in the ring */
	assert_int_equal(update(f, "{\"rate\":{}}", &err), 0);
	assert_int_equal(used(f), 513);
}

static void rate__of_bytes_goes_on_in_time(void **state)
{
	struct fixture *f = *state;
	start(f, "\"rate\":{\"bandwidth\":{\"size\":4096,\"refill_ms\":20}}", ALL);
	for (int i = 0; i < 5; i++)
		assert_int_equal(ask(f, VIRTIO_BLK_T_IN, 0, 4096), VIRTIO_BLK_S_OK);
	cleanup_json json_object *o = device_blk.stats(f->dev);
	assert_true(json_i64_or(o, "throttled", 0) > 0);
	json_object *q = json_object_array_get_idx(json_get(o, "queues"), 0);
	assert_int_equal(json_i64_or(q, "reads", 0), 5);
	assert_int_equal(json_i64_or(q, "read_bytes", 0), 5 * 4096);
}

static void on_rest(void *arg)
{
	(*(int *)arg)++;
}

static void quiesce__waits_for_what_is_under_way(void **state)
{
	struct fixture *f = *state;
	int rested = 0;
	start(f, "", ALL);
	for (int i = 0; i < 16; i++)
		begin(f, VIRTIO_BLK_T_FLUSH, 0, 0);
	device_blk.quiesce(f->dev, on_rest, &rested);
	for (int i = 0; i < 16; i++)
		(void)used(f);
	rig_turn(&f->rig);
	assert_int_equal(rested, 1);
	assert_int_equal(queue(f)->in_flight, 0);
	begin(f, VIRTIO_BLK_T_IN, 0, 512);
	assert_false(has_used(&f->g));
	device_blk.resume(f->dev);
	assert_int_equal(used(f), 513);
}

static void reset__drains_and_starts_anew(void **state)
{
	struct fixture *f = *state;
	start(f, "", ALL);
	for (int round = 0; round < 20; round++) {
		for (int i = 0; i < 16; i++)
			begin(f, i % 2 ? VIRTIO_BLK_T_FLUSH : VIRTIO_BLK_T_OUT, 0,
			      i % 2 ? 0 : 4096);
		rig_write(&f->rig, 0, VIRTIO_MMIO_STATUS, 0);
		cleanup_json json_object *o = device_blk.stats(f->dev);
		assert_int_equal(json_i64_or(o, "in_flight", -1), 0);
		(void)guestq_init(&f->g, &f->rig, 0x10000, 64);
		assert_int_equal(rig_start(&f->rig, 0, ALL, &f->g, 1), READY);
		assert_int_equal(ask(f, VIRTIO_BLK_T_IN, 0, 512), VIRTIO_BLK_S_OK);
	}
}

static void queues__serve_side_by_side(void **state)
{
	struct fixture *f = *state;
	struct guestq g[4];
	gpa_t at = 0x20000;
	make_disk(f, "\"queues\":4");
	for (int i = 0; i < 4; i++)
		at = guestq_init(&g[i], &f->rig, at, 64);
	assert_int_equal(rig_start(&f->rig, 0, ALL | BIT(VIRTIO_BLK_F_MQ), g, 4), READY);
	const struct guestbuf bufs[] = { { HEADER, 16 }, { DATA, 512 }, { STATUS, 1 } };
	put_header(f, VIRTIO_BLK_T_IN, 0);
	for (unsigned int i = 0; i < 4; i++) {
		guestq_add(&g[i], bufs, 1, 2);
		rig_kick(&f->rig, 0, i);
	}
	for (int i = 0; i < 4; i++) {
		f->g = g[i];
		assert_int_equal(used(f), 513);
	}
	uint16_t n;
	bus_read(f->rig.vm.bus, BUS_MMIO,
		 f->rig.windows[0] + VIRTIO_MMIO_CONFIG +
			 offsetof(struct virtio_blk_config, num_queues),
		 &n, sizeof(n));
	assert_int_equal(n, 4);
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	static const struct CMUnitTest tests[] = {
		T(check__names_what_is_wrong),
		T(make__refuses_what_is_no_disk),
		T(lock__one_writer_or_many_readers),
		T(requests__write_read_flush),
		T(requests__may_be_framed_anyhow),
		T(requests__beyond_the_disk_fail),
		T(requests__of_parts_of_sectors_fail),
		T(requests__of_unknown_type_are_unsupported),
		T(requests__without_header_need_reset),
		T(requests__without_status_need_reset),
		T(requests__in_broken_rings_need_reset),
		T(many__complete_in_one_go),
		T(get_id__gives_the_serial),
		T(readonly__refuses_to_write),
		T(discard__gives_space_back),
		T(zeroes__keep_or_give_space),
		T(discard__off_keeps_space),
		T(zeroes__are_written_if_need_be),
		T(segments__are_judged_before_any_is_done),
		T(cache__wce_is_the_drivers_to_set),
		T(cache__writethrough_has_no_flush),
		T(cache__unsafe_answers_flush_at_once),
		T(cache__none_takes_any_alignment),
		T(engine__sync_does_the_same),
		T(host_errors__are_ioerr_and_a_warning),
		T(resize__tells_the_driver),
		T(update__refuses_nonsense),
		T(rate__holds_requests_back),
		T(rate__of_bytes_goes_on_in_time),
		T(quiesce__waits_for_what_is_under_way),
		T(reset__drains_and_starts_anew),
		T(queues__serve_side_by_side),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

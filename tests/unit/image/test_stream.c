/* SPDX-License-Identifier: Apache-2.0 */
/* stream - members, frames, cut ends, trailing bytes, limits, digests. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "image/stream.h"
#include "isola/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include <zlib.h>
#include <zstd.h>

#define TEXT_BYTES 700000

struct buf {
	unsigned char data[2 * TEXT_BYTES];
	size_t size;
};

static char text[TEXT_BYTES];

static int setup(void **state)
{
	uint32_t x = 1;
	(void)state;
	for (size_t i = 0; i < sizeof(text); i++) {
		x = x * 1664525 + 1013904223;
		text[i] = (char)('a' + (x >> 28));
	}
	return 0;
}

static void add_deflated(struct buf *b, const char *p, size_t size, int level, int strategy,
			 gz_header *head)
{
	z_stream z = { 0 };
	assert_int_equal(deflateInit2(&z, level, Z_DEFLATED, 15 + 16, 8, strategy), Z_OK);
	if (head)
		assert_int_equal(deflateSetHeader(&z, head), Z_OK);
	z.next_in = (unsigned char *)p;
	z.avail_in = (unsigned int)size;
	z.next_out = b->data + b->size;
	z.avail_out = (unsigned int)(sizeof(b->data) - b->size);
	assert_int_equal(deflate(&z, Z_FINISH), Z_STREAM_END);
	b->size += z.total_out;
	(void)deflateEnd(&z);
}

static void add_gzip(struct buf *b, const char *p, size_t size)
{
	add_deflated(b, p, size, 6, Z_DEFAULT_STRATEGY, NULL);
}

static void add_headed(struct buf *b, const char *p, size_t size)
{
	unsigned char extra[] = "extra", name[] = "name", comment[] = "comment";
	gz_header head = { .text = 1,
			   .time = 7,
			   .extra = extra,
			   .extra_len = sizeof(extra),
			   .name = name,
			   .comment = comment,
			   .hcrc = 1 };
	add_deflated(b, p, size, 6, Z_DEFAULT_STRATEGY, &head);
}

static void add_zstd(struct buf *b, const char *p, size_t size)
{
	size_t n = ZSTD_compress(b->data + b->size, sizeof(b->data) - b->size, p, size, 1);
	assert_false(ZSTD_isError(n));
	b->size += n;
}

static void add_raw(struct buf *b, const void *p, size_t size)
{
	memcpy(b->data + b->size, p, size);
	b->size += size;
}

static int file_of(const void *data, size_t size)
{
	int fd = memfd_create("test", MFD_CLOEXEC);
	assert_true(fd >= 0);
	assert_int_equal(fd_write_all(fd, data, size), 0);
	assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
	return fd;
}

static size_t piece; /* 0, or no read gives more */

static ssize_t read_piece(void *arg, void *buf, size_t size, struct err *err)
{
	ssize_t n = read(*(int *)arg, buf, size < piece ? size : piece);
	return n < 0 ? err_sys(err, "cannot read") : n;
}

static ssize_t read_by(bool quick, const void *data, size_t size, uint64_t max, const char *want,
		       struct err *err)
{
	cleanup_fd int fd = file_of(data, size);
	const struct stream_options o = { .what = "it",
					  .quick = quick,
					  .hash_raw = true,
					  .hash_plain = true,
					  .plain_max = max,
					  .read = piece ? read_piece : NULL,
					  .arg = &fd };
	cleanup_stream struct stream *s = NULL;
	const unsigned char *p = NULL;
	size_t got = 0;
	ssize_t n;
	assert_int_equal(stream_new(fd, &o, &s, err), 0);
	while ((n = stream_next(s, &p, err)) > 0) {
		if (want)
			assert_memory_equal(p, want + got, (size_t)n);
		got += (size_t)n;
	}
	if (n < 0)
		return n;
	char raw[DIGEST_SIZE], plain[DIGEST_SIZE], expect[DIGEST_SIZE];
	assert_int_equal(stream_raw_digest(s, raw), 0);
	assert_int_equal(stream_plain_digest(s, plain), 0);
	assert_int_equal(digest_of(data, size, expect, NULL), 0);
	assert_string_equal(raw, expect);
	if (want) {
		assert_int_equal(digest_of(want, got, expect, NULL), 0);
		assert_string_equal(plain, expect);
	}
	assert_int_equal(stream_raw_bytes(s), size);
	assert_int_equal(stream_plain_bytes(s), got);
	assert_int_equal(stream_next(s, &p, err), 0); /* stays at the end */
	return (ssize_t)got;
}

/* Reads all, by either of gzip's decoders, which must agree; returns the size (checked
 * against @want's bytes) or the error. */
static ssize_t read_all(const void *data, size_t size, uint64_t max, const char *want,
			struct err *err)
{
	ssize_t n = read_by(true, data, size, max, want, err);
	*err = (struct err)ERR_INIT;
	assert_int_equal(read_by(false, data, size, max, want, err), n);
	return n;
}

static void stream_next__reads_each_format(void **state)
{
	(void)state;
	struct err err = ERR_INIT;
	static struct buf b;
	b.size = 0;
	assert_int_equal(read_all(text, sizeof(text), UINT64_MAX, text, &err), sizeof(text));
	add_gzip(&b, text, sizeof(text));
	assert_int_equal(read_all(b.data, b.size, UINT64_MAX, text, &err), sizeof(text));
	b.size = 0;
	add_zstd(&b, text, sizeof(text));
	assert_int_equal(read_all(b.data, b.size, UINT64_MAX, text, &err), sizeof(text));
	assert_int_equal(read_all("", 0, UINT64_MAX, NULL, &err), 0);
	assert_int_equal(read_all("x", 1, UINT64_MAX, "x", &err), 1);
}

static void stream_next__joins_members_and_frames(void **state)
{
	(void)state;
	struct err err = ERR_INIT;
	static struct buf b;
	b.size = 0;
	add_gzip(&b, text, 300000);
	add_gzip(&b, text, 0); /* an empty one, as in eStargz's end */
	add_gzip(&b, text + 300000, 1000);
	assert_int_equal(read_all(b.data, b.size, UINT64_MAX, text, &err), 301000);
	b.size = 0;
	add_raw(&b, "\x50\x2a\x4d\x18\x03\0\0\0abc", 11); /* skippable */
	add_zstd(&b, text, 300000);
	add_raw(&b, "\x5f\x2a\x4d\x18\0\0\0\0", 8);
	add_zstd(&b, text + 300000, 5);
	assert_int_equal(read_all(b.data, b.size, UINT64_MAX, text, &err), 300005);
}

/* A blob that still comes is read in any pieces; a header may have any of its fields. */
static void stream_next__takes_gzip_byte_by_byte(void **state)
{
	static struct buf b;
	struct err err = ERR_INIT;
	(void)state;
	b.size = 0;
	add_gzip(&b, text, 70000);
	add_headed(&b, text + 70000, 3);
	add_gzip(&b, text, 0);
	add_headed(&b, text + 70003, 40000);
	for (piece = 1; piece < 40; piece += piece < 12 ? 1 : 9)
		assert_int_equal(read_all(b.data, b.size, UINT64_MAX, text, &err), 110003);
	piece = 0;
}

/* Stored, fixed and run-length blocks, and those of every level. */
static void stream_next__reads_each_kind_of_block(void **state)
{
	static const int strategies[] = { Z_DEFAULT_STRATEGY, Z_FILTERED, Z_HUFFMAN_ONLY, Z_RLE,
					  Z_FIXED };
	static struct buf b;
	struct err err = ERR_INIT;
	(void)state;
	for (int level = 0; level <= 9; level++)
		for (size_t i = 0; i < sizeof(strategies) / sizeof(strategies[0]); i++) {
			b.size = 0;
			add_deflated(&b, text, 300000, level, strategies[i], NULL);
			assert_int_equal(read_all(b.data, b.size, UINT64_MAX, text, &err), 300000);
		}
}

static void stream_next__tells_a_cut_end(void **state)
{
	(void)state;
	static struct buf b;
	void (*const adders[])(struct buf *, const char *, size_t) = { add_gzip, add_zstd };
	for (size_t k = 0; k < 2; k++) {
		b.size = 0;
		adders[k](&b, text, 100000);
		for (size_t cut = 6; cut < b.size; cut += cut < 30 || cut + 30 > b.size ? 1 : 997) {
			for (int quick = 0; quick < 2; quick++) {
				struct err err = ERR_INIT;
				if (read_by(quick, b.data, cut, UINT64_MAX, text, &err) != -EINVAL)
					fail_msg("format %zu, cut at %zu of %zu", k, cut, b.size);
				assert_non_null(strstr(err.text, "cut off"));
			}
		}
	}
}

static void stream_next__refuses_trailing_bytes(void **state)
{
	(void)state;
	static struct buf b;
	void (*const adders[])(struct buf *, const char *, size_t) = { add_gzip, add_zstd };
	static const char *const tails[] = { "x", "\0\0\0\0\0\0\0\0", "\x1f\x8b",
					     "garbage garbage" };
	for (size_t k = 0; k < 2; k++)
		for (size_t i = 0; i < 4; i++) {
			struct err err = ERR_INIT;
			b.size = 0;
			adders[k](&b, text, 1000);
			add_raw(&b, tails[i], i == 1 ? 8 : strlen(tails[i]));
			assert_int_equal(read_all(b.data, b.size, UINT64_MAX, text, &err), -EINVAL);
		}
}

static void stream_next__tells_damage(void **state)
{
	(void)state;
	static struct buf b;
	struct err err = ERR_INIT;
	b.size = 0;
	add_gzip(&b, text, 100000);
	b.data[b.size - 6] ^= 1; /* the checksum */
	assert_int_equal(read_all(b.data, b.size, UINT64_MAX, NULL, &err), -EINVAL);
	b.size = 0;
	add_gzip(&b, text, 100000);
	b.data[b.size / 2] ^= 0xff;
	assert_int_equal(read_all(b.data, b.size, UINT64_MAX, NULL, &err), -EINVAL);
}

static void stream_next__stops_at_the_limit(void **state)
{
	(void)state;
	static struct buf b;
	static char zeros[500000];
	struct err err = ERR_INIT;
	b.size = 0;
	add_gzip(&b, zeros, sizeof(zeros));
	assert_true(b.size < 1000);
	assert_int_equal(read_all(b.data, b.size, sizeof(zeros), zeros, &err), sizeof(zeros));
	assert_int_equal(read_all(b.data, b.size, sizeof(zeros) - 1, zeros, &err), -EFBIG);
	assert_non_null(strstr(err.text, "--max-bytes"));
	assert_int_equal(read_all(zeros, sizeof(zeros), 1000, zeros, &err), -EFBIG);
}

static void stream_next__names_unsupported_formats(void **state)
{
	(void)state;
	struct err err = ERR_INIT;
	assert_int_equal(read_all("\xfd"
				  "7zXZ\0....",
				  10, UINT64_MAX, NULL, &err),
			 -EINVAL);
	assert_non_null(strstr(err.text, "xz"));
	assert_int_equal(read_all("BZh91AY", 7, UINT64_MAX, NULL, &err), -EINVAL);
	assert_non_null(strstr(err.text, "bzip2"));
}

/* A window of 2^31 would take 2 GiB of memory for a frame of a few bytes. */
static void stream_next__bounds_the_zstd_window(void **state)
{
	(void)state;
	struct err err = ERR_INIT;
	static const char frame[] = "\x28\xb5\x2f\xfd\x00\xa8\x01\x00\x00";
	assert_int_equal(read_all(frame, 9, UINT64_MAX, NULL, &err), -EINVAL);
	assert_non_null(strstr(err.text, "memory"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(stream_next__reads_each_format),
		cmocka_unit_test(stream_next__joins_members_and_frames),
		cmocka_unit_test(stream_next__takes_gzip_byte_by_byte),
		cmocka_unit_test(stream_next__reads_each_kind_of_block),
		cmocka_unit_test(stream_next__tells_a_cut_end),
		cmocka_unit_test(stream_next__refuses_trailing_bytes),
		cmocka_unit_test(stream_next__tells_damage),
		cmocka_unit_test(stream_next__stops_at_the_limit),
		cmocka_unit_test(stream_next__names_unsupported_formats),
		cmocka_unit_test(stream_next__bounds_the_zstd_window),
	};
	return cmocka_run_group_tests_name("stream", tests, setup, NULL);
}

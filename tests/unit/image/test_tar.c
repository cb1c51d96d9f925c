/* SPDX-License-Identifier: Apache-2.0 */
/* tar - headers of all dialects, sparse maps, and archives that lie. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "image/stream.h"
#include "isola/fd.h"
#include "isola/tar.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

/* ---- making archives ---- */

static struct {
	unsigned char data[4 * 1024 * 1024];
	size_t size;
} ar;

static void put_sum(unsigned char *h)
{
	unsigned int sum = 0;
	memset(h + 148, ' ', 8);
	for (int i = 0; i < 512; i++)
		sum += h[i];
	(void)snprintf((char *)h + 148, 8, "%06o", sum);
}

/* Adds a header and returns it, to be changed (then put_sum()). */
static unsigned char *header(const char *name, char type, uint64_t size)
{
	unsigned char *h = ar.data + ar.size;
	memset(h, 0, 512);
	memcpy(h, name, strnlen(name, 100));
	memcpy(h + 100,
	       "0000644\0"
	       "0000012\0"
	       "0000024",
	       23);
	(void)snprintf((char *)h + 124, 12, "%011llo", (unsigned long long)size);
	memcpy(h + 136, "00000000144", 11);
	h[156] = (unsigned char)type;
	memcpy(h + 257, "ustar\00000", 8);
	put_sum(h);
	ar.size += 512;
	return h;
}

static void body(const void *data, size_t size)
{
	memset(ar.data + ar.size, 0, (size + 511) / 512 * 512);
	memcpy(ar.data + ar.size, data, size);
	ar.size += (size + 511) / 512 * 512;
}

static void pax(const char *records, size_t size)
{
	(void)header("PaxHeader", 'x', size);
	body(records, size);
}

#define PAX(text) pax(text, sizeof(text) - 1)

/* Records "key=value", their lengths worked out; for those that are to be right. */
static void pax_records(const char *const *pairs)
{
	static char buf[16384];
	size_t at = 0;
	for (; *pairs; pairs++) {
		size_t n = strlen(*pairs) + 2, len = n + 1;
		while (len != n + (size_t)snprintf(NULL, 0, "%zu", len))
			len = n + (size_t)snprintf(NULL, 0, "%zu", len);
		at += (size_t)snprintf(buf + at, sizeof(buf) - at, "%zu %s\n", len, *pairs);
	}
	pax(buf, at);
}

#define RECORDS(...) pax_records((const char *const[]){ __VA_ARGS__, NULL })

static void pax_record(const char *key, const char *value)
{
	char pair[8192];
	(void)snprintf(pair, sizeof(pair), "%s=%s", key, value);
	RECORDS(pair);
}

static void end(void)
{
	memset(ar.data + ar.size, 0, 1024);
	ar.size += 1024;
}

/* ---- reading them ---- */

struct reading {
	int fd;
	struct stream *stream;
	struct tar *tar;
	const struct tar_entry *e;
	struct err err;
};

static void open_archive(struct reading *r)
{
	static const struct stream_options o = { .what = "it", .plain_max = UINT64_MAX };
	memset(r, 0, sizeof(*r));
	r->fd = memfd_create("test", MFD_CLOEXEC);
	assert_int_equal(fd_write_all(r->fd, ar.data, ar.size), 0);
	(void)lseek(r->fd, 0, SEEK_SET);
	assert_int_equal(stream_new(r->fd, &o, &r->stream, NULL), 0);
	assert_int_equal(tar_new(stream_read, r->stream, &r->tar, NULL), 0);
}

static void close_archive(struct reading *r)
{
	tar_free(r->tar);
	stream_free(r->stream);
	fd_close(&r->fd);
	ar.size = 0;
}

static int next(struct reading *r)
{
	return tar_next(r->tar, &r->e, &r->err);
}

static void expect(struct reading *r)
{
	if (next(r) != 1)
		fail_msg("no entry: %s", r->err.text);
}

static void expect_end(struct reading *r)
{
	int rc = next(r);
	if (rc != 0)
		fail_msg("%d instead of the end: %s", rc, r->err.text);
}

/* The present file's content, holes as '.'; its length. */
static size_t content(struct reading *r, char *ret, size_t size)
{
	const unsigned char *p = NULL;
	size_t n = 0;
	uint64_t at = 0;
	int rc;
	assert_true(r->e->size <= size);
	memset(ret, '.', (size_t)r->e->size);
	while ((rc = tar_data(r->tar, &p, &n, &at, &r->err)) > 0) {
		assert_true(at + n <= r->e->size);
		memcpy(ret + at, p, n);
	}
	assert_int_equal(rc, 0);
	return (size_t)r->e->size;
}

/* ---- cases ---- */

static void tar_next__reads_ustar(void **state)
{
	(void)state;
	struct reading r;
	char buf[16];
	unsigned char *h = header("file", '0', 5);
	body("hello", 5);
	(void)header("dir/", '5', 0);
	h = header("name", '0', 0);
	memcpy(h + 345, "some/prefix", 11);
	put_sum(h);
	h = header("link", '2', 0);
	memcpy(h + 157, "target", 6);
	put_sum(h);
	h = header("null", '3', 0);
	memcpy(h + 329, "0000001", 7);
	memcpy(h + 337, "0000003", 7);
	put_sum(h);
	(void)header("old/", '\0', 0);
	(void)header("slash/", '0', 0);
	end();
	open_archive(&r);
	expect(&r);
	assert_string_equal(r.e->path, "file");
	assert_int_equal(r.e->kind, TAR_FILE);
	assert_int_equal(r.e->mode, 0644);
	assert_int_equal(r.e->uid, 10);
	assert_int_equal(r.e->gid, 20);
	assert_int_equal(r.e->mtime_s, 100);
	assert_int_equal(content(&r, buf, sizeof(buf)), 5);
	assert_memory_equal(buf, "hello", 5);
	expect(&r);
	assert_int_equal(r.e->kind, TAR_DIR);
	expect(&r);
	assert_string_equal(r.e->path, "some/prefix/name");
	expect(&r);
	assert_int_equal(r.e->kind, TAR_SYMLINK);
	assert_string_equal(r.e->link, "target");
	expect(&r);
	assert_int_equal(r.e->kind, TAR_CHAR);
	assert_int_equal(r.e->major, 1);
	assert_int_equal(r.e->minor, 3);
	expect(&r);
	assert_int_equal(r.e->kind, TAR_DIR); /* before POSIX */
	expect(&r);
	assert_int_equal(r.e->kind, TAR_FILE); /* unpack refuses it */
	expect_end(&r);
	assert_true(tar_has_end_mark(r.tar));
	expect_end(&r);
	close_archive(&r);
}

static void tar_next__reads_gnu(void **state)
{
	(void)state;
	struct reading r;
	char name[300];
	memset(name, 'n', sizeof(name));
	name[299] = '\0';
	(void)header("././@LongLink", 'L', sizeof(name));
	body(name, sizeof(name));
	(void)header("././@LongLink", 'K', 5);
	body("long", 5);
	unsigned char *h = header("short", '2', 0);
	memcpy(h + 257, "ustar  ", 8);
	memcpy(h + 345, "no prefix in GNU", 16);      /* times live here */
	memcpy(h + 108, "\x80\0\0\0\x80\0\0\x01", 8); /* uid 2^31 + 1 */
	memset(h + 136, 0xff, 12);                    /* -1 s */
	put_sum(h);
	end();
	open_archive(&r);
	expect(&r);
	assert_string_equal(r.e->path, name);
	assert_string_equal(r.e->link, "long");
	assert_int_equal(r.e->uid, 0x80000001);
	assert_int_equal(r.e->mtime_s, -1);
	expect_end(&r);
	close_archive(&r);
}

static void tar_next__reads_pax(void **state)
{
	(void)state;
	struct reading r;
	char buf[16];
	/* decomposed and not UTF-8: byte for byte */
	RECORDS("path=e\xcc\x81\xff/x", "linkpath=target", "size=3", "uid=70000000", "gid=123",
		"mtime=-1.250000", "uname=me", "SCHILY.xattr.user.key=a.b=c\n",
		"SCHILY.xattr.trusted.x=value");
	((char *)memmem(ar.data, ar.size, "a.b=c", 5))[1] = '\0';
	(void)header("short", '0', 9);
	body("abc", 3);
	(void)header("next", '0', 0);
	end();
	open_archive(&r);
	expect(&r);
	assert_string_equal(r.e->path, "e\xcc\x81\xff/x");
	assert_int_equal(r.e->uid, 70000000);
	assert_int_equal(r.e->gid, 123);
	assert_int_equal(r.e->mtime_s, -2);
	assert_int_equal(r.e->mtime_ns, 750000000);
	assert_int_equal(r.e->n_xattrs, 2);
	assert_string_equal(r.e->xattrs[0].name, "user.key");
	assert_int_equal(r.e->xattrs[0].size, 6);
	assert_memory_equal(r.e->xattrs[0].value, "a\0b=c\n", 6);
	assert_string_equal(r.e->xattrs[1].name, "trusted.x");
	assert_int_equal(content(&r, buf, sizeof(buf)), 3);
	expect(&r); /* nothing stays */
	assert_string_equal(r.e->path, "next");
	assert_int_equal(r.e->uid, 10);
	assert_int_equal(r.e->n_xattrs, 0);
	expect_end(&r);
	close_archive(&r);
}

static void tar_next__skips_what_is_no_entry(void **state)
{
	(void)state;
	struct reading r;
	(void)header("pax_global_header", 'g', 20);
	body("20 path=/etc/shadow\n", 20);
	unsigned char *h = header("link", '1', 4096); /* size without content */
	memcpy(h + 157, "file", 4);
	put_sum(h);
	(void)header("dir", '5', 4096);
	(void)header("file", '0', 0);
	end();
	open_archive(&r);
	expect(&r);
	assert_string_equal(r.e->path, "link");
	expect(&r);
	assert_string_equal(r.e->path, "dir");
	expect(&r);
	assert_string_equal(r.e->path, "file");
	expect_end(&r);
	close_archive(&r);
}

static void old_region(unsigned char *at, unsigned int offset, unsigned int size)
{
	(void)snprintf((char *)at, 12, "%011o", offset);
	(void)snprintf((char *)at + 12, 12, "%011o", size);
}

static void tar_data__fills_sparse_files(void **state)
{
	(void)state;
	static const char want[] = "ab....cde..";
	struct reading r;
	/* GNU's old form, with a map that goes on behind the header */
	unsigned char *h = header("old", 'S', 5);
	old_region(h + 386, 0, 2);
	old_region(h + 410, 2, 0);
	old_region(h + 434, 2, 0);
	old_region(h + 458, 2, 0);
	h[482] = 1;
	memcpy(h + 483, "00000000013", 11);
	put_sum(h);
	unsigned char more[512] = { 0 };
	old_region(more, 6, 3);
	old_region(more + 24, 11, 0);
	body(more, 512);
	body("abcde", 5);
	RECORDS("GNU.sparse.size=11", "GNU.sparse.offset=0", "GNU.sparse.numbytes=2",
		"GNU.sparse.offset=6", "GNU.sparse.numbytes=3");
	(void)header("0.0", '0', 5);
	body("abcde", 5);
	RECORDS("GNU.sparse.major=0", "GNU.sparse.minor=1", "GNU.sparse.name=a/b",
		"GNU.sparse.size=11", "GNU.sparse.map=0,2,6,3", "path=ignored");
	(void)header("GNUSparseFile.1/b", '0', 5);
	body("abcde", 5);
	RECORDS("GNU.sparse.major=1", "GNU.sparse.minor=0", "GNU.sparse.realsize=11");
	(void)header("1.0", '0', 512 + 5);
	body("2\n0\n2\n6\n3\n", 10);
	body("abcde", 5);
	end();
	open_archive(&r);
	for (int i = 0; i < 4; i++) {
		char buf[16];
		expect(&r);
		assert_int_equal(content(&r, buf, sizeof(buf)), 11);
		assert_memory_equal(buf, want, 11);
		if (i == 2)
			assert_string_equal(r.e->path, "a/b");
	}
	expect_end(&r);
	close_archive(&r);
}

static void tar_next__needs_no_end_mark(void **state)
{
	(void)state;
	struct reading r;
	(void)header("a", '0', 0);
	open_archive(&r);
	expect(&r);
	expect_end(&r);
	assert_false(tar_has_end_mark(r.tar));
	close_archive(&r);
	/* one block of zeros will do */
	(void)header("a", '0', 0);
	end();
	ar.size -= 512;
	open_archive(&r);
	expect(&r);
	expect_end(&r);
	assert_true(tar_has_end_mark(r.tar));
	close_archive(&r);
}

static void tar_next__does_without_the_last_padding(void **state)
{
	(void)state;
	for (size_t left_out = 1; left_out <= 509; left_out += 127) {
		struct reading r;
		(void)header("a", '0', 3);
		body("abc", 3);
		assert_int_equal(ar.size, 1024);
		ar.size -= left_out;
		open_archive(&r);
		assert_int_equal(next(&r), 1);
		expect_end(&r);
		expect_end(&r);
		assert_false(tar_has_end_mark(r.tar));
		close_archive(&r);
	}
}

static void tar_next__tells_every_cut(void **state)
{
	(void)state;
	for (size_t cut = 1; cut < 3 * 512 + 1000; cut += cut % 512 == 511 ? 2 : 170) {
		struct reading r;
		pax_record("path", "name");
		(void)header("a", '0', 1000);
		body(memset(ar.data + 3 * 1024 * 1024, 'x', 1000), 1000);
		ar.size = cut;
		open_archive(&r);
		const unsigned char *p = NULL;
		size_t n = 0;
		uint64_t at = 0;
		int rc = next(&r);
		while (rc > 0)
			rc = tar_data(r.tar, &p, &n, &at, &r.err);
		if (rc == 0)
			rc = next(&r);
		if (rc != -EINVAL || !strstr(r.err.text, "cut off"))
			fail_msg("cut at %zu: %d %s", cut, rc, r.err.text);
		close_archive(&r);
	}
}

/* Each makes an archive whose first entry is to be refused. */
static void bad_sum(void)
{
	header("a", '0', 0)[0] = 'b';
}

static void bad_octal(void)
{
	unsigned char *h = header("a", '0', 0);
	h[126] = '9';
	put_sum(h);
}

static void negative_size(void)
{
	unsigned char *h = header("a", '0', 0);
	memset(h + 124, 0xff, 12);
	put_sum(h);
}

static void huge_size(void)
{
	unsigned char *h = header("a", '0', 0);
	memcpy(h + 124, "\x80\0\0\x01\0\0\0\0\0\0\0", 12);
	put_sum(h);
}

static void uid_minus_one(void)
{
	unsigned char *h = header("a", '0', 0);
	memset(h + 108, 0xff, 8);
	put_sum(h);
}

static void uid_too_large(void)
{
	pax_record("uid", "4294967295");
	(void)header("a", '0', 0);
}

static void uid_text(void)
{
	pax_record("uid", "root");
	(void)header("a", '0', 0);
}

static void unknown_type(void)
{
	(void)header("a", 'Z', 0);
}

static void multi_volume(void)
{
	(void)header("a", 'M', 0);
}

static void nul_in_path(void)
{
	PAX("12 path=a\0b\n");
	(void)header("a", '0', 0);
}

static void long_path(void)
{
	static char path[5000];
	memset(path, 'a', sizeof(path) - 1);
	pax_record("path", path);
	(void)header("a", '0', 0);
}

static void pax_length_beyond(void)
{
	PAX("99 path=a\n");
	(void)header("a", '0', 0);
}

static void pax_length_short(void)
{
	PAX("3 path=a\n");
	(void)header("a", '0', 0);
}

static void pax_length_huge(void)
{
	PAX("99999999999999999999 path=a\n");
	(void)header("a", '0', 0);
}

static void pax_no_newline(void)
{
	PAX("9 path=ab");
	(void)header("a", '0', 0);
}

static void pax_no_key(void)
{
	PAX("6 =ab\n");
	(void)header("a", '0', 0);
}

static void pax_no_equals(void)
{
	PAX("8 pathx\n");
	(void)header("a", '0', 0);
}

static void pax_too_long(void)
{
	(void)header("x", 'x', 1024 * 1024 + 1);
}

static void pax_without_entry(void)
{
	pax_record("path", "a");
	end();
}

static void name_too_long(void)
{
	(void)header("x", 'L', 1ULL << 40);
}

static void xattr_name_long(void)
{
	char key[400] = "SCHILY.xattr.user.";
	memset(key + 18, 'k', 300);
	pax_record(key, "v");
	(void)header("a", '0', 0);
}

static void sparse_backwards(void)
{
	pax_record("GNU.sparse.map", "5,1,0,1");
	pax_record("GNU.sparse.map", "5,1,0,1");
	(void)header("a", '0', 2);
	body("ab", 2);
}

static void sparse_beyond(void)
{
	RECORDS("GNU.sparse.map=0,1,9,2", "GNU.sparse.size=10");
	(void)header("a", '0', 3);
	body("abc", 3);
}

static void sparse_overflow(void)
{
	RECORDS("GNU.sparse.map=9223372036854775807,2", "GNU.sparse.size=10");
	(void)header("a", '0', 2);
	body("ab", 2);
}

static void sparse_wrong_sum(void)
{
	RECORDS("GNU.sparse.map=0,5", "GNU.sparse.size=10");
	(void)header("a", '0', 2);
	body("ab", 2);
}

static void sparse_odd_map(void)
{
	RECORDS("GNU.sparse.map=0,1,2", "GNU.sparse.size=10");
	(void)header("a", '0', 1);
	body("a", 1);
}

static void sparse_unknown_form(void)
{
	RECORDS("GNU.sparse.major=2", "GNU.sparse.minor=0", "GNU.sparse.size=10");
	(void)header("a", '0', 1);
	body("a", 1);
}

static void sparse_billion_regions(void)
{
	RECORDS("GNU.sparse.major=1", "GNU.sparse.minor=0", "GNU.sparse.realsize=11");
	(void)header("a", '0', 512);
	body("1000000000\n", 11);
}

static void sparse_numbytes_alone(void)
{
	RECORDS("GNU.sparse.numbytes=2");
	(void)header("a", '0', 2);
	body("ab", 2);
}

static void sparse_map_beyond_content(void)
{
	RECORDS("GNU.sparse.major=1", "GNU.sparse.minor=0", "GNU.sparse.realsize=11");
	(void)header("a", '0', 3);
	body("9\n0\n1\n", 6);
}

static void tar_next__refuses_lies(void **state)
{
	(void)state;
	static const struct {
		void (*make)(void);
		const char *says;
	} rows[] = {
		{ bad_sum, "checksum" },
		{ bad_octal, "size" },
		{ negative_size, "size" },
		{ huge_size, "size" },
		{ uid_minus_one, "user id" },
		{ uid_too_large, "uid" },
		{ uid_text, "uid" },
		{ unknown_type, "type" },
		{ multi_volume, "type" },
		{ nul_in_path, "NUL" },
		{ long_path, "longer" },
		{ pax_length_beyond, "malformed" },
		{ pax_length_short, "malformed" },
		{ pax_length_huge, "malformed" },
		{ pax_no_newline, "malformed" },
		{ pax_no_key, "malformed" },
		{ pax_no_equals, "malformed" },
		{ pax_too_long, "too long" },
		{ pax_without_entry, "cut off" },
		{ name_too_long, "too long" },
		{ xattr_name_long, "too long" },
		{ sparse_backwards, "sparse" },
		{ sparse_beyond, "out of order or beyond" },
		{ sparse_overflow, "out of order or beyond" },
		{ sparse_wrong_sum, "does not fit" },
		{ sparse_odd_map, "GNU.sparse.map" },
		{ sparse_unknown_form, "unknown form" },
		{ sparse_billion_regions, "regions" },
		{ sparse_numbytes_alone, "numbytes" },
		{ sparse_map_beyond_content, "cut off" },
	};
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct reading r;
		rows[i].make();
		end();
		open_archive(&r);
		int rc = next(&r);
		if (rc >= 0 || !strstr(r.err.text, rows[i].says))
			fail_msg("row %zu (%s): %d %s", i, rows[i].says, rc, r.err.text);
		close_archive(&r);
	}
}

static void tar_next__refuses_data_behind_the_end(void **state)
{
	(void)state;
	struct reading r;
	(void)header("a", '0', 0);
	end();
	(void)header("hidden", '0', 0);
	end();
	open_archive(&r);
	expect(&r);
	assert_int_equal(next(&r), -EINVAL);
	assert_non_null(strstr(r.err.text, "behind the end"));
	close_archive(&r);
}

static void tar_next__bounds_old_sparse_maps(void **state)
{
	(void)state;
	/* As many map blocks as fit: memory must not follow the archive. */
	unsigned char more[512] = { 0 };
	struct reading r;
	unsigned char *h = header("a", 'S', 0);
	h[482] = 1;
	memcpy(h + 483, "00000000013", 11);
	put_sum(h);
	for (int i = 0; i < 21; i++)
		old_region(more + 24 * i, 1, 0);
	more[504] = 1;
	while (ar.size + 512 < sizeof(ar.data))
		body(more, 512);
	open_archive(&r);
	assert_true(next(&r) < 0);
	close_archive(&r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(tar_next__reads_ustar),
		cmocka_unit_test(tar_next__reads_gnu),
		cmocka_unit_test(tar_next__reads_pax),
		cmocka_unit_test(tar_next__skips_what_is_no_entry),
		cmocka_unit_test(tar_data__fills_sparse_files),
		cmocka_unit_test(tar_next__needs_no_end_mark),
		cmocka_unit_test(tar_next__does_without_the_last_padding),
		cmocka_unit_test(tar_next__tells_every_cut),
		cmocka_unit_test(tar_next__refuses_lies),
		cmocka_unit_test(tar_next__refuses_data_behind_the_end),
		cmocka_unit_test(tar_next__bounds_old_sparse_maps),
	};
	return cmocka_run_group_tests_name("tar", tests, NULL, NULL);
}

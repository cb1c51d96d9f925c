/* SPDX-License-Identifier: Apache-2.0 */
/* tarw - what it writes, tar reads back the same. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "isola/fd.h"
#include "isola/pack.h"
#include "memory.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>

static struct memory m;
static struct tarw *w;

static int setup(void **state)
{
	(void)state;
	m = (struct memory){ 0 };
	return tarw_new(memory_write, &m, &w, NULL);
}

static int teardown(void **state)
{
	(void)state;
	tarw_free(w);
	strbuf_fini(&m.bytes);
	return 0;
}

static void expect_same(const struct tar_entry *want)
{
	cleanup_tar struct tar *t = NULL;
	const struct tar_entry *got = NULL;
	assert_int_equal(tarw_entry(w, want, NULL), 0);
	assert_int_equal(tarw_end(w, NULL), 0);
	assert_int_equal(m.bytes.len % 512, 0);
	assert_int_equal(tar_new(memory_read, &m, &t, NULL), 0);
	assert_int_equal(tar_next(t, &got, NULL), 1);
	assert_int_equal(got->kind, want->kind);
	assert_string_equal(got->path, want->path);
	assert_string_equal(got->link, want->link);
	assert_int_equal(got->mode, want->mode);
	assert_int_equal(got->uid, want->uid);
	assert_int_equal(got->gid, want->gid);
	assert_int_equal(got->mtime_s, want->mtime_s);
	assert_int_equal(got->mtime_ns, want->mtime_ns);
	assert_int_equal(got->major, want->major);
	assert_int_equal(got->minor, want->minor);
	assert_int_equal(got->n_xattrs, want->n_xattrs);
	for (size_t i = 0; i < want->n_xattrs; i++) {
		assert_string_equal(got->xattrs[i].name, want->xattrs[i].name);
		assert_int_equal(got->xattrs[i].size, want->xattrs[i].size);
		assert_memory_equal(got->xattrs[i].value, want->xattrs[i].value,
				    want->xattrs[i].size);
	}
	assert_int_equal(tar_next(t, &got, NULL), 0);
	assert_true(tar_has_end_mark(t));
}

static void entries__come_back(void **state)
{
	static char path[3000], hundred[101];
	static const struct tar_xattr attrs[] = { { "user.a", "v\0w\n", 4 },
						  { "security.capability", "x", 1 } };
	memset(path, 'p', sizeof(path) - 1);
	memset(hundred, 'h', sizeof(hundred) - 1);
	const struct tar_entry rows[] = {
		{ TAR_DIR, "a/", "", 0755, 1, 2, 5, 0 },
		{ TAR_FILE, "empty", "", 06755, 0, 0, 1234567890, 123456789 },
		{ TAR_FILE, path, "", 0644, 2097152, 4294967294U, -2, 500000000 },
		{ TAR_FILE, hundred, "", 0, 2097151, 0, -1, 0 },
		{ TAR_SYMLINK, "l", path, 0777, 0, 0, 8589934592LL, 1 },
		{ TAR_HARDLINK, "h", hundred, 0644, 0, 0, 0, 0 },
		{ TAR_CHAR, "c", "", 0600, 0, 0, 0, 0, .major = 5, .minor = 255 },
		{ TAR_BLOCK, "b", "", 0600, 0, 0, 0, 0, .major = 8, .minor = 0 },
		{ TAR_FIFO, "\303\244 ", "", 0600, 0, 0, 0, 0 },
		{ TAR_FILE, "x", "", 0644, 0, 0, 0, 0, .xattrs = attrs, .n_xattrs = 2 },
	};
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		expect_same(&rows[i]);
		assert_int_equal(teardown(state), 0);
		assert_int_equal(setup(state), 0);
	}
}

static void content__must_fit_the_header(void **state)
{
	(void)state;
	const struct tar_entry e = { .kind = TAR_FILE, .path = "f", .link = "", .size = 3 };
	struct err err = ERR_INIT;
	assert_int_equal(tarw_entry(w, &e, NULL), 0);
	assert_int_equal(tarw_data(w, "four", 4, &err), -EINVAL);
	assert_int_equal(tarw_entry(w, &e, &err), -EINVAL);
	assert_int_equal(tarw_end(w, &err), -EINVAL);
	assert_int_equal(tarw_data(w, "thr", 3, NULL), 0);
	assert_int_equal(tarw_end(w, NULL), 0);
}

static void files__are_copied_whole(void **state)
{
	(void)state;
	size_t size = (size_t)TARW_BUFFER_BYTES * 2 + 17, n = 0, got = 0;
	cleanup_free unsigned char *want = malloc(size);
	cleanup_fd int fd = memfd_create("f", MFD_CLOEXEC);
	struct tar_entry e = { .kind = TAR_FILE, .path = "f", .link = "", .size = size };
	for (size_t i = 0; i < size; i++)
		want[i] = (unsigned char)(i * 7 + i / 256);
	assert_int_equal(fd_write_all(fd, want, size), 0);
	assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
	assert_int_equal(tarw_entry(w, &e, NULL), 0);
	assert_int_equal(tarw_file(w, fd, size, NULL), 0);
	assert_int_equal(tarw_end(w, NULL), 0);
	cleanup_tar struct tar *t = NULL;
	const struct tar_entry *r = NULL;
	const unsigned char *data = NULL;
	uint64_t offset = 0;
	assert_int_equal(tar_new(memory_read, &m, &t, NULL), 0);
	assert_int_equal(tar_next(t, &r, NULL), 1);
	while (got < size && tar_data(t, &data, &n, &offset, NULL) > 0) {
		assert_int_equal(offset, got);
		assert_memory_equal(data, want + got, n);
		got += n;
	}
	assert_int_equal(got, size);
}

/* What one archive lets go is part of another. */
static void raw__is_put_between_entries(void **state)
{
	const struct tar_entry e = { .kind = TAR_FILE, .path = "f", .link = "", .size = 3 };
	const struct tar_entry after = { .kind = TAR_DIR, .path = "d", .link = "" };
	struct err err = ERR_INIT;
	(void)state;
	assert_int_equal(tarw_entry(w, &e, NULL), 0);
	assert_int_equal(tarw_flush(w, &err), -EINVAL);
	assert_int_equal(tarw_raw(w, "", 0, &err), -EINVAL);
	assert_int_equal(tarw_data(w, "abc", 3, NULL), 0);
	assert_int_equal(tarw_flush(w, NULL), 0);
	size_t n = m.bytes.len;
	assert_int_equal(n, 1024);
	cleanup_free void *some = malloc(n);
	memcpy(some, m.bytes.text, n);
	assert_int_equal(tarw_raw(w, some, n, NULL), 0);
	assert_int_equal(tarw_entry(w, &after, NULL), 0);
	assert_int_equal(tarw_end(w, NULL), 0);
	cleanup_tar struct tar *t = NULL;
	const struct tar_entry *r = NULL;
	assert_int_equal(tar_new(memory_read, &m, &t, NULL), 0);
	for (int i = 0; i < 2; i++) {
		assert_int_equal(tar_next(t, &r, NULL), 1);
		assert_string_equal(r->path, "f");
	}
	assert_int_equal(tar_next(t, &r, NULL), 1);
	assert_int_equal(r->kind, TAR_DIR);
	assert_int_equal(tar_next(t, &r, NULL), 0);
}

static void short_files__are_told(void **state)
{
	(void)state;
	struct err err = ERR_INIT;
	const struct tar_entry e = { .kind = TAR_FILE, .path = "f", .link = "", .size = 3 };
	cleanup_fd int fd = memfd_create("f", MFD_CLOEXEC);
	assert_int_equal(tarw_entry(w, &e, NULL), 0);
	assert_int_equal(tarw_file(w, fd, 3, &err), -EIO);
}

static void pack_keeps_xattr__knows_these(void **state)
{
	(void)state;
	assert_true(pack_keeps_xattr("user.x"));
	assert_true(pack_keeps_xattr("security.capability"));
	assert_true(pack_keeps_xattr("system.posix_acl_access"));
	assert_false(pack_keeps_xattr("user.overlay.opaque"));
	assert_false(pack_keeps_xattr("trusted.overlay.opaque"));
	assert_false(pack_keeps_xattr("security.selinux"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(entries__come_back, setup, teardown),
		cmocka_unit_test_setup_teardown(content__must_fit_the_header, setup, teardown),
		cmocka_unit_test_setup_teardown(files__are_copied_whole, setup, teardown),
		cmocka_unit_test_setup_teardown(raw__is_put_between_entries, setup, teardown),
		cmocka_unit_test_setup_teardown(short_files__are_told, setup, teardown),
		cmocka_unit_test(pack_keeps_xattr__knows_these),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

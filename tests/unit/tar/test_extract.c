/* SPDX-License-Identifier: Apache-2.0 */
/* extract - what an archive may do to a folder, and what it may not. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "isola/extract.h"
#include "isola/fd.h"
#include "memory.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

static struct memory m;
static struct tarw *w;
static char folder[64];
static int root = -1;

static int setup(void **state)
{
	(void)state;
	m = (struct memory){ 0 };
	strcpy(folder, "/tmp/test-extract-XXXXXX");
	if (!mkdtemp(folder))
		return -1;
	root = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return tarw_new(memory_write, &m, &w, NULL);
}

static int teardown(void **state)
{
	(void)state;
	tarw_free(w);
	strbuf_fini(&m.bytes);
	fd_close(&root);
	return fd_remove_tree(AT_FDCWD, folder, NULL);
}

static void add(enum tar_kind kind, const char *path, const char *link, const char *content)
{
	const struct tar_entry e = { .kind = kind,
				     .path = path,
				     .link = link,
				     .mode = kind == TAR_DIR ? 0755 : 0640,
				     .size = strlen(content),
				     .mtime_s = 1000 };
	assert_int_equal(tarw_entry(w, &e, NULL), 0);
	if (kind == TAR_FILE)
		assert_int_equal(tarw_data(w, content, strlen(content), NULL), 0);
}

static int run(const struct extract_options *more, struct err *err)
{
	cleanup_tar struct tar *t = NULL;
	struct extract_options o = *more;
	o.root_fd = root;
	o.owner = EXTRACT_OWNER_NONE;
	if (!o.entries_max)
		o.entries_max = 100;
	assert_int_equal(tarw_end(w, NULL), 0);
	assert_int_equal(tar_new(memory_read, &m, &t, NULL), 0);
	return extract(t, &o, err);
}

static void expect(const char *name, const char *content)
{
	cleanup_free char *text = NULL;
	assert_int_equal(fd_read_file(root, name, 100, &text, NULL, NULL), 0);
	assert_string_equal(text, content);
}

static const struct extract_options plain;

static void extract__fills_a_folder(void **state)
{
	(void)state;
	struct stat st;
	add(TAR_DIR, "a", "", "");
	add(TAR_FILE, "a/f", "", "one");
	add(TAR_HARDLINK, "a/h", "a/f", "");
	add(TAR_FILE, "made/on/the/way", "", "two");
	add(TAR_FILE, "a/f2", "", "three");
	assert_int_equal(run(&plain, NULL), 0);
	expect("a/h", "one");
	expect("made/on/the/way", "two");
	assert_int_equal(fstatat(root, "a/f", &st, 0), 0);
	assert_int_equal(st.st_mode & 07777, 0640);
	assert_int_equal(st.st_nlink, 2);
	assert_int_equal(fstatat(root, "a", &st, 0), 0);
	assert_int_equal(st.st_mtim.tv_sec, 1000);
}

static void extract__never_writes_through(void **state)
{
	(void)state;
	cleanup_fd int fd = openat(root, "target", O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	assert_int_equal(fd_write_all(fd, "kept", 4), 0);
	assert_int_equal(symlinkat("target", root, "link"), 0);
	add(TAR_FILE, "link", "", "new");
	assert_int_equal(run(&plain, NULL), 0);
	expect("target", "kept");
	expect("link", "new");
}

static void extract__renames_the_first(void **state)
{
	(void)state;
	const struct extract_options o = { .first = "new" };
	add(TAR_DIR, "old", "", "");
	add(TAR_FILE, "old/f", "", "x");
	add(TAR_HARDLINK, "old/h", "old/f", "");
	assert_int_equal(run(&o, NULL), 0);
	expect("new/h", "x");
}

static void extract__renames_content(void **state)
{
	(void)state;
	const struct extract_options o = { .first = "new" };
	add(TAR_DIR, ".", "", "");
	add(TAR_FILE, "./f", "", "x");
	add(TAR_FILE, "/g", "", "y");
	assert_int_equal(run(&o, NULL), 0);
	expect("new/f", "x");
	expect("new/g", "y");
}

static void extract__refuses(void **state)
{
	static const struct {
		enum tar_kind kind;
		const char *path, *link;
	} rows[] = {
		{ TAR_FILE, "../x", "" },
		{ TAR_FILE, "a/../../x", "" },
		{ TAR_FILE, "out/x", "" },
		{ TAR_FILE, "file/x", "" },
		{ TAR_HARDLINK, "h", "../x" },
		{ TAR_HARDLINK, "h", "none" },
		{ TAR_HARDLINK, "h", "out/tmp" },
		{ TAR_HARDLINK, "h", "h" },
		{ TAR_CHAR, "c", "" },
		{ TAR_FILE, ".", "" },
		{ TAR_FILE, "dir", "" },
		{ TAR_DIR, "file", "" },
	};
	const struct extract_options o = { .keep_kinds = true };
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct err err = ERR_INIT;
		assert_int_equal(symlinkat("/", root, "out"), 0);
		assert_int_equal(mkdirat(root, "dir", 0700), 0);
		assert_int_equal(mknodat(root, "file", S_IFREG | 0600, 0), 0);
		add(rows[i].kind, rows[i].path, rows[i].link, "");
		assert_int_equal(run(&o, &err), -EINVAL);
		assert_int_equal(teardown(state), 0);
		assert_int_equal(setup(state), 0);
	}
}

static void extract__bounds_entries(void **state)
{
	(void)state;
	struct err err = ERR_INIT;
	const struct extract_options o = { .entries_max = 2 };
	for (int i = 0; i < 3; i++)
		add(TAR_FILE, "f", "", "");
	assert_int_equal(run(&o, &err), -EFBIG);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(extract__fills_a_folder, setup, teardown),
		cmocka_unit_test_setup_teardown(extract__never_writes_through, setup, teardown),
		cmocka_unit_test_setup_teardown(extract__renames_the_first, setup, teardown),
		cmocka_unit_test_setup_teardown(extract__renames_content, setup, teardown),
		cmocka_unit_test_setup_teardown(extract__refuses, setup, teardown),
		cmocka_unit_test_setup_teardown(extract__bounds_entries, setup, teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: Apache-2.0 */
/* stack - layers read as one tree: what shows, what hides, where links lead. Whiteouts
 * and marks need root. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "image/stack.h"
#include "isola/fd.h"
#include "isola/strbuf.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>

struct rig {
	char path[64];
	int fd;
	struct stack s;
};

static void put(const struct rig *r, const char *path, const char *text)
{
	char copy[256];
	(void)snprintf(copy, sizeof(copy), "%s", path);
	for (char *p = strchr(copy, '/'); p; p = strchr(p + 1, '/')) {
		*p = '\0';
		(void)mkdirat(r->fd, copy, 0755);
		*p = '/';
	}
	if (!text) {
		assert_int_equal(mkdirat(r->fd, path, 0755), 0);
		return;
	}
	cleanup_fd int fd = openat(r->fd, path, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
	assert_int_equal(fd_write_all(fd, text, strlen(text)), 0);
}

static void hide(const struct rig *r, const char *path)
{
	if (mknodat(r->fd, path, S_IFCHR, 0) < 0)
		skip();
}

/* top lies on middle, middle on bottom. */
static int setup(void **state)
{
	struct rig *r = calloc(1, sizeof(*r));
	(void)snprintf(r->path, sizeof(r->path), "/tmp/stack.XXXXXX");
	assert_non_null(mkdtemp(r->path));
	r->fd = open(r->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	static const char *const names[] = { "top", "middle", "bottom" };
	r->s = (struct stack){ .fds = calloc(3, sizeof(int)), .n = 3, .marks = true };
	for (size_t i = 0; i < 3; i++) {
		put(r, names[i], NULL);
		r->s.fds[i] = openat(r->fd, names[i], O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	}
	*state = r;
	return 0;
}

static int teardown(void **state)
{
	struct rig *r = *state;
	stack_fini(&r->s);
	fd_close(&r->fd);
	(void)fd_remove_tree(AT_FDCWD, r->path, NULL);
	free(r);
	return 0;
}

static int add_path(void *arg, int dir_fd, const char *name, const char *path,
		    const struct stat *st, struct err *err)
{
	(void)dir_fd;
	(void)name;
	(void)err;
	strbuf_printf(arg, "%s%s ", path, S_ISDIR(st->st_mode) ? "/" : "");
	return 0;
}

static void shows(const struct rig *r, const char *path, const char *want)
{
	cleanup_strbuf struct strbuf b = STRBUF_INIT;
	struct err err = ERR_INIT;
	if (stack_walk(&r->s, path, 1000, add_path, &b, &err) < 0)
		fail_msg("%s", err.text);
	assert_string_equal(b.text ? b.text : "", want);
}

static void stack_walk__shows_what_overlayfs_shows(void **state)
{
	struct rig *r = *state;
	put(r, "bottom/a/one", "1");
	put(r, "bottom/a/two", "2");
	put(r, "bottom/b/x", "x");
	put(r, "bottom/c", "c");
	put(r, "bottom/d/deep/er", "d");
	put(r, "middle/a/three", "3");
	put(r, "middle/d", NULL);
	put(r, "top/b", "a file now");
	shows(r, "", "a/ b c d/ a/one a/three a/two d/deep/ d/deep/er ");
	hide(r, "top/c");
	put(r, "top/a", NULL);
	hide(r, "top/a/one");
	shows(r, "", "a/ b d/ a/three a/two d/deep/ d/deep/er ");
	cleanup_fd int d = openat(r->fd, "middle/d", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fsetxattr(d, "trusted.overlay.opaque", "y", 1, 0) < 0)
		skip();
	shows(r, "", "a/ b d/ a/three a/two ");
	shows(r, "a", "a/three a/two ");
	/* A folder behind a whiteout is another one. */
	hide(r, "middle/e");
	put(r, "bottom/e/old", "");
	put(r, "top/e/new", "");
	shows(r, "e", "e/new ");
	struct err err = ERR_INIT;
	assert_int_equal(stack_walk(&r->s, "", 3, add_path, &(struct strbuf)STRBUF_INIT, &err),
			 -EFBIG);
}

static void stack_find__stays_inside(void **state)
{
	struct rig *r = *state;
	put(r, "bottom/etc/passwd", "root");
	put(r, "bottom/usr/bin/x", "");
	assert_int_equal(symlinkat("/usr/bin", r->fd, "middle/bin"), 0);
	assert_int_equal(symlinkat("../../../../etc", r->fd, "middle/up"), 0);
	assert_int_equal(symlinkat("passwd", r->fd, "bottom/etc/link"), 0);
	assert_int_equal(symlinkat("gone/x", r->fd, "top/nowhere"), 0);
	assert_int_equal(symlinkat("loop", r->fd, "top/loop"), 0);
	static const struct {
		const char *path;
		bool follow;
		int rc;
		bool exists;
		const char *want;
	} rows[] = {
		{ "/", true, 0, true, "" },
		{ "", true, 0, true, "" },
		{ "/bin/x", true, 0, true, "usr/bin/x" },
		{ "/bin", false, 0, true, "bin" },
		{ "/bin", true, 0, true, "usr/bin" },
		{ "/bin/", false, 0, true, "usr/bin" },
		{ "/up/passwd", true, 0, true, "etc/passwd" },
		{ "../../etc/./link", true, 0, true, "etc/passwd" },
		{ "/etc/link", false, 0, true, "etc/link" },
		{ "/usr/bin/../../etc", true, 0, true, "etc" },
		{ "/bin/new/er", true, 0, false, "usr/bin/new/er" },
		{ "/nowhere", true, 0, false, "gone/x" },
		{ "/a/b/../c", true, 0, false, "a/c" },
		{ "/etc/passwd/x", true, -ENOTDIR, false, "" },
		{ "/loop", true, -ELOOP, false, "" },
		{ "/loop", false, 0, true, "loop" },
	};
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct stack_spot spot;
		struct err err = ERR_INIT;
		int rc = stack_find(&r->s, rows[i].path, rows[i].follow, &spot, &err);
		if (rc != rows[i].rc ||
		    (rc == 0 && (spot.exists != rows[i].exists || strcmp(spot.path, rows[i].want))))
			fail_msg("%s: %d %d %s %s", rows[i].path, rc, spot.exists, spot.path,
				 err.text);
	}
	cleanup_free char *text = NULL;
	struct err err = ERR_INIT;
	assert_int_equal(stack_read(&r->s, "/up/link", 100, &text, NULL, &err), 0);
	assert_string_equal(text, "root");
	assert_int_equal(stack_read(&r->s, "/etc", 100, &text, NULL, &err), -EINVAL);
}

static void stack_find__of_nothing_is_a_root(void **state)
{
	const struct stack none = STACK_INIT;
	struct stack_spot spot;
	struct err err = ERR_INIT;
	(void)state;
	assert_int_equal(stack_find(&none, "/", true, &spot, &err), 0);
	assert_true(spot.exists && S_ISDIR(spot.st.st_mode));
	assert_int_equal(stack_find(&none, "/a/b", true, &spot, &err), 0);
	assert_false(spot.exists);
	assert_string_equal(spot.path, "a/b");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(stack_walk__shows_what_overlayfs_shows, setup,
						teardown),
		cmocka_unit_test_setup_teardown(stack_find__stays_inside, setup, teardown),
		cmocka_unit_test(stack_find__of_nothing_is_a_root),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

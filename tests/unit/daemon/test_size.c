/* SPDX-License-Identifier: Apache-2.0 */
/* size - the writable layer measured: names, links, depth, and who is told. */
#include "desk.h"

#include "isola/fd.h"
#include "isola/json.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct outcome {
	bool done;
	struct err err;
	int64_t rw, root;
};

static void on_done(void *arg, const struct err *err, json_object *result)
{
	struct outcome *o = arg;
	o->done = true;
	if (err)
		o->err = *err;
	o->rw = json_i64_or(result, "SizeRw", -1);
	o->root = json_i64_or(result, "SizeRootFs", -1);
}

static void measure(struct instance *inst, struct outcome *o)
{
	*o = (struct outcome){ .done = false };
	view_size(inst, on_done, o);
	assert_false(o->done);
	while (!o->done)
		(void)uv_run(&inst->isolad->loop, UV_RUN_ONCE);
}

static void put_file(int dir, const char *name, size_t size)
{
	char bytes[1000] = "";
	cleanup_fd int fd = openat(dir, name, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	assert_true(fd >= 0 && write(fd, bytes, size) == (ssize_t)size);
}

static void view_size__counts_each_file_once(void **state)
{
	struct isolad *d = *state;
	char root[] = "/tmp/test_size.XXXXXX", path[256];
	assert_non_null(mkdtemp(root));
	struct instance *inst = desk_instance(d, "c", NULL);
	json_add_i64(inst->image, "size", 5000);
	d->roots.state = root;
	struct outcome o;
	measure(inst, &o);
	assert_int_equal(o.err.code, ENOENT);
	(void)snprintf(path, sizeof(path), "%s/instances", root);
	assert_int_equal(mkdir(path, 0700), 0);
	(void)snprintf(path, sizeof(path), "%s/instances/%s", root, inst->id);
	assert_int_equal(mkdir(path, 0700), 0);
	(void)snprintf(path, sizeof(path), "%s/instances/%s/upper", root, inst->id);
	assert_int_equal(mkdir(path, 0700), 0);
	measure(inst, &o);
	assert_int_equal(o.rw, 0);
	assert_int_equal(o.root, 5000);
	cleanup_fd int dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	put_file(dir, "a", 100);
	assert_int_equal(linkat(dir, "a", dir, "b", 0), 0);
	assert_int_equal(mkdirat(dir, "d", 0700), 0);
	assert_int_equal(linkat(dir, "a", dir, "d/c", 0), 0);
	put_file(dir, "d/e", 30);
	/* A link counts for its own length, never for what it leads to. */
	assert_int_equal(symlinkat("/usr", dir, "s"), 0);
	assert_int_equal(symlinkat("..", dir, "d/up"), 0);
	assert_int_equal(mkfifoat(dir, "fifo", 0600), 0);
	measure(inst, &o);
	assert_int_equal(o.err.code, 0);
	assert_int_equal(o.rw, 100 + 30 + 4 + 2);
	assert_int_equal(o.root, 5000 + o.rw);
	d->roots.state = NULL;
	assert_int_equal(fd_remove_tree(AT_FDCWD, root, NULL), 0);
}

/* A payload may nest folders deeper than any path: what a path can't name is left
 * out, and the walk comes to its end. */
static void view_size__survives_depth(void **state)
{
	struct isolad *d = *state;
	char root[] = "/tmp/test_size.XXXXXX", path[256], name[101];
	assert_non_null(mkdtemp(root));
	struct instance *inst = desk_instance(d, "c", NULL);
	d->roots.state = root;
	(void)snprintf(path, sizeof(path), "%s/instances", root);
	assert_int_equal(mkdir(path, 0700), 0);
	(void)snprintf(path, sizeof(path), "%s/instances/%s", root, inst->id);
	assert_int_equal(mkdir(path, 0700), 0);
	(void)snprintf(path, sizeof(path), "%s/instances/%s/upper", root, inst->id);
	assert_int_equal(mkdir(path, 0700), 0);
	cleanup_fd int dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	memset(name, 'n', 100);
	name[100] = '\0';
	put_file(dir, "top", 10);
	for (int i = 0; i < 60; i++) {
		assert_int_equal(mkdirat(dir, name, 0700), 0);
		int next = openat(dir, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		fd_close(&dir);
		dir = next;
		put_file(dir, "f", 1);
	}
	struct outcome o;
	measure(inst, &o);
	assert_int_equal(o.err.code, 0);
	assert_in_range(o.rw, 10 + 39, 10 + 60);
	d->roots.state = NULL;
	assert_int_equal(fd_remove_tree(AT_FDCWD, root, NULL), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(view_size__counts_each_file_once, desk_setup,
						desk_teardown),
		cmocka_unit_test_setup_teardown(view_size__survives_depth, desk_setup,
						desk_teardown),
	};
	return cmocka_run_group_tests_name("size", tests, NULL, NULL);
}

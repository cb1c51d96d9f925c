/* SPDX-License-Identifier: Apache-2.0 */
/* folders - a folder made ahead is taken once, and is like one made on demand; the
 * base layer of all roots is made, and completed. */
#include "desk.h"

#include "daemon/config.h"
#include "daemon/folders.h"
#include "daemon/roots.h"
#include "isola/fd.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct spot {
	char path[64];
	int fd; /* instances and all: of no matter here */
	struct roots roots;
};

static int setup(void **state)
{
	struct spot *p = calloc(1, sizeof(*p));
	if (!p)
		return -1;
	(void)snprintf(p->path, sizeof(p->path), "/tmp/isola-folders-XXXXXX");
	*state = p;
	p->fd = mkdtemp(p->path) ? open(p->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
	roots_init(&p->roots);
	p->roots.state_fd = p->roots.instances_fd = p->fd;
	return p->fd < 0 ? -1 : 0;
}

static int teardown(void **state)
{
	struct spot *p = *state;
	(void)close(p->fd);
	(void)fd_remove_tree(AT_FDCWD, p->path, NULL);
	free(p);
	return 0;
}

static mode_t mode_of(const struct spot *p, const char *name)
{
	struct stat st;
	return fstatat(p->fd, name, &st, AT_SYMLINK_NOFOLLOW) < 0 ? 0 : st.st_mode;
}

static void is_complete(const struct spot *p, const char *id)
{
	char name[80];
	assert_int_equal(mode_of(p, id), S_IFDIR | (strstr(id, "layer") ? 0755 : 0700));
	(void)snprintf(name, sizeof(name), "%s/upper", id);
	assert_int_equal(mode_of(p, name), S_IFDIR | 0755);
	(void)snprintf(name, sizeof(name), "%s/work", id);
	assert_int_equal(mode_of(p, name), S_IFDIR | 0700);
}

static void folders__take_the_spare_once(void **state)
{
	struct spot *p = *state;
	folders_make_spare(&p->roots);
	is_complete(p, "spare");
	struct stat spare, taken;
	assert_int_equal(fstatat(p->fd, "spare", &spare, 0), 0);
	assert_int_equal(folders_make(&p->roots, "a", INSTANCE_CONTAINER, false, NULL), 0);
	assert_int_equal(fstatat(p->fd, "a", &taken, 0), 0);
	assert_int_equal(spare.st_ino, taken.st_ino);
	assert_int_equal(mode_of(p, "spare"), 0);
	assert_int_equal(folders_make(&p->roots, "b", INSTANCE_CONTAINER, false, NULL), 0);
	is_complete(p, "a");
	is_complete(p, "b");
}

static void folders__of_a_vm_are_bare(void **state)
{
	struct spot *p = *state;
	folders_make_spare(&p->roots);
	assert_int_equal(folders_make(&p->roots, "v", INSTANCE_VM, false, NULL), 0);
	assert_int_equal(mode_of(p, "v"), S_IFDIR | 0700);
	assert_int_equal(mode_of(p, "v/upper"), 0);
	is_complete(p, "spare");
}

/* Only what a guest may be served is below "layer". */
static void folders__of_a_microvm_have_the_layer_apart(void **state)
{
	struct spot *p = *state;
	for (int i = 0; i < 2; i++) {
		const char *id = i ? "b" : "a";
		char name[16];
		if (i)
			folders_make_spare(&p->roots);
		assert_int_equal(folders_make(&p->roots, id, INSTANCE_CONTAINER, true, NULL), 0);
		(void)snprintf(name, sizeof(name), "%s/layer", id);
		is_complete(p, name);
		(void)snprintf(name, sizeof(name), "%s/upper", id);
		assert_int_equal(mode_of(p, name), 0);
	}
}

static void folders__never_replace_one(void **state)
{
	struct spot *p = *state;
	struct err err = ERR_INIT;
	assert_int_equal(folders_make(&p->roots, "a", INSTANCE_CONTAINER, false, NULL), 0);
	assert_int_equal(mkdirat(p->fd, "a/upper/x", 0700), 0);
	folders_make_spare(&p->roots);
	assert_true(folders_make(&p->roots, "a", INSTANCE_CONTAINER, false, &err) < 0);
	assert_non_null(strstr(err.text, "cannot make the instance's folder"));
	assert_int_equal(mode_of(p, "a/upper/x"), S_IFDIR | 0700);
}

/* Killed in the middle: the half is not taken for a whole, and goes. */
static void folders__clear_a_half_spare(void **state)
{
	struct spot *p = *state;
	assert_int_equal(mkdirat(p->fd, "spare-half", 0700), 0);
	folders_make_spare(&p->roots);
	assert_int_equal(mode_of(p, "spare"), 0);
	folders_clear_spare(&p->roots);
	assert_int_equal(mode_of(p, "spare-half"), 0);
	folders_make_spare(&p->roots);
	is_complete(p, "spare");
	folders_clear_spare(&p->roots);
	assert_int_equal(mode_of(p, "spare"), 0);
}

static void open_roots(const struct spot *p)
{
	char run[80];
	(void)snprintf(run, sizeof(run), "%s/run", p->path);
	struct config config = { .state = (char *)p->path, .run = run };
	struct roots roots;
	roots_init(&roots);
	assert_int_equal(roots_open(&roots, &config, NULL), 0);
	roots_close(&roots);
}

static void roots__have_a_base_layer(void **state)
{
	struct spot *p = *state;
	mode_t mask = umask(077);
	open_roots(p);
	static const char *const folders[] = { "base", "base/dev", "base/etc", "base/proc",
					       "base/sys" };
	static const char *const files[] = { "base/etc/hostname", "base/etc/hosts",
					     "base/etc/resolv.conf" };
	for (size_t i = 0; i < sizeof(folders) / sizeof(*folders); i++)
		assert_int_equal(mode_of(p, folders[i]), S_IFDIR | 0755);
	for (size_t i = 0; i < sizeof(files) / sizeof(*files); i++)
		assert_int_equal(mode_of(p, files[i]), S_IFREG | 0644);
	assert_int_equal(unlinkat(p->fd, "base/etc/hosts", 0), 0);
	open_roots(p);
	assert_int_equal(mode_of(p, "base/etc/hosts"), S_IFREG | 0644);
	(void)umask(mask);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(folders__take_the_spare_once, setup, teardown),
		cmocka_unit_test_setup_teardown(folders__of_a_vm_are_bare, setup, teardown),
		cmocka_unit_test_setup_teardown(folders__of_a_microvm_have_the_layer_apart, setup,
						teardown),
		cmocka_unit_test_setup_teardown(folders__never_replace_one, setup, teardown),
		cmocka_unit_test_setup_teardown(folders__clear_a_half_spare, setup, teardown),
		cmocka_unit_test_setup_teardown(roots__have_a_base_layer, setup, teardown),
	};
	return cmocka_run_group_tests_name("folders", tests, NULL, NULL);
}

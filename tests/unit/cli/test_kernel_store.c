/* SPDX-License-Identifier: Apache-2.0 */
/* kernel_store - kernels come, are found, become the default and go. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "cli/kernel_store.h"
#include "isola/fd.h"
#include "isola/json.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static char top[64], store[80];

static int make_top(void **state)
{
	(void)state;
	(void)strcpy(top, "/tmp/isola-kernels-XXXXXX");
	if (!mkdtemp(top))
		return -1;
	(void)snprintf(store, sizeof(store), "%s/kernels", top);
	return 0;
}

static int remove_top(void **state)
{
	(void)state;
	struct err err = ERR_INIT;
	return fd_remove_tree(AT_FDCWD, top, &err);
}

static void put(const char *folder, const char *name, const char *text)
{
	char path[PATH_MAX];
	(void)snprintf(path, sizeof(path), "%s/%s", folder, name);
	cleanup_fd int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
	assert_int_equal(fd_write_all(fd, text, strlen(text)), 0);
}

/* A folder as a cache has it, of a kernel out of a disk (which brings all files). */
static const char *source(const char *name, const char *kind, const char *kernel)
{
	static char folder[PATH_MAX];
	char doc[512];
	(void)snprintf(folder, sizeof(folder), "%s/src-%s", top, name);
	(void)mkdir(folder, 0755);
	(void)snprintf(
		doc, sizeof(doc),
		"{\"name\":\"%s\",\"kind\":\"%s\",\"release\":\"6.1\",\"kernel\":\"vmlinuz\","
		"\"initrd\":\"ird\",\"root\":\"root=/dev/vda\"}",
		name, kind);
	put(folder, "kernel.json", doc);
	put(folder, "vmlinuz", kernel);
	put(folder, "ird", "initial RAM disk");
	return folder;
}

static void install(const char *name, const char *kind, const char *kernel, struct kernel *k)
{
	struct err err = ERR_INIT;
	if (kernel_install(store, source(name, kind, kernel), k, &err) < 0)
		fail_msg("%s", err.text);
}

static void kernel_install__makes_the_first_one_the_default(void **state)
{
	(void)state;
	struct err err = ERR_INIT;
	struct kernel k;
	install("one", "built", "first", &k);
	install("two", "built", "second", &k);
	assert_int_equal(kernel_find(store, KERNEL_DEFAULT, &k, &err), 0);
	assert_string_equal(k.name, "one");
	assert_string_equal(k.root, "root=/dev/vda");
	assert_int_equal(kernel_use(store, "two", &err), 0);
	assert_int_equal(kernel_find(store, KERNEL_DEFAULT, &k, &err), 0);
	assert_string_equal(k.name, "two");
	assert_int_equal(access(k.kernel, R_OK), 0);
	assert_int_equal(access(k.initrd, R_OK), 0);
}

static void kernel_install__replaces_in_one_step(void **state)
{
	(void)state;
	struct err err = ERR_INIT;
	struct kernel k;
	char *text = NULL;
	install("one", "built", "old", &k);
	install("one", "built", "new", &k);
	assert_int_equal(fd_read_file(AT_FDCWD, k.kernel, 100, &text, NULL, &err), 0);
	assert_string_equal(text, "new");
	free(text);
	cleanup_json json_object *list = kernel_list(store, &err);
	assert_int_equal(json_len(list), 1);
}

static void kernel_install__of_a_disk_is_no_default(void **state)
{
	(void)state;
	struct err err = ERR_INIT;
	struct kernel k;
	install("disk-6.1", "disk", "x", &k);
	assert_int_equal(kernel_find(store, KERNEL_DEFAULT, &k, &err), -ENOENT);
	assert_non_null(strstr(err.text, "vmctl kernel fetch"));
}

static void kernel_install__leaves_nothing_behind_when_it_fails(void **state)
{
	(void)state;
	struct err err = ERR_INIT;
	struct kernel k;
	char path[PATH_MAX];
	const char *from = source("bad", "built", "x");
	(void)snprintf(path, sizeof(path), "%s/ird", from);
	assert_int_equal(unlink(path), 0);
	assert_true(kernel_install(store, from, &k, &err) < 0);
	assert_int_equal(rmdir(store), 0); /* it is empty */
}

static void kernel_find__refuses_names_that_lead_elsewhere(void **state)
{
	(void)state;
	struct kernel k;
	static const char *const names[] = { "", ".", "..", "../x", "a/b", ".hidden", "-f" };
	install("one", "built", "x", &k);
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		struct err err = ERR_INIT;
		assert_int_equal(kernel_find(store, names[i], &k, &err), -EINVAL);
	}
}

static void kernel_find__refuses_a_document_that_leads_elsewhere(void **state)
{
	(void)state;
	struct err err = ERR_INIT;
	struct kernel k;
	char folder[PATH_MAX];
	install("one", "built", "x", &k);
	(void)snprintf(folder, sizeof(folder), "%s/one", store);
	put(folder, "kernel.json", "{\"name\":\"one\",\"kernel\":\"../../etc/shadow\"}");
	assert_int_equal(kernel_find(store, "one", &k, &err), -EINVAL);
}

static void kernel_remove__takes_the_default_with_it(void **state)
{
	(void)state;
	struct err err = ERR_INIT;
	struct kernel k;
	install("one", "built", "x", &k);
	assert_int_equal(kernel_remove(store, "one", &err), 0);
	assert_int_equal(kernel_find(store, "one", &k, &err), -ENOENT);
	assert_int_equal(kernel_find(store, KERNEL_DEFAULT, &k, &err), -ENOENT);
	cleanup_json json_object *list = kernel_list(store, &err);
	assert_int_equal(json_len(list), 0);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, make_top, remove_top)
	const struct CMUnitTest tests[] = {
		T(kernel_install__makes_the_first_one_the_default),
		T(kernel_install__replaces_in_one_step),
		T(kernel_install__of_a_disk_is_no_default),
		T(kernel_install__leaves_nothing_behind_when_it_fails),
		T(kernel_find__refuses_names_that_lead_elsewhere),
		T(kernel_find__refuses_a_document_that_leads_elsewhere),
		T(kernel_remove__takes_the_default_with_it),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: Apache-2.0 */
/* An archive is read back as the kernel would. */
#include "isola/fd.h"
#include "isola/initrd.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include <cmocka.h>

struct fixture {
	char dir[64], init[80], modules[80];
	int out;
};

static void put(const char *dir, const char *name, const void *data, size_t size)
{
	char path[160];
	(void)snprintf(path, sizeof(path), "%s/%s", dir, name);
	cleanup_fd int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	assert_true(fd >= 0);
	assert_int_equal(fd_write_all(fd, data, size), 0);
}

static int setup(void **state)
{
	static struct fixture f;
	strcpy(f.dir, "/tmp/initrd.XXXXXX");
	assert_non_null(mkdtemp(f.dir));
	(void)snprintf(f.init, sizeof(f.init), "%s/init", f.dir);
	(void)snprintf(f.modules, sizeof(f.modules), "%s/modules", f.dir);
	assert_int_equal(mkdir(f.modules, 0700), 0);
	put(f.dir, "init", "#!init", 6);
	f.out = memfd_create("initrd", MFD_CLOEXEC);
	*state = &f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;
	fd_close(&f->out);
	return fd_remove_tree(AT_FDCWD, f->dir, NULL);
}

/* "NAME MODE SIZE FIRST-BYTE\n" for each entry; stops at the trailer. */
static void list(int fd, char *ret, size_t size)
{
	char head[111] = "", name[256];
	off_t at = 0;
	*ret = '\0';
	for (;;) {
		unsigned int mode, bytes, len;
		char first = '-';
		assert_int_equal(pread(fd, head, 110, at), 110);
		assert_memory_equal(head, "070701", 6);
		assert_int_equal(sscanf(head + 14, "%8x", &mode), 1);
		assert_int_equal(sscanf(head + 54, "%8x", &bytes), 1);
		assert_int_equal(sscanf(head + 94, "%8x", &len), 1);
		assert_true(len <= sizeof(name));
		assert_int_equal(pread(fd, name, len, at + 110), len);
		assert_int_equal(name[len - 1], 0);
		at = (at + 110 + len + 3) & ~(off_t)3;
		if (!strcmp(name, "TRAILER!!!"))
			return;
		if (bytes)
			assert_int_equal(pread(fd, &first, 1, at), 1);
		at = (at + bytes + 3) & ~(off_t)3;
		size_t n = strlen(ret);
		(void)snprintf(ret + n, size - n, "%s %o %u %c\n", name, mode, bytes, first);
	}
}

static void initrd_write__makes_what_the_kernel_reads(void **state)
{
	struct fixture *f = *state;
	struct err err = ERR_INIT;
	char text[1024];
	put(f->modules, "list", "- a.ko\n", 7);
	put(f->modules, ".hidden", "x", 1);
	assert_int_equal(initrd_write(f->out, f->init, f->modules, &err), 0);
	list(f->out, text, sizeof(text));
	assert_string_equal(text, "dev 40755 0 -\nproc 40755 0 -\nsys 40755 0 -\nnew 40755 0 -\n"
				  "m 40755 0 -\ninit 100755 6 #\nm/list 100644 7 -\n");
}

static void initrd_write__does_without_modules(void **state)
{
	struct fixture *f = *state;
	struct err err = ERR_INIT;
	char text[1024];
	assert_int_equal(initrd_write(f->out, f->init, NULL, &err), 0);
	list(f->out, text, sizeof(text));
	assert_non_null(strstr(text, "init 100755 6 #\n"));
	assert_null(strstr(text, "m/"));
}

static void initrd_write__refuses_what_is_no_file(void **state)
{
	struct fixture *f = *state;
	struct err err = ERR_INIT;
	assert_int_equal(initrd_write(f->out, f->modules, NULL, &err), -EINVAL);
	assert_non_null(strstr(err.text, f->modules));
	assert_int_equal(initrd_write(f->out, "/nowhere/init", NULL, &err), -ENOENT);
	assert_int_equal(initrd_write(f->out, f->init, "/nowhere", &err), -ENOENT);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(initrd_write__makes_what_the_kernel_reads),
		TEST(initrd_write__does_without_modules),
		TEST(initrd_write__refuses_what_is_no_file),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: Apache-2.0 */
/* fd - removing trees that were made to be hard to remove, and half-written files. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "isola/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>

static int setup(void **state)
{
	static char dir[] = "fd-test.XXXXXX";
	*state = mkdtemp(dir);
	return *state ? 0 : -1;
}

static int teardown(void **state)
{
	return rmdir(*state);
}

static void fd_remove_tree__needs_few_fds_for_deep_trees(void **state)
{
	cleanup_fd int top = open(*state, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	cleanup_fd int at = fd_dup(top);
	struct err err = ERR_INIT;
	for (int i = 0; i < 3000; i++) {
		assert_int_equal(mkdirat(at, "d", 0700), 0);
		/* a name that the removal would like to use itself */
		assert_int_equal(mkdirat(at, ".deep-0", 0700), 0);
		int next = openat(at, "d", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		assert_true(next >= 0);
		fd_close(&at);
		at = next;
	}
	struct rlimit before, few;
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
	few = before;
	few.rlim_cur = 256;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &few), 0);
	int rc = fd_remove_tree(top, "d", &err);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
	if (rc < 0)
		print_error("%s\n", err.text);
	assert_int_equal(rc, 0);
	assert_int_equal(fd_remove_tree(top, ".deep-0", &err), 0);
	assert_int_equal(faccessat(top, "d", F_OK, 0), -1);
	assert_int_equal(errno, ENOENT);
}

static void fd_remove_tree__does_not_follow_links(void **state)
{
	cleanup_fd int top = open(*state, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_int_equal(mkdirat(top, "kept", 0700), 0);
	assert_int_equal(mkdirat(top, "kept/inner", 0700), 0);
	assert_int_equal(mkdirat(top, "gone", 0700), 0);
	assert_int_equal(symlinkat("../kept", top, "gone/link"), 0);
	assert_int_equal(fd_remove_tree(top, "gone", NULL), 0);
	assert_int_equal(faccessat(top, "kept/inner", F_OK, 0), 0);
	assert_int_equal(fd_remove_tree(top, "gone", NULL), 0); /* missing is fine */
	assert_int_equal(fd_remove_tree(top, "kept", NULL), 0);
}

static void touch(int dir, const char *name)
{
	cleanup_fd int fd = openat(dir, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	assert_true(fd >= 0);
}

static void fd_sweep_temp__takes_half_written_files_only(void **state)
{
	static const char *const others[] = { "a.tmp", ".tmp", ".lock", ".a.tmp.x" };
	cleanup_fd int top = open(*state, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	touch(top, ".a.json.0badcafe.tmp");
	touch(top, ".b.00000000.tmp");
	for (size_t i = 0; i < sizeof(others) / sizeof(*others); i++)
		touch(top, others[i]);
	assert_int_equal(mkdirat(top, ".folder.00000000.tmp", 0700), 0);
	fd_sweep_temp(top);
	assert_int_equal(faccessat(top, ".a.json.0badcafe.tmp", F_OK, 0), -1);
	assert_int_equal(faccessat(top, ".b.00000000.tmp", F_OK, 0), -1);
	for (size_t i = 0; i < sizeof(others) / sizeof(*others); i++)
		assert_int_equal(unlinkat(top, others[i], 0), 0);
	assert_int_equal(unlinkat(top, ".folder.00000000.tmp", AT_REMOVEDIR), 0);
}

/* The writer is killed before it can give the file its name. */
static void fd_sweep_temp__knows_the_names_of_fd_write_atomic(void **state)
{
	cleanup_fd int top = open(*state, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	pid_t pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		/* One write(2) is cut short at the limit, the next one kills. */
		const struct rlimit one_byte = { 1, 1 }, no_core = { 0 };
		(void)setrlimit(RLIMIT_CORE, &no_core);
		(void)setrlimit(RLIMIT_FSIZE, &one_byte);
		(void)signal(SIGXFSZ, SIG_DFL);
		(void)fd_write_atomic(top, "cut", "abc", 3, 0, FD_SYNC_NO, NULL);
		_exit(1);
	}
	int status = 0;
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGXFSZ);
	fd_sweep_temp(top);
	/* teardown's rmdir() fails where it is left */
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(fd_remove_tree__needs_few_fds_for_deep_trees),
		cmocka_unit_test(fd_remove_tree__does_not_follow_links),
		cmocka_unit_test(fd_sweep_temp__takes_half_written_files_only),
		cmocka_unit_test(fd_sweep_temp__knows_the_names_of_fd_write_atomic),
	};
	return cmocka_run_group_tests_name("fd", tests, setup, teardown);
}

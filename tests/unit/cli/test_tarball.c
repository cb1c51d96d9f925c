/* SPDX-License-Identifier: Apache-2.0 */
/* tarball - what we pack, tar(1) unpacks to the same; links are refused. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "cli/tarball.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

static void tarball__is_read_by_tar(void **state)
{
	(void)state;
	char dir[] = "/tmp/isola-tarball.XXXXXX", cmd[512];
	assert_non_null(mkdtemp(dir));
	(void)snprintf(cmd, sizeof(cmd),
		       "cd %s && mkdir -p in/blobs/sha256 out && echo {} >in/index.json && "
		       "head -c 70001 /dev/urandom >in/blobs/sha256/"
		       "0123456789012345678901234567890123456789012345678901234567890123 && "
		       ": >in/empty",
		       dir);
	assert_int_equal(system(cmd), 0);
	char in[64];
	(void)snprintf(in, sizeof(in), "%s/in", dir);
	struct err err = ERR_INIT;
	pid_t pid;
	int fd = tarball_open(in, &pid, &err);
	assert_true(fd >= 0);
	assert_int_equal(dup2(fd, 9), 9);
	(void)close(fd);
	(void)snprintf(cmd, sizeof(cmd), "tar -xf - -C %s/out <&9 && diff -r %s/in %s/out", dir,
		       dir, dir);
	assert_int_equal(system(cmd), 0);
	(void)close(9);
	assert_int_equal(tarball_close(pid, &err), 0);
	(void)snprintf(cmd, sizeof(cmd), "rm -rf %s", dir);
	assert_int_equal(system(cmd), 0);
}

static void tarball__refuses_links(void **state)
{
	(void)state;
	char dir[] = "/tmp/isola-tarball.XXXXXX", cmd[128];
	assert_non_null(mkdtemp(dir));
	(void)snprintf(cmd, sizeof(cmd), "ln -s /etc/passwd %s/link", dir);
	assert_int_equal(system(cmd), 0);
	struct err err = ERR_INIT;
	pid_t pid;
	int fd = tarball_open(dir, &pid, &err);
	assert_true(fd >= 0);
	(void)close(fd);
	assert_true(tarball_close(pid, &err) < 0);
	(void)snprintf(cmd, sizeof(cmd), "rm -rf %s", dir);
	assert_int_equal(system(cmd), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(tarball__is_read_by_tar),
		cmocka_unit_test(tarball__refuses_links),
	};
	return cmocka_run_group_tests_name("tarball", tests, NULL, NULL);
}

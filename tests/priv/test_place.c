/* SPDX-License-Identifier: Apache-2.0 */
/* place - where isolad puts instances: as told, below a delegated cgroup when it was
 * started in its leaf, or in /isola. Each case runs in a child that moves itself into
 * a cgroup made for it. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "daemon/place.h"
#include "isola/cgroup.h"
#include "isola/fd.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <unistd.h>

static char top[64];

/* Below the cgroup that the test may use. */
static const char *path(const char *name)
{
	static char buf[256];
	(void)snprintf(buf, sizeof(buf), "/%s/%s", top, name);
	return buf;
}

static void make(const char *name, bool delegated)
{
	char full[512];
	char *mount = NULL;
	int root = cgroup_mount_open(&mount, NULL);
	int fd = cgroup_make(path(name), "", NULL);
	assert_true(root >= 0 && fd >= 0);
	(void)snprintf(full, sizeof(full), "%s%s", mount, path(name));
	if (delegated)
		assert_int_equal(setxattr(full, "trusted.delegate", "1", 1, 0), 0);
	free(mount);
	(void)close(root);
	(void)close(fd);
}

/* The parent that place_init() chooses for a process in @own told @want; "" when it
 * fails. */
static const char *chosen(const char *own, const char *want)
{
	static char buf[512];
	int fds[2];
	assert_int_equal(pipe(fds), 0);
	pid_t pid = fork();
	if (pid == 0) {
		struct place place;
		int cg = own ? cgroup_open(path(own)) : -1;
		if (own && (cg < 0 || cgroup_attach(cg, 0) < 0))
			_exit(1);
		if (place_init(&place, want, NULL) == 0)
			(void)write(fds[1], place.parent, strlen(place.parent));
		place_fini(&place);
		_exit(0);
	}
	(void)close(fds[1]);
	ssize_t n = fd_read_all(fds[0], buf, sizeof(buf) - 1);
	(void)close(fds[0]);
	buf[n > 0 ? n : 0] = '\0';
	int status;
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	return buf;
}

static void place_init__takes_what_it_is_told(void **state)
{
	(void)state;
	char want[128];
	(void)snprintf(want, sizeof(want), "%s/./x//y", top);
	assert_string_equal(chosen(NULL, want), path("x/y"));
	assert_string_equal(chosen(NULL, "/"), "");
	assert_string_equal(chosen(NULL, ".."), "");
}

static void place_init__goes_beside_the_leaf_it_began_in(void **state)
{
	(void)state;
	make("unit", true);
	make("unit/daemon", false);
	assert_string_equal(chosen("unit/daemon", ""), path("unit/ctr"));
}

static void place_init__keeps_out_of_what_could_not_restart(void **state)
{
	(void)state;
	/* In the unit's own cgroup, as systemd before 254 begins it. */
	make("old", true);
	assert_string_equal(chosen("old", ""), "/isola");
	/* Nothing was delegated. */
	make("plain/daemon", false);
	assert_string_equal(chosen("plain/daemon", ""), "/isola");
}

static int setup(void **state)
{
	(void)state;
	const char *given = getenv("ISOLA_CGROUP");
	(void)snprintf(top, sizeof(top), "%s", given ? given : "isola-test-place");
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	char buf[80];
	(void)snprintf(buf, sizeof(buf), "/%s", top);
	return cgroup_destroy(buf, 2000, NULL);
}

int main(void)
{
	if (geteuid() != 0) {
		puts("needs root");
		return 77;
	}
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(place_init__takes_what_it_is_told, setup, teardown),
		cmocka_unit_test_setup_teardown(place_init__goes_beside_the_leaf_it_began_in, setup,
						teardown),
		cmocka_unit_test_setup_teardown(place_init__keeps_out_of_what_could_not_restart,
						setup, teardown),
	};
	return cmocka_run_group_tests_name("place", tests, NULL, NULL);
}

/* SPDX-License-Identifier: Apache-2.0 */
/* pid - pidfds and start times. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "isola/fd.h"
#include "isola/pid.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>

static pid_t start_child(void)
{
	pid_t pid = fork();
	if (pid == 0) {
		(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
		(void)prctl(PR_SET_NAME, "a) Z 1 (b");
		for (;;)
			(void)pause();
	}
	return pid;
}

static void pid__tells_processes_apart(void **state)
{
	(void)state;
	pid_t child = start_child();
	uint64_t ticks = 0, again = 0;
	char letter = 0;
	assert_int_equal(pid_start_ticks(child, &ticks, &letter), 0);
	assert_true(ticks > 0);
	assert_true(letter == 'S' || letter == 'R');
	assert_int_equal(pid_start_ticks(child, &again, NULL), 0);
	assert_int_equal(ticks, again);
	assert_true(pid_is_same(child, ticks));
	assert_false(pid_is_same(child, ticks + 1));
	assert_int_equal(pid_open_same(child, ticks + 1), -ESRCH);

	int fd = pid_open_same(child, ticks);
	assert_true(fd >= 0);
	assert_int_equal(fcntl(fd, F_GETFD), FD_CLOEXEC);
	assert_int_equal(pid_wait_end(fd, 0), 0);
	assert_int_equal(pid_signal(fd, 0), 0);
	assert_int_equal(pid_signal(fd, SIGKILL), 0);
	assert_int_equal(pid_wait_end(fd, 5000), 1);
	assert_false(pid_is_same(child, ticks)); /* a zombie */
	assert_int_equal(waitpid(child, NULL, 0), child);
	assert_int_equal(pid_signal(fd, 0), -ESRCH);
	assert_int_equal(pid_open_same(child, ticks), -ESRCH);
	assert_int_equal(pid_start_ticks(child, &ticks, NULL), -ESRCH);
	(void)close(fd);
}

static void pid__refuses_what_is_none(void **state)
{
	(void)state;
	assert_false(pid_is_same(0, 0));
	assert_false(pid_is_same(-1, 0));
	assert_int_equal(pid_open(0x7ffffffe), -ESRCH);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(pid__tells_processes_apart),
		cmocka_unit_test(pid__refuses_what_is_none),
	};
	return cmocka_run_group_tests_name("pid", tests, NULL, NULL);
}

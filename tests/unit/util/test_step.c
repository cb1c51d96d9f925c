/* SPDX-License-Identifier: Apache-2.0 */
/* Named steps: a process dies at the one of its environment, and at no other. */
#include "isola/step.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

/* The wait status of a process that passes "here". */
static int pass(const char *die_at)
{
	int status = -1;
	pid_t pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		if (die_at)
			(void)setenv("ISOLA_DIE_AT", die_at, 1);
		else
			(void)unsetenv("ISOLA_DIE_AT");
		step_init();
		step_reached("here");
		_exit(7);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return status;
}

static void step_reached__kills_at_its_name_only(void **state)
{
	(void)state;
	int there = pass("here"), elsewhere = pass("here.too"), nowhere = pass(NULL);
	assert_true(WIFSIGNALED(there) && WTERMSIG(there) == SIGKILL);
	assert_true(WIFEXITED(elsewhere) && WEXITSTATUS(elsewhere) == 7);
	assert_true(WIFEXITED(nowhere) && WEXITSTATUS(nowhere) == 7);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(step_reached__kills_at_its_name_only),
	};
	return cmocka_run_group_tests_name("step", tests, NULL, NULL);
}

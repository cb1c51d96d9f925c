/* SPDX-License-Identifier: Apache-2.0 */
/* child - what a helper program gets from isolad and what isolad hears of its end.
 * The helper is /bin/sh, opened as helpers are. */
#include "desk.h"

#include "daemon/child.h"
#include "daemon/config.h"
#include "isola/fd.h"
#include "isola/pid.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>

struct ended {
	bool is;
	int status;
};

static void on_exit_(void *arg, int status)
{
	struct ended *e = arg;
	e->is = true;
	e->status = status;
}

static int setup(void **state)
{
	if (desk_setup(state) < 0)
		return -1;
	struct isolad *d = *state;
	struct config config = { .keeper = (char *)"/bin/sh",
				 .image_helper = (char *)"/bin/sh",
				 .resolver = (char *)"",
				 .vmm = (char *)"" };
	d->null_fd = open("/dev/null", O_RDWR | O_CLOEXEC);
	(void)getrlimit(RLIMIT_NOFILE, &d->nofile);
	return programs_open(&d->programs, &config, NULL);
}

static int teardown(void **state)
{
	struct isolad *d = *state;
	children_close(d);
	programs_close(&d->programs);
	(void)close(d->null_fd);
	return desk_teardown(state);
}

static void wait_for(struct isolad *d, const struct ended *e)
{
	while (!e->is)
		(void)uv_run(&d->loop, UV_RUN_ONCE);
}

/* Runs @script with @fd3; its output in a static buffer. */
static const char *output(struct isolad *d, const char *script, int fd3, int *ret_status)
{
	static char buf[1024];
	int fds[2];
	struct ended e = { 0 };
	struct child *child = NULL;
	const char *const argv[] = { "sh", "-c", script, NULL };
	assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
	struct child_args args = { .argv = argv, .stdin_fd = -1, .stdout_fd = fds[1], .fd3 = fd3 };
	assert_int_equal(child_spawn(d, &args, on_exit_, &e, &child, NULL), 0);
	(void)close(fds[1]);
	wait_for(d, &e);
	ssize_t n = fd_read_all(fds[0], buf, sizeof(buf) - 1);
	buf[n > 0 ? n : 0] = '\0';
	(void)close(fds[0]);
	if (ret_status)
		*ret_status = e.status;
	return buf;
}

static void child_spawn__gives_three_descriptors_and_a_fourth(void **state)
{
	struct isolad *d = *state;
	int fd = open("/dev/zero", O_RDONLY | O_CLOEXEC);
	/* By name: to list the folder would open one more. */
	const char *script = "i=0; while [ $i -lt 300 ]; do [ -e /proc/$$/fd/$i ] && "
			     "echo -n $i; i=$((i+1)); done";
	assert_string_equal(output(d, script, -1, NULL), "012");
	assert_string_equal(output(d, script, fd, NULL), "0123");
	assert_string_equal(output(d, "readlink /proc/$$/fd/3 /proc/$$/fd/0", fd, NULL),
			    "/dev/zero\n/dev/null\n");
	(void)close(fd);
}

static void child_spawn__undoes_isolads_signals_and_session(void **state)
{
	struct isolad *d = *state;
	(void)signal(SIGPIPE, SIG_IGN);
	sigset_t usr1;
	(void)sigemptyset(&usr1);
	(void)sigaddset(&usr1, SIGUSR1);
	(void)sigprocmask(SIG_BLOCK, &usr1, NULL);
	/* posix_spawn() leaves 32 and 33 ignored, which a libc sets when it needs them. */
	assert_string_equal(
		output(d, "grep -E 'Sig(Blk|Ign)' /proc/$$/status | tr -d '\\t\\n'", -1, NULL),
		"SigBlk:0000000000000000SigIgn:0000000180000000");
	(void)sigprocmask(SIG_UNBLOCK, &usr1, NULL);
	/* Session and process group are its own. */
	assert_string_equal(
		output(d, "set -- $(cat /proc/$$/stat); [ $1 = $6 ] && echo own", -1, NULL),
		"own\n");
}

static void child_spawn__tells_how_it_ended(void **state)
{
	struct isolad *d = *state;
	int status;
	(void)output(d, "exit 7", -1, &status);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 7);
	(void)output(d, "kill -9 $$", -1, &status);
	assert_true(WIFSIGNALED(status));
	assert_int_equal(WTERMSIG(status), SIGKILL);
	/* Reaped, and nobody else's child is touched. */
	assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);
	assert_int_equal(errno, ECHILD);
}

static void child_forget__reaps_in_silence(void **state)
{
	struct isolad *d = *state;
	struct child *child = NULL;
	const char *const argv[] = { "sh", "-c", "exit 0", NULL };
	struct child_args args = { .argv = argv, .stdin_fd = -1, .stdout_fd = -1, .fd3 = -1 };
	assert_int_equal(child_spawn(d, &args, on_exit_, NULL, &child, NULL), 0);
	child_forget(child);
	while (!list_is_empty(&d->children))
		(void)uv_run(&d->loop, UV_RUN_ONCE);
	assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);
}

static void child_adopt__watches_what_is_not_its_child(void **state)
{
	struct isolad *d = *state;
	struct ended e = { 0 };
	struct child *child = NULL;
	int fds[2];
	assert_int_equal(pipe(fds), 0);
	/* A grandchild, whose parent leaves at once. */
	if (fork() == 0) {
		pid_t pid = fork();
		if (pid == 0) {
			(void)pause();
			_exit(0);
		}
		(void)write(fds[1], &pid, sizeof(pid));
		_exit(0);
	}
	pid_t pid = 0;
	assert_int_equal(read(fds[0], &pid, sizeof(pid)), sizeof(pid));
	(void)wait(NULL);
	assert_int_equal(child_adopt(d, pid, pid_open(pid), on_exit_, &e, &child, NULL), 0);
	assert_int_equal(child_pid(child), pid);
	assert_int_equal(child_kill(child, SIGKILL), 0);
	wait_for(d, &e);
	assert_int_equal(e.status, -1);
	(void)close(fds[0]);
	(void)close(fds[1]);
}

static void programs_open__leaves_nothing_to_write_to(void **state)
{
	(void)state;
	if (geteuid() != 0)
		skip();
	/* Not executed by anybody, which would protect it, too. */
	char file[] = "/tmp/isola-program-XXXXXX", path[64];
	int fd = mkstemp(file);
	struct programs p;
	struct config config = {
		.keeper = file, .image_helper = file, .vmm = file, .resolver = file
	};
	assert_int_equal(fchmod(fd, 0755), 0);
	programs_init(&p);
	assert_int_equal(programs_open(&p, &config, NULL), 0);
	assert_true(p.fds[PROGRAM_KEEPER] >= 10);
	(void)snprintf(path, sizeof(path), "/proc/self/fd/%d", p.fds[PROGRAM_KEEPER]);
	assert_int_equal(open(path, O_WRONLY | O_CLOEXEC), -1);
	assert_int_equal(errno, EROFS);
	programs_close(&p);
	(void)close(fd);
	(void)unlink(file);
}

static void programs_open__names_what_is_not_there(void **state)
{
	(void)state;
	struct programs p;
	struct err e = ERR_INIT;
	struct config config = { .keeper = (char *)"/nonexistent",
				 .image_helper = (char *)"",
				 .resolver = (char *)"",
				 .vmm = (char *)"" };
	programs_init(&p);
	assert_int_equal(programs_open(&p, &config, &e), -ENOENT);
	assert_non_null(strstr(e.text, "/nonexistent"));
	programs_close(&p);
	config.keeper = (char *)"/etc/passwd";
	assert_int_equal(programs_open(&p, &config, &e), -EACCES);
	programs_close(&p);
}

static void child_spawn__says_which_program_is_missing(void **state)
{
	struct isolad *d = *state;
	struct err e = ERR_INIT;
	struct child *child = NULL;
	const char *const argv[] = { "isola-image", NULL };
	struct child_args args = {
		.program = PROGRAM_IMAGE, .argv = argv, .stdin_fd = -1, .stdout_fd = -1, .fd3 = -1
	};
	fd_close(&d->programs.fds[PROGRAM_IMAGE]);
	assert_int_equal(child_spawn(d, &args, on_exit_, NULL, &child, &e), -ENOENT);
	assert_non_null(strstr(e.text, "isola-image is missing"));
}

#define CASE(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	/* What whoever runs the tests left open. */
	(void)close_range(3, ~0u, 0);
	const struct CMUnitTest tests[] = {
		CASE(child_spawn__gives_three_descriptors_and_a_fourth),
		CASE(child_spawn__undoes_isolads_signals_and_session),
		CASE(child_spawn__tells_how_it_ended),
		CASE(child_forget__reaps_in_silence),
		CASE(child_adopt__watches_what_is_not_its_child),
		CASE(programs_open__leaves_nothing_to_write_to),
		CASE(programs_open__names_what_is_not_there),
		CASE(child_spawn__says_which_program_is_missing),
	};
	return cmocka_run_group_tests_name("child", tests, NULL, NULL);
}

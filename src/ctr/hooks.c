/* SPDX-License-Identifier: Apache-2.0 */
/* hooks - see hooks.h. Runs in the parent, and in init for the kinds that belong
 * into the container's namespaces. */
#include "hooks.h"

#include "signals.h"

#include "isola/fd.h"
#include "isola/json.h"
#include "isola/pid.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/close_range.h>
#include <linux/sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#define OUTPUT_SHOWN 300

static char *state_text(const struct ctr_spec *spec, const struct hook_state *s)
{
	cleanup_json json_object *o = json_object_new_object();
	json_add_str(o, "ociVersion", "1.2.0");
	json_add_str(o, "id", s->id);
	json_add_str(o, "status", s->status);
	if (s->pid > 0)
		json_add_i64(o, "pid", s->pid);
	json_add_str(o, "bundle", s->bundle);
	if (spec->annotations)
		json_add(o, "annotations", json_object_get(spec->annotations));
	const char *text = json_object_to_json_string_ext(
		o, JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE);
	return text ? strdup(text) : NULL;
}

static int memory_file(const char *name, const char *text)
{
	int fd = memfd_create(name, MFD_CLOEXEC);
	if (fd < 0)
		return -errno;
	size_t size = strlen(text);
	if (size && (fd_write_all(fd, text, size) < 0 || lseek(fd, 0, SEEK_SET) < 0)) {
		(void)close(fd);
		return -EIO;
	}
	return fd;
}

static void hook_main(const struct ctr_hook *h, int in_fd, int out_fd) __attribute__((noreturn));

static void hook_main(const struct ctr_hook *h, int in_fd, int out_fd)
{
	signals_reset();
	(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
	(void)setpgid(0, 0); /* what it starts ends with it, should it take too long */
	if (dup2(in_fd, 0) < 0 || dup2(out_fd, 1) < 0 || dup2(out_fd, 2) < 0)
		_exit(127);
	(void)syscall(SYS_close_range, 3, ~0U, CLOSE_RANGE_CLOEXEC);
	(void)execve(h->path, h->args, h->env);
	dprintf(2, "%s", strerror(errno));
	_exit(127);
}

/* The last of what the hook printed, on one line. */
static void read_output(int fd, char *ret, size_t size)
{
	off_t end = lseek(fd, 0, SEEK_END);
	off_t from = end > (off_t)size - 1 ? end - (off_t)size + 1 : 0;
	ssize_t n = pread(fd, ret, size - 1, from);
	ret[n > 0 ? n : 0] = '\0';
	for (char *p = ret; *p; p++)
		if ((unsigned char)*p < ' ')
			*p = ' ';
	for (n = (ssize_t)strlen(ret); n > 0 && ret[n - 1] == ' '; n--)
		ret[n - 1] = '\0';
}

static int judge(const struct ctr_hook *h, const siginfo_t *info, int out_fd, struct err *err)
{
	if (info->si_code == CLD_EXITED && info->si_status == 0)
		return 0;
	char said[OUTPUT_SHOWN];
	read_output(out_fd, said, sizeof(said));
	return err_set(err, ECHILD, "hook %s %s %d%s%s", h->path,
		       info->si_code == CLD_EXITED ? "exited with status" : "was ended by signal",
		       info->si_status, *said ? ": " : "", said);
}

static int run_one(const struct ctr_hook *h, const char *state, struct err *err)
{
	cleanup_fd int in_fd = memory_file("hook-state", state);
	cleanup_fd int out_fd = memory_file("hook-output", "");
	cleanup_fd int pidfd = -1;
	if (in_fd < 0 || out_fd < 0)
		return err_set(err, EIO, "cannot make the input of hook %s", h->path);
	struct clone_args args = { .flags = CLONE_PIDFD,
				   .pidfd = (uintptr_t)&pidfd,
				   .exit_signal = SIGCHLD };
	pid_t pid = (pid_t)syscall(SYS_clone3, &args, sizeof(args));
	if (pid == 0)
		hook_main(h, in_fd, out_fd);
	if (pid < 0)
		return err_sys(err, "cannot start hook %s", h->path);
	siginfo_t info = { .si_pid = 0 };
	int ended = pid_wait_end(pidfd, h->timeout_s ? h->timeout_s * 1000 : -1);
	if (ended <= 0) {
		(void)pid_signal(pidfd, SIGKILL);
		(void)kill(-pid, SIGKILL); /* not reaped yet: the group is still its */
	}
	(void)waitid(P_PIDFD, (id_t)pidfd, &info, WEXITED);
	if (ended <= 0)
		return err_set(err, ETIMEDOUT, "hook %s took longer than %d s", h->path,
			       h->timeout_s);
	return judge(h, &info, out_fd, err);
}

int hooks_run(const struct ctr_spec *spec, enum ctr_hook_kind kind, const struct hook_state *state,
	      struct err *err)
{
	const struct ctr_hooks *hooks = &spec->hooks[kind];
	if (hooks->n == 0)
		return 0;
	cleanup_free char *text = state_text(spec, state);
	if (!text)
		return err_set(err, ENOMEM, "out of memory");
	for (size_t i = 0; i < hooks->n; i++) {
		int rc = run_one(&hooks->items[i], text, err);
		if (rc < 0)
			return err_prefix(err, "%s", ctr_hook_names[kind]);
	}
	return 0;
}

void hooks_run_all(const struct ctr_spec *spec, enum ctr_hook_kind kind,
		   const struct hook_state *state)
{
	const struct ctr_hooks *hooks = &spec->hooks[kind];
	cleanup_free char *text = hooks->n ? state_text(spec, state) : NULL;
	for (size_t i = 0; text && i < hooks->n; i++)
		(void)run_one(&hooks->items[i], text, NULL);
}

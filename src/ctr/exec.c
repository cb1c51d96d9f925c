/* SPDX-License-Identifier: Apache-2.0 */
/* exec - one more process in a running container: ctr_exec() of ctr.h. It is
 * cloned into the container's pid namespace and cgroup, enters the other
 * namespaces by one setns(2) on init's pidfd, and goes through the same last
 * stages as init. */
#include "channel.h"
#include "clone.h"
#include "ids.h"
#include "init.h"
#include "notify.h"
#include "rlimits.h"

#include "isola/caps.h"
#include "isola/cgroup.h"
#include "isola/fd.h"
#include "isola/pid.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>

static int stage_prepare(struct init *in, struct err *err)
{
	const struct ctr_process *p = in->process;
	/* Before the container's processes can look into us (CVE-2016-9962). */
	if (prctl(PR_SET_DUMPABLE, 0) < 0)
		return err_sys(err, "cannot become undumpable");
	if (p->affinity_initial &&
	    sched_setaffinity(0, sizeof(*p->affinity_initial), p->affinity_initial) < 0)
		return err_sys(err, "cannot set process.execCPUAffinity.initial");
	return limits_raise(0, p, err);
}

static int stage_join(struct init *in, struct err *err)
{
	bool foreign = in->root_fd >= 0;
	if (in->join->flags && setns(in->join->fd, in->join->flags) < 0)
		return err_sys(err, "cannot join the container's namespaces");
	if (foreign && (fchdir(in->root_fd) < 0 || chroot(".") < 0 || chdir("/") < 0))
		return err_sys(err, "cannot enter the container's root");
	if (in->spec->ns[CTR_NS_USER].mode == CTR_NS_HOST)
		return 0;
	int rc = start_become_root(in, err);
	if (rc < 0)
		return rc;
	/* A change of ids undid both. */
	if (prctl(PR_SET_PDEATHSIG, 9) < 0 || prctl(PR_SET_DUMPABLE, 0) < 0)
		return err_sys(err, "cannot become undumpable");
	return 0;
}

static int stage_affinity(struct init *in, struct err *err)
{
	const cpu_set_t *set = in->process->affinity_final;
	if (set && sched_setaffinity(0, sizeof(*set), set) < 0)
		return err_sys(err, "cannot set process.execCPUAffinity.final");
	return 0;
}

static const struct stage stages[] = {
	{ "guard", stage_guard },       { "prepare", stage_prepare },
	{ "join", stage_join },         { "session", stage_session },
	{ "console", stage_console },   { "user", stage_user },
	{ "labels", stage_labels },     { "descriptors", stage_descriptors },
	{ "cwd", stage_cwd },           { "schedule", stage_schedule },
	{ "affinity", stage_affinity }, { "rights", stage_rights },
	{ "exec", stage_exec },         { NULL, NULL },
};

/* Everything opened for one exec. */
struct joining {
	const struct ctr_exec_args *args;
	struct ctr_process process; /* with the capabilities that privileged means */
	int pidfd, cgroup_fd, null_fd, own_pid_ns, root_fd;
	int socks[2];
	bool has_seccomp;
	struct seccomp_filter seccomp;
	struct clone_join join;
};

static void joining_fini(struct joining *j)
{
	fd_close(&j->pidfd);
	fd_close(&j->cgroup_fd);
	fd_close(&j->null_fd);
	fd_close(&j->own_pid_ns);
	fd_close(&j->root_fd);
	fd_close(&j->socks[0]);
	fd_close(&j->socks[1]);
	if (j->has_seccomp)
		seccomp_filter_fini(&j->seccomp);
}

static void exec_main(void *arg)
{
	struct joining *j = arg;
	const struct ctr_exec_args *args = j->args;
	struct init in;
	init_setup(&in, args->spec, &j->process);
	in.id = args->id;
	in.join = &j->join;
	in.root_fd = j->root_fd;
	in.sock = j->socks[1];
	in.preserve_fds = args->preserve_fds;
	for (int i = 0; i < 3; i++)
		in.stdio[i] = args->stdio[i] >= 0 ? args->stdio[i] : j->null_fd;
	in.new_keyring = !args->no_new_keyring;
	in.seccomp = j->has_seccomp ? &j->seccomp : NULL;
	fd_close(&j->socks[0]);
	init_run(&in, stages, NULL);
}

static int join_flags(const struct ctr_spec *spec)
{
	int flags = 0;
	for (int i = 0; i < CTR_NS_COUNT; i++)
		if (spec->ns[i].mode != CTR_NS_HOST)
			flags |= ctr_ns_types[i].clone_flag;
	return flags;
}

static int open_root(struct joining *j, struct err *err)
{
	/* Elsewhere setns(2) leads to the root of the mount namespace. */
	if (ctr_spec_has_new(j->args->spec, CTR_NS_MOUNT))
		return 0;
	char path[40];
	(void)snprintf(path, sizeof(path), "/proc/%d/root", j->args->pid);
	j->root_fd = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	return j->root_fd < 0 ? err_sys(err, "cannot open %s", path) : 0;
}

static bool is_frozen(int cgroup_fd)
{
	cleanup_fd int fd = openat(cgroup_fd, "cgroup.freeze", O_RDONLY | O_CLOEXEC);
	char c = '0';
	return fd >= 0 && read(fd, &c, 1) == 1 && c == '1';
}

static int open_cgroup(struct joining *j, struct err *err)
{
	const char *path = j->args->cgroup;
	if (!path)
		return 0;
	j->cgroup_fd = cgroup_open(path);
	if (j->cgroup_fd < 0)
		return err_rc(err, j->cgroup_fd, "cannot open cgroup %s", path);
	if (!j->args->into_paused && is_frozen(j->cgroup_fd))
		return err_set(err, EBUSY, "the container is paused: resume it first");
	return 0;
}

static int open_all(struct joining *j, struct err *err)
{
	const struct ctr_exec_args *args = j->args;
	j->pidfd = args->pidfd >= 0 ? fd_dup(args->pidfd) : pid_open(args->pid);
	if (j->pidfd < 0)
		return err_rc(err, j->pidfd, "cannot open the container's init (pid %d)",
			      args->pid);
	if (chan_pair(j->socks) < 0)
		return err_sys(err, "cannot make a socket pair");
	if (args->stdio[0] < 0 || args->stdio[1] < 0 || args->stdio[2] < 0) {
		j->null_fd = open("/dev/null", O_RDWR | O_CLOEXEC | O_NOCTTY);
		if (j->null_fd < 0)
			return err_sys(err, "cannot open /dev/null");
	}
	if (args->spec->seccomp) {
		int rc = seccomp_filter_load(args->spec->seccomp, args->cache_fd, &j->seccomp, err);
		if (rc < 0)
			return err_prefix(err, "linux.seccomp");
		j->has_seccomp = true;
	}
	int rc = open_root(j, err);
	return rc < 0 ? rc : open_cgroup(j, err);
}

/* Where init itself moved into a cgroup below (systemd in a container does), the
 * container's own takes no processes any more. */
static int open_cgroup_of_init(struct joining *j)
{
	char path[40], *text = NULL;
	(void)snprintf(path, sizeof(path), "/proc/%d/cgroup", j->args->pid);
	if (fd_read_file(AT_FDCWD, path, 8192, &text, NULL, NULL) < 0)
		return -ENOENT;
	char *line = strstr(text, "0::");
	int fd = -ENOENT;
	if (line) {
		line[strcspn(line, "\n")] = '\0';
		fd = cgroup_open(line + 3);
	}
	free(text);
	if (fd < 0)
		return fd;
	fd_close(&j->cgroup_fd);
	j->cgroup_fd = fd;
	return 0;
}

/* The pid namespace applies to children only, so we enter it and come back: one
 * clone fewer than a helper costs. Without root a helper has to do, as the way
 * in leads through the user namespace. */
static pid_t clone_into(struct joining *j, struct ctr_child *child, struct err *err)
{
	int pid_flags = j->join.flags & (geteuid() ? CLONE_NEWUSER | CLONE_NEWPID : CLONE_NEWPID);
	const struct clone_join helper_join = { j->pidfd, pid_flags, "the container" };
	struct clone_request req = { .cgroup_fd = j->cgroup_fd, .run = exec_main, .arg = j };
	j->join.flags &= ~pid_flags;
	if (pid_flags && geteuid() != 0) {
		req.joins = &helper_join;
		req.n_joins = 1;
		return clone_run(&req, &child->pidfd, err);
	}
	if (pid_flags) {
		j->own_pid_ns = open("/proc/self/ns/pid", O_RDONLY | O_CLOEXEC);
		if (j->own_pid_ns < 0 || setns(j->pidfd, CLONE_NEWPID) < 0)
			return err_sys(err, "cannot join the container's pid namespace");
	}
	pid_t pid = clone_run(&req, &child->pidfd, err);
	if (pid == -EBUSY && open_cgroup_of_init(j) == 0) {
		req.cgroup_fd = j->cgroup_fd;
		pid = clone_run(&req, &child->pidfd, err);
	}
	if (pid_flags && setns(j->own_pid_ns, CLONE_NEWPID) < 0) {
		clone_kill(&child->pidfd);
		return err_sys(err, "cannot return from the container's pid namespace");
	}
	return pid;
}

static int wait_exec(const struct joining *j, struct ctr_child *child, struct err *err)
{
	for (;;) {
		struct chan_msg msg;
		int fd = -1;
		size_t n = 0;
		int rc = chan_recv(j->socks[0], &msg, &fd, 1, &n);
		if (rc < 0)
			return err_rc(err, rc, "cannot hear the new process");
		if (rc == 0)
			return 0;
		if (msg.type == CHAN_CONSOLE && n == 1 && child->console_fd < 0) {
			child->console_fd = fd;
			continue;
		}
		if (msg.type == CHAN_LISTENER && n == 1) {
			const struct hook_state state = { j->args->id ? j->args->id : "", "running",
							  child->pid, "" };
			rc = notify_forward(j->args->spec, fd, &state, err);
		} else if (msg.type == CHAN_ERROR) {
			rc = err_set(err, msg.value, "%s", msg.text);
		} else {
			rc = err_set(err, EPROTO, "unexpected message %d from the new process",
				     msg.type);
		}
		fd_close(&fd);
		if (rc < 0)
			return rc;
	}
}

int ctr_exec(const struct ctr_exec_args *args, struct ctr_child *ret, struct err *err)
{
	struct joining j = { .args = args,
			     .process = *args->process,
			     .pidfd = -1,
			     .cgroup_fd = -1,
			     .null_fd = -1,
			     .own_pid_ns = -1,
			     .root_fd = -1,
			     .socks = { -1, -1 },
			     .seccomp = SECCOMP_FILTER_INIT };
	struct ctr_child child = { .pid = -1, .pidfd = -1, .console_fd = -1 };
	if (args->privileged)
		j.process.caps = (struct ctr_caps){ .bounding = caps_all(),
						    .effective = caps_all(),
						    .permitted = caps_all() };
	int rc = open_all(&j, err);
	if (rc == 0 && args->spec->ns[CTR_NS_USER].mode != CTR_NS_HOST)
		ids_give_stdio(args->pid, args->stdio);
	if (rc == 0) {
		j.join = (struct clone_join){ j.pidfd, join_flags(args->spec), "the container" };
		rc = child.pid = clone_into(&j, &child, err);
	}
	fd_close(&j.socks[1]);
	if (rc > 0)
		rc = wait_exec(&j, &child, err);
	joining_fini(&j);
	if (rc < 0) {
		clone_kill(&child.pidfd);
		fd_close(&child.console_fd);
		return rc;
	}
	*ret = child;
	return 0;
}

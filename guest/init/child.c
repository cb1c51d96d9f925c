/* SPDX-License-Identifier: Apache-2.0 */
/* child - a process from its clone to its program, in the same order and with the same
 * errors as in a container without a guest (src/ctr, stage_*.c):
 *
 *   cgroup, namespaces, root (the first) or join (others), session, terminal, user,
 *   descriptors, folder, umask, bounding set, groups, ids, capabilities, no_new_privs,
 *   program, limits, the tiny init of --init, seccomp, exec */
#include "init.h"

#include "isola/console.h"
#include "isola/fd.h"
#include "isola/path.h"

#include "isola/userdb.h"

#include "reaper.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/seccomp.h>

#define ADMIN (UINT64_C(1) << CAP_SYS_ADMIN)
static const char default_path[] = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

static void reset_signals(void)
{
	sigset_t none;
	for (int signo = 1; signo < 65; signo++)
		(void)signal(signo, SIG_DFL);
	(void)sigemptyset(&none);
	(void)sigprocmask(SIG_SETMASK, &none, NULL);
}

/* ---- namespaces ---- */

static int join(const struct guest *g, struct err *err)
{
	for (int i = 1; i < NS_COUNT; i++)
		if (setns(g->ns_fds[i], ns_kinds[i].flag) < 0)
			return err_sys(err, "cannot join the container's %s namespace",
				       ns_kinds[i].name);
	return chdir("/") < 0 ? err_sys(err, "cannot enter /") : 0;
}

static int open_terminal(struct child *c, int pts, struct err *err)
{
	int master = -1;
	if (pts < 0)
		return err_rc(err, pts, "cannot open the container's /dev/pts");
	int rc = console_open(pts, &master, &c->slave_fd, NULL, err);
	if (rc < 0)
		return rc;
	if (c->spec->rows && c->spec->columns)
		(void)console_resize(master, c->spec->rows, c->spec->columns);
	rc = console_send(c->status_fd, master, "t");
	(void)close(master);
	return rc < 0 ? err_rc(err, rc, "cannot hand over the terminal") : 0;
}

static int make_first(struct child *c, struct err *err)
{
	int root = -1;
	if (c->g->cgroup && unshare(CLONE_NEWCGROUP) < 0)
		return err_sys(err, "cannot make a cgroup namespace");
	int rc = root_make(c->g, &root, err);
	if (rc == 0 && c->spec->tty) {
		cleanup_fd int pts = path_open_in_root(root, "/dev/pts", O_PATH | O_DIRECTORY, 0);
		rc = open_terminal(c, pts, err);
		if (rc == 0)
			rc = root_console(root, c->slave_fd, err);
	}
	if (rc == 0)
		rc = root_mask(c->g, root, err);
	return rc < 0 ? rc : root_enter(c->g, root, err);
}

static int make_other(struct child *c, struct err *err)
{
	int rc = join(c->g, err);
	if (rc < 0 || !c->spec->tty)
		return rc;
	cleanup_fd int pts = open("/dev/pts", O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	return open_terminal(c, pts < 0 ? -errno : pts, err);
}

/* ---- who ---- */

static int read_file(const char *path, char **ret, size_t *ret_size, struct err *err)
{
	struct stat st;
	cleanup_fd int root = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
	cleanup_fd int probe = path_open_in_root(root, path, O_PATH, 0);
	if (probe == -ENOENT || probe == -ENOTDIR)
		return 0;
	if (probe < 0 || fstat(probe, &st) < 0)
		return err_rc(err, probe < 0 ? probe : -errno, "cannot open %s", path);
	if (!S_ISREG(st.st_mode))
		return err_set(err, EINVAL, "%s is not a regular file", path);
	if (st.st_size > USERDB_FILE_MAX)
		return err_set(err, EFBIG, "%s is larger than %d bytes", path, USERDB_FILE_MAX);
	cleanup_fd int fd = path_open_in_root(root, path, O_RDONLY | O_NONBLOCK | O_NOCTTY, 0);
	char *text = fd < 0 ? NULL : malloc((size_t)st.st_size + 1);
	ssize_t n = text ? fd_read_all(fd, text, (size_t)st.st_size) : fd < 0 ? fd : -ENOMEM;
	if (n < 0) {
		free(text);
		return err_rc(err, (int)n, "cannot read %s", path);
	}
	*ret = text;
	*ret_size = (size_t)n;
	return 0;
}

static bool has_env(char *const *env, const char *name)
{
	size_t n = strlen(name);
	for (; *env; env++)
		if (!strncmp(*env, name, n) && (*env)[n] == '=')
			return true;
	return false;
}

/* The user, and HOME in the environment where it has none. */
static int find_user(const struct process_spec *s, struct userdb_entry *ret, struct err *err)
{
	struct userdb_text users = { 0 }, groups = { 0 };
	char *passwd = NULL, *group = NULL, *home = NULL;
	bool wants_home = !has_env(s->env, "HOME");
	int rc = 0;
	*ret = (struct userdb_entry){ .uid = s->uid, .gid = s->gid };
	if (s->user || wants_home)
		rc = read_file("/etc/passwd", &passwd, &users.size, s->user ? err : NULL);
	users.text = passwd;
	if (s->user) {
		if (rc == 0)
			rc = read_file("/etc/group", &group, &groups.size, err);
		groups.text = group;
		if (rc == 0)
			rc = userdb_find(s->user, users, groups, ret, err);
		if (rc < 0)
			return err_prefix(err, "user %s", s->user);
	} else if (rc == 0) {
		ret->home = userdb_home(s->uid, users);
	}
	if (wants_home && asprintf(&home, "HOME=%s", ret->home ? ret->home : "/") < 0)
		return err_set(err, ENOMEM, "out of memory");
	if (home)
		s->env[s->n_env] = home;
	return 0;
}

/* ---- where ---- */

static int enter_cwd(const struct process_spec *s, struct err *err)
{
	char path[4096];
	cleanup_fd int root = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
	cleanup_fd int dir = path_open_in_root(root, s->cwd, O_PATH | O_DIRECTORY, 0);
	if (dir == -ENOENT && s->make_cwd)
		dir = path_mkdir_in_root(root, s->cwd, 0755, NULL);
	if (dir == -ELOOP)
		return err_set(err, ELOOP,
			       "cannot enter process.cwd %s: it leads through /proc/<pid>/fd or "
			       "the like, or in a circle",
			       s->cwd);
	if (dir < 0 || fchdir(dir) < 0)
		return err_rc(err, dir < 0 ? dir : -errno, "cannot enter process.cwd %s", s->cwd);
	if (syscall(SYS_getcwd, path, sizeof(path)) > 0 && path[0] != '/')
		return err_set(err, EPERM, "the current folder is outside of the root");
	return 0;
}

/* ---- descriptors ---- */

static int place_stdio(struct child *c, uint32_t uid, struct err *err)
{
	if (c->slave_fd >= 0) {
		int rc = console_become(c->slave_fd);
		if (rc < 0)
			return err_rc(err, rc, "cannot take the terminal");
	} else {
		for (int i = 0; i < 3; i++)
			if ((c->stdio[i] = fcntl(c->stdio[i], F_DUPFD_CLOEXEC, 3)) < 0)
				return err_sys(err, "cannot duplicate descriptor %d", i);
		for (int i = 0; i < 3; i++)
			if (dup2(c->stdio[i], i) < 0)
				return err_sys(err, "cannot place descriptor %d", i);
	}
	for (int i = 0; i < 3; i++) {
		struct stat st;
		if (fstat(i, &st) == 0 && st.st_uid != uid &&
		    (c->slave_fd >= 0 || S_ISFIFO(st.st_mode)))
			(void)fchown(i, uid, (gid_t)-1);
	}
	return 0;
}

/* ---- rights ---- */

static int set_caps(uint64_t effective, uint64_t permitted, uint64_t inheritable)
{
	struct __user_cap_header_struct head = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct data[2];
	for (int i = 0; i < 2; i++)
		data[i] = (struct __user_cap_data_struct){
			.effective = (uint32_t)(effective >> (32 * i)),
			.permitted = (uint32_t)(permitted >> (32 * i)),
			.inheritable = (uint32_t)(inheritable >> (32 * i)),
		};
	return syscall(SYS_capset, &head, data) < 0 ? -errno : 0;
}

static uint64_t own_permitted(void)
{
	struct __user_cap_header_struct head = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct data[2];
	if (syscall(SYS_capget, &head, data) < 0)
		return 0;
	return data[0].permitted | (uint64_t)data[1].permitted << 32;
}

static int drop_bounding(uint64_t keep, struct err *err)
{
	for (int cap = 0; cap < 64 && prctl(PR_CAPBSET_READ, cap, 0, 0, 0) >= 0; cap++)
		if (!(keep >> cap & 1) && prctl(PR_CAPBSET_DROP, cap, 0, 0, 0) < 0)
			return err_sys(err, "cannot drop a capability of the bounding set");
	return 0;
}

static int set_ids(const struct process_spec *s, const struct userdb_entry *user, struct err *err)
{
	size_t n = s->n_groups + user->n_groups;
	gid_t *groups = malloc((n + 1) * sizeof(*groups));
	if (!groups)
		return err_set(err, ENOMEM, "out of memory");
	for (size_t i = 0; i < n; i++)
		groups[i] = i < s->n_groups ? s->groups[i] : user->groups[i - s->n_groups];
	if (setgroups(n, groups) < 0)
		return err_sys(err, "cannot set the supplementary groups");
	if (setresgid(user->gid, user->gid, user->gid) < 0)
		return err_sys(err, "cannot become group %u", user->gid);
	if (setresuid(user->uid, user->uid, user->uid) < 0)
		return err_sys(err, "cannot become user %u", user->uid);
	return 0;
}

static int take_rights(const struct process_spec *s, const struct userdb_entry *user,
		       uint64_t *ret_own, struct err *err)
{
	bool keeps_admin = s->seccomp && !s->no_new_privs;
	int rc = drop_bounding(s->caps.bounding, err);
	if (rc < 0)
		return rc;
	uint64_t own = *ret_own = own_permitted(), extra = keeps_admin ? ADMIN & own : 0;
	uint64_t permitted = s->caps.permitted & own;
	if (prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0) < 0)
		return err_sys(err, "cannot keep capabilities");
	rc = set_ids(s, user, err);
	if (rc < 0)
		return rc;
	rc = set_caps((s->caps.effective & permitted) | extra, permitted | extra,
		      s->caps.inheritable & own);
	if (rc < 0)
		return err_rc(err, rc, "cannot set the capabilities");
	(void)prctl(PR_SET_KEEPCAPS, 0, 0, 0, 0);
	(void)prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
	for (int cap = 0; cap < 64; cap++)
		if (s->caps.ambient >> cap & 1 &&
		    prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, cap, 0, 0) < 0 && errno != EPERM)
			return err_sys(err, "cannot raise an ambient capability");
	if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0)
		return err_sys(err, "cannot stay undumpable");
	if (s->no_new_privs && prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return err_sys(err, "cannot set process.noNewPrivileges");
	return 0;
}

static int install_filter(const struct process_spec *s, uint64_t own, struct err *err)
{
	struct sock_filter *rules = malloc(s->n_seccomp * sizeof(*rules));
	if (!rules)
		return err_set(err, ENOMEM, "out of memory");
	memcpy(rules, s->seccomp, s->n_seccomp * sizeof(*rules));
	struct sock_fprog prog = { .len = (unsigned short)s->n_seccomp, .filter = rules };
	if (syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &prog) < 0)
		return err_sys(err, "cannot install the seccomp filter");
	if (s->no_new_privs)
		return 0;
	uint64_t permitted = s->caps.permitted & own;
	int rc = set_caps(s->caps.effective & permitted, permitted, s->caps.inheritable & own);
	return rc < 0 ? err_rc(err, rc, "cannot drop CAP_SYS_ADMIN") : 0;
}

/* ---- limits, as far as they need rights ---- */

static int set_limits(const struct process_spec *s, struct err *err)
{
	struct tlv_reader r = tlv_read(s->rlimits.data, s->rlimits.size);
	struct tlv_field f;
	while (tlv_next(&r, &f) > 0) {
		struct rlimit_spec limit;
		if (f.tag != GF_RLIMIT || rlimit_spec_parse(f.data, f.size, &limit) < 0)
			continue;
		const uint64_t values[2] = { limit.soft, limit.hard };
		if (syscall(SYS_prlimit64, 0, (int)limit.resource, values, NULL) < 0)
			return err_sys(err, "process.rlimits: cannot set limit %d",
				       (int)limit.resource);
	}
	return 0;
}

/* Hard limits above the kernel's own need a right that is dropped later on. */
static int raise_limits(const struct process_spec *s, struct err *err)
{
	struct tlv_reader r = tlv_read(s->rlimits.data, s->rlimits.size);
	struct tlv_field f;
	while (tlv_next(&r, &f) > 0) {
		struct rlimit_spec limit;
		uint64_t have[2];
		if (f.tag != GF_RLIMIT || rlimit_spec_parse(f.data, f.size, &limit) < 0 ||
		    syscall(SYS_prlimit64, 0, (int)limit.resource, NULL, have) < 0 ||
		    limit.hard <= have[1])
			continue;
		have[1] = limit.hard;
		if (syscall(SYS_prlimit64, 0, (int)limit.resource, have, NULL) < 0)
			return err_sys(err, "process.rlimits: cannot raise limit %d",
				       (int)limit.resource);
	}
	return 0;
}

static int set_oom_score(const struct process_spec *s, struct err *err)
{
	char text[16];
	if (!s->has_oom_score)
		return 0;
	(void)snprintf(text, sizeof(text), "%d", s->oom_score);
	int rc = fd_write_file(AT_FDCWD, "/proc/self/oom_score_adj", text);
	return rc < 0 ? err_rc(err, rc, "cannot set process.oomScoreAdj to %s", text) : 0;
}

/* ---- the program ---- */

static bool is_program(const char *path, int *worst)
{
	struct stat st;
	if (stat(path, &st) < 0) {
		if (errno == EACCES)
			*worst = EACCES;
		return false;
	}
	if (S_ISREG(st.st_mode) && faccessat(AT_FDCWD, path, X_OK, AT_EACCESS) == 0)
		return true;
	*worst = EACCES;
	return false;
}

static char *search_path(const char *name, const char *path, int *worst)
{
	for (;; path++) {
		size_t n = strcspn(path, ":");
		char *candidate;
		if (asprintf(&candidate, "%.*s/%s", n ? (int)n : 1, n ? path : ".", name) < 0)
			return NULL;
		if (is_program(candidate, worst))
			return candidate;
		free(candidate);
		path += n;
		if (!*path)
			return NULL;
	}
}

static char *find_program(const struct process_spec *s, struct err *err)
{
	const char *path = default_path;
	char *name = s->args[0], *program = NULL;
	int worst = ENOENT;
	for (char **e = s->env; *e; e++)
		if (!strncmp(*e, "PATH=", 5))
			path = *e + 5;
	if (strchr(name, '/'))
		program = is_program(name, &worst) ? name : NULL;
	else if (*name)
		program = search_path(name, path, &worst);
	if (program)
		return program;
	if (worst == EACCES)
		(void)err_set(err, EACCES, "\"%s\": permission denied", name);
	else
		(void)err_set(err, ENOENT,
			      strchr(name, '/') ? "\"%s\": no such file or directory"
						: "\"%s\": executable file not found in $PATH",
			      name);
	return NULL;
}

static int finish_rights(const struct process_spec *s, uint64_t own, struct err *err)
{
	return s->seccomp ? install_filter(s, own, err) : 0;
}

/* The program becomes a child; what stays is the tiny init, with the same rights. */
static int split_reaper(struct child *c, uint64_t own, struct err *err)
{
	pid_t pid = fork();
	if (pid < 0)
		return err_sys(err, "cannot fork the program");
	if (pid > 0) {
		struct err mine = ERR_INIT;
		(void)close(c->status_fd);
		if (finish_rights(c->spec, own, &mine) < 0)
			_exit(255);
		reaper_run(pid);
	}
	reaper_child_setup(c->slave_fd >= 0);
	return 0;
}

static int run(struct child *c, struct err *err)
{
	const struct process_spec *s = c->spec;
	struct userdb_entry user;
	uint64_t own = 0;
	int rc = cgroup_join(c->g, err);
	if (rc == 0)
		rc = set_oom_score(s, err);
	if (rc == 0)
		rc = raise_limits(s, err);
	if (rc == 0)
		rc = c->first ? make_first(c, err) : make_other(c, err);
	if (rc == 0 && !s->tty && setsid() < 0)
		rc = err_sys(err, "cannot start a session");
	if (rc == 0)
		rc = find_user(s, &user, err);
	if (rc == 0)
		rc = place_stdio(c, user.uid, err);
	if (rc == 0)
		rc = enter_cwd(s, err);
	(void)umask((mode_t)s->umask);
	if (rc == 0)
		rc = take_rights(s, &user, &own, err);
	char *program = rc == 0 ? find_program(s, err) : NULL;
	if (rc < 0 || !program)
		return -err->code;
	rc = set_limits(s, err);
	if (rc == 0 && s->reaper)
		rc = split_reaper(c, own, err);
	if (rc == 0)
		rc = finish_rights(s, own, err);
	if (rc < 0)
		return rc;
	(void)execve(program, s->args, s->env);
	if (errno == ENOENT)
		return err_set(err, ENOENT,
			       "cannot execute %s: no such file or directory: its "
			       "interpreter, it seems",
			       program);
	return err_sys(err, "cannot execute %s", program);
}

void child_run(struct child *c)
{
	struct err e = ERR_INIT;
	(void)prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
	reset_signals();
	if (run(c, &e) < 0)
		(void)send(c->status_fd, &e, sizeof(e), MSG_NOSIGNAL);
	_exit(255);
}

/* SPDX-License-Identifier: Apache-2.0 */
/* stage_user - who the payload is, and where it starts. Runs after the pivot:
 * "/" is the container's. The image's files are hostile: a device, a FIFO or a
 * gigabyte is refused, and nothing of the image is executed or loaded. */
#include "init.h"

#include "isola/fd.h"
#include "isola/path.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#define CWD_MAX 4096

/* Reads @path inside the root; a missing one is fine. Looks before it opens:
 * opening a device has effects. */
static int read_file(int root, const char *path, char **ret, size_t *ret_size, struct err *err)
{
	struct stat st;
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
	if (fd < 0)
		return err_rc(err, fd, "cannot open %s", path);
	char *text = malloc((size_t)st.st_size + 1);
	if (!text)
		return err_set(err, ENOMEM, "out of memory");
	ssize_t n = fd_read_all(fd, text, (size_t)st.st_size);
	if (n < 0) {
		free(text);
		return err_rc(err, (int)n, "cannot read %s", path);
	}
	*ret = text;
	*ret_size = (size_t)n;
	return 0;
}

static const char *get_env(char *const *env, const char *name)
{
	size_t n = strlen(name);
	for (; *env; env++)
		if (!strncmp(*env, name, n) && (*env)[n] == '=')
			return *env + n + 1;
	return NULL;
}

/* The payload's environment: the spec's, HOME when it has none, and what socket
 * activation tells (sd_listen_fds(3)). */
static int make_env(struct init *in, const char *home)
{
	const struct ctr_process *p = in->process;
	size_t n = 0;
	in->env = calloc(p->n_env + 4, sizeof(*in->env));
	if (!in->env)
		return -ENOMEM;
	for (; n < p->n_env; n++)
		in->env[n] = p->env[n];
	if (home && asprintf(&in->env[n++], "HOME=%s", home) < 0)
		return -ENOMEM;
	if (in->listen_fds > 0 &&
	    (asprintf(&in->env[n++], "LISTEN_FDS=%d", in->listen_fds) < 0 ||
	     asprintf(&in->env[n++], "LISTEN_PID=%d", in->reaper ? 2 : getpid()) < 0))
		return -ENOMEM;
	return 0;
}

static int find_user(struct init *in, int root, bool wants_home, struct err *err)
{
	const struct ctr_process *p = in->process;
	cleanup_free char *passwd = NULL, *group = NULL;
	struct userdb_text users = { 0 }, groups = { 0 };
	int rc = 0;
	in->user = (struct userdb_entry){ .uid = p->uid, .gid = p->gid };
	if (p->user || wants_home) {
		/* For HOME alone a strange passwd file is no reason to fail. */
		rc = read_file(root, "/etc/passwd", &passwd, &users.size, p->user ? err : NULL);
		users.text = passwd;
		if (rc < 0 && !p->user)
			return 0;
	}
	if (!p->user) {
		in->user.home = userdb_home(p->uid, users);
		return 0;
	}
	if (rc == 0)
		rc = read_file(root, "/etc/group", &group, &groups.size, err);
	groups.text = group;
	if (rc == 0)
		rc = userdb_find(p->user, users, groups, &in->user, err);
	return rc < 0 ? err_prefix(err, "user %s", p->user) : 0;
}

int stage_user(struct init *in, struct err *err)
{
	const struct ctr_process *p = in->process;
	if (!p)
		return 0;
	bool wants_home = !get_env(p->env, "HOME");
	cleanup_fd int root = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (root < 0)
		return err_sys(err, "cannot open /");
	int rc = find_user(in, root, wants_home, err);
	if (rc < 0)
		return rc;
	const char *home = wants_home ? in->user.home ? in->user.home : "/" : NULL;
	return make_env(in, home) < 0 ? err_set(err, ENOMEM, "out of memory") : 0;
}

/* The kernel marks a current folder outside of the root (CVE-2024-21626). */
static int check_inside(struct err *err)
{
	char path[CWD_MAX];
	long n = syscall(SYS_getcwd, path, sizeof(path));
	if (n < 0 && errno != ERANGE)
		return err_sys(err, "cannot tell the current folder");
	if (n > 0 && path[0] != '/')
		return err_set(err, EPERM, "the current folder is outside of the root");
	return 0;
}

static int enter_cwd(const struct init *in, struct err *err)
{
	const char *cwd = in->process->cwd;
	cleanup_fd int root = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (root < 0)
		return err_sys(err, "cannot open /");
	/* Never through /proc/self/fd: magic links are refused. */
	cleanup_fd int dir = path_open_in_root(root, cwd, O_PATH | O_DIRECTORY, 0);
	if (dir == -ENOENT && in->make_cwd)
		dir = path_mkdir_in_root(root, cwd, 0755, NULL);
	if (dir == -ELOOP)
		return err_set(err, ELOOP,
			       "cannot enter process.cwd %s: it leads through /proc/<pid>/fd or "
			       "the like, or in a circle",
			       cwd);
	if (dir < 0)
		return err_rc(err, dir, "cannot enter process.cwd %s", cwd);
	if (fchdir(dir) < 0)
		return err_sys(err, "cannot enter process.cwd %s", cwd);
	return check_inside(err);
}

/* As root first: a user may start in a folder it could not enter itself. Where
 * even root may not (NFS, FUSE) it is tried again as the user. */
int stage_cwd(struct init *in, struct err *err)
{
	if (!in->process)
		return 0;
	int rc = enter_cwd(in, err);
	in->cwd_pending = rc == -EACCES;
	return in->cwd_pending ? 0 : rc;
}

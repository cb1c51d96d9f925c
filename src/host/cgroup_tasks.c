/* SPDX-License-Identifier: Apache-2.0 */
/* cgroup_tasks - freezing, listing and killing what runs in a cgroup, and taking
 * it away (cgroup-v2.rst, core interface files). See include/isola/cgroup.h.
 *
 * A payload with a writable cgroup may have made children of any depth there:
 * nothing here recurses without a bound. */
#include "isola/cgroup.h"

#include "isola/fd.h"

#include "cgroup_file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#define DEPTH_MAX 64 /* for listing; removal knows no bound but time */

static int64_t now_ms(void)
{
	struct timespec ts;
	(void)clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

/* Waits until "@key @value" is in cgroup.events; the kernel flags a change as
 * POLLPRI. 0, -ETIMEDOUT or -errno. */
static int wait_event(int dir, const char *key, uint64_t value, int64_t deadline_ms)
{
	cleanup_fd int fd = openat(dir, "cgroup.events", O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	for (;;) {
		char buf[128];
		ssize_t n = pread(fd, buf, sizeof(buf) - 1, 0);
		if (n < 0)
			return -errno;
		buf[n] = '\0';
		if (cgroup_key(buf, key, !value) == value)
			return 0;
		int64_t left = deadline_ms - now_ms();
		if (left <= 0)
			return -ETIMEDOUT;
		struct pollfd pfd = { .fd = fd, .events = POLLPRI };
		if (poll(&pfd, 1, left > INT_MAX ? INT_MAX : (int)left) < 0 && errno != EINTR)
			return -errno;
	}
}

int cgroup_freeze(int cgroup_fd, bool frozen, int timeout_ms, struct err *err)
{
	int rc = fd_write_file(cgroup_fd, "cgroup.freeze", frozen ? "1" : "0");
	if (rc < 0)
		return err_rc(err, rc, "cannot %s the cgroup", frozen ? "freeze" : "thaw");
	rc = wait_event(cgroup_fd, "frozen", frozen, now_ms() + timeout_ms);
	if (rc == 0)
		return 0;
	if (frozen)
		(void)fd_write_file(cgroup_fd, "cgroup.freeze", "0");
	if (rc == -ETIMEDOUT)
		return err_set(err, ETIMEDOUT, "the processes did not %s within %d ms%s",
			       frozen ? "freeze" : "thaw", timeout_ms,
			       frozen ? ": one waits in the kernel, as for a disk that is dead"
				      : "");
	return err_rc(err, rc, "cannot tell whether the cgroup is frozen");
}

/* ---- listing ----------------------------------------------------------- */

/* A DIR of its own on the same folder, from the start; NULL with errno. */
static DIR *list_dir(int dir)
{
	int fd = openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *d = fd < 0 ? NULL : fdopendir(fd);
	if (!d)
		fd_close(&fd);
	return d;
}

static bool is_child(const struct dirent *e)
{
	return e->d_type == DT_DIR && strcmp(e->d_name, ".") && strcmp(e->d_name, "..");
}

static int pids_of(int dir, int (*each)(pid_t pid, void *arg), void *arg)
{
	cleanup_free char *text = NULL;
	int rc = fd_read_file(dir, "cgroup.procs", 64 * 1024 * 1024, &text, NULL, NULL);
	if (rc < 0) /* threaded ones have no such list: their domain above does */
		return rc == -EOPNOTSUPP ? 0 : rc;
	for (char *p = text; *p;) {
		long pid = strtol(p, &p, 10);
		p += *p == '\n';
		/* 0: a process outside our pid namespace */
		if (pid > 0 && (rc = each((pid_t)pid, arg)) != 0)
			return rc;
	}
	return 0;
}

static int pids_below(int dir, int depth, int (*each)(pid_t pid, void *arg), void *arg)
{
	int rc = pids_of(dir, each, arg);
	DIR *d = rc == 0 && depth < DEPTH_MAX ? list_dir(dir) : NULL;
	if (!d)
		return rc;
	struct dirent *e;
	while (rc == 0 && (e = readdir(d))) {
		if (!is_child(e))
			continue;
		cleanup_fd int child =
			openat(dir, e->d_name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		if (child >= 0)
			rc = pids_below(child, depth + 1, each, arg);
		if (rc == -ENODEV) /* it went away meanwhile */
			rc = 0;
	}
	(void)closedir(d);
	return rc;
}

int cgroup_pids(int cgroup_fd, int (*each)(pid_t pid, void *arg), void *arg)
{
	return pids_below(cgroup_fd, 0, each, arg);
}

/* ---- killing and removing ---------------------------------------------- */

static int kill_one(pid_t pid, void *arg)
{
	(void)arg;
	(void)kill(pid, SIGKILL);
	return 0;
}

/* Kills all below @dir and waits until they are gone. */
static int kill_all(int dir, int64_t deadline_ms)
{
	if (fd_write_file(dir, "cgroup.kill", "1") == 0)
		return wait_event(dir, "populated", 0, deadline_ms);
	/* Before Linux 5.14: they may fork faster than we look, so again. */
	for (;;) {
		(void)cgroup_pids(dir, kill_one, NULL);
		int64_t soon = now_ms() + 10;
		int rc = wait_event(dir, "populated", 0, soon < deadline_ms ? soon : deadline_ms);
		if (rc != -ETIMEDOUT || now_ms() >= deadline_ms)
			return rc;
	}
}

/* Removes children of @dir that have none themselves. Returns 1 and the name of
 * one that has, 0 when none is left, or -errno. Names here may be as long as
 * paths: kernfs does not stop at NAME_MAX. */
static int remove_leaves(int dir, char ret_name[PATH_MAX])
{
	DIR *d = list_dir(dir);
	if (!d)
		return -errno;
	int rc = 0;
	struct dirent *e;
	while (rc == 0 && (e = readdir(d))) {
		if (!is_child(e) || unlinkat(dir, e->d_name, AT_REMOVEDIR) == 0 || errno == ENOENT)
			continue;
		rc = errno == EBUSY || errno == ENOTEMPTY ? 1 : -errno;
		(void)snprintf(ret_name, PATH_MAX, "%s", e->d_name);
	}
	(void)closedir(d);
	return rc;
}

/* Goes down to the leaves and back by "..", with one descriptor, however deep. */
static int remove_children(int top, int64_t deadline_ms)
{
	cleanup_fd int dir = fd_dup(top);
	size_t depth = 0;
	for (;;) {
		char name[PATH_MAX];
		int rc = remove_leaves(dir, name);
		if (rc < 0 || (rc == 0 && depth == 0))
			return rc;
		if (now_ms() > deadline_ms)
			return -ETIMEDOUT;
		int next = openat(dir, rc ? name : "..", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		if (next < 0)
			return -errno;
		depth = rc ? depth + 1 : depth - 1;
		fd_close(&dir);
		dir = next;
	}
}

static int destroy_populated(int root, const char *name, int64_t deadline_ms)
{
	cleanup_fd int dir = openat(root, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (dir < 0)
		return errno == ENOENT ? 0 : -errno;
	int rc = kill_all(dir, deadline_ms);
	if (rc < 0 || (rc = remove_children(dir, deadline_ms)) < 0)
		return rc;
	/* What was just reaped may hold it for a moment. */
	while (unlinkat(root, name, AT_REMOVEDIR) < 0) {
		if (errno != EBUSY)
			return errno == ENOENT ? 0 : -errno;
		if (now_ms() > deadline_ms)
			return -EBUSY;
		(void)poll(NULL, 0, 1);
	}
	return 0;
}

int cgroup_destroy(const char *path, int timeout_ms, struct err *err)
{
	const char *name = NULL;
	int root = cgroup_root(err), rc = root;
	if (root < 0 || (rc = cgroup_relative(path, &name, err)) < 0)
		return rc;
	if (!strcmp(name, "."))
		return err_set(err, EINVAL, "the root cgroup cannot be removed");
	/* Most are empty by now. */
	if (unlinkat(root, name, AT_REMOVEDIR) == 0 || errno == ENOENT)
		return 0;
	rc = errno == EBUSY || errno == ENOTEMPTY
		     ? destroy_populated(root, name, now_ms() + timeout_ms)
		     : -errno;
	if (rc == -ETIMEDOUT)
		return err_set(err, ETIMEDOUT, "processes in the cgroup %s did not end in %d ms",
			       path, timeout_ms);
	return rc < 0 ? err_rc(err, rc, "cannot remove the cgroup %s", path) : 0;
}

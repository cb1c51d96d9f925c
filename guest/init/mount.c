/* SPDX-License-Identifier: Apache-2.0 */
/* mount - a mount that comes to the running container, or goes (GUEST_MOUNT, GUEST_UNMOUNT),
 * in a process of its own in the container's mount namespace.
 *
 *   tmpfs   is made here
 *   bind    of what is served beside a root that is the guest's own: taken from there while
 *           the process is still in init's mounts, where the container never was
 *   none    the host has put it into the root, or taken it from there: waited for, as names
 *           are asked for again a second after they were looked up (docs/guest.md, "The root") */
#include "init.h"

#include "isola/fd.h"
#include "isola/path.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/stat.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define SEEN_MS 10000
#define LOOK_MS 20

/* As a folder first: it is what makes a mount that virtio-fs announces. */
static int open_place(int root, const char *path)
{
	int fd = path_open_in_root(root, path, O_PATH | O_DIRECTORY, 0);
	return fd == -ENOTDIR ? path_open_in_root(root, path, O_PATH, 0) : fd;
}

static bool is_seen(int root, const struct live_spec *s)
{
	cleanup_fd int at = open_place(root, s->mount.target);
	struct stat st;
	return at >= 0 && fstat(at, &st) == 0 && st.st_ino == s->inode;
}

static int wait_for_host(int root, const struct live_spec *s, bool gone, struct err *err)
{
	const struct timespec pause = { .tv_nsec = LOOK_MS * 1000000L };
	for (int64_t until = now_ms() + SEEN_MS; is_seen(root, s) == gone;) {
		if (now_ms() >= until)
			return err_set(err, ETIMEDOUT, "%s: the guest %s what the host mounted",
				       s->mount.target, gone ? "still has" : "does not see");
		(void)nanosleep(&pause, NULL);
	}
	return 0;
}

/* /proc is the container's, so no name of a descriptor is of use: "." is the place. */
static int make_tmpfs(int root, const struct mount_spec *m, struct err *err)
{
	cleanup_fd int at = path_mkdir_in_root(root, m->target, 0755, err);
	if (at < 0)
		return err_prefix(err, "%s", m->target);
	if (fchdir(at) < 0 || mount("tmpfs", ".", "tmpfs", m->flags, m->data) < 0)
		return err_sys(err, "%s: cannot mount a tmpfs", m->target);
	return 0;
}

static int drop_tmpfs(int root, const struct mount_spec *m, struct err *err)
{
	cleanup_fd int at = path_open_in_root(root, m->target, O_PATH | O_DIRECTORY, 0);
	if (at < 0)
		return err_rc(err, at, "cannot open %s", m->target);
	if (fchdir(at) < 0 || umount2(".", MNT_DETACH) < 0)
		return err_sys(err, "%s: cannot unmount it", m->target);
	return 0;
}

/* The container may have unmounted it itself; what it has put on top is not ours. */
static int drop_bind(int root, int numbers, const struct live_spec *s, struct err *err)
{
	char number[16];
	struct statx stx;
	cleanup_fd int at = path_open_in_root(root, s->mount.target, O_PATH, 0);
	if (at == -ENOENT || at == -ENOTDIR)
		return 0;
	if (at < 0 || syscall(SYS_statx, at, "", AT_EMPTY_PATH, STATX_BASIC_STATS, &stx) < 0)
		return err_rc(err, at < 0 ? at : -errno, "cannot look at %s", s->mount.target);
	if (!(stx.stx_attributes & STATX_ATTR_MOUNT_ROOT))
		return 0;
	if (stx.stx_ino != s->inode)
		return err_set(err, EBUSY,
			       "%s: what is mounted there is not what was: it goes with the next "
			       "start",
			       s->mount.target);
	(void)snprintf(number, sizeof(number), "%d", at);
	if (fchdir(numbers) < 0 || umount2(number, MNT_DETACH) < 0)
		return err_sys(err, "%s: cannot unmount it", s->mount.target);
	return 0;
}

/* ---- by kind ---- */

/* What a kind needs of init's mounts; then what it does in the container's. */
struct place {
	int root, tree, numbers;
};

static int come(const struct live_spec *s, const struct place *p, struct err *err)
{
	if (!strcmp(s->mount.type, "tmpfs"))
		return make_tmpfs(p->root, &s->mount, err);
	if (p->tree >= 0)
		return image_attach(p->root, p->tree, &s->mount, err);
	return wait_for_host(p->root, s, false, err);
}

static int go(const struct live_spec *s, const struct place *p, struct err *err)
{
	if (!strcmp(s->mount.type, "tmpfs"))
		return drop_tmpfs(p->root, &s->mount, err);
	if (!strcmp(s->mount.type, "bind"))
		return drop_bind(p->root, p->numbers, s, err);
	return wait_for_host(p->root, s, true, err);
}

static int run(const struct guest *g, const struct live_spec *s, bool gone, struct err *err)
{
	/* The container's /proc says what it likes. */
	cleanup_fd int numbers = open("/proc/self/fd", O_PATH | O_DIRECTORY | O_CLOEXEC);
	cleanup_fd int tree = -1;
	if (numbers < 0)
		return err_sys(err, "cannot open /proc/self/fd");
	if (!gone && !strcmp(s->mount.type, "bind") &&
	    (tree = image_open_served(g, &s->mount, s->inode, err)) < 0)
		return tree;
	if (setns(KEPT_NAMESPACE, CLONE_NEWNS) < 0)
		return err_sys(err, "cannot enter the container's mounts");
	cleanup_fd int root = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (root < 0)
		return err_sys(err, "cannot open the root");
	const struct place place = { root, tree, numbers };
	return gone ? go(s, &place, err) : come(s, &place, err);
}

void mount_run(const struct guest *g, const struct live_spec *s, bool gone, int status_fd)
{
	struct err e = ERR_INIT;
	int rc = files_keep(status_fd, g->ns_fds[NS_MOUNTS]);
	(void)umask(0);
	if (rc < 0)
		_exit(1);
	if (run(g, s, gone, &e) < 0)
		(void)send(KEPT_STREAM, &e, sizeof(e), MSG_NOSIGNAL);
	_exit(e.code != 0);
}

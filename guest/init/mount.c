/* SPDX-License-Identifier: Apache-2.0 */
/* mount - a mount that comes to the running container, or goes (GUEST_MOUNT, GUEST_UNMOUNT),
 * in a process of its own in the container's mount namespace. A tmpfs is made here; what the
 * host has put into the root, or taken from it, is waited for: names are asked for again a
 * second after they were looked up (docs/guest.md, "The root"). */
#include "init.h"

#include "isola/fd.h"
#include "isola/path.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define SEEN_MS 10000
#define LOOK_MS 20

static bool is_tmpfs(const struct mount_spec *m)
{
	return !strcmp(m->type, "tmpfs");
}

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

static int run(const struct live_spec *s, bool gone, struct err *err)
{
	if (setns(KEPT_NAMESPACE, CLONE_NEWNS) < 0)
		return err_sys(err, "cannot enter the container's mounts");
	cleanup_fd int root = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (root < 0)
		return err_sys(err, "cannot open the root");
	if (!is_tmpfs(&s->mount))
		return wait_for_host(root, s, gone, err);
	return gone ? drop_tmpfs(root, &s->mount, err) : make_tmpfs(root, &s->mount, err);
}

void mount_run(const struct guest *g, const struct live_spec *s, bool gone, int status_fd)
{
	struct err e = ERR_INIT;
	int rc = files_keep(status_fd, g->ns_fds[NS_MOUNTS]);
	(void)umask(0);
	if (rc < 0)
		_exit(1);
	if (run(s, gone, &e) < 0)
		(void)send(KEPT_STREAM, &e, sizeof(e), MSG_NOSIGNAL);
	_exit(e.code != 0);
}

/* SPDX-License-Identifier: Apache-2.0 */
/* live - a mount comes to a running container, or goes: ctr_mount() and ctr_unmount()
 * of ctr.h. A clone of the caller does it: it opens the source on the host, enters the
 * container's user and mount namespaces, not its pid namespace, so that nobody in there
 * sees it, and resolves the place as its root would. Of the host it then holds
 * descriptors only. */
#include "channel.h"
#include "clone.h"
#include "ids.h"
#include "mount_guard.h"
#include "plan_sources.h"
#include "tree.h"

#include "isola/fd.h"
#include "isola/path.h"
#include "isola/step.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <limits.h>
#include <linux/magic.h>
#include <linux/mount.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/vfs.h>

#define WAIT_MS 10000

struct live {
	const struct ctr_live_args *args;
	const struct ctr_mount *mount;
	bool make_source;
	int (*run)(const struct live *l, struct err *err);
	int socks[2];
	bool silent; /* the child has ended, or is, without a word */
	bool bind;
};

static bool has_userns(const struct live *l)
{
	return l->args->spec->ns[CTR_NS_USER].mode != CTR_NS_HOST;
}

/* ---- in the child ---- */

/* From here on "/" is the container's, and we are its root, or ours where it has none. */
static int enter(const struct live *l, struct err *err)
{
	int flags = CLONE_NEWNS | (has_userns(l) ? CLONE_NEWUSER : 0);
	/* Before its processes could look into us (CVE-2016-9962). */
	if (prctl(PR_SET_DUMPABLE, 0) < 0)
		return err_sys(err, "cannot become undumpable");
	if (setns(l->args->pidfd, flags) < 0)
		return err_sys(err, "cannot join the container's mounts");
	if (has_userns(l) &&
	    (setgroups(0, NULL) < 0 || setresgid(0, 0, 0) < 0 || setresuid(0, 0, 0) < 0))
		return err_sys(err, "cannot become the container's root");
	/* A change of ids undid both. */
	if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0 || prctl(PR_SET_DUMPABLE, 0) < 0)
		return err_sys(err, "cannot become undumpable");
	return 0;
}

static int open_root(struct err *err)
{
	int fd = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
	return fd < 0 ? err_sys(err, "cannot open the container's root") : fd;
}

static int open_source(const struct live *l, struct plan_mount *ret, struct err *err)
{
	const struct ctr_mount *m = l->mount;
	int rc = l->make_source ? path_mkdir_all(m->source, 0755, err) : 0;
	if (rc == 0)
		rc = plan_open_bind(has_userns(l), AT_FDCWD, m, ret, err);
	if (rc < 0 || m->idmap == CTR_IDMAP_NO)
		return rc;
	cleanup_fd int userns = has_userns(l) ? ids_open_userns(l->args->pid, err) : -1;
	if (has_userns(l) && userns < 0)
		return userns;
	return plan_idmap_bind(m, ret->tree, userns, err);
}

/* In the folder itself: nothing leads out of it. */
static int make_place(const struct live *l, bool is_dir, struct err *err)
{
	const struct ctr_live_place *p = l->args->place;
	if (!p)
		return 0;
	cleanup_fd int fd = is_dir ? path_mkdir_in_root(p->root_fd, p->path, 0755, err)
				   : path_mkfile_in_root(p->root_fd, p->path, 0644, err);
	return fd < 0 ? err_prefix(err, "cannot make its place") : 0;
}

static const char *place_of(const struct live *l)
{
	return l->args->place ? l->args->place->path : l->mount->destination;
}

static int attach(const struct live *l, const struct plan_mount *source, int tree, struct err *err)
{
	cleanup_fd int root = open_root(err);
	if (root < 0)
		return root;
	struct ctr_mount m = *l->mount;
	m.destination = (char *)(uintptr_t)place_of(l);
	cleanup_fd int target = mount_guard_target(root, &m, source->is_dir, err);
	if (target < 0)
		return target;
	int rc = mount_guard_check(&m, tree, target, err);
	if (rc == 0 && (rc = tree_attach(tree, target)) < 0)
		rc = err_rc(err, rc, "cannot attach the mount");
	return rc;
}

static int run_mount(const struct live *l, struct err *err)
{
	const struct ctr_mount *m = l->mount;
	struct plan_mount source = { .tree = -1, .is_dir = true };
	int rc = m->bind ? open_source(l, &source, err) : 0;
	if (rc == 0)
		rc = make_place(l, source.is_dir, err);
	if (rc == 0)
		rc = enter(l, err);
	if (rc == 0 && !m->bind) {
		/* Within the user namespace, so that it belongs to it. */
		source.tree = tree_new(m->type, m->source, m->params, m->n_params,
				       m->attr_set | m->rec_attr_set, err);
		rc = source.tree < 0 ? source.tree : 0;
	}
	if (rc == 0)
		rc = attach(l, &source, source.tree, err);
	fd_close(&source.tree);
	return rc;
}

/* The source as it is now, to be compared; -1 when there is none. */
static int look_up_source(const struct ctr_mount *m)
{
	cleanup_fd int fd = m->bind ? open(m->source, O_PATH | O_CLOEXEC) : -1;
	if (fd < 0 || !m->subpath)
		return take_fd(&fd);
	int below = path_open_beneath(fd, m->subpath, O_PATH, 0);
	return below < 0 ? -1 : below;
}

/* What hides parts of /proc and /sys are mounts, too, maybe of the same source. */
static bool hides_proc(int fds, const char *number)
{
	char path[PATH_MAX];
	ssize_t n = readlinkat(fds, number, path, sizeof(path) - 1);
	if (n < 0)
		return true;
	path[n] = '\0';
	return !strncmp(path, "/proc/", 6) || !strncmp(path, "/sys/", 5);
}

/* Links could lead to another mount. */
static int check_same(const struct live *l, int at, int source, bool by_links, struct err *err)
{
	struct statx stx;
	struct stat a, b;
	struct statfs fs;
	if (statx(at, "", AT_EMPTY_PATH, STATX_BASIC_STATS, &stx) < 0 || fstat(at, &a) < 0 ||
	    fstatfs(at, &fs) < 0)
		return err_sys(err, "cannot look at it");
	if (!(stx.stx_attributes & STATX_ATTR_MOUNT_ROOT))
		return err_set(err, EINVAL, "nothing is mounted there");
	bool same = l->mount->bind ? source >= 0 && fstat(source, &b) == 0 &&
					     a.st_dev == b.st_dev && a.st_ino == b.st_ino
				   : !by_links && fs.f_type == TMPFS_MAGIC;
	if (!same)
		return err_set(
			err, EBUSY,
			"what is mounted there is not what was: it goes with the next start");
	return 0;
}

static int run_unmount(const struct live *l, struct err *err)
{
	cleanup_fd int source = look_up_source(l->mount);
	/* The host's: a container's /proc says what it likes. */
	cleanup_fd int fds = open("/proc/self/fd", O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (fds < 0)
		return err_sys(err, "cannot open /proc/self/fd");
	int rc = enter(l, err);
	cleanup_fd int root = rc < 0 ? -1 : open_root(err);
	if (root < 0)
		return rc < 0 ? rc : root;
	const char *path = place_of(l);
	int plain = path_open_beneath(root, path + strspn(path, "/"), O_PATH, 0);
	bool by_links = plain == -ELOOP;
	cleanup_fd int at = by_links ? path_open_in_root(root, path, O_PATH, 0) : plain;
	if (at < 0)
		return err_rc(err, at, "cannot open it");
	char number[16];
	(void)snprintf(number, sizeof(number), "%d", at);
	if (by_links && hides_proc(fds, number))
		return err_set(err, EBUSY, "it is a link to where nothing of the user's can be");
	rc = check_same(l, at, source, by_links, err);
	if (rc < 0)
		return rc;
	if (fchdir(fds) < 0 || umount2(number, MNT_DETACH) < 0)
		return err_sys(err, "cannot unmount it");
	return 0;
}

static void child_main(void *arg)
{
	struct live *l = arg;
	struct err err = ERR_INIT;
	fd_close(&l->socks[0]);
	(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
	int rc = l->run(l, &err);
	step_reached("live.done");
	if (rc < 0)
		(void)chan_send_error(l->socks[1], &err);
	else
		(void)chan_send(l->socks[1], CHAN_READY, 0, NULL, 0);
	_exit(0);
}

/* ---- in the parent ---- */

static int wait_child(struct live *l, struct err *err)
{
	struct pollfd p = { .fd = l->socks[0], .events = POLLIN };
	int n;
	do
		n = poll(&p, 1, WAIT_MS);
	while (n < 0 && errno == EINTR);
	l->silent = true;
	if (n == 0)
		return err_set(err, ETIMEDOUT, "a file system did not answer within %d s",
			       WAIT_MS / 1000);
	int rc = chan_expect(l->socks[0], CHAN_READY, err);
	l->silent = rc == -EPIPE || rc == -ECONNRESET;
	return rc;
}

static int run_in_child(struct live *l, struct err *err)
{
	const struct clone_request req = { .cgroup_fd = -1, .run = child_main, .arg = l };
	int pidfd = -1, rc = chan_pair(l->socks);
	if (rc < 0)
		return err_rc(err, rc, "cannot make a socket pair");
	rc = clone_run(&req, &pidfd, err);
	fd_close(&l->socks[1]);
	if (rc > 0)
		rc = wait_child(l, err);
	fd_close(&l->socks[0]);
	clone_kill(&pidfd);
	return rc;
}

static int run(const struct ctr_live_args *args, json_object *mount, struct live *l,
	       struct err *err)
{
	struct ctr_spec *one = NULL;
	if (!ctr_spec_has_new(args->spec, CTR_NS_MOUNT))
		return err_set(err, EINVAL, "the container has no mount namespace of its own");
	int rc = ctr_spec_parse_mount(mount, &one, err);
	if (rc < 0)
		return rc;
	l->args = args;
	l->mount = &one->mounts[0];
	l->bind = l->mount->bind;
	if (l->mount->remount || l->mount->memory ||
	    (!l->mount->bind && strcmp(l->mount->type, "tmpfs") != 0))
		rc = err_set(err, EINVAL, "only a bind or a tmpfs can be mounted while it runs");
	else
		rc = run_in_child(l, err);
	if (rc < 0)
		(void)err_prefix(err, "%s", l->mount->destination);
	ctr_spec_free(one);
	return rc;
}

/* Who was killed amid it, or hung, may have attached it: then it is there, and nobody has
 * heard of it. A bind is known by its source; a tmpfs could be the container's own, and holds
 * nothing of the host's: it stays. */
int ctr_mount(const struct ctr_live_args *args, json_object *mount, bool make_source,
	      struct err *err)
{
	struct live l = { .run = run_mount, .make_source = make_source, .socks = { -1, -1 } };
	struct err ignored;
	int rc = run(args, mount, &l, err);
	if (rc < 0 && l.silent && l.bind)
		(void)ctr_unmount(args, mount, &ignored);
	return rc;
}

int ctr_unmount(const struct ctr_live_args *args, json_object *mount, struct err *err)
{
	struct live l = { .run = run_unmount, .socks = { -1, -1 } };
	return run(args, mount, &l, err);
}

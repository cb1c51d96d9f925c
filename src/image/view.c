/* SPDX-License-Identifier: Apache-2.0 */
/* view - see view.h. Runs in isola-image as root, before it confines itself; of
 * what a container wrote only names of mount points are looked at here, by
 * openat2 inside its root. */
#include "view.h"

#include "isola/fd.h"
#include "isola/json.h"
#include "isola/path.h"
#include "isola/pid.h"
#include "isola/strbuf.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <limits.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#define SPEC_FD        3
#define GUEST_FD       4
#define SPEC_BYTES_MAX (2 * 1024 * 1024)
#define LAYERS_MAX     502 /* OVL_MAX_STACK, the upper one, and one to spare */
#define MOUNTS_MAX     512

/* A mount that is not attached anywhere yet. */
struct part {
	int fd;
	const char *target; /* into the spec; NULL = the root */
	bool read_only;
};

struct build {
	const struct view *v;
	struct part parts[MOUNTS_MAX + 1];
	size_t n;
};

/* ---- the spec ---- */

int view_read(struct view *ret, struct err *err)
{
	cleanup_free char *text = malloc(SPEC_BYTES_MAX + 1);
	if (!text)
		return err_set(err, ENOMEM, "out of memory");
	ssize_t n = fd_read_all(SPEC_FD, text, SPEC_BYTES_MAX);
	(void)close(SPEC_FD);
	if (n < 0)
		return err_rc(err, (int)n, "cannot read the view from descriptor 3");
	size_t size = strnlen(text, (size_t)n);
	int rc = json_parse(text, size, "view", &ret->spec, err);
	if (rc < 0)
		return rc;
	ret->head_size = (size_t)n > size ? (size_t)n - size - 1 : 0;
	ret->head = malloc(ret->head_size + 1);
	if (!ret->head)
		return err_set(err, ENOMEM, "out of memory");
	memcpy(ret->head, text + size + 1, ret->head_size);
	return 0;
}

void view_fini(struct view *v)
{
	json_object_put(v->spec);
	free(v->head);
	fd_close(&v->proc_fd);
	fd_close(&v->guest_fd);
}

/* ---- parts ---- */

static int clone_mount(int dir_fd, const char *path, bool recursive)
{
	unsigned int flags = OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | (recursive ? AT_RECURSIVE : 0) |
			     (*path ? 0 : AT_EMPTY_PATH);
	int fd = open_tree(dir_fd, path, flags);
	return fd < 0 ? -errno : fd;
}

static int restrict_mount(const struct part *part, struct err *err)
{
	struct mount_attr attr = { .attr_set = MOUNT_ATTR_NODEV | MOUNT_ATTR_NOSUID |
					       MOUNT_ATTR_NOEXEC |
					       (part->read_only ? MOUNT_ATTR_RDONLY : 0),
				   .propagation = MS_PRIVATE };
	if (mount_setattr(part->fd, "", AT_EMPTY_PATH | AT_RECURSIVE, &attr, sizeof(attr)) < 0)
		return err_sys(err, "cannot forbid devices on a mount");
	return 0;
}

static int add_part(struct build *b, int fd, const char *target, bool read_only, struct err *err)
{
	if (fd < 0)
		return err_rc(err, fd, "cannot clone the mount at %.200s", target ? target : "/");
	if (b->n == MOUNTS_MAX + 1) {
		(void)close(fd);
		return err_set(err, E2BIG, "more than %d mounts", MOUNTS_MAX);
	}
	b->parts[b->n++] = (struct part){ .fd = fd, .target = target, .read_only = read_only };
	return restrict_mount(&b->parts[b->n - 1], err);
}

static void drop_parts(struct build *b)
{
	for (size_t i = 0; i < b->n; i++)
		fd_close(&b->parts[i].fd);
}

static bool writes(const struct build *b)
{
	return json_bool_or(b->v->spec, "write", false);
}

/* ---- of a running container ---- */

/* Is @pid still this container's? Its cgroup has its id. */
static int check_pid(int pid, const char *id, struct err *err)
{
	char path[64];
	cleanup_free char *text = NULL;
	(void)snprintf(path, sizeof(path), "/proc/%d/cgroup", pid);
	int rc = fd_read_file(AT_FDCWD, path, 65536, &text, NULL, NULL);
	if (rc < 0 || !strstr(text, id))
		return err_set(err, EBUSY, "the container has ended meanwhile");
	return 0;
}

static int clone_running(struct build *b, struct err *err)
{
	json_object *mounts = json_get(b->v->spec, "mounts");
	int rc = add_part(b, clone_mount(AT_FDCWD, "/", false), NULL,
			  !writes(b) || json_bool_or(b->v->spec, "read_only", false), err);
	cleanup_fd int root = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
	for (size_t i = 0; rc == 0 && i < json_len(mounts); i++) {
		json_object *m = json_object_array_get_idx(mounts, i);
		const char *target = json_str_or(m, "target", "");
		cleanup_fd int at = path_open_in_root(root, target, O_PATH, 0);
		/* The container may have taken the folder away. */
		if (at < 0)
			continue;
		rc = add_part(b, clone_mount(at, "", json_bool_or(m, "recursive", true)), target,
			      !writes(b) || json_bool_or(m, "read_only", false), err);
	}
	return rc;
}

/* Looks into the container's mount namespace and comes back. @ret_userns: its user
 * namespace, -1 when that is ours. */
static int collect_running(struct build *b, int pid, int *ret_userns, struct err *err)
{
	char path[64];
	struct stat ours, theirs;
	cleanup_fd int home = open("/proc/self/ns/mnt", O_RDONLY | O_CLOEXEC);
	cleanup_fd int pidfd = pid_open(pid);
	(void)snprintf(path, sizeof(path), "/proc/%d/ns/user", pid);
	cleanup_fd int userns = open(path, O_RDONLY | O_CLOEXEC);
	if (home < 0 || pidfd < 0 || userns < 0 || fstat(userns, &theirs) < 0 ||
	    stat("/proc/self/ns/user", &ours) < 0)
		return err_set(err, EBUSY, "the container has ended meanwhile");
	int rc = check_pid(pid, json_str_or(b->v->spec, "id", "?"), err);
	if (rc < 0)
		return rc;
	if (setns(pidfd, CLONE_NEWNS) < 0)
		return err_sys(err, "cannot look into the container's mounts");
	rc = clone_running(b, err);
	if (setns(home, CLONE_NEWNS) < 0)
		return err_sys(err, "cannot leave the container's mounts");
	if (rc == 0 && ours.st_ino != theirs.st_ino)
		*ret_userns = take_fd(&userns);
	return rc;
}

/* ---- of a stopped one ---- */

static int merge(json_object *spec, bool with_upper, bool write, const char *on, struct err *err);

static bool has_user_marks(json_object *spec)
{
	return json_bool_or(spec, "user_marks", false);
}

/* overlayfs takes paths; descriptors by their numbers keep many of them short. */
static int add_layer(struct strbuf *options, const char *key, const char *path, struct err *err)
{
	/* Stays open until the mount is made, and closes with the jail's steps. */
	int fd = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return err_sys(err, "cannot open the layer %s", path);
	strbuf_printf(options, "%s%d", key, fd);
	return fd;
}

/* A work folder of this mount alone, new: a volatile mount leaves a mark in its own
 * that would keep the container from starting. */
static int make_work(const char *work, char ret[PATH_MAX], struct err *err)
{
	if (snprintf(ret, PATH_MAX, "%s-copy", work) >= PATH_MAX)
		return err_set(err, ENAMETOOLONG, "the path of the work folder is too long");
	int rc = fd_remove_tree(AT_FDCWD, ret, err);
	if (rc == 0 && mkdir(ret, 0700) < 0)
		rc = err_sys(err, "cannot make the folder %s", ret);
	return rc;
}

/* Volatile: else overlayfs writes the whole file system below it to the disk when it is
 * unmounted. What is copied is as durable as by any cp; nothing is copied up but folders,
 * since files are replaced (isola/extract.h). */
static int add_upper(struct strbuf *options, json_object *spec, struct err *err)
{
	char work[PATH_MAX];
	int rc = make_work(json_str_or(spec, "work", ""), work, err);
	if (rc >= 0)
		rc = add_layer(options, ",upperdir=", json_str_or(spec, "upper", ""), err);
	if (rc >= 0)
		rc = add_layer(options, ",workdir=", work, err);
	strbuf_puts(options, ",volatile");
	return rc;
}

/* The image's marks are trusted.overlay.*, which an overlay with a user's does not heed: so
 * the image is an overlay of its own, below. It is mounted on the work folder, and goes with our namespace. */
static int add_image(struct strbuf *options, json_object *spec, const char *key, struct err *err)
{
	const char *on = json_str_or(spec, "work", "");
	int rc = merge(spec, false, false, on, err);
	return rc < 0 ? rc : add_layer(options, key, on, err);
}

/* Mounts an overlay of the layers in @lower, below those of @with_upper, on the
 * folder @on, in our own mount namespace. */
static int mount_overlay(json_object *spec, bool with_upper, bool write, const char *on,
			 struct err *err)
{
	cleanup_strbuf struct strbuf options = STRBUF_INIT;
	json_object *lower = json_get(spec, "lower");
	const char *upper = json_str_or(spec, "upper", ""), *key = "lowerdir=";
	size_t n = json_len(lower);
	int rc = 0;
	if (n + (with_upper && !write) > LAYERS_MAX)
		return err_set(err, E2BIG, "too many layers");
	if (with_upper && !write) {
		rc = add_layer(&options, key, upper, err);
		key = ":";
	}
	if (with_upper && has_user_marks(spec))
		rc = rc < 0 ? rc : add_image(&options, spec, key, err);
	else
		for (size_t i = 0; rc >= 0 && i < n; i++, key = ":")
			rc = add_layer(&options, key, json_item_str(lower, i), err);
	if (rc >= 0 && with_upper && write)
		rc = add_upper(&options, spec, err);
	if (rc < 0)
		return rc;
	strbuf_puts(&options, ",redirect_dir=nofollow,metacopy=off,index=off");
	if (with_upper && has_user_marks(spec))
		strbuf_puts(&options, ",userxattr");
	if (!strbuf_ok(&options))
		return err_set(err, ENOMEM, "out of memory");
	if (chdir("/proc/self/fd") < 0)
		return err_sys(err, "cannot enter /proc/self/fd");
	rc = mount("overlay", on, "overlay", write ? 0 : MS_RDONLY, options.text) < 0
		     ? err_sys(err, "cannot mount the container's layers")
		     : 0;
	(void)chdir("/");
	return rc;
}

/* A single layer is a view by itself. */
static int merge(json_object *spec, bool with_upper, bool write, const char *on, struct err *err)
{
	json_object *lower = json_get(spec, "lower");
	size_t n = json_len(lower) + with_upper;
	if (n >= 2 || (write && n > 1))
		return mount_overlay(spec, with_upper, write, on, err);
	const char *only = with_upper ? json_str_or(spec, "upper", "")
			   : n > 0    ? json_item_str(lower, 0)
				      : NULL;
	if (!only)
		return mount("none", on, "tmpfs", MS_RDONLY, "size=4k,mode=0755") < 0
			       ? err_sys(err, "cannot mount an empty root")
			       : 0;
	return mount(only, on, NULL, MS_BIND, NULL) < 0 ? err_sys(err, "cannot bind a layer") : 0;
}

static int clone_source(json_object *m, const char *source)
{
	const char *subpath = json_str_or(m, "subpath", NULL);
	bool recursive = json_bool_or(m, "recursive", true);
	if (!subpath)
		return clone_mount(AT_FDCWD, source, recursive);
	cleanup_fd int fd = open(source, O_PATH | O_DIRECTORY | O_CLOEXEC);
	cleanup_fd int below = fd < 0 ? -errno : path_open_beneath(fd, subpath, O_PATH, 0);
	return below < 0 ? below : clone_mount(below, "", recursive);
}

static int collect_stopped(struct build *b, struct err *err)
{
	json_object *spec = b->v->spec, *mounts = json_get(spec, "mounts");
	const char *on = json_str_or(spec, "upper", "");
	int rc = merge(spec, true, writes(b), on, err);
	if (rc == 0)
		rc = add_part(b, clone_mount(AT_FDCWD, on, false), NULL,
			      !writes(b) || json_bool_or(spec, "read_only", false), err);
	for (size_t i = 0; rc == 0 && i < json_len(mounts); i++) {
		json_object *m = json_object_array_get_idx(mounts, i);
		const char *source = json_str_or(m, "source", "");
		rc = add_part(b, clone_source(m, source), json_str_or(m, "target", ""),
			      !writes(b) || json_bool_or(m, "read_only", false), err);
		if (rc == -ENOENT)
			rc = err_set(err, ENOENT, "the source %.200s of a mount is missing",
				     source);
	}
	return rc;
}

/* ---- both together ---- */

/* Mount points that are missing are made where that may be, as a start makes them. */
static int open_target(const struct build *b, int root, const struct part *part)
{
	int at = path_open_in_root(root, part->target, O_PATH, 0);
	struct stat st;
	if (at != -ENOENT || !writes(b) || b->parts[0].read_only)
		return at;
	if (fstat(part->fd, &st) < 0)
		return -errno;
	return S_ISDIR(st.st_mode) ? path_mkdir_in_root(root, part->target, 0755, NULL)
				   : path_mkfile_in_root(root, part->target, 0644, NULL);
}

static int swap_root(int root, struct err *err)
{
	if (move_mount(root, "", AT_FDCWD, "/", MOVE_MOUNT_F_EMPTY_PATH) < 0)
		return err_sys(err, "cannot mount the view");
	if (fchdir(root) < 0)
		return err_sys(err, "cannot enter the view");
	if (syscall(SYS_pivot_root, ".", ".") == 0) {
		if (umount2(".", MNT_DETACH) < 0)
			return err_sys(err, "cannot leave the host's files");
	} else if (errno != EINVAL || mount(".", "/", NULL, MS_MOVE, NULL) < 0 || chroot(".") < 0) {
		/* EINVAL: the root is the initramfs, which cannot be pivoted. */
		return err_sys(err, "cannot make the view the root");
	}
	return chdir("/") < 0 ? err_sys(err, "cannot enter the view") : 0;
}

static int attach(struct build *b, struct err *err)
{
	int root = b->parts[0].fd;
	int rc = swap_root(root, err);
	for (size_t i = 1; rc == 0 && i < b->n; i++) {
		const struct part *part = &b->parts[i];
		cleanup_fd int at = open_target(b, root, part);
		if (at >= 0 && move_mount(part->fd, "", at, "",
					  MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH) < 0)
			rc = err_sys(err, "cannot mount %.200s in the view", part->target);
	}
	return rc;
}

/* From here on we are the container's root, and nobody on the host. */
static int join_user(int userns, struct err *err)
{
	if (setns(userns, CLONE_NEWUSER) < 0)
		return err_sys(err, "cannot enter the container's user namespace");
	if (setgroups(0, NULL) < 0 || setresgid(0, 0, 0) < 0 || setresuid(0, 0, 0) < 0)
		return err_sys(err, "cannot become the container's root");
	(void)prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
	return 0;
}

static int enter_merged(struct view *v, struct err *err)
{
	struct build b = { .v = v };
	cleanup_fd int userns = -1;
	int pid = (int)json_i64_or(v->spec, "pid", 0);
	int rc = pid > 0 ? collect_running(&b, pid, &userns, err) : collect_stopped(&b, err);
	if (rc == 0)
		rc = attach(&b, err);
	drop_parts(&b);
	if (rc == 0 && userns >= 0)
		rc = join_user(userns, err);
	v->mapped = userns >= 0;
	return rc;
}

/* A tmpfs with two folders. */
static int enter_two(struct view *v, struct err *err)
{
	struct build b = { .v = v };
	const char *work = json_str_or(v->spec, "work", ""), *to = json_str_or(v->spec, "to", NULL);
	const char *second = to ? to : json_str_or(v->spec, "upper", "");
	/* Before the work folder, which is only a place to mount on, hides it. */
	int rc =
		add_part(&b, clone_mount(AT_FDCWD, second, false), to ? "/to" : "/upper", !to, err);
	if (rc == 0)
		rc = merge(v->spec, false, false, work, err);
	if (rc == 0)
		rc = add_part(&b, clone_mount(AT_FDCWD, work, false), "/lower", true, err);
	if (rc == 0 && mount("none", work, "tmpfs", 0, "size=64k,mode=0755") < 0)
		rc = err_sys(err, "cannot mount an empty root");
	if (rc == 0)
		rc = clone_mount(AT_FDCWD, work, false);
	if (rc < 0) {
		drop_parts(&b);
		return rc;
	}
	struct build whole = { .v = v };
	rc = add_part(&whole, rc, NULL, false, err);
	for (size_t i = 0; rc == 0 && i < b.n; i++) {
		whole.parts[whole.n++] = b.parts[i];
		if (mkdirat(whole.parts[0].fd, b.parts[i].target + 1, 0755) < 0)
			rc = err_sys(err, "cannot make a folder of the view");
	}
	if (rc == 0)
		rc = attach(&whole, err);
	drop_parts(&whole);
	return rc;
}

/* An empty folder that nothing can be put into. */
static int enter_nothing(struct view *v, struct err *err)
{
	cleanup_fd int fs = fsopen("tmpfs", FSOPEN_CLOEXEC);
	if (fs < 0 || fsconfig(fs, FSCONFIG_SET_STRING, "size", "4k", 0) < 0 ||
	    fsconfig(fs, FSCONFIG_CMD_CREATE, NULL, NULL, 0) < 0)
		return err_sys(err, "cannot make an empty root");
	cleanup_fd int root = fsmount(fs, FSMOUNT_CLOEXEC, MOUNT_ATTR_RDONLY);
	if (root < 0)
		return err_sys(err, "cannot make an empty root");
	v->guest_fd = GUEST_FD;
	return swap_root(root, err);
}

int view_enter(struct view *v, struct err *err)
{
	if (unshare(CLONE_NEWNS | CLONE_NEWNET) < 0)
		return err_sys(err, "cannot make namespaces");
	if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
		return err_sys(err, "cannot make mounts private");
	v->proc_fd = open("/proc/self/fd", O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (v->proc_fd < 0)
		return err_sys(err, "cannot open /proc/self/fd");
	bool two = json_bool_or(v->spec, "split", false) || json_get(v->spec, "to");
	bool guest = json_bool_or(v->spec, "guest", false);
	int rc = guest ? enter_nothing(v, err) : two ? enter_two(v, err) : enter_merged(v, err);
	if (rc < 0)
		return err_prefix(err, "cannot see the container's files");
	/* Layers and namespaces were needed until now. */
	if (v->proc_fd != SPEC_FD && dup3(v->proc_fd, SPEC_FD, O_CLOEXEC) < 0)
		return err_sys(err, "cannot keep /proc/self/fd");
	v->proc_fd = SPEC_FD;
	(void)syscall(SYS_close_range, SPEC_FD + 1 + guest, ~0U, 0);
	return 0;
}

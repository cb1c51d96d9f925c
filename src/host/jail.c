/* SPDX-License-Identifier: Apache-2.0 */
/* jail - see include/isola/jail.h. mount_namespaces(7), landlock(7),
 * capabilities(7). */
#include "isola/jail.h"

#include "isola/caps.h"
#include "isola/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <linux/landlock.h>
#include <sched.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

/* ---- root ---- */

/* The classic way, where the root is the initramfs and cannot be pivoted. */
static int move_root(void)
{
	if (mount(".", "/", NULL, MS_MOVE, NULL) < 0 || chroot(".") < 0)
		return -errno;
	return 0;
}

static int swap_root(void)
{
	if (syscall(SYS_pivot_root, ".", ".") < 0)
		return errno == EINVAL ? move_root() : -errno;
	/* The old root lies on top of the new one now. */
	return umount2(".", MNT_DETACH) < 0 ? -errno : 0;
}

int jail_root(const char *dir, bool no_network, struct err *err)
{
	struct mount_attr attr = { .attr_set = MOUNT_ATTR_NODEV | MOUNT_ATTR_NOSUID |
					       MOUNT_ATTR_NOEXEC };
	if (unshare(CLONE_NEWNS | (no_network ? CLONE_NEWNET : 0)) < 0)
		return err_sys(err, "cannot make namespaces");
	if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
		return err_sys(err, "cannot make mounts private");
	cleanup_fd int tree =
		open_tree(AT_FDCWD, dir, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_RECURSIVE);
	if (tree < 0)
		return err_sys(err, "cannot open %s as a mount", dir);
	if (mount_setattr(tree, "", AT_EMPTY_PATH | AT_RECURSIVE, &attr, sizeof(attr)) < 0)
		return err_sys(err, "cannot forbid devices on %s", dir);
	if (move_mount(tree, "", AT_FDCWD, dir, MOVE_MOUNT_F_EMPTY_PATH) < 0 || fchdir(tree) < 0)
		return err_sys(err, "cannot mount %s", dir);
	int rc = swap_root();
	if (rc == 0 && chdir("/") < 0)
		rc = -errno;
	return rc < 0 ? err_rc(err, rc, "cannot make %s the root", dir) : 0;
}

/* A mount of nothing, which nobody else can see. */
static int mount_nothing(struct err *err)
{
	cleanup_fd int fs = fsopen("tmpfs", FSOPEN_CLOEXEC);
	if (fs < 0 || fsconfig(fs, FSCONFIG_SET_STRING, "size", "4k", 0) < 0 ||
	    fsconfig(fs, FSCONFIG_SET_STRING, "mode", "0555", 0) < 0 ||
	    fsconfig(fs, FSCONFIG_CMD_CREATE, NULL, NULL, 0) < 0)
		return err_sys(err, "cannot make an empty file system");
	int mnt = fsmount(fs, FSMOUNT_CLOEXEC,
			  MOUNT_ATTR_RDONLY | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOSUID |
				  MOUNT_ATTR_NOEXEC);
	return mnt < 0 ? err_sys(err, "cannot mount an empty file system") : mnt;
}

int jail_empty_root(int flags, struct err *err)
{
	if (unshare(CLONE_NEWNS | flags) < 0)
		return err_sys(err, "cannot make namespaces");
	if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
		return err_sys(err, "cannot make mounts private");
	cleanup_fd int mnt = mount_nothing(err);
	if (mnt < 0)
		return mnt;
	if (move_mount(mnt, "", AT_FDCWD, "/", MOVE_MOUNT_F_EMPTY_PATH) < 0 || fchdir(mnt) < 0)
		return err_sys(err, "cannot mount an empty root");
	int rc = swap_root();
	if (rc == 0 && chdir("/") < 0)
		rc = -errno;
	return rc < 0 ? err_rc(err, rc, "cannot empty the root") : 0;
}

/* ---- capabilities ---- */

static bool holds(const struct __user_cap_data_struct data[2], int cap)
{
	return data[cap / 32].effective & (1U << (cap % 32));
}

int jail_caps(uint64_t keep, struct err *err)
{
	struct __user_cap_header_struct head = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct data[2];
	if (syscall(SYS_capget, &head, data) < 0)
		return err_sys(err, "cannot read the capabilities");
	for (int cap = 0; holds(data, CAP_SETPCAP) && cap <= caps_last(); cap++)
		if (!(keep >> cap & 1) && prctl(PR_CAPBSET_DROP, cap, 0, 0, 0) < 0)
			return err_sys(err, "cannot drop a capability");
	(void)prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
	for (int i = 0; i < 2; i++) {
		data[i].permitted &= (uint32_t)(keep >> 32 * i);
		data[i].effective = data[i].permitted;
		data[i].inheritable = 0;
	}
	if (syscall(SYS_capset, &head, data) < 0)
		return err_sys(err, "cannot drop capabilities");
	return 0;
}

/* ---- the user ---- */

#define NOBODY    65534
#define CAPS_USER (1ULL << CAP_SETUID | 1ULL << CAP_SETGID | 1ULL << CAP_SETPCAP)

int jail_nobody(struct err *err)
{
	int rc = jail_caps(CAPS_USER, err);
	if (rc < 0)
		return rc;
	/* What a change of user needs goes with it, but out of the bounding set only before. */
	for (int cap = 0; cap < 64; cap++)
		if (CAPS_USER >> cap & 1 && prctl(PR_CAPBSET_DROP, cap, 0, 0, 0) < 0)
			return err_sys(err, "cannot drop a capability");
	if (setgroups(0, NULL) < 0 || setresgid(NOBODY, NOBODY, NOBODY) < 0 ||
	    setresuid(NOBODY, NOBODY, NOBODY) < 0)
		return err_sys(err, "cannot become another user");
	rc = jail_caps(0, err);
	if (rc == 0 && prctl(PR_SET_DUMPABLE, 0) < 0)
		rc = err_sys(err, "cannot forbid to be traced");
	return rc;
}

/* ---- limits ---- */

int jail_limits(const struct jail_limit *rows, size_t n, struct err *err)
{
	for (size_t i = 0; i < n; i++) {
		struct rlimit now;
		__rlimit_resource_t what = (__rlimit_resource_t)rows[i].resource;
		if (getrlimit(what, &now) < 0)
			return err_sys(err, "cannot read limit %d", rows[i].resource);
		/* RLIM_INFINITY is the highest number. */
		rlim_t v = rows[i].value < now.rlim_max ? rows[i].value : now.rlim_max;
		if (setrlimit(what, &(struct rlimit){ v, v }) < 0)
			return err_sys(err, "cannot set limit %d", rows[i].resource);
	}
	return 0;
}

/* ---- Landlock ---- */

/* Newer than the headers of Debian 12. */
#ifndef LANDLOCK_ACCESS_FS_TRUNCATE
#define LANDLOCK_ACCESS_FS_TRUNCATE (1ULL << 14)
#endif
#ifndef LANDLOCK_ACCESS_FS_IOCTL_DEV
#define LANDLOCK_ACCESS_FS_IOCTL_DEV (1ULL << 15)
#endif

#define FS_READ (LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_READ_DIR)
#define FS_WRITE                                                                                   \
	(FS_READ | LANDLOCK_ACCESS_FS_WRITE_FILE | LANDLOCK_ACCESS_FS_REMOVE_DIR |                 \
	 LANDLOCK_ACCESS_FS_REMOVE_FILE | LANDLOCK_ACCESS_FS_MAKE_CHAR |                           \
	 LANDLOCK_ACCESS_FS_MAKE_DIR | LANDLOCK_ACCESS_FS_MAKE_REG |                               \
	 LANDLOCK_ACCESS_FS_MAKE_FIFO | LANDLOCK_ACCESS_FS_MAKE_BLOCK |                            \
	 LANDLOCK_ACCESS_FS_MAKE_SYM | LANDLOCK_ACCESS_FS_REFER | LANDLOCK_ACCESS_FS_TRUNCATE)
#define FS_DENIED                                                                                  \
	(LANDLOCK_ACCESS_FS_EXECUTE | LANDLOCK_ACCESS_FS_MAKE_SOCK | LANDLOCK_ACCESS_FS_IOCTL_DEV)

/* The kernel's struct of today; older kernels take the front of it. */
struct ruleset {
	uint64_t fs, net, scoped;
};

static int make_ruleset(bool network, uint64_t *ret_fs)
{
	/* What each ABI added; the kernel refuses bits it does not know. */
	static const struct {
		long abi;
		size_t size;
		uint64_t fs_without, net, scoped;
	} rows[] = {
		{ 6, 24, 0, 3, 3 }, /* scoped: abstract sockets, signals */
		{ 5, 16, 0, 3, 0 },
		{ 4, 16, LANDLOCK_ACCESS_FS_IOCTL_DEV, 3, 0 }, /* net: TCP bind, connect */
		{ 3, 8, LANDLOCK_ACCESS_FS_IOCTL_DEV, 0, 0 },
		{ 2, 8, LANDLOCK_ACCESS_FS_IOCTL_DEV | LANDLOCK_ACCESS_FS_TRUNCATE, 0, 0 },
	};
	long abi = syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		if (abi < rows[i].abi)
			continue;
		struct ruleset r = { (FS_WRITE | FS_DENIED) & ~rows[i].fs_without,
				     network ? 0 : rows[i].net, rows[i].scoped };
		*ret_fs = r.fs;
		int fd = (int)syscall(SYS_landlock_create_ruleset, &r, rows[i].size, 0);
		return fd < 0 ? -errno : fd;
	}
	/* Without ABI 2, links and renames between folders are all forbidden. */
	return -EOPNOTSUPP;
}

static int enter_landlock(const struct jail_path *rows, size_t n, bool network, struct err *err)
{
	uint64_t fs = 0;
	cleanup_fd int set = make_ruleset(network, &fs);
	if (set < 0)
		return err_rc(err, set, "this kernel has no Landlock (ABI 2) switched on");
	for (size_t i = 0; i < n; i++) {
		struct landlock_path_beneath_attr rule = {
			.allowed_access = ((rows[i].write ? FS_WRITE : FS_READ) |
					   (rows[i].execute ? LANDLOCK_ACCESS_FS_EXECUTE : 0)) &
					  fs,
			.parent_fd = rows[i].fd,
		};
		if (syscall(SYS_landlock_add_rule, set, LANDLOCK_RULE_PATH_BENEATH, &rule, 0) < 0)
			return err_sys(err, "cannot add a Landlock rule");
	}
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 ||
	    syscall(SYS_landlock_restrict_self, set, 0) < 0)
		return err_sys(err, "cannot enter the Landlock domain");
	return 0;
}

int jail_landlock(const struct jail_path *rows, size_t n, struct err *err)
{
	return enter_landlock(rows, n, false, err);
}

int jail_landlock_files(const struct jail_path *rows, size_t n, struct err *err)
{
	return enter_landlock(rows, n, true, err);
}

/* SPDX-License-Identifier: Apache-2.0 */
/* vm_share - virtiofsd for a folder that a VM shares: our child, in the VM's cgroup,
 * for one worker. It parses the guest's requests, so it is foreign to us from its
 * first one on: in a mount namespace whose copy of the folder has no devices and no
 * set-id (and is read-only, if asked for), and in the sandbox it makes itself.
 *
 * Both programs of that name are known: the C one of QEMU before 8.0, and the Rust
 * one. Each serves one connection and ends with it. */
#include "vm.h"

#include "isola/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/mount.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>

#define LISTEN_FD 3

static const struct {
	const char *path;
	bool is_c;
} programs[] = {
	{ "/usr/libexec/virtiofsd", false },
	{ "/usr/lib/virtiofsd", false },
	{ "/usr/lib/qemu/virtiofsd", true },
	{ "/usr/libexec/qemu/virtiofsd", true },
};

struct share {
	const char *program, *folder;
	bool is_c, readonly;
	int listen_fd, error_fd;
};

static int find_program(struct share *s, struct err *err)
{
	for (size_t i = 0; i < sizeof(programs) / sizeof(programs[0]); i++) {
		if (access(programs[i].path, X_OK) < 0)
			continue;
		s->program = programs[i].path;
		s->is_c = programs[i].is_c;
		return 0;
	}
	return err_set(err, ENOENT,
		       "virtiofsd is not installed (Debian: virtiofsd, or qemu-system-common)");
}

static void fail(const struct share *s, const char *what)
{
	(void)dprintf(s->error_fd, "virtiofsd: %s: %s\n", what, strerror(errno));
	_exit(127);
}

/* The folder in its place, but with less: in our own mount namespace. */
static void enter_mounts(const struct share *s)
{
	struct mount_attr attr = { .attr_set = MOUNT_ATTR_NODEV | MOUNT_ATTR_NOSUID |
					       (s->readonly ? MOUNT_ATTR_RDONLY : 0) };
	if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
		fail(s, "cannot make a mount namespace");
	/* Only mounts of our own namespace can be copied, so by its path. */
	cleanup_fd int tree = (int)syscall(SYS_open_tree, AT_FDCWD, s->folder,
					   AT_RECURSIVE | OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);
	if (tree < 0 || syscall(SYS_mount_setattr, tree, "", AT_EMPTY_PATH | AT_RECURSIVE, &attr,
				sizeof(attr)) < 0)
		fail(s, "cannot restrict the folder");
	if (syscall(SYS_move_mount, tree, "", AT_FDCWD, s->folder, MOVE_MOUNT_F_EMPTY_PATH) < 0)
		fail(s, "cannot mount the folder over itself");
}

static void run(void *arg)
{
	const struct share *s = arg;
	char source[PATH_MAX + 16], fd[16];
	char *const env[] = { (char *)"PATH=/usr/sbin:/usr/bin:/sbin:/bin", NULL };
	enter_mounts(s);
	cleanup_fd int null = open("/dev/null", O_RDWR | O_CLOEXEC);
	const int from[] = { null, null, s->error_fd, s->listen_fd };
	const int to[] = { 0, 1, 2, LISTEN_FD };
	vm_give_fds(from, to, 4);
	(void)snprintf(fd, sizeof(fd), "--fd=%d", LISTEN_FD);
	if (s->is_c) {
		(void)snprintf(source, sizeof(source), "source=%s", s->folder);
		char *const argv[] = { (char *)"virtiofsd",
				       fd,
				       (char *)"-o",
				       source,
				       (char *)"-o",
				       (char *)"cache=auto,sandbox=namespace,log_level=warn",
				       NULL };
		(void)execve(s->program, argv, env);
	} else {
		(void)snprintf(source, sizeof(source), "--shared-dir=%s", s->folder);
		char *const argv[] = { (char *)"virtiofsd",
				       fd,
				       source,
				       (char *)"--cache=auto",
				       (char *)"--sandbox=namespace",
				       (char *)"--log-level=warn",
				       NULL };
		(void)execve(s->program, argv, env);
	}
	(void)dprintf(2, "virtiofsd: cannot execute %s: %s\n", s->program, strerror(errno));
	_exit(127);
}

/* A listening socket in the run folder, whose name goes at once; @ret_fd is a
 * connection to it. */
static int make_sockets(struct vm *vm, int *ret_listen, int *ret_fd, struct err *err)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	int dir = vm->k->run_dir_fd;
	(void)snprintf(addr.sun_path, sizeof(addr.sun_path), "/proc/self/fd/%d/share.sock", dir);
	(void)unlinkat(dir, "share.sock", 0);
	cleanup_fd int listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	cleanup_fd int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	int rc = 0;
	if (listener < 0 || fd < 0 || bind(listener, (struct sockaddr *)&addr, sizeof(addr)) < 0 ||
	    listen(listener, 1) < 0 || connect(fd, (struct sockaddr *)&addr, sizeof(addr)) < 0)
		rc = err_sys(err, "cannot make the socket for virtiofsd");
	(void)unlinkat(dir, "share.sock", 0);
	if (rc < 0)
		return rc;
	*ret_listen = take_fd(&listener);
	*ret_fd = take_fd(&fd);
	return 0;
}

int vm_share_start(struct vm *vm, const char *folder, bool readonly, struct err *err)
{
	struct share s = { .folder = folder, .readonly = readonly, .error_fd = vm->stdio[2] };
	cleanup_fd int listener = -1, fd = -1, dir = -1;
	int rc = find_program(&s, err);
	if (rc < 0)
		return rc;
	dir = open(folder, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (dir < 0)
		return err_sys(err, "cannot open %s", folder);
	rc = make_sockets(vm, &listener, &fd, err);
	if (rc < 0)
		return rc;
	s.listen_fd = listener;
	pid_t pid = vm_helper_start(vm, run, &s, err);
	return pid < 0 ? pid : take_fd(&fd);
}

/* SPDX-License-Identifier: Apache-2.0 */
/* mkfs - see mkfs.h: the job's side, and the process that mounts the tree. That has the
 * rights of root, and reads nothing but the order and the words of a failed program. */
#include "mkfs.h"

#include "isola/fd.h"
#include "isola/image.h"
#include "isola/path.h"
#include "isola/pid.h"
#include "isola/strbuf.h"
#include "isola/utf8.h"
#include "cancel.h"
#include "digest.h"
#include "store.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define JOB_FD      3 /* the job's end of the socket */
#define NAME_SIZE   64
#define SAID_BYTES  2048 /* the last of what the program said */
#define END_WAIT_MS 30000

struct order {
	uint64_t file_bytes;
	int64_t wait_ms;
	uint32_t n;
	char job[NAME_SIZE], out[NAME_SIZE];
	char chains[STORE_LAYERS_MAX][DIGEST_HEX_SIZE]; /* the first n */
};

struct answer {
	int32_t code; /* errno, 0 = made */
	char text[512];
};

/* ---- the tree ---- */

/* A small tmpfs with the folders of the jail; the host's names that point into /usr. */
static int make_root(struct err *err)
{
	static const char *const folders[] = { "tree", "out", "usr", "none" };
	static const char *const links[] = { "bin", "lib", "lib32", "lib64", "sbin" };
	cleanup_fd int fs = fsopen("tmpfs", FSOPEN_CLOEXEC);
	if (fs < 0 || fsconfig(fs, FSCONFIG_SET_STRING, "size", "64k", 0) < 0 ||
	    fsconfig(fs, FSCONFIG_SET_STRING, "mode", "0755", 0) < 0 ||
	    fsconfig(fs, FSCONFIG_CMD_CREATE, NULL, NULL, 0) < 0)
		return err_sys(err, "cannot make an empty file system");
	cleanup_fd int mnt = fsmount(fs, FSMOUNT_CLOEXEC, MOUNT_ATTR_NODEV | MOUNT_ATTR_NOSUID);
	if (mnt < 0)
		return err_sys(err, "cannot mount an empty file system");
	for (size_t i = 0; i < sizeof(folders) / sizeof(folders[0]); i++)
		if (mkdirat(mnt, folders[i], 0755) < 0)
			return err_sys(err, "cannot make a folder of the jail");
	for (size_t i = 0; i < sizeof(links) / sizeof(links[0]); i++) {
		char from[32], to[NAME_SIZE];
		(void)snprintf(from, sizeof(from), "/%s", links[i]);
		ssize_t n = readlink(from, to, sizeof(to) - 1);
		to[n > 0 ? n : 0] = '\0';
		if (n > 0 && symlinkat(to, mnt, links[i]) < 0)
			return err_sys(err, "cannot make a link of the jail");
	}
	return take_fd(&mnt);
}

static int bind_folder(int at, const char *path, int root, const char *name, uint64_t attrs,
		       struct err *err)
{
	struct mount_attr attr = { .attr_set = attrs, .propagation = MS_PRIVATE };
	cleanup_fd int tree = open_tree(at, path, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);
	if (tree < 0)
		return err_sys(err, "cannot open %s as a mount", path);
	if (mount_setattr(tree, "", AT_EMPTY_PATH, &attr, sizeof(attr)) < 0 ||
	    move_mount(tree, "", root, name, MOVE_MOUNT_F_EMPTY_PATH) < 0)
		return err_sys(err, "cannot mount %s in the jail", path);
	return 0;
}

/* What every root has lies lowest, as in a container (src/daemon/folders.h). overlayfs takes
 * paths; descriptors by their numbers keep many of them short. */
static int add_layers(const struct order *o, int state, int root, struct strbuf *options,
		      struct err *err)
{
	int base = openat(state, "base", O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	const char *key = "lowerdir=";
	for (uint32_t i = 0; i < o->n; i++, key = ":") {
		char path[NAME_SIZE + DIGEST_HEX_SIZE];
		(void)snprintf(path, sizeof(path), "layers/%.64s/fs", o->chains[i]);
		int fd = path_open_beneath(state, path, O_PATH | O_DIRECTORY, 0);
		if (fd < 0)
			return err_rc(err, fd, "cannot open %s", path);
		strbuf_printf(options, "%s%d", key, fd);
	}
	/* overlayfs wants two. */
	if (base < 0)
		base = openat(root, "none", O_PATH | O_DIRECTORY | O_CLOEXEC);
	strbuf_printf(options, ":%d,redirect_dir=nofollow,metacopy=off,index=off", base);
	return strbuf_ok(options) ? 0 : err_set(err, ENOMEM, "out of memory");
}

static int mount_tree(const struct order *o, int state, int root, struct err *err)
{
	cleanup_strbuf struct strbuf options = STRBUF_INIT;
	char on[32];
	int rc = add_layers(o, state, root, &options, err);
	if (rc < 0)
		return rc;
	(void)snprintf(on, sizeof(on), "%d/tree", root);
	if (chdir("/proc/self/fd") < 0)
		return err_sys(err, "cannot enter /proc/self/fd");
	if (mount("overlay", on, "overlay", MS_RDONLY | MS_NODEV | MS_NOSUID | MS_NOEXEC,
		  options.text) < 0)
		return err_sys(err, "cannot mount the image's layers as one tree");
	return 0;
}

static int swap_root(int root, struct err *err)
{
	if (fchdir(root) < 0)
		return err_sys(err, "cannot enter the jail");
	if (syscall(SYS_pivot_root, ".", ".") == 0) {
		if (umount2(".", MNT_DETACH) < 0)
			return err_sys(err, "cannot leave the host's files");
	} else if (errno != EINVAL || mount(".", "/", NULL, MS_MOVE, NULL) < 0 || chroot(".") < 0) {
		/* EINVAL: the root is the initramfs, which cannot be pivoted. */
		return err_sys(err, "cannot make the jail the root");
	}
	if (chdir("/") < 0 ||
	    mount(NULL, "/", NULL, MS_REMOUNT | MS_BIND | MS_RDONLY | MS_NODEV | MS_NOSUID, NULL) <
		    0)
		return err_sys(err, "cannot close the jail");
	return 0;
}

/* Folders are opened in the new namespace: one cannot mount what is another's. */
static int enter(const struct order *o, const char *state_path, struct err *err)
{
	char out[2 * NAME_SIZE + 8];
	if (unshare(CLONE_NEWNS | CLONE_NEWNET | CLONE_NEWIPC | CLONE_NEWUTS | CLONE_NEWPID) < 0)
		return err_sys(err, "cannot make namespaces");
	if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
		return err_sys(err, "cannot make mounts private");
	cleanup_fd int state = open(state_path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (state < 0)
		return err_sys(err, "cannot open the state folder");
	cleanup_fd int root = make_root(err);
	if (root < 0)
		return root;
	if (move_mount(root, "", AT_FDCWD, "/", MOVE_MOUNT_F_EMPTY_PATH) < 0)
		return err_sys(err, "cannot mount the jail");
	(void)snprintf(out, sizeof(out), "tmp/%s/%s", o->job, o->out);
	int rc = mount_tree(o, state, root, err);
	if (rc == 0)
		rc = bind_folder(AT_FDCWD, "/usr", root, "usr",
				 MOUNT_ATTR_RDONLY | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOSUID, err);
	if (rc == 0)
		rc = bind_folder(state, out, root, "out",
				 MOUNT_ATTR_NODEV | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC, err);
	return rc < 0 ? rc : swap_root(root, err);
}

/* ---- the program ---- */

/* Files are not packed into the blocks of their inodes: what a guest maps of them are whole
 * pages of this file (DAX). The id of the file system says nothing, its digest counts. */
static void __attribute__((noreturn))
become(const char *program, const struct order *o, int said_fd)
{
	const struct mkfs_limits limits = { .file_bytes = o->file_bytes };
	char *const argv[] = { (char *)"mkfs.erofs",
			       (char *)"--quiet",
			       (char *)"--preserve-mtime",
			       (char *)"-E",
			       (char *)"noinline_data",
			       (char *)"-U",
			       (char *)"00000000-0000-0000-0000-000000000000",
			       (char *)"/out/" MKFS_FILE,
			       (char *)"/tree",
			       NULL };
	char *const envp[] = { (char *)"LANG=C", NULL };
	struct sigaction usual = { .sa_handler = SIG_DFL };
	struct err err = ERR_INIT;
	(void)sigaction(SIGPIPE, &usual, NULL);
	/* SIGXFSZ stays ignored: a limit reached is an error of write(2). */
	(void)umask(077);
	if (dup2(said_fd, STDERR_FILENO) < 0)
		_exit(126);
	(void)syscall(SYS_close_range, 3, ~0U, 0);
	if (mkfs_confine(&limits, &err) < 0)
		(void)err_prefix(&err, "cannot confine mkfs.erofs");
	else if (execve(program, argv, envp) < 0)
		(void)err_sys(&err, "cannot execute %s", program);
	(void)fd_write_all(STDERR_FILENO, err.text, strlen(err.text));
	_exit(126);
}

static int64_t now_ms(void)
{
	struct timespec t;
	(void)clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* Keeps the end of what is said. */
static bool listen_to(int fd, char said[SAID_BYTES], size_t *have)
{
	char buf[SAID_BYTES / 2];
	ssize_t n = read(fd, buf, sizeof(buf));
	if (n <= 0)
		return n < 0 && errno == EINTR;
	size_t keep = *have + (size_t)n < SAID_BYTES ? *have : SAID_BYTES - 1 - (size_t)n;
	memmove(said, said + *have - keep, keep);
	memcpy(said + keep, buf, (size_t)n);
	*have = keep + (size_t)n;
	return true;
}

/* Until the program has ended, or its time is up, or the job does not want it any more:
 * that says so with a word, or is gone. */
static int watch(int sock, int pidfd, int said_fd, int64_t wait_ms, char said[SAID_BYTES],
		 size_t *have)
{
	struct pollfd p[] = { { .fd = pidfd, .events = POLLIN },
			      { .fd = sock, .events = POLLIN },
			      { .fd = said_fd, .events = POLLIN } };
	for (int64_t end = now_ms() + wait_ms;;) {
		int64_t left = end - now_ms();
		if (left <= 0)
			return -ETIMEDOUT;
		int n = poll(p, 3, left > 1000 ? 1000 : (int)left);
		if (n < 0 && errno != EINTR)
			return -errno;
		if (n <= 0)
			continue;
		if (p[2].revents && !listen_to(said_fd, said, have))
			p[2].fd = -1;
		if (p[1].revents)
			return -EINTR;
		/* What it said last is in the pipe when it has ended. */
		if (p[0].revents && (p[2].fd < 0 || !(p[2].revents & POLLIN)))
			return 0;
	}
}

static void last_line(char said[SAID_BYTES], size_t have)
{
	while (have > 0 && (said[have - 1] == '\n' || said[have - 1] == ' '))
		have--;
	size_t from = have;
	while (from > 0 && said[from - 1] != '\n')
		from--;
	memmove(said, said + from, have - from);
	utf8_make_harmless(said, have - from);
}

static int judge(int rc, int status, const struct order *o, char said[SAID_BYTES], size_t have,
		 struct err *err)
{
	if (rc == -ETIMEDOUT)
		return err_set(err, ETIMEDOUT, "mkfs.erofs was not ready after %lld seconds",
			       (long long)(o->wait_ms / 1000));
	if (rc == -EINTR)
		return err_set(err, EINTR, "cancelled");
	if (rc < 0)
		return err_rc(err, rc, "cannot watch mkfs.erofs");
	if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
		return 0;
	last_line(said, have);
	bool full = strstr(said, "No space left") != NULL;
	if (WIFSIGNALED(status))
		return err_set(err, EIO, "mkfs.erofs was killed by signal %d", WTERMSIG(status));
	return err_set(err, full ? ENOSPC : EIO, "mkfs.erofs failed: %.400s",
		       *said ? said : "it does not say why");
}

static int run_program(const struct order *o, const char *program, int sock, struct err *err)
{
	char said[SAID_BYTES + 1] = "";
	size_t have = 0;
	int pipe_fds[2], status = 0;
	if (pipe2(pipe_fds, O_CLOEXEC) < 0)
		return err_sys(err, "cannot make a pipe");
	cleanup_fd int in = pipe_fds[0], out = pipe_fds[1];
	pid_t pid = fork();
	if (pid < 0)
		return err_sys(err, "cannot start a process");
	if (pid == 0)
		become(program, o, out);
	fd_close(&out);
	cleanup_fd int pidfd = pid_open(pid);
	int rc = pidfd < 0 ? pidfd : watch(sock, pidfd, in, o->wait_ms, said, &have);
	/* It is PID 1 of its namespace: all that it started goes with it. */
	(void)kill(pid, SIGKILL);
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	return judge(rc, status, o, said, have, err);
}

/* ---- the process ---- */

static bool is_name(const char *text, size_t size)
{
	size_t n = strnlen(text, size);
	return n > 0 && n < size && strspn(text, "abcdefghijklmnopqrstuvwxyz0123456789-") == n;
}

static int take_order(int sock, struct order *o, struct err *err)
{
	ssize_t n;
	while ((n = recv(sock, o, sizeof(*o), 0)) < 0 && errno == EINTR)
		;
	if (n == 0)
		_exit(0); /* the job did without */
	bool ok = n == (ssize_t)sizeof(*o) && o->n > 0 && o->n <= STORE_LAYERS_MAX &&
		  is_name(o->job, sizeof(o->job)) && is_name(o->out, sizeof(o->out));
	for (uint32_t i = 0; ok && i < o->n; i++)
		ok = is_name(o->chains[i], DIGEST_HEX_SIZE);
	return ok ? 0 : err_set(err, EPROTO, "the order makes no sense");
}

/* Standard output is the job's: its end is the job's end. */
static int let_go(int *sock)
{
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);
	if (null < 0 || dup2(null, STDIN_FILENO) < 0 || dup2(null, STDOUT_FILENO) < 0)
		return -errno;
	if (*sock != JOB_FD && dup3(*sock, JOB_FD, O_CLOEXEC) < 0)
		return -errno;
	*sock = JOB_FD;
	return syscall(SYS_close_range, JOB_FD + 1, ~0U, 0) < 0 ? -errno : 0;
}

static void __attribute__((noreturn))
serve(const char *state, const char *program, pid_t job, int sock)
{
	static struct order o;
	struct err err = ERR_INIT;
	struct answer a = { .code = 0 };
	if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0 || getppid() != job || let_go(&sock) < 0)
		_exit(1);
	int rc = take_order(sock, &o, &err);
	if (rc == 0)
		rc = enter(&o, state, &err);
	if (rc == 0)
		rc = run_program(&o, program, sock, &err);
	a.code = rc < 0 ? -rc : 0;
	(void)snprintf(a.text, sizeof(a.text), "%s", err.text);
	(void)send(sock, &a, sizeof(a), MSG_NOSIGNAL);
	_exit(0);
}

/* ---- the job's side ---- */

int mkfs_start(const char *state, struct err *err)
{
	const char *program = image_mkfs();
	int pair[2];
	if (!program)
		return err_set(err, ENOENT,
			       "there is no mkfs.erofs on this host (package erofs-utils)");
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		return err_sys(err, "cannot make a socket pair");
	cleanup_fd int mine = pair[0], theirs = pair[1];
	pid_t job = getpid(), pid = fork();
	if (pid < 0)
		return err_sys(err, "cannot start a process");
	if (pid == 0) {
		fd_close(&mine);
		serve(state, program, job, theirs);
	}
	fd_close(&theirs);
	if (mine != JOB_FD && dup3(mine, JOB_FD, O_CLOEXEC) < 0)
		return err_sys(err, "cannot keep the socket of mkfs.erofs");
	if (mine == JOB_FD)
		(void)take_fd(&mine);
	return 0;
}

static int send_packet(const void *data, size_t size)
{
	struct iovec iov = { (void *)(uintptr_t)data, size };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };
	return sendmsg(JOB_FD, &msg, MSG_NOSIGNAL) < 0 ? -errno : 0;
}

/* Told to stop it answers soon, and what it started has ended then. */
static int hear(struct answer *a, struct err *err)
{
	struct pollfd p = { .fd = JOB_FD, .events = POLLIN };
	bool told = false;
	for (int64_t end = 0; !told || now_ms() < end;) {
		if (cancel_requested() && !told) {
			told = true;
			end = now_ms() + END_WAIT_MS;
			(void)send_packet("stop", 4);
		}
		int n = poll(&p, 1, CANCEL_LOOK_MS);
		ssize_t got = n > 0 ? read(JOB_FD, a, sizeof(*a)) : -1;
		if (n == 0 || (got < 0 && errno == EINTR))
			continue;
		if (got == (ssize_t)sizeof(*a))
			return 0;
		return err_set(err, EIO, "the process of mkfs.erofs has ended");
	}
	return err_set(err, EINTR, "cancelled");
}

int mkfs_run(const char *job, const char *out, const char (*chains)[65], size_t n,
	     const struct mkfs_limits *limits, struct err *err)
{
	struct answer a = { .code = EIO };
	cleanup_free struct order *o = calloc(1, sizeof(*o));
	if (!o)
		return err_set(err, ENOMEM, "out of memory");
	if (n > STORE_LAYERS_MAX)
		return err_set(err, E2BIG, "too many layers");
	o->file_bytes = limits->file_bytes;
	o->wait_ms = limits->wait_ms;
	o->n = (uint32_t)n;
	(void)snprintf(o->job, sizeof(o->job), "%s", job);
	(void)snprintf(o->out, sizeof(o->out), "%s", out);
	for (size_t i = 0; i < n; i++)
		memcpy(o->chains[i], chains[i], DIGEST_HEX_SIZE);
	int rc = send_packet(o, sizeof(*o));
	if (rc < 0)
		return err_rc(err, rc, "cannot speak with the process of mkfs.erofs");
	rc = hear(&a, err);
	if (rc < 0 || a.code == 0)
		return rc;
	return err_set(err, a.code > 0 && a.code < 4096 ? a.code : EIO, "%.*s",
		       (int)sizeof(a.text) - 1, a.text);
}

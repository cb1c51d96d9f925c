/* SPDX-License-Identifier: Apache-2.0 */
/* vm_virtiofsd - see vm_virtiofsd.h. */
#include "vm_virtiofsd.h"

#include "isola/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>

#define LISTEN_FD 3
/* A descriptor for each file that the guest knows. */
#define FILES_MAX 1000000
#define ARGS_MAX  16

static const struct {
	const char *path;
	bool is_c;
} programs[] = {
	{ "/usr/libexec/virtiofsd", false },
	{ "/usr/lib/virtiofsd", false },
	{ "/usr/lib/qemu/virtiofsd", true },
	{ "/usr/libexec/qemu/virtiofsd", true },
};

static int find_program(struct virtiofsd *v, struct err *err)
{
	for (size_t i = 0; i < sizeof(programs) / sizeof(programs[0]); i++) {
		if (access(programs[i].path, X_OK) < 0)
			continue;
		v->program = programs[i].path;
		v->is_c = programs[i].is_c;
		return 0;
	}
	return err_set(err, ENOENT,
		       "virtiofsd is not installed (Debian: virtiofsd, or qemu-system-common)");
}

void virtiofsd_fail(const struct virtiofsd *v, const char *what)
{
	(void)dprintf(v->error_fd, "virtiofsd: %s: %s\n", what, strerror(errno));
	_exit(127);
}

void virtiofsd_unshare_mounts(const struct virtiofsd *v)
{
	if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
		virtiofsd_fail(v, "cannot make a mount namespace");
}

/* While we still may: in a user namespace it could not raise its own. Returns what it is. */
static rlim_t raise_files(void)
{
	struct rlimit now = { .rlim_cur = 1024, .rlim_max = 1024 };
	const struct rlimit wanted = { .rlim_cur = FILES_MAX, .rlim_max = FILES_MAX };
	if (setrlimit(RLIMIT_NOFILE, &wanted) == 0)
		return FILES_MAX;
	(void)getrlimit(RLIMIT_NOFILE, &now);
	return now.rlim_max < FILES_MAX ? now.rlim_max : FILES_MAX;
}

static void exec_c(const struct virtiofsd *v, char *fd, char *files, char *const *env)
{
	char source[PATH_MAX + 16], options[128];
	(void)snprintf(source, sizeof(source), "source=%s", v->source);
	(void)snprintf(options, sizeof(options), "cache=%s,sandbox=namespace,log_level=warn%s%s",
		       v->keep_pages ? "always,timeout=1" : "auto", v->xattr ? ",xattr" : "",
		       v->announce_submounts ? ",announce_submounts" : "");
	char *const argv[] = { (char *)"virtiofsd", fd,      files, (char *)"-o", source,
			       (char *)"-o",        options, NULL };
	(void)execve(v->program, argv, env);
}

static void exec_rust(const struct virtiofsd *v, char *fd, char *files, char *const *env)
{
	char source[PATH_MAX + 16];
	char *argv[ARGS_MAX];
	size_t n = 0;
	(void)snprintf(source, sizeof(source), "--shared-dir=%s", v->source);
	argv[n++] = (char *)"virtiofsd";
	argv[n++] = fd;
	argv[n++] = files;
	argv[n++] = source;
	argv[n++] = v->keep_pages ? (char *)"--cache=always" : (char *)"--cache=auto";
	argv[n++] = (char *)"--sandbox=namespace";
	argv[n++] = (char *)"--log-level=warn";
	if (v->xattr)
		argv[n++] = (char *)"--xattr";
	if (v->announce_submounts)
		argv[n++] = (char *)"--announce-submounts";
	argv[n] = NULL;
	(void)execve(v->program, argv, env);
}

static void run(void *arg)
{
	const struct virtiofsd *v = arg;
	char fd[16], files[48];
	char *const env[] = { (char *)"PATH=/usr/sbin:/usr/bin:/sbin:/bin", NULL };
	(void)snprintf(fd, sizeof(fd), "--fd=%d", LISTEN_FD);
	(void)snprintf(files, sizeof(files), "--rlimit-nofile=%llu",
		       (unsigned long long)raise_files());
	v->enter(v);
	cleanup_fd int null = open("/dev/null", O_RDWR | O_CLOEXEC);
	const int from[] = { null, null, v->error_fd, v->listen_fd };
	const int to[] = { 0, 1, 2, LISTEN_FD };
	vm_give_fds(from, to, 4);
	if (v->is_c)
		exec_c(v, fd, files, env);
	else
		exec_rust(v, fd, files, env);
	(void)dprintf(2, "virtiofsd: cannot execute %s: %s\n", v->program, strerror(errno));
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

int virtiofsd_start(struct vm *vm, struct virtiofsd *v, pid_t *ret_pid, struct err *err)
{
	cleanup_fd int listener = -1, fd = -1;
	int rc = find_program(v, err);
	if (rc == 0)
		rc = make_sockets(vm, &listener, &fd, err);
	if (rc < 0)
		return rc;
	v->listen_fd = listener;
	v->error_fd = vm->stdio[2];
	pid_t pid = vm_helper_start(vm, run, v, err);
	if (pid < 0)
		return pid;
	if (ret_pid)
		*ret_pid = pid;
	return take_fd(&fd);
}

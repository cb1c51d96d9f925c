/* SPDX-License-Identifier: Apache-2.0 */
/* vm_vsock - the host's side of a VM's vsock: one listening Unix socket, which the
 * worker serves, and for what the guest opens the sockets beside it, "<socket>_<port>"
 * (the same protocol as Firecracker's). Paths may be longer than sun_path, so all goes
 * through the folder's descriptor. */
#include "vm.h"

#include "isola/fd.h"
#include "isola/json.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#define BACKLOG 128

/* Sets @ret to @name in the folder @dir_fd. */
static int set_address(struct sockaddr_un *ret, int dir_fd, const char *name, struct err *err)
{
	*ret = (struct sockaddr_un){ .sun_family = AF_UNIX };
	int n = snprintf(ret->sun_path, sizeof(ret->sun_path), "/proc/self/fd/%d/%s", dir_fd, name);
	if (n < 0 || (size_t)n >= sizeof(ret->sun_path))
		return err_set(err, ENAMETOOLONG, "the socket's name is too long: %s", name);
	return 0;
}

/* The folder of @path, O_PATH, and what is behind the last slash. */
static int open_parent(const char *path, const char **ret_name, struct err *err)
{
	const char *slash = strrchr(path, '/');
	cleanup_free char *parent = strndup(path, slash == path ? 1 : (size_t)(slash - path));
	if (!parent)
		return err_set(err, ENOMEM, "out of memory");
	if (!slash[1])
		return err_set(err, EINVAL, "%s names no socket", path);
	int fd = open(parent, O_PATH | O_DIRECTORY | O_CLOEXEC);
	*ret_name = slash + 1;
	return fd < 0 ? err_sys(err, "cannot open %s", parent) : fd;
}

static int connect_in(int dir_fd, const char *name, struct err *err)
{
	struct sockaddr_un addr;
	int rc = set_address(&addr, dir_fd, name, err);
	if (rc < 0)
		return rc;
	cleanup_fd int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	/* Never waits: a full queue of a Unix socket is EAGAIN. */
	if (fd < 0 || connect(fd, (struct sockaddr *)&addr, sizeof(addr)) < 0)
		return err_sys(err, "cannot connect to %s", name);
	return take_fd(&fd);
}

int vm_connect(const char *path, struct err *err)
{
	const char *name = NULL;
	cleanup_fd int dir = open_parent(path, &name, err);
	if (dir < 0)
		return dir;
	int fd = connect_in(dir, name, err);
	if (fd < 0)
		return err_prefix(err, "%s", path);
	(void)fd_set_nonblock(fd, false);
	return fd;
}

int vm_vsock_connect(const struct vm *vm, int64_t port, struct err *err)
{
	char name[300];
	if (vm->vsock.listen_fd < 0 || port < 0 || port > UINT32_MAX)
		return err_set(err, EINVAL, "no such port");
	(void)snprintf(name, sizeof(name), "%.255s_%lld", vm->vsock.name, (long long)port);
	return connect_in(vm->vsock.dir_fd, name, err);
}

static int listen_at(struct vm_vsock *v, const char *path, struct err *err)
{
	const char *name = NULL;
	struct sockaddr_un addr;
	struct stat st;
	v->dir_fd = open_parent(path, &name, err);
	if (v->dir_fd < 0)
		return v->dir_fd;
	/* What a killed keeper left; nothing else is taken away. */
	if (fstatat(v->dir_fd, name, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISSOCK(st.st_mode))
		(void)unlinkat(v->dir_fd, name, 0);
	int rc = set_address(&addr, v->dir_fd, name, err);
	if (rc < 0)
		return rc;
	cleanup_fd int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0 || bind(fd, (struct sockaddr *)&addr, sizeof(addr)) < 0)
		return err_sys(err, "cannot make the socket %s", path);
	v->name = strdup(name);
	if (!v->name || fchmodat(v->dir_fd, name, 0600, 0) < 0 || listen(fd, BACKLOG) < 0)
		return err_sys(err, "cannot listen at %s", path);
	v->listen_fd = take_fd(&fd);
	return 0;
}

int vm_vsock_open(struct vm *vm, json_object *machine, struct err *err)
{
	const char *path =
		json_str_or(json_get(json_get(machine, "vsock"), "listen"), "path", NULL);
	if (!path)
		return 0;
	if (*path != '/')
		return err_set(err, EINVAL, "vsock.listen.path must be an absolute path");
	int rc = listen_at(&vm->vsock, path, err);
	return rc < 0 ? err_prefix(err, "vsock") : 0;
}

void vm_vsock_close(struct vm *vm)
{
	struct vm_vsock *v = &vm->vsock;
	if (v->name)
		(void)unlinkat(v->dir_fd, v->name, 0);
	fd_close(&v->listen_fd);
	fd_close(&v->dir_fd);
	free(v->name);
	v->name = NULL;
}

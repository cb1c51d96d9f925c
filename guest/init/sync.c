/* SPDX-License-Identifier: Apache-2.0 */
/* sync - what the guest has only in its page cache goes to the host (GUEST_SYNC): what programs
 * have written through mmap(2). In a process of its own, since it takes as long as the host's
 * disk does; init waits for nothing. */
#include "init.h"

#include "isola/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Of an overlay, its layer is synced with it. sync(2) is for the volumes, each a file system of
 * its own, and tells of no error; in a test it would be about all that the host has. */
static int run(const struct guest *g, struct err *err)
{
	if (setns(KEPT_NAMESPACE, CLONE_NEWNS) < 0)
		return err_sys(err, "cannot enter the container's mounts");
	cleanup_fd int root = open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (root < 0)
		return err_sys(err, "cannot open the root");
	if (!g->test_socket)
		sync();
	return syncfs(root) < 0 ? err_sys(err, "cannot sync the container's files") : 0;
}

void sync_run(const struct guest *g, int status_fd)
{
	struct err e = ERR_INIT;
	if (files_keep(status_fd, g->ns_fds[NS_MOUNTS]) < 0)
		_exit(1);
	if (run(g, &e) < 0)
		(void)send(KEPT_STREAM, &e, sizeof(e), MSG_NOSIGNAL);
	_exit(e.code != 0);
}

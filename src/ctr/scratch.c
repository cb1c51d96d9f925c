/* SPDX-License-Identifier: Apache-2.0 */
/* scratch - see scratch.h. Used by the parent, before it clones init. */
#include "scratch.h"

#include "channel.h"
#include "clone.h"
#include "tree.h"

#include "isola/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/prctl.h>

struct helper {
	int (*make)(void *arg, size_t i, struct err *err);
	void *arg;
	size_t n;
	int sock;
};

/* The tmpfs is attached to "/", which nobody in this namespace looks at any more. */
static int enter(struct err *err)
{
	if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
		return err_sys(err, "cannot make mounts private");
	cleanup_fd int tmp = tree_new("tmpfs", "tmpfs", NULL, 0, 0, err);
	if (tmp < 0)
		return tmp;
	if (move_mount(tmp, "", AT_FDCWD, "/", MOVE_MOUNT_F_EMPTY_PATH) < 0 || fchdir(tmp) < 0)
		return err_sys(err, "cannot enter a tmpfs");
	return 0;
}

static void run_helper(void *arg)
{
	const struct helper *h = arg;
	struct err err = ERR_INIT;
	(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
	int rc = enter(&err);
	for (size_t i = 0; rc >= 0 && i < h->n; i++) {
		cleanup_fd int tree = h->make(h->arg, i, &err);
		rc = tree < 0 ? tree : chan_send(h->sock, CHAN_TREES, (int)i, &tree, 1);
	}
	if (rc < 0)
		(void)chan_send_error(h->sock, &err);
	_exit(0);
}

static int receive(int sock, int *ret_tree, struct err *err)
{
	struct chan_msg msg;
	size_t n = 0;
	int fd = -1;
	int rc = chan_recv(sock, &msg, &fd, 1, &n);
	if (rc > 0 && msg.type == CHAN_TREES && n == 1) {
		*ret_tree = fd;
		return 0;
	}
	fd_close(&fd);
	if (rc > 0 && msg.type == CHAN_ERROR)
		return err_set(err, msg.value, "%s", msg.text);
	return err_set(err, EPIPE, "the helper that prepares mounts died");
}

int scratch_trees(int (*make)(void *arg, size_t i, struct err *err), void *arg, size_t n,
		  int *ret_trees, struct err *err)
{
	int socks[2], pidfd = -1;
	int rc = chan_pair(socks);
	if (rc < 0)
		return err_rc(err, rc, "cannot make a socket pair");
	struct helper h = { make, arg, n, socks[1] };
	const struct clone_request req = {
		.flags = CLONE_NEWNS, .cgroup_fd = -1, .run = run_helper, .arg = &h
	};
	rc = clone_run(&req, &pidfd, err);
	(void)close(socks[1]);
	size_t got = 0;
	for (rc = rc < 0 ? rc : 0; rc == 0 && got < n; got += rc == 0)
		rc = receive(socks[0], &ret_trees[got], err);
	(void)close(socks[0]);
	clone_kill(&pidfd);
	while (rc < 0 && got > 0)
		fd_close(&ret_trees[--got]);
	return rc;
}

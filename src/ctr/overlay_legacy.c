/* SPDX-License-Identifier: Apache-2.0 */
/* overlay_legacy - see overlay_legacy.h. The helper lives for a few system calls
 * in a mount namespace of its own, as the host's root; nothing it attaches is
 * seen by anybody else, and all is gone with it but the tree it hands over. */
#include "overlay_legacy.h"

#include "channel.h"
#include "tree.h"

#include "isola/fd.h"
#include "isola/strbuf.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/sched.h>
#include <signal.h>
#include <stdio.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#define OPTIONS_MAX 4095 /* mount(2) takes one page */

/* Attaches @tree to a new folder @name of the current one. */
static int attach_as(const char *name, int tree, struct err *err)
{
	if (mkdir(name, 0700) < 0)
		return err_sys(err, "cannot make a mount point");
	if (tree >= 0 && move_mount(tree, "", AT_FDCWD, name, MOVE_MOUNT_F_EMPTY_PATH) < 0)
		return err_sys(err, "cannot attach a layer");
	return 0;
}

/* Makes a tmpfs the current folder; it is attached to "/", which nobody else in
 * this namespace looks at any more. */
static int enter_scratch(struct err *err)
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

static int add_layers(const struct ctr_root *root, const struct overlay_layers *l,
		      struct strbuf *options, struct err *err)
{
	char name[24];
	int rc = 0;
	for (size_t i = 0; rc == 0 && i < l->n; i++) {
		(void)snprintf(name, sizeof(name), "%zu", i);
		rc = attach_as(name, l->lower[i], err);
		strbuf_printf(options, "%s%s", i ? ":" : "lowerdir=", name);
	}
	if (rc == 0 && l->writable >= 0) {
		rc = attach_as("w", l->writable, err);
		strbuf_printf(options, ",upperdir=w/%s,workdir=w/%s", l->upper, l->work);
	}
	for (const struct overlay_option *o = overlay_options; o->key; o++)
		strbuf_printf(options, ",%s=%s", o->key, o->value);
	if (root->volatile_upper && l->writable >= 0)
		strbuf_puts(options, ",volatile");
	if (rc == 0 && (!strbuf_ok(options) || options->len > OPTIONS_MAX))
		rc = err_set(err, E2BIG, "too many layers for this kernel (%zu)", l->n);
	return rc;
}

static int mount_here(const struct ctr_root *root, const struct overlay_ids *ids,
		      const struct overlay_layers *l, struct err *err)
{
	cleanup_strbuf struct strbuf options = STRBUF_INIT;
	int rc = enter_scratch(err);
	if (rc == 0)
		rc = add_layers(root, l, &options, err);
	if (rc == 0)
		rc = attach_as("m", -1, err);
	if (rc < 0)
		return rc;
	overlay_become(ids);
	if (mount("overlay", "m", "overlay", 0, options.text) < 0)
		return err_sys(err, "cannot mount overlay (%s)", options.text);
	int tree = open_tree(AT_FDCWD, "m", OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);
	return tree < 0 ? err_sys(err, "cannot clone the overlay") : tree;
}

static void helper_main(int sock, const struct ctr_root *root, const struct overlay_ids *ids,
			const struct overlay_layers *l) __attribute__((noreturn));

static void helper_main(int sock, const struct ctr_root *root, const struct overlay_ids *ids,
			const struct overlay_layers *l)
{
	struct err err = ERR_INIT;
	(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
	int tree = mount_here(root, ids, l, &err);
	if (tree < 0)
		(void)chan_send_error(sock, &err);
	else
		(void)chan_send(sock, CHAN_TREES, 0, &tree, 1);
	_exit(0);
}

int overlay_mount_by_name(const struct ctr_root *root, const struct overlay_ids *ids,
			  const struct overlay_layers *l, struct err *err)
{
	int socks[2];
	int rc = chan_pair(socks);
	if (rc < 0)
		return err_rc(err, rc, "cannot make a socket pair");
	struct clone_args args = { .flags = CLONE_NEWNS, .exit_signal = SIGCHLD };
	pid_t pid = (pid_t)syscall(SYS_clone3, &args, sizeof(args));
	if (pid == 0)
		helper_main(socks[1], root, ids, l);
	int saved = errno;
	(void)close(socks[1]);
	int tree = -1;
	size_t n_fds = 0;
	struct chan_msg msg = { .type = 0 };
	if (pid < 0) {
		rc = err_set(err, saved, "cannot start a helper with its own mount namespace");
	} else {
		rc = chan_recv(socks[0], &msg, &tree, 1, &n_fds);
		(void)waitpid(pid, NULL, 0);
		if (rc > 0 && msg.type == CHAN_TREES && n_fds == 1)
			rc = tree;
		else if (rc > 0 && msg.type == CHAN_ERROR)
			rc = err_set(err, msg.value, "%s", msg.text);
		else
			rc = err_set(err, EPIPE, "the helper that mounts the layers died");
	}
	(void)close(socks[0]);
	return rc;
}

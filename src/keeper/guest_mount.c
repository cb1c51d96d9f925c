/* SPDX-License-Identifier: Apache-2.0 */
/* guest_mount - a mount comes to a container in a VM while it runs, or goes. A tmpfs is the
 * guest's. A bind is made twice, as the container library makes it in any container: in the
 * holder, whose mounts a next virtiofsd copies and a copy out of the container sees, and in
 * the virtiofsd that serves them; then the guest is asked until it sees it.
 *
 * Everything of the host waits for at most ten seconds (ctr_mount()). */
#include "guest.h"

#include "isola/fd.h"
#include "isola/json.h"
#include "isola/path.h"
#include "isola/pid.h"

#include "control.h"
#include "guest_setup.h"
#include "guest_split.h"
#include "vm_tree.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

/* The guest gives up after ten seconds itself. */
#define SEEN_MS 20000

struct change {
	struct guest *g;
	struct asker asker;
	json_object *mount; /* owned */
	bool gone, bind;
};

static void change_free(struct change *c)
{
	json_object_put(c->mount);
	free(c);
}

/* ---- on the host ---- */

/* Of the process of virtiofsd that serves the root. */
static int open_server(const struct guest *g, pid_t *ret_pid, struct err *err)
{
	pid_t parent = g->k->vm->tree_pid;
	pid_t pid = parent > 0 ? vm_tree_root_pid(parent) : 0;
	int fd = pid > 0 ? pid_open(pid) : -ESRCH;
	if (fd < 0)
		return err_rc(err, fd, "cannot reach the virtiofsd of the container's root");
	*ret_pid = pid;
	return fd;
}

/* In one of both places. */
static int change_one(const struct change *c, pid_t pid, int pidfd, bool make_source, bool gone,
		      struct err *err)
{
	const struct ctr_live_args args = { .pid = pid, .pidfd = pidfd, .spec = c->g->host_spec };
	return gone ? ctr_unmount(&args, c->mount, err)
		    : ctr_mount(&args, c->mount, make_source, err);
}

static int change_both(const struct change *c, bool make_source, bool gone, struct err *err)
{
	const struct ctr *holder = c->g->k->ctr;
	struct err ignored;
	pid_t pid = 0;
	cleanup_fd int server = open_server(c->g, &pid, err);
	if (server < 0)
		return server;
	int rc = change_one(c, pid, server, make_source, gone, err);
	/* What was there when virtiofsd went into the user namespace is locked to the rest. */
	if (rc == -EINVAL && gone)
		return err_set(err, EBUSY,
			       "%s goes with the next start only: it was there when this one began "
			       "(--isolation vm); stop it first",
			       json_str_or(c->mount, "destination", ""));
	if (rc < 0)
		return rc;
	rc = change_one(c, holder->pid, holder->pidfd, false, gone, err);
	if (rc < 0 && !gone)
		(void)change_one(c, pid, server, false, true, &ignored);
	return rc;
}

/* By which the guest knows it. */
static int inode_of(const struct change *c, uint64_t *ret, struct err *err)
{
	char path[40];
	struct stat st;
	pid_t pid = 0;
	cleanup_fd int server = open_server(c->g, &pid, err);
	if (server < 0)
		return server;
	(void)snprintf(path, sizeof(path), "/proc/%d/root", (int)pid);
	cleanup_fd int root = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	cleanup_fd int at =
		root < 0 ? -errno
			 : path_open_in_root(root, json_str_or(c->mount, "destination", ""), O_PATH,
					     0);
	if (at < 0 || fstat(at, &st) < 0)
		return err_rc(err, at < 0 ? at : -errno, "cannot look at what is mounted");
	*ret = st.st_ino;
	return 0;
}

/* ---- in the guest ---- */

static void on_changed(void *arg, const uint8_t *body, size_t size, const struct err *err)
{
	struct change *c = arg;
	struct err ignored;
	(void)body;
	(void)size;
	/* What the guest did not take is not there on the host either. */
	if (err && c->bind && !c->gone && c->g->k->vm->alive)
		(void)change_both(c, false, true, &ignored);
	control_answer(c->g->k, &c->asker, NULL, err);
	change_free(c);
}

static int put(struct tlv_writer *w, const struct change *c, uint64_t inode, struct err *err)
{
	tlv_put_u64(w, GF_PROCESS, ++c->g->number);
	tlv_put_u64(w, GF_STREAMS, 0);
	if (!c->bind)
		return guest_setup_put_mount(w, c->mount, err);
	size_t mark = tlv_open(w, GF_MOUNT);
	tlv_put_text(w, GF_TARGET, json_str_or(c->mount, "destination", ""));
	tlv_put_text(w, GF_FSTYPE, "none");
	tlv_close(w, mark);
	tlv_put_u64(w, GF_NUMBER, inode);
	return 0;
}

static int ask(struct change *c, uint64_t inode, struct err *err)
{
	cleanup_tlv struct tlv_writer w = { 0 };
	int rc = put(&w, c, inode, err);
	return rc < 0 ? rc
		      : guest_link_call(&c->g->link, c->gone ? GUEST_UNMOUNT : GUEST_MOUNT, &w,
					SEEN_MS, on_changed, c, err);
}

static int change(struct change *c, bool make_source, struct err *err)
{
	uint64_t inode = 0;
	struct err ignored;
	int rc = guest_split_may_bind(json_str_or(c->mount, "destination", ""), err);
	if (rc == 0 && c->bind && c->gone)
		rc = inode_of(c, &inode, err);
	if (rc == 0 && c->bind)
		rc = change_both(c, make_source, c->gone, err);
	if (rc == 0 && c->bind && !c->gone)
		rc = inode_of(c, &inode, err);
	if (rc < 0)
		return rc;
	rc = ask(c, inode, err);
	if (rc < 0 && c->bind && !c->gone)
		(void)change_both(c, false, true, &ignored);
	return rc;
}

int guest_mount(struct keeper *k, json_object *mount, bool make_source, bool gone, struct err *err)
{
	int rc = guest_need(k->guest, err);
	struct change *c = rc < 0 ? NULL : malloc(sizeof(*c));
	if (!c)
		return rc < 0 ? rc : err_set(err, ENOMEM, "out of memory");
	*c = (struct change){ .g = k->guest,
			      .asker = k->asker,
			      .mount = json_object_get(mount),
			      .gone = gone,
			      .bind = guest_split_is_bind(mount) };
	rc = change(c, make_source, err);
	if (rc < 0)
		change_free(c);
	return rc < 0 ? rc : -EINPROGRESS;
}

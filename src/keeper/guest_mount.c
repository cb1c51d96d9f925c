/* SPDX-License-Identifier: Apache-2.0 */
/* guest_mount - a mount comes to a container in a VM while it runs, or goes. A tmpfs is the
 * guest's. A bind is made twice, as the container library makes it in any container: in the
 * holder, whose mounts a next virtiofsd copies and a copy out of the container sees, and in
 * the virtiofsd that serves them. Then
 *
 *   what is served is the root       the guest is asked until it sees it
 *   the root is the guest's own      it is at a place beside the root, and the guest binds it
 *                                    from there; before it goes there, the guest lets go of it
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
#include <unistd.h>

/* The guest gives up after ten seconds itself. */
#define SEEN_MS 20000

struct change {
	struct guest *g;
	struct asker asker;
	json_object *mount; /* owned */
	bool gone, bind;
	char place[GUEST_SPLIT_PLACE]; /* in what is served beside the root; "": in the root */
};

static void change_free(struct change *c)
{
	json_object_put(c->mount);
	free(c);
}

static const char *target_of(const struct change *c)
{
	return json_str_or(c->mount, "destination", "");
}

static int stays(const struct change *c, struct err *err)
{
	return err_set(err, EBUSY,
		       "%s goes with the next start only: it was there when this one began "
		       "(--isolation vm); stop it first",
		       target_of(c));
}

/* ---- on the host ---- */

/* The process of virtiofsd that serves the root. */
struct server {
	pid_t pid;
	int pidfd;
};

static int open_server(const struct guest *g, struct server *ret, struct err *err)
{
	pid_t parent = g->k->vm->tree_pid;
	ret->pid = parent > 0 ? vm_tree_root_pid(parent) : 0;
	ret->pidfd = ret->pid > 0 ? pid_open(ret->pid) : -ESRCH;
	return ret->pidfd < 0 ? err_rc(err, ret->pidfd,
				       "cannot reach the virtiofsd of the container's root")
			      : 0;
}

/* In one of both places. */
static int change_one(const struct change *c, pid_t pid, int pidfd, bool make_source, bool gone,
		      struct err *err)
{
	struct ctr_live_args args = { .pid = pid, .pidfd = pidfd, .spec = c->g->host_spec };
	char path[GUEST_SPLIT_PLACE + 1];
	struct ctr_live_place place = { .root_fd = -1, .path = path };
	cleanup_fd int served = -1;
	if (*c->place) {
		served = openat(c->g->k->run_dir_fd, GUEST_SPLIT_SERVED,
				O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		if (served < 0)
			return err_sys(err, "cannot open the folder of what is served");
		(void)snprintf(path, sizeof(path), "/%s", c->place);
		place.root_fd = served;
		args.place = &place;
	}
	return gone ? ctr_unmount(&args, c->mount, err)
		    : ctr_mount(&args, c->mount, make_source, err);
}

/* The guest's root has it no more, so nobody looks at the place again. */
static void drop_place(const struct change *c)
{
	cleanup_fd int served = openat(c->g->k->run_dir_fd, GUEST_SPLIT_SERVED,
				       O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (!*c->place || served < 0)
		return;
	if (unlinkat(served, c->place, AT_REMOVEDIR) < 0)
		(void)unlinkat(served, c->place, 0);
}

static int change_at(const struct change *c, const struct server *server, bool make_source,
		     bool gone, struct err *err)
{
	const struct ctr *holder = c->g->k->ctr;
	struct err ignored;
	int rc = change_one(c, server->pid, server->pidfd, make_source, gone, err);
	/* What was there when virtiofsd went into the user namespace is locked to the rest. */
	if (rc == -EINVAL && gone)
		return stays(c, err);
	if (rc == 0) {
		rc = change_one(c, holder->pid, holder->pidfd, false, gone, err);
		if (rc < 0 && !gone)
			(void)change_one(c, server->pid, server->pidfd, false, true, &ignored);
	}
	if (gone ? rc == 0 : rc < 0)
		drop_place(c);
	return rc;
}

/* Without an answer: what the guest does not have is not there on the host either. */
static void take_back(const struct change *c)
{
	struct err ignored;
	struct server server = { .pidfd = -1 };
	if (c->g->k->vm->alive && open_server(c->g, &server, &ignored) == 0)
		(void)change_at(c, &server, false, true, &ignored);
	fd_close(&server.pidfd);
}

/* By which the guest knows it. */
static int inode_of(const struct change *c, const struct server *server, uint64_t *ret,
		    struct err *err)
{
	char path[40];
	struct stat st;
	(void)snprintf(path, sizeof(path), "/proc/%d/root", (int)server->pid);
	cleanup_fd int root = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	cleanup_fd int at =
		root < 0 ? -errno
			 : path_open_in_root(root, *c->place ? c->place : target_of(c), O_PATH, 0);
	if (at < 0 || fstat(at, &st) < 0)
		return err_rc(err, at < 0 ? at : -errno, "cannot look at what is mounted");
	*ret = st.st_ino;
	return 0;
}

/* ---- places beside the root ---- */

static int find_place(struct change *c, struct err *err)
{
	const char *place = json_str_or(c->g->places, target_of(c), NULL);
	if (!c->g->has_image || !c->bind)
		return 0;
	if (!c->gone) {
		(void)guest_split_later(++c->g->n_later, c->place);
		return 0;
	}
	if (!place)
		return stays(c, err);
	(void)snprintf(c->place, sizeof(c->place), "%s", place);
	return 0;
}

static void keep_place(const struct change *c)
{
	if (!*c->place)
		return;
	if (!c->g->places)
		c->g->places = json_object_new_object();
	if (c->gone)
		json_object_object_del(c->g->places, target_of(c));
	else
		json_add_str(c->g->places, target_of(c), c->place);
}

/* ---- in the guest ---- */

/* What is beside the root goes from the host last. */
static int end_place(const struct change *c, struct err *err)
{
	struct server server;
	int rc = open_server(c->g, &server, err);
	if (rc < 0)
		return rc;
	rc = change_at(c, &server, false, true, err);
	fd_close(&server.pidfd);
	return rc;
}

static void on_changed(void *arg, const uint8_t *body, size_t size, const struct err *err)
{
	struct change *c = arg;
	struct err e = err ? *err : (struct err)ERR_INIT;
	(void)body;
	(void)size;
	if (err && c->bind && !c->gone)
		take_back(c);
	if (!err && c->gone && *c->place)
		(void)end_place(c, &e);
	if (!e.code)
		keep_place(c);
	control_answer(c->g->k, &c->asker, NULL, e.code ? &e : NULL);
	change_free(c);
}

static int put(struct tlv_writer *w, const struct change *c, uint64_t inode, struct err *err)
{
	tlv_put_u64(w, GF_PROCESS, ++c->g->number);
	tlv_put_u64(w, GF_STREAMS, 0);
	if (!c->bind)
		return guest_setup_put_mount(w, c->mount, err);
	if (*c->place) {
		guest_setup_put_bind(w, c->mount, c->place);
	} else {
		size_t mark = tlv_open(w, GF_MOUNT);
		tlv_put_text(w, GF_TARGET, target_of(c));
		tlv_put_text(w, GF_FSTYPE, "none");
		tlv_close(w, mark);
	}
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

/* What goes is looked at before it goes, what comes afterwards. */
static int change_host(const struct change *c, bool make_source, uint64_t *ret_inode,
		       struct err *err)
{
	struct server server;
	int rc = open_server(c->g, &server, err);
	if (rc < 0)
		return rc;
	if (c->gone)
		rc = inode_of(c, &server, ret_inode, err);
	if (rc == 0 && !(c->gone && *c->place))
		rc = change_at(c, &server, make_source, c->gone, err);
	if (rc == 0 && !c->gone && (rc = inode_of(c, &server, ret_inode, err)) < 0)
		take_back(c);
	fd_close(&server.pidfd);
	return rc;
}

static int change(struct change *c, bool make_source, struct err *err)
{
	uint64_t inode = 0;
	int rc = guest_split_may_bind(target_of(c), err);
	if (rc == 0)
		rc = find_place(c, err);
	if (rc == 0 && c->bind)
		rc = change_host(c, make_source, &inode, err);
	if (rc < 0)
		return rc;
	rc = ask(c, inode, err);
	if (rc < 0 && c->bind && !c->gone)
		take_back(c);
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

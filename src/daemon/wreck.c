/* SPDX-License-Identifier: Apache-2.0 */
/* wreck - clearing away what is left of an instance: its keeper's last steps are
 * awaited, then cgroup and folders go, in the thread pool. isolad killed in the
 * middle begins again at its next start: a renamed state folder is known to be on
 * its way out. */
#include "isola/cgroup.h"
#include "isola/fd.h"
#include "isola/json.h"

#include "folders.h"
#include "isolad.h"
#include "life.h"
#include "record.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define KEEPER_GRACE_MS 60000 /* to clean up; hooks may take their time */
#define CGROUP_WAIT_MS  5000

struct wreck {
	struct list node; /* in isolad's wrecks while the keeper lives */
	uv_work_t work;
	struct isolad *isolad;
	struct child *keeper;
	struct link *link;
	struct timer *grace;
	uint32_t userns_base;
	bool kill_cgroup;
	void (*done)(void *arg, const struct err *err);
	void *arg;
	char id[ID_SIZE];
	char *cgroup;
	struct err err;
};

static void clear_state(const struct wreck *w, struct err *err)
{
	int dir = w->isolad->roots.instances_fd;
	char aside[ID_SIZE + 16];
	(void)snprintf(aside, sizeof(aside), WRECK_PREFIX "%s", w->id);
	/* One step that cannot be half done: with its record the folder is an
	 * instance, aside it is rubbish. */
	if (renameat(dir, w->id, dir, aside) < 0 && errno != ENOENT)
		(void)err_sys(err, "cannot move its folder aside");
	else
		(void)fd_remove_tree(dir, aside, err);
}

static void job(uv_work_t *work)
{
	struct wreck *w = container_of(work, struct wreck, work);
	if (w->kill_cgroup)
		(void)cgroup_destroy(w->cgroup, CGROUP_WAIT_MS, &w->err);
	if (!w->err.code)
		clear_state(w, &w->err);
	if (!w->err.code)
		(void)fd_remove_tree(w->isolad->roots.run_fd, w->id, &w->err);
	folders_make_spare(&w->isolad->roots);
}

static void wreck_free(struct wreck *w)
{
	free(w->cgroup);
	free(w);
}

static void on_job_done(uv_work_t *work, int status)
{
	(void)status;
	struct wreck *w = container_of(work, struct wreck, work);
	struct err *err = w->err.code ? &w->err : NULL;
	uidrange_put(&w->isolad->uidrange, w->userns_base);
	if (w->done)
		w->done(w->arg, err);
	else if (err)
		log_error(w->id, "left behind until the next start: %s", err->text);
	wreck_free(w);
}

static void begin(struct wreck *w)
{
	list_del(&w->node);
	timer_stop(&w->grace);
	link_free(&w->link);
	(void)uv_queue_work(&w->isolad->loop, &w->work, job, on_job_done);
}

static void on_keeper_exit(void *arg, int status)
{
	struct wreck *w = arg;
	if (status != 0)
		w->kill_cgroup = true;
	begin(w);
}

static bool has_cleaned_up(const struct wreck *w)
{
	char name[ID_SIZE + 16];
	(void)snprintf(name, sizeof(name), "%s/keeper.sock", w->id);
	return faccessat(w->isolad->roots.run_fd, name, F_OK, AT_SYMLINK_NOFOLLOW) < 0;
}

/* See run.c: a keeper that is through may live on for slow readers. */
static void on_link_closed(void *arg)
{
	struct wreck *w = arg;
	link_free(&w->link);
	if (!has_cleaned_up(w)) {
		(void)child_kill(w->keeper, SIGKILL);
		return;
	}
	child_forget(w->keeper);
	begin(w);
}

static void on_event(void *arg, const char *event, json_object *msg)
{
	(void)arg;
	(void)event;
	(void)msg;
}

static const struct link_handler link_handler = { .on_event = on_event,
						  .on_closed = on_link_closed };

static void on_grace_over(void *arg)
{
	struct wreck *w = arg;
	timer_stop(&w->grace);
	(void)child_kill(w->keeper, SIGKILL);
}

void wreck_clear(const struct wreck_args *args, void (*done)(void *arg, const struct err *err),
		 void *arg)
{
	struct wreck *w = calloc(1, sizeof(*w));
	if (!w || asprintf(&w->cgroup, "%s/%s", args->isolad->place.parent, args->id) < 0)
		abort(); /* see later.h */
	w->isolad = args->isolad;
	w->keeper = args->keeper;
	w->link = args->link;
	list_init(&w->node);
	w->userns_base = args->userns_base;
	w->kill_cgroup = args->kill_cgroup;
	w->done = done;
	w->arg = arg;
	memcpy(w->id, args->id, ID_SIZE);
	if (!w->keeper) {
		begin(w);
		return;
	}
	list_add_tail(&w->isolad->wrecks, &w->node);
	child_hand_over(w->keeper, on_keeper_exit, w);
	if (w->link)
		link_hand_over(w->link, &link_handler, w);
	w->grace = timer_start(w->isolad, KEEPER_GRACE_MS, on_grace_over, w);
}

void wrecks_drop(struct isolad *d)
{
	list_for_each_safe (node, &d->wrecks) {
		struct wreck *w = container_of(node, struct wreck, node);
		list_del(&w->node);
		timer_stop(&w->grace);
		child_forget(w->keeper);
		link_free(&w->link);
		wreck_free(w);
	}
}

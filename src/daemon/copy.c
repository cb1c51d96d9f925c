/* SPDX-License-Identifier: Apache-2.0 */
/* copy - files of a container, read and written by isola-image behind its walls:
 * what isolad does is to say what the container's files are (VIEW_SPEC of
 * src/image/view.h) and to hand the client's socket over. Loop thread.
 *
 * Writing into a stopped container is an op, so that no start happens meanwhile:
 * two mounts of one writable layer would not see each other's changes. Into a
 * running one it goes beside its ops, and is killed when the payload ends.
 *
 * Before what is in files of a running VM is read, its guest syncs them (guest_sync.h). */
#include "copy.h"

#include "folders.h"
#include "guest_sync.h"
#include "images_priv.h"
#include "isolation.h"
#include "life.h"
#include "link.h"
#include "mounts.h"

#include "isola/fd.h"
#include "isola/fd_pass.h"
#include "isola/json.h"

#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#define SOCKET_BYTES (2 * 1024 * 1024)

struct copy *copy_new(struct isolad *d, op_done_fn *done, void *arg)
{
	struct copy *c = calloc(1, sizeof(*c));
	if (!c) {
		struct err e = ERR_INIT;
		(void)err_set(&e, ENOMEM, "out of memory");
		later_done(d, done, arg, &e, NULL);
		return NULL;
	}
	c->d = d;
	c->done = done;
	c->arg = arg;
	c->pair = c->client_fd = -1;
	list_add_tail(&c->d->copies, &c->node);
	return c;
}

static void close_guest(struct copy *c)
{
	if (c->guest_fd > 0)
		(void)close(c->guest_fd);
	c->guest_fd = 0;
}

static void copy_free(struct copy *c)
{
	list_del(&c->node);
	fd_close(&c->pair);
	fd_close(&c->client_fd);
	close_guest(c);
	json_object_put(c->framing);
	free(c->path);
	free(c->head);
	free(c);
}

void copy_of_instance(struct copy *c, const char *id)
{
	(void)snprintf(c->of, sizeof(c->of), "%s", id);
}

/* A tree that vanishes while it is read would pass for one with fewer files. The
 * signal is pending before the first file goes. */
void copies_cancel(const struct instance *inst)
{
	list_for_each (node, &inst->isolad->copies) {
		struct copy *c = container_of(node, struct copy, node);
		if (c->op || strcmp(c->of, inst->id) != 0)
			continue;
		c->orphaned = true;
		copy_cancel(c);
	}
}

/* ---- what the files are ---- */

static void add_path(json_object *o, const char *key, const char *dir, const char *name)
{
	char path[PATH_MAX];
	(void)snprintf(path, sizeof(path), "%s/%s", dir, name);
	json_add_str(o, key, path);
}

/* A bind that is not idmapped shows host ids: only a running container has the
 * view in which these mean anything, so else it is not written to. */
static int add_mounts(json_object *spec, const struct instance *inst, bool running, struct err *err)
{
	cleanup_mounts struct mounts m = { NULL, 0 };
	json_object *list = json_object_new_array();
	json_add(spec, "mounts", list);
	int rc = mounts_of(inst, &m, err);
	for (size_t i = 0; rc >= 0 && i < m.n; i++) {
		const struct mount_point *p = &m.items[i];
		if (p->kind == MOUNT_TMPFS)
			continue;
		json_object *o = json_object_new_object();
		json_add_str(o, "target", p->target);
		json_add_str(o, "source", p->source);
		if (p->subpath)
			json_add_str(o, "subpath", p->subpath);
		json_add_bool(o, "read_only",
			      p->read_only || (!running && inst->userns_base && p->unmapped));
		json_add_bool(o, "recursive", p->recursive);
		(void)json_object_array_add(list, o);
	}
	return rc < 0 ? rc : 0;
}

enum {
	FILES_MOUNTS = 1, /* with what is mounted there */
	FILES_WRITE = 2,
	FILES_SPLIT = 4, /* the image and what was written apart */
};

static json_object *make_spec(const struct instance *inst, unsigned int files, struct err *err)
{
	bool split = files & FILES_SPLIT;
	/* Its guest puts the root together: here it is read as that of a stopped one. */
	bool erofs = inst->guest_root == GUEST_ROOT_EROFS;
	bool running = !split && !erofs && instance_is_running(inst) && inst->root_pid > 0;
	cleanup_free char *dir = instance_state_dir(inst);
	cleanup_json json_object *spec = json_object_new_object();
	if (!dir || !spec) {
		(void)err_set(err, ENOMEM, "out of memory");
		return NULL;
	}
	json_add_str(spec, "id", inst->id);
	json_add_str(spec, "name", inst->name);
	json_add(spec, "lower", folders_lower(inst->isolad->roots.state, inst->image));
	add_path(spec, "upper", dir, folders_upper(inst));
	add_path(spec, "work", dir, folders_work(inst));
	json_add_bool(spec, "user_marks", erofs);
	json_add_bool(spec, "write", files & FILES_WRITE);
	json_add_bool(spec, "split", split);
	json_add_bool(spec, "read_only", json_bool_or(inst->host_config, "ReadonlyRootfs", false));
	json_add_bool(spec, "mapped", inst->userns_base != 0);
	if (running)
		json_add_i64(spec, "pid", inst->root_pid);
	if (files & FILES_MOUNTS && add_mounts(spec, inst, running, err) < 0)
		return NULL;
	return take_ptr(spec);
}

/* The spec, and behind its NUL what came of the body: as a file in memory. */
static int spec_file(json_object *spec, const void *head, size_t head_size, struct err *err)
{
	size_t size = 0;
	const char *text = json_object_to_json_string_length(
		spec, JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE, &size);
	cleanup_fd int fd = memfd_create("view", MFD_CLOEXEC);
	if (fd < 0 || !text)
		return err_sys(err, "cannot describe the container's files");
	int rc = fd_write_all(fd, text, size + 1);
	if (rc == 0)
		rc = fd_write_all(fd, head, head_size);
	if (rc < 0 || lseek(fd, 0, SEEK_SET) < 0)
		return err_set(err, ENOMEM, "cannot describe the container's files");
	return take_fd(&fd);
}

/* ---- jobs ---- */

/* The instance no longer waits. */
static void let_go(struct copy *c)
{
	struct op *op = take_ptr(c->op);
	op->pinned = false;
	op->done = NULL; /* its argument is @c */
	op_finish(op, NULL, NULL);
}

/* From the job's last line, or when it could not begin. */
static void on_job_done(void *arg, const struct err *err, json_object *result)
{
	struct copy *c = arg;
	c->job = NULL;
	struct err gone = ERR_INIT;
	if (c->op)
		let_go(c);
	if (err && c->orphaned)
		(void)err_set(&gone, EBUSY, "container %.12s is being removed", c->of);
	if (c->done)
		c->done(c->arg, gone.code ? &gone : err, result);
	copy_free(c);
}

static void on_line(void *arg, const char *line, size_t size)
{
	struct copy *c = arg;
	cleanup_json json_object *o = NULL;
	if (!c->ready || json_parse(line, size, "job", &o, NULL) < 0 || !json_get(o, "stat"))
		return;
	copy_ready_fn *ready = c->ready;
	c->ready = NULL;
	ready(c->arg, c, json_get(o, "stat"));
}

int copy_run(struct copy *c, const char *const *words, int stdin_fd, json_object *spec,
	     struct err *err)
{
	cleanup_fd int fd3 = spec_file(spec, c->head ? c->head : "", c->head_size, err);
	const struct job_fds fds = { stdin_fd, fd3, c->guest_fd };
	int rc = fd3 < 0 ? fd3
			 : job_start_fds(c->d, words, &fds, &c->job, on_line, on_job_done, c, err);
	if (rc == 0)
		c->job->tells_errno = true;
	return rc;
}

int copy_run_reader(struct copy *c, const char *const *words, json_object *spec, struct err *err)
{
	int pair[2];
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		return err_sys(err, "cannot make a socket pair");
	c->pair = pair[0];
	int rc = copy_run(c, words, pair[1], spec, err);
	fd_close(&pair[1]);
	return rc;
}

void copy_fail(struct copy *c, const struct err *err)
{
	later_done(c->d, c->done, c->arg, err, NULL);
	copy_free(c);
}

/* ---- reading ---- */

void instance_stat_path(struct instance *inst, const char *path, op_done_fn *done, void *arg)
{
	const char *words[] = { "cp-stat", "--", path, NULL };
	struct err e = ERR_INIT;
	cleanup_json json_object *spec = make_spec(inst, FILES_MOUNTS, &e);
	struct copy *c = copy_new(inst->isolad, done, arg);
	if (!c)
		return;
	copy_of_instance(c, inst->id);
	if (!spec || copy_run(c, words, -1, spec, &e) < 0)
		copy_fail(c, &e);
}

static const struct {
	const char *verb, *event;
	bool contents; /* not only names and sizes, which the host has at once */
	unsigned int files;
} reads[] = {
	[COPY_PATH] = { "cp-get", "archive-path", true, FILES_MOUNTS },
	/* As Docker's it has the container's own files alone. */
	[COPY_EXPORT] = { "cp-export", "export", true, 0 },
	[COPY_CHANGES] = { "cp-changes", NULL, false, FILES_SPLIT },
};

static void read_files(struct copy *c, struct instance *inst)
{
	const char *words[] = { reads[c->what].verb, "--", c->path, NULL };
	struct err e = ERR_INIT;
	cleanup_json json_object *spec = make_spec(inst, reads[c->what].files, &e);
	if (!spec || copy_run_reader(c, words, spec, &e) < 0)
		copy_fail(c, &e);
	else if (reads[c->what].event)
		events_emit_instance(inst, reads[c->what].event, NULL);
}

static void on_read_synced(void *arg, const struct err *err)
{
	struct copy *c = arg;
	struct err e = ERR_INIT;
	struct instance *inst = registry_find(c->d, INSTANCE_CONTAINER, c->of, NULL);
	if (!inst || c->orphaned)
		(void)err_set(&e, EBUSY, "container %.12s is being removed", c->of);
	if (err || e.code)
		copy_fail(c, err ? err : &e);
	else
		read_files(c, inst);
}

void instance_read_files(struct instance *inst, enum copy_what what, const char *path,
			 copy_ready_fn *ready, op_done_fn *done, void *arg)
{
	struct err e = ERR_INIT;
	struct copy *c = copy_new(inst->isolad, done, arg);
	if (!c)
		return;
	c->ready = ready;
	c->what = what;
	copy_of_instance(c, inst->id);
	if (path && !(c->path = strdup(path))) {
		(void)err_set(&e, ENOMEM, "out of memory");
		copy_fail(c, &e);
	} else if (!reads[what].contents || !guest_sync(inst, on_read_synced, c)) {
		read_files(c, inst);
	}
}

void copy_give(struct copy *c, int fd, bool chunked)
{
	char word = chunked ? 'c' : 'p';
	/* Fewer turns between the two ends; without the right to it, as it is. */
	int room = SOCKET_BYTES;
	(void)setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &room, sizeof(room));
	/* A job that has ended meanwhile says so itself. */
	(void)fd_send_one(c->pair, &word, 1, fd, MSG_DONTWAIT);
	fd_close(&fd);
	fd_close(&c->pair);
}

void copy_cancel(struct copy *c)
{
	c->ready = NULL;
	fd_close(&c->pair);
	if (c->job)
		image_job_cancel(c->job);
}

/* ---- writing ---- */

/* Whether the guest writes: what it has looked up may not be changed behind its back, and
 * the writable layer of an EROFS root never. A paused one writes nothing (the keeper says so). */
static bool copy_is_guests(const struct instance *inst)
{
	return isolation_is_vm(inst->host_config) &&
	       (inst->state == INSTANCE_RUNNING ||
		(inst->state == INSTANCE_PAUSED && inst->guest_root == GUEST_ROOT_EROFS));
}

static struct copy *copy_of(const struct op *op)
{
	list_for_each (node, &op->inst->isolad->copies) {
		struct copy *c = container_of(node, struct copy, node);
		if (c->op == op)
			return c;
	}
	return NULL;
}

/* Asks the keeper for a way into the guest, which the job waits for. */
static int ask_guest(struct copy *c, struct instance *inst, struct err *err)
{
	int pair[2];
	if (!inst->link)
		return err_set(err, EBUSY, "container %.12s has lost its keeper", inst->id);
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		return err_sys(err, "cannot make a socket pair");
	c->guest_fd = pair[0];
	/* What it answers, the job hears too. */
	link_call(inst->link, "copy", NULL, pair[1], NULL, NULL);
	return 0;
}

static int start_put(struct copy *c, struct instance *inst, struct err *err)
{
	const char *words[8];
	size_t n = 0;
	const char *user = json_str_or(inst->config, "User", "");
	words[n++] = "cp-put";
	if (c->keep_kinds)
		words[n++] = "--keep-kinds";
	if (c->to_user && *user) {
		words[n++] = "--owner";
		words[n++] = user;
	}
	words[n++] = "--";
	words[n++] = c->path;
	words[n] = NULL;
	cleanup_json json_object *spec = make_spec(inst, FILES_MOUNTS | FILES_WRITE, err);
	if (!spec)
		return -err->code;
	json_add(spec, "body", json_object_get(c->framing));
	bool guest = copy_is_guests(inst);
	json_add_bool(spec, "guest", guest);
	int rc = guest ? ask_guest(c, inst, err) : 0;
	if (rc == 0)
		rc = copy_run(c, words, c->client_fd, spec, err);
	fd_close(&c->client_fd);
	close_guest(c);
	if (rc == 0)
		events_emit_instance(inst, "extract-to-dir", NULL);
	return rc;
}

static void put_step(struct op *op)
{
	struct copy *c = copy_of(op);
	struct instance *inst = op->inst;
	struct err e = ERR_INIT;
	if (!c || c->job)
		return;
	c->running = copy_is_guests(inst) || (instance_is_running(inst) && inst->root_pid > 0);
	if (!c->running && !run_is_over(inst)) {
		run_hurry_keeper(inst);
		return;
	}
	op->pinned = true;
	if (start_put(c, inst, &e) == 0)
		return;
	let_go(c);
	copy_fail(c, &e);
}

/* Only the job goes on to its end; the instance does not wait for it. */
static void put_abort(struct copy *c)
{
	c->job->cancelled = true;
	if (c->job->child)
		(void)child_kill(c->job->child, SIGKILL);
	let_go(c);
}

static void put_wake(struct op *op, enum op_wake why)
{
	struct copy *c = copy_of(op);
	if (!c)
		return;
	if (!c->job && why == OP_WAKE_OVER)
		put_step(op);
	else if (c->job && (why == OP_WAKE_HURRY || (why == OP_WAKE_ENDED && c->running)))
		put_abort(c);
}

static const struct op_type put_type = { .name = "copy", .run = put_step, .wake = put_wake };

/* The op was dropped with its instance, or could not be made. */
static void on_op_dropped(void *arg, const struct err *err, json_object *result)
{
	struct copy *c = arg;
	(void)result;
	c->op = NULL;
	if (err && !c->job)
		copy_fail(c, err);
}

static int fill_put(struct copy *c, const struct copy_put *put)
{
	c->path = strdup(put->path);
	c->head = malloc(put->head_size + 1);
	c->framing = json_object_new_object();
	c->client_fd = fd_dup(put->fd);
	if (!c->path || !c->head || !c->framing || c->client_fd < 0)
		return -ENOMEM;
	memcpy(c->head, put->head, put->head_size);
	c->head_size = put->head_size;
	json_add_bool(c->framing, "chunked", put->chunked);
	json_add_i64(c->framing, "length", (int64_t)put->length);
	c->keep_kinds = put->keep_kinds;
	c->to_user = put->to_user;
	return 0;
}

void instance_write_files(struct instance *inst, const struct copy_put *put, op_done_fn *done,
			  void *arg)
{
	struct copy *c = copy_new(inst->isolad, done, arg);
	struct err e = ERR_INIT;
	if (!c)
		return;
	if (fill_put(c, put) < 0) {
		(void)err_set(&e, ENOMEM, "out of memory");
		copy_fail(c, &e);
		return;
	}
	struct op *op = op_new(inst, &put_type, on_op_dropped, c);
	if (!op)
		return;
	c->op = op;
	if (instance_is_running(inst))
		op_aside(op);
	else
		op_queue(op);
}

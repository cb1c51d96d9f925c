/* SPDX-License-Identifier: Apache-2.0 */
/* fake_daemon - see fake_daemon.h. */
#include "fake_daemon.h"

#include "isola/fd.h"
#include "isola/json.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- later ---- */

struct later {
	struct list node;
	op_done_fn *done;
	void *arg;
	struct err err;
	json_object *result;
};

static void on_later(uv_timer_t *timer)
{
	struct isolad *d = timer->data;
	while (!list_is_empty(&d->later)) {
		struct later *l = container_of(d->later.next, struct later, node);
		list_del(&l->node);
		l->done(l->arg, l->err.code ? &l->err : NULL, l->result);
		json_object_put(l->result);
		free(l);
	}
}

static void later(struct isolad *d, op_done_fn *done, void *arg, json_object *result)
{
	struct later *l = calloc(1, sizeof(*l));
	if (!l)
		abort();
	l->done = done;
	l->arg = arg;
	l->result = result;
	if (d->fail_code) {
		(void)err_set(&l->err, d->fail_code, "%s", d->fail_text);
		json_object_put(l->result);
		l->result = NULL;
		d->fail_code = 0;
	}
	list_add_tail(&d->later, &l->node);
	(void)uv_timer_start(&d->timer, on_later, 0, 0);
}

static void asked(struct isolad *d, const char *what)
{
	(void)snprintf(d->last, sizeof(d->last), "%s", what);
}

static void keep_body(struct isolad *d, json_object *body)
{
	json_object_put(d->body);
	d->body = json_object_get(body);
}

static int failing(struct isolad *d, struct err *err)
{
	int code = d->fail_code;
	d->fail_code = 0;
	return code ? err_set(err, code, "%s", d->fail_text) : 0;
}

static void add_instance(struct isolad *d, struct instance *inst, char *name, char id_first,
			 enum instance_state state, bool tty)
{
	inst->isolad = d;
	memcpy(inst->id, FAKE_ID, ID_SIZE);
	inst->id[0] = id_first;
	inst->name = name;
	inst->state = state;
	inst->created_ns = 1700000000000000000;
	inst->image_ref = (char *)"busybox:latest";
	inst->config = json_object_new_object();
	json_add_bool(inst->config, "Tty", tty);
	json_object *labels = json_object_new_object();
	json_add_str(labels, "role", name);
	json_add(inst->config, "Labels", labels);
	list_add_tail(&d->instances, &inst->node);
}

void fake_init(struct isolad *d, uv_loop_t *loop)
{
	memset(d, 0, sizeof(*d));
	d->loop = loop;
	list_init(&d->instances);
	list_init(&d->later);
	list_init(&d->waiters);
	list_init(&d->subscriptions);
	(void)uv_timer_init(loop, &d->timer);
	d->timer.data = d;
	add_instance(d, &d->web, (char *)"web", 'a', INSTANCE_RUNNING, false);
	add_instance(d, &d->term, (char *)"term", 'b', INSTANCE_EXITED, true);
	(void)snprintf(d->stream_text, sizeof(d->stream_text), "from the keeper");
}

uv_loop_t *isolad_loop(struct isolad *d)
{
	return d->loop;
}

/* ---- registry ---- */

struct instance *registry_find(struct isolad *d, enum instance_kind kind, const char *ref,
			       struct err *err)
{
	if (*ref == '/')
		ref++;
	list_for_each (node, &d->instances) {
		struct instance *inst = container_of(node, struct instance, node);
		if (inst->kind == kind &&
		    (!strcmp(inst->name, ref) ||
		     (id_is_prefix(ref) && !strncmp(inst->id, ref, strlen(ref)))))
			return inst;
	}
	err_set(err, ENOENT, "No such %s: %s", instance_noun(kind), ref);
	return NULL;
}

struct list *registry_list(struct isolad *d)
{
	return &d->instances;
}

const char *instance_state_name(const struct instance *inst)
{
	return inst->state == INSTANCE_RUNNING ? "running" : "exited";
}

/* ---- life ---- */

void instance_create(struct isolad *d, const char *name, json_object *body, op_done_fn *done,
		     void *arg)
{
	asked(d, "create");
	(void)snprintf(d->text, sizeof(d->text), "%s", name ? name : "");
	keep_body(d, body);
	json_object *o = json_object_new_object();
	json_add_str(o, "Id", FAKE_ID);
	json_add(o, "Warnings", json_object_new_array());
	later(d, done, arg, o);
}

#define SIMPLE_OP(name)                                                                            \
	void instance_##name(struct instance *inst, op_done_fn *done, void *arg)                   \
	{                                                                                          \
		asked(inst->isolad, #name);                                                        \
		later(inst->isolad, done, arg, NULL);                                              \
	}
SIMPLE_OP(start)
SIMPLE_OP(pause)
SIMPLE_OP(unpause)

static void note_stop(struct instance *inst, const char *what, int signal, int timeout_s)
{
	asked(inst->isolad, what);
	inst->isolad->signal = signal;
	inst->isolad->timeout_s = timeout_s;
}

void instance_stop(struct instance *inst, int signal, int timeout_s, op_done_fn *done, void *arg)
{
	note_stop(inst, "stop", signal, timeout_s);
	later(inst->isolad, done, arg, NULL);
}

void instance_restart(struct instance *inst, int signal, int timeout_s, op_done_fn *done, void *arg)
{
	note_stop(inst, "restart", signal, timeout_s);
	later(inst->isolad, done, arg, NULL);
}

void instance_kill(struct instance *inst, int signal, op_done_fn *done, void *arg)
{
	note_stop(inst, "kill", signal, 0);
	later(inst->isolad, done, arg, NULL);
}

void instance_remove(struct instance *inst, bool force, bool volumes, op_done_fn *done, void *arg)
{
	asked(inst->isolad, "remove");
	inst->isolad->force = force;
	inst->isolad->volumes = volumes;
	later(inst->isolad, done, arg, NULL);
}

void instance_rename(struct instance *inst, const char *name, op_done_fn *done, void *arg)
{
	asked(inst->isolad, "rename");
	(void)snprintf(inst->isolad->text, sizeof(inst->isolad->text), "%s", name);
	later(inst->isolad, done, arg, NULL);
}

void instance_update(struct instance *inst, json_object *body, op_done_fn *done, void *arg)
{
	asked(inst->isolad, "update");
	keep_body(inst->isolad, body);
	json_object *o = json_object_new_object();
	json_add(o, "Warnings", json_object_new_array());
	later(inst->isolad, done, arg, o);
}

void instance_change_mounts(struct instance *inst, json_object *body, op_done_fn *done, void *arg)
{
	asked(inst->isolad, "mounts");
	keep_body(inst->isolad, body);
	json_object *o = json_object_new_object();
	json_add(o, "Warnings", json_object_new_array());
	later(inst->isolad, done, arg, o);
}

void instance_resize(struct instance *inst, int h, int w, op_done_fn *done, void *arg)
{
	asked(inst->isolad, "resize");
	inst->isolad->h = h;
	inst->isolad->w = w;
	later(inst->isolad, done, arg, NULL);
}

struct waiter {
	struct list node;
	struct isolad *isolad;
	op_done_fn *done;
	void *arg;
};

struct waiter *instance_wait(struct instance *inst, enum wait_condition until, op_done_fn *done,
			     void *arg)
{
	struct waiter *w = calloc(1, sizeof(*w));
	asked(inst->isolad, until == WAIT_REMOVED     ? "wait removed"
			    : until == WAIT_NEXT_EXIT ? "wait next-exit"
						      : "wait");
	w->isolad = inst->isolad;
	w->done = done;
	w->arg = arg;
	list_add_tail(&inst->isolad->waiters, &w->node);
	return w;
}

void instance_wait_cancel(struct waiter *waiter)
{
	waiter->isolad->n_waits_cancelled++;
	list_del(&waiter->node);
	free(waiter);
}

void fake_exit(struct isolad *d, int code)
{
	list_for_each_safe (node, &d->waiters) {
		struct waiter *w = container_of(node, struct waiter, node);
		json_object *o = json_object_new_object();
		json_add_i64(o, "StatusCode", code);
		list_del(&w->node);
		w->done(w->arg, NULL, o);
		json_object_put(o);
		free(w);
	}
}

/* ---- volumes: none ---- */

struct volume *volume_find(struct isolad *d, const char *name, struct err *err)
{
	(void)d;
	(void)err_set(err, ENOENT, "get %s: no such volume", name);
	return NULL;
}

json_object *volume_view(const struct volume *v)
{
	(void)v;
	return json_object_new_object();
}

json_object *volume_list(struct isolad *d, json_object *filters, struct err *err)
{
	(void)filters;
	(void)err;
	asked(d, "volume list");
	json_object *o = json_object_new_object();
	json_add(o, "Volumes", json_object_new_array());
	json_add(o, "Warnings", NULL);
	return o;
}

void volume_create(struct isolad *d, json_object *body, op_done_fn *done, void *arg)
{
	asked(d, "volume create");
	keep_body(d, body);
	later(d, done, arg, json_object_new_object());
}

json_object *volume_snapshots(const struct volume *v)
{
	(void)v;
	return json_object_new_object();
}

void volume_snapshot(struct volume *v, json_object *body, op_done_fn *done, void *arg)
{
	(void)v;
	(void)body;
	(void)done;
	(void)arg;
}

void volume_restore(struct volume *v, json_object *body, op_done_fn *done, void *arg)
{
	(void)v;
	(void)body;
	(void)done;
	(void)arg;
}

void volume_clone(struct volume *v, json_object *body, op_done_fn *done, void *arg)
{
	(void)v;
	(void)body;
	(void)done;
	(void)arg;
}

void volume_snapshot_remove(struct volume *v, const char *name, op_done_fn *done, void *arg)
{
	(void)v;
	(void)name;
	(void)done;
	(void)arg;
}

void volume_remove(struct isolad *d, const char *name, bool force, op_done_fn *done, void *arg)
{
	asked(d, "volume remove");
	(void)snprintf(d->text, sizeof(d->text), "%s", name);
	d->force = force;
	later(d, done, arg, NULL);
}

void volume_prune(struct isolad *d, json_object *filters, bool named, op_done_fn *done, void *arg)
{
	(void)filters;
	asked(d, "volume prune");
	d->volumes = named;
	later(d, done, arg, json_object_new_object());
}

/* ---- streams ---- */

static void play_stream(struct isolad *d, int fd)
{
	(void)fd_write_all(fd, d->stream_text, strlen(d->stream_text));
	(void)close(fd);
}

static void keep_stream(struct isolad *d, const struct stream_request *req)
{
	d->stream = *req;
	memset(d->head, 0, sizeof(d->head));
	if (req->head_size)
		memcpy(d->head, req->head,
		       req->head_size < sizeof(d->head) ? req->head_size : sizeof(d->head) - 1);
	play_stream(d, req->fd);
}

void instance_attach(struct instance *inst, const struct stream_request *req, op_done_fn *done,
		     void *arg)
{
	asked(inst->isolad, "attach");
	(void)snprintf(inst->isolad->text, sizeof(inst->isolad->text), "%s",
		       req->detach_keys ? req->detach_keys : "");
	keep_stream(inst->isolad, req);
	later(inst->isolad, done, arg, NULL);
}

void instance_logs(struct instance *inst, const struct logs_request *req, op_done_fn *done,
		   void *arg)
{
	asked(inst->isolad, "logs");
	inst->isolad->logs = *req;
	play_stream(inst->isolad, req->fd);
	later(inst->isolad, done, arg, NULL);
}

int instance_logs_check(struct instance *inst, struct err *err)
{
	return failing(inst->isolad, err);
}

/* ---- exec ---- */

struct exec {
	struct isolad *isolad;
};
static struct exec the_exec;

int exec_create(struct instance *inst, json_object *body, char ret_id[ID_SIZE], struct err *err)
{
	asked(inst->isolad, "exec create");
	keep_body(inst->isolad, body);
	memcpy(ret_id, FAKE_ID, ID_SIZE);
	return failing(inst->isolad, err);
}

struct exec *exec_find(struct isolad *d, const char *id, struct err *err)
{
	the_exec.isolad = d;
	if (!strncmp(id, FAKE_ID, 12))
		return &the_exec;
	err_set(err, ENOENT, "No such exec instance: %s", id);
	return NULL;
}

int exec_start_check(struct exec *exec, struct err *err)
{
	return failing(exec->isolad, err);
}

bool exec_tty(const struct exec *exec)
{
	(void)exec;
	return false;
}

void exec_wants(const struct exec *exec, bool *ret_in, bool *ret_out, bool *ret_err)
{
	(void)exec;
	*ret_in = *ret_out = *ret_err = true;
}

void exec_start(struct exec *exec, const struct stream_request *req, int h, int w, op_done_fn *done,
		void *arg)
{
	asked(exec->isolad, req ? "exec start" : "exec detached");
	exec->isolad->h = h;
	exec->isolad->w = w;
	if (req)
		keep_stream(exec->isolad, req);
	later(exec->isolad, done, arg, NULL);
}

void exec_resize(struct exec *exec, int h, int w, op_done_fn *done, void *arg)
{
	asked(exec->isolad, "exec resize");
	exec->isolad->h = h;
	exec->isolad->w = w;
	later(exec->isolad, done, arg, NULL);
}

void exec_hear(struct exec *exec)
{
	(void)exec;
}

json_object *exec_inspect(struct exec *exec)
{
	json_object *o = json_object_new_object();
	json_add_str(o, "ID", FAKE_ID);
	json_add_bool(o, "Running", exec->isolad->exec_runs > 0);
	if (exec->isolad->exec_runs > 0)
		exec->isolad->exec_runs--;
	else
		json_add_i64(o, "ExitCode", 9);
	return o;
}

/* ---- VMs ---- */

void vm_create(struct isolad *d, const char *name, json_object *body, op_done_fn *done, void *arg)
{
	(void)name;
	(void)body;
	asked(d, "vm create");
	later(d, done, arg, NULL);
}

void vm_press(struct instance *inst, enum vm_button button, op_done_fn *done, void *arg)
{
	static const char *const names[] = { "reset", "powerdown", "nmi" };
	asked(inst->isolad, names[button]);
	later(inst->isolad, done, arg, NULL);
}

void vm_resize_console(struct instance *inst, const char *console, int h, int w, op_done_fn *done,
		       void *arg)
{
	asked(inst->isolad, console);
	inst->isolad->h = h;
	inst->isolad->w = w;
	later(inst->isolad, done, arg, NULL);
}

void vm_counters(struct instance *inst, op_done_fn *done, void *arg)
{
	later(inst->isolad, done, arg, json_object_new_object());
}

/* ---- views ---- */

json_object *view_inspect(struct instance *inst)
{
	json_object *o = json_object_new_object();
	json_add_str(o, "Id", inst->id);
	json_add_str(o, "Name", inst->name);
	return o;
}

json_object *view_summary(struct instance *inst)
{
	return view_inspect(inst);
}

int view_matches(struct instance *inst, json_object *filters, struct err *err)
{
	if (!filters)
		return 1;
	json_object_object_foreach (filters, key, values) {
		if (!strcmp(key, "name"))
			return !strcmp(json_item_str(values, 0), inst->name);
		if (strcmp(key, "status") != 0)
			return err_set(err, EINVAL, "invalid filter '%s'", key);
	}
	return 1;
}

int view_filters_check(struct isolad *d, enum instance_kind kind, json_object *filters,
		       struct err *err)
{
	(void)kind;
	int rc = view_matches(&d->web, filters, err);
	return rc < 0 ? rc : 0;
}

void view_size(struct instance *inst, op_done_fn *done, void *arg)
{
	json_object *o = json_object_new_object();
	json_add_i64(o, "SizeRw", 100);
	json_add_i64(o, "SizeRootFs", 1000);
	later(inst->isolad, done, arg, o);
}

bool vm_has_counters(const struct instance *inst)
{
	return inst->kind == INSTANCE_VM;
}

json_object *stats_sample(struct instance *inst, json_object *prev, json_object *guest,
			  struct err *err)
{
	(void)guest;
	if (failing(inst->isolad, err) < 0)
		return NULL;
	json_object *o = json_object_new_object(), *cpu = json_object_new_object();
	json_object *use = json_object_new_object();
	json_add_i64(use, "total_usage", 1500000000);
	json_add(cpu, "cpu_usage", use);
	json_add_str(o, "id", inst->id);
	json_add(o, "cpu_stats", cpu);
	json_add_bool(o, "has_prev", prev != NULL);
	return o;
}

json_object *explain(struct instance *inst)
{
	(void)inst;
	return json_object_new_object();
}

void instance_top(struct instance *inst, const char *ps_args, op_done_fn *done, void *arg)
{
	json_object *o = json_object_new_object();
	json_add_str(o, "args", ps_args);
	later(inst->isolad, done, arg, o);
}

json_object *system_info(struct isolad *d)
{
	json_object *o = json_object_new_object();
	(void)d;
	json_add_str(o, "Name", "fake");
	return o;
}

json_object *system_version(struct isolad *d)
{
	json_object *o = json_object_new_object();
	(void)d;
	json_add_str(o, "ApiVersion", "1.47");
	return o;
}

/* ---- images ---- */

json_object *image_find(struct isolad *d, const char *ref, struct err *err)
{
	static json_object *record;
	if (failing(d, err) < 0 || strcmp(ref, "busybox") != 0) {
		err_set(err, ENOENT, "No such image: %s", ref);
		return NULL;
	}
	if (!record) {
		record = json_object_new_object();
		json_add_str(record, "os", "linux");
		json_add_str(record, "architecture", "amd64");
	}
	return record;
}

json_object *image_list(struct isolad *d, bool all, json_object *filters, struct err *err)
{
	(void)all;
	(void)filters;
	if (failing(d, err) < 0)
		return NULL;
	json_object *a = json_object_new_array(), *o = json_object_new_object();
	json_add_i64(o, "Size", 7);
	json_add(o, "RepoTags", json_object_new_array());
	(void)json_object_array_add(a, o);
	return a;
}

json_object *image_inspect(struct isolad *d, const char *ref, struct err *err)
{
	if (failing(d, err) < 0)
		return NULL;
	json_object *o = json_object_new_object();
	json_add_str(o, "ref", ref);
	json_add_i64(o, "Size", 7);
	return o;
}

void image_tag(struct isolad *d, const char *ref, const char *repo_tag, op_done_fn *done, void *arg)
{
	asked(d, "tag");
	(void)snprintf(d->text, sizeof(d->text), "%s %s", ref, repo_tag);
	later(d, done, arg, NULL);
}

void image_remove(struct isolad *d, const char *ref, bool force, bool prune, op_done_fn *done,
		  void *arg)
{
	(void)prune;
	asked(d, "image remove");
	(void)snprintf(d->text, sizeof(d->text), "%s", ref);
	d->force = force;
	later(d, done, arg, json_object_new_array());
}

void image_prune(struct isolad *d, json_object *filters, op_done_fn *done, void *arg)
{
	asked(d, "image prune");
	(void)filters;
	later(d, done, arg, json_object_new_object());
}

void image_save(struct isolad *d, json_object *names, bool oci, copy_ready_fn *ready,
		op_done_fn *done, void *arg)
{
	struct err err = ERR_INIT;
	asked(d, oci ? "save oci" : "save");
	(void)snprintf(d->text, sizeof(d->text), "%s", json_object_to_json_string(names));
	if (failing(d, &err) == 0)
		ready(arg, (struct copy *)d, NULL);
	later(d, done, arg, NULL);
}

void instance_commit(struct instance *inst, const struct image_commit *req, op_done_fn *done,
		     void *arg)
{
	struct isolad *d = inst->isolad;
	asked(d, "commit");
	(void)snprintf(d->text, sizeof(d->text), "%s %d %s", req->ref ? req->ref : "", req->pause,
		       json_object_to_json_string(req->changes));
	json_object *o = json_object_new_object();
	json_add_str(o, "Id", "sha256:x");
	later(d, done, arg, o);
}

json_object *image_history(struct isolad *d, const char *ref, struct err *err)
{
	(void)ref;
	return failing(d, err) < 0 ? NULL : json_object_new_array();
}

void instance_stat_path(struct instance *inst, const char *path, op_done_fn *done, void *arg)
{
	struct isolad *d = inst->isolad;
	asked(d, "stat path");
	(void)snprintf(d->text, sizeof(d->text), "%s", path);
	json_object *o = json_object_new_object();
	json_add_str(o, "name", path);
	later(d, done, arg, o);
}

/* What the job of a read would do: it is given a socket and writes to it. */
void instance_read_files(struct instance *inst, enum copy_what what, const char *path,
			 copy_ready_fn *ready, op_done_fn *done, void *arg)
{
	struct isolad *d = inst->isolad;
	struct err err = ERR_INIT;
	asked(d, what == COPY_PATH ? "read files" : what == COPY_EXPORT ? "export" : "changes");
	(void)snprintf(d->text, sizeof(d->text), "%s", path ? path : "");
	if (failing(d, &err) == 0) {
		json_object *stat = json_object_new_object();
		ready(arg, (struct copy *)inst, stat);
		json_object_put(stat);
	}
	later(d, done, arg, NULL);
}

void copy_give(struct copy *copy, int fd, bool chunked)
{
	const char *text = chunked ? "7\r\narchive\r\n0\r\n\r\n" : "archive";
	(void)copy;
	(void)fd_write_all(fd, text, strlen(text));
	(void)close(fd);
}

void copy_cancel(struct copy *copy)
{
	(void)copy;
}

void instance_write_files(struct instance *inst, const struct copy_put *put, op_done_fn *done,
			  void *arg)
{
	struct isolad *d = inst->isolad;
	asked(d, "write files");
	(void)snprintf(d->text, sizeof(d->text), "%s %d %d %d %llu %.*s", put->path,
		       put->keep_kinds, put->to_user, put->chunked, (unsigned long long)put->length,
		       (int)put->head_size, (const char *)put->head);
	later(d, done, arg, NULL);
}

void image_check(struct isolad *d, bool repair, bool deep, op_done_fn *done, void *arg)
{
	asked(d, repair ? "image repair" : deep ? "image deep check" : "image check");
	later(d, done, arg, json_object_new_object());
}

void system_df(struct isolad *d, unsigned int what, op_done_fn *done, void *arg)
{
	asked(d, what == DF_ALL ? "df" : what == (DF_IMAGES | DF_VOLUMES) ? "df some" : "df odd");
	later(d, done, arg, json_object_new_object());
}

struct image_job {
	uv_pipe_t pipe;
	struct isolad *isolad;
	image_progress_fn *progress;
	op_done_fn *done;
	void *arg;
	bool over;
	char buf[4096];
};

static void job_closed(uv_handle_t *handle)
{
	struct image_job *job = container_of((uv_pipe_t *)handle, struct image_job, pipe);
	free(job);
}

static void job_end(struct image_job *job, int code, const char *text)
{
	struct isolad *d = job->isolad;
	if (job->over)
		return;
	job->over = true;
	d->job = NULL;
	json_object *o = json_object_new_object();
	json_add_str(o, "ID", "sha256:1234");
	if (code) {
		d->fail_code = code;
		d->fail_text = text;
	}
	later(d, job->done, job->arg, o);
	uv_close((uv_handle_t *)&job->pipe, job_closed);
}

static void job_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *buf)
{
	struct image_job *job = container_of((uv_pipe_t *)handle, struct image_job, pipe);
	(void)suggested;
	buf->base = job->buf;
	buf->len = sizeof(job->buf);
}

static void job_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf)
{
	struct image_job *job = container_of((uv_pipe_t *)stream, struct image_job, pipe);
	(void)buf;
	if (n < 0) {
		job_end(job, 0, NULL);
		return;
	}
	job->isolad->job_bytes += (size_t)n;
	if (job->isolad->job_fails_after && job->isolad->job_bytes >= job->isolad->job_fails_after)
		job_end(job, EINVAL, "not an archive");
}

void fake_unstall(struct isolad *d)
{
	if (d->job)
		(void)uv_read_start((uv_stream_t *)&d->job->pipe, job_alloc, job_read);
}

int image_build_start(struct isolad *d, const struct image_build *build,
		      image_progress_fn *progress, op_done_fn *done, void *arg,
		      struct image_job **ret_job, int *ret_fd, struct err *err)
{
	const struct image_import none = { .ref = "build" };
	int rc = image_job_start(d, &none, progress, done, arg, ret_job, ret_fd, err);
	(void)snprintf(d->text, sizeof(d->text), "%s %s", json_object_to_json_string(build->spec),
		       json_object_to_json_string(build->host_config));
	return rc;
}

void registry_login(struct isolad *d, json_object *auth, op_done_fn *done, void *arg)
{
	struct err err = ERR_INIT;
	(void)d;
	(void)auth;
	(void)err_set(&err, EACCES, "unauthorized");
	done(arg, &err, NULL);
}

int image_job_start(struct isolad *d, const struct image_import *import,
		    image_progress_fn *progress, op_done_fn *done, void *arg,
		    struct image_job **ret_job, int *ret_fd, struct err *err)
{
	static const char line[] = "{\"status\":\"Loading layer\",\"progressDetail\":{}}";
	static const char words[] = "{\"stream\":\"Loaded image: x\"}";
	if (failing(d, err) < 0)
		return -err->code;
	int fds[2];
	if (pipe2(fds, O_CLOEXEC | O_NONBLOCK) < 0)
		abort();
	struct image_job *job = calloc(1, sizeof(*job));
	asked(d, import ? "import" : "load");
	if (import)
		(void)snprintf(d->text, sizeof(d->text), "%s|%s|%s|%zu",
			       import->ref ? import->ref : "",
			       import->message ? import->message : "",
			       import->platform ? import->platform : "", json_len(import->changes));
	job->isolad = d;
	job->progress = progress;
	job->done = done;
	job->arg = arg;
	(void)uv_pipe_init(d->loop, &job->pipe, 0);
	(void)uv_pipe_open(&job->pipe, fds[0]);
	d->n_jobs++;
	d->job_bytes = 0;
	d->job = job;
	if (!d->job_stalls)
		fake_unstall(d);
	*ret_job = job;
	*ret_fd = fds[1];
	if (d->job_talks) {
		progress(arg, line, sizeof(line) - 1);
		progress(arg, words, sizeof(words) - 1);
	}
	return 0;
}

void image_job_cancel(struct image_job *job)
{
	job->isolad->n_cancelled++;
	job_end(job, ECANCELED, "the client went away");
}

/* ---- events ---- */

struct subscription {
	struct list node;
	struct isolad *isolad;
	event_fn *on_event;
	void *arg;
};

struct subscription *events_subscribe(struct isolad *d, json_object *filters, int64_t since_ns,
				      event_fn *on_event, void *arg, struct err *err)
{
	(void)filters;
	(void)since_ns;
	if (failing(d, err) < 0)
		return NULL;
	struct subscription *s = calloc(1, sizeof(*s));
	s->isolad = d;
	s->on_event = on_event;
	s->arg = arg;
	list_add_tail(&d->subscriptions, &s->node);
	d->n_subscribed++;
	return s;
}

void events_unsubscribe(struct subscription *sub)
{
	sub->isolad->n_subscribed--;
	list_del(&sub->node);
	free(sub);
}

void fake_emit(struct isolad *d, json_object *event)
{
	list_for_each_safe (node, &d->subscriptions) {
		struct subscription *s = container_of(node, struct subscription, node);
		s->on_event(s->arg, event);
	}
}

void fake_fini(struct isolad *d)
{
	if (d->job)
		job_end(d->job, 0, NULL);
	on_later(&d->timer);
	uv_close((uv_handle_t *)&d->timer, NULL);
	while (uv_run(d->loop, UV_RUN_NOWAIT))
		;
	list_for_each_safe (node, &d->waiters) {
		list_del(node);
		free(container_of(node, struct waiter, node));
	}
	json_object_put(d->body);
	json_object_put(d->web.config);
	json_object_put(d->term.config);
}

/* ---- networks: there are none ---- */

struct network *network_find(struct isolad *d, const char *ref, struct err *err)
{
	(void)d;
	(void)err_set(err, ENOENT, "network %s not found", ref);
	return NULL;
}

struct network *network_next(struct isolad *d, const struct network *net)
{
	(void)d;
	(void)net;
	return NULL;
}

const char *network_name(const struct network *net)
{
	(void)net;
	return "";
}

int64_t network_created_ns(const struct network *net)
{
	(void)net;
	return 0;
}

json_object *network_view(const struct network *net)
{
	(void)net;
	return json_object_new_object();
}

json_object *network_counters(const struct network *net)
{
	(void)net;
	return json_object_new_object();
}

bool network_is_unused(const struct network *net)
{
	(void)net;
	return false;
}

void network_create(struct isolad *d, json_object *body, op_done_fn *done, void *arg)
{
	asked(d, "network-create");
	keep_body(d, body);
	json_object *o = json_object_new_object();
	json_add_str(o, "Id", FAKE_ID);
	json_add_str(o, "Warning", "");
	later(d, done, arg, o);
}

/* Never reached: no network is found. */
void network_remove(struct network *net, op_done_fn *done, void *arg)
{
	(void)net;
	(void)done;
	(void)arg;
	abort();
}

struct tap *tap_open(struct network *net, const struct tap_request *ask, tap_ready_fn *ready,
		     tap_gone_fn *gone, void *arg, struct err *err)
{
	(void)net;
	(void)ask;
	(void)ready;
	(void)gone;
	(void)arg;
	(void)err;
	abort();
}

void tap_close(struct tap *tap)
{
	(void)tap;
	abort();
}

struct tap *tap_find(struct network *net, const char *ref)
{
	(void)net;
	(void)ref;
	return NULL;
}

void tap_end(struct tap *tap)
{
	(void)tap;
	abort();
}

void network_connect(struct network *net, struct instance *inst, json_object *settings,
		     op_done_fn *done, void *arg)
{
	(void)net;
	(void)inst;
	(void)settings;
	(void)done;
	(void)arg;
	abort();
}

void network_disconnect(struct network *net, struct instance *inst, op_done_fn *done, void *arg)
{
	(void)net;
	(void)inst;
	(void)done;
	(void)arg;
	abort();
}

/* SPDX-License-Identifier: Apache-2.0 */
/* exec - see exec.h. Engine API, /containers/{id}/exec and /exec/{id}. isolad, loop
 * thread.
 *
 *   CREATED --start--> STARTING --answer--> RUNNING --exec_exit--> ENDED
 *                         +---- error ---------------------------> ENDED */
#include "exec.h"

#include "bundle.h"
#include "isola/fd.h"
#include "isola/json.h"
#include "isola/strbuf.h"
#include "isolad.h"
#include "life.h"
#include "stream.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define KEEP_NS      (300 * 1000000000LL)
#define PER_INSTANCE 1024
#define EXIT_NO_EXEC 126

enum exec_state { EXEC_CREATED, EXEC_STARTING, EXEC_RUNNING, EXEC_ENDED };

struct exec {
	struct list node;     /* in isolad's execs, oldest first */
	struct list siblings; /* in inst->execs */
	struct instance *inst;
	char id[ID_SIZE];
	enum exec_state state;
	json_object *config; /* Docker's ExecConfig; NULL when learnt from a keeper */
	json_object *process;
	pid_t pid;
	int exit_code;
	uint64_t ended_ms;
	op_done_fn *done; /* of the start */
	void *arg;
	bool held;          /* isolad's own */
	bool asked;         /* the keeper has not answered the start yet */
	exec_end_fn *ended; /* of one of isolad's own, or NULL */
	void *ended_arg;
};

/* ---- the set ---- */

static void forget(struct exec *exec)
{
	list_del(&exec->node);
	list_del(&exec->siblings);
	json_object_put(exec->config);
	json_object_put(exec->process);
	free(exec);
}

/* Lazily: an idle isolad has no timers. A start under way is never dropped. */
static void forget_old(struct isolad *d)
{
	list_for_each_safe (node, &d->execs) {
		struct exec *exec = container_of(node, struct exec, node);
		if (exec->state == EXEC_ENDED && !exec->done &&
		    (uv_now(&d->loop) - exec->ended_ms) * 1000000 >= KEEP_NS)
			forget(exec);
	}
}

static struct exec *add(struct instance *inst, const char *id)
{
	struct exec *exec = calloc(1, sizeof(*exec));
	if (!exec)
		return NULL;
	exec->inst = inst;
	(void)snprintf(exec->id, sizeof(exec->id), "%s", id);
	list_add_tail(&inst->isolad->execs, &exec->node);
	list_add_tail(&inst->execs, &exec->siblings);
	return exec;
}

static struct exec *by_id(struct isolad *d, const char *id)
{
	list_for_each (node, &d->execs) {
		struct exec *exec = container_of(node, struct exec, node);
		if (!strcmp(exec->id, id))
			return exec;
	}
	return NULL;
}

struct exec *exec_find(struct isolad *d, const char *id, struct err *err)
{
	forget_old(d);
	struct exec *exec = by_id(d, id);
	if (!exec)
		(void)err_set(err, ENOENT, "No such exec instance: %.80s", id);
	return exec;
}

json_object *exec_ids(struct instance *inst)
{
	json_object *ids = NULL;
	list_for_each (node, &inst->execs) {
		struct exec *exec = container_of(node, struct exec, siblings);
		if (exec->state != EXEC_RUNNING)
			continue;
		if (!ids)
			ids = json_object_new_array();
		(void)json_object_array_add(ids, json_object_new_string(exec->id));
	}
	return ids;
}

/* ---- create ---- */

static int check_config(json_object *body, struct err *err)
{
	static const char *const flags[] = { "AttachStdin", "AttachStdout", "AttachStderr", "Tty",
					     "Privileged" };
	static const char *const texts[] = { "User", "WorkingDir", "DetachKeys" };
	bool flag;
	const char *text;
	json_object *list = NULL;
	if (!json_object_is_type(body, json_type_object))
		return err_set(err, EINVAL, "the body must be an object");
	for (size_t i = 0; i < sizeof(flags) / sizeof(flags[0]); i++)
		if (json_get_bool(body, flags[i], &flag, err) < 0)
			return -EINVAL;
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
		if (json_get_str(body, texts[i], &text, err) < 0)
			return -EINVAL;
	if (json_get_strv(body, "Env", &list, err) < 0 ||
	    json_get_strv(body, "Cmd", &list, err) < 0)
		return -EINVAL;
	if (json_len(json_get(body, "Cmd")) == 0)
		return err_set(err, EINVAL, "No exec command specified");
	return 0;
}

static void emit(struct exec *exec, const char *what)
{
	struct strbuf b = STRBUF_INIT;
	strbuf_puts(&b, what);
	json_object *cmd = json_get(exec->config, "Cmd");
	for (size_t i = 0; i < json_len(cmd); i++)
		strbuf_printf(&b, "%s%s", i ? " " : ": ", json_item_str(cmd, i));
	cleanup_free char *action = strbuf_take(&b);
	json_object *attrs = json_object_new_object();
	json_add_str(attrs, "execID", exec->id);
	events_emit_instance(exec->inst, action ? action : what, attrs);
}

/* The oldest whose end somebody may still ask for. */
static bool forget_one_ended(struct instance *inst)
{
	list_for_each (node, &inst->execs) {
		struct exec *exec = container_of(node, struct exec, siblings);
		if (exec->state != EXEC_ENDED || exec->done || exec->asked || exec->held)
			continue;
		forget(exec);
		return true;
	}
	return false;
}

static unsigned int count(const struct instance *inst)
{
	unsigned int n = 0;
	list_for_each (node, &inst->execs)
		n++;
	return n;
}

int exec_create(struct instance *inst, json_object *body, char ret_id[ID_SIZE], struct err *err)
{
	forget_old(inst->isolad);
	int rc = check_config(body, err);
	if (rc >= 0)
		rc = state_next(inst, EVENT_EXEC, err);
	if (rc < 0)
		return rc;
	if (count(inst) >= PER_INSTANCE && !forget_one_ended(inst))
		return err_set(err, EBUSY, "container %s has %d exec instances already", inst->id,
			       PER_INSTANCE);
	json_object *process = NULL;
	rc = bundle_exec_process(inst, body, &process, err);
	if (rc < 0)
		return rc;
	char id[ID_SIZE];
	struct exec *exec = id_new(id) < 0 ? NULL : add(inst, id);
	if (!exec) {
		json_object_put(process);
		return err_set(err, ENOMEM, "out of memory");
	}
	exec->config = json_object_get(body);
	exec->process = process;
	memcpy(ret_id, id, ID_SIZE);
	emit(exec, "exec_create");
	return 0;
}

/* ---- start ---- */

bool exec_tty(const struct exec *exec)
{
	return json_bool_or(exec->config, "Tty", false);
}

void exec_wants(const struct exec *exec, bool *ret_in, bool *ret_out, bool *ret_err)
{
	*ret_in = json_bool_or(exec->config, "AttachStdin", false);
	*ret_out = json_bool_or(exec->config, "AttachStdout", false);
	*ret_err = json_bool_or(exec->config, "AttachStderr", false);
}

int exec_start_check(struct exec *exec, struct err *err)
{
	if (exec->state == EXEC_ENDED)
		return err_set(err, EBUSY, "exec instance %s has already run", exec->id);
	if (exec->state != EXEC_CREATED)
		return err_set(err, EBUSY, "exec instance %s is already running", exec->id);
	int rc = state_next(exec->inst, EVENT_EXEC, err);
	if (rc >= 0 && !exec->inst->link)
		rc = err_set(err, EBUSY, "the keeper of container %s has gone away",
			     exec->inst->id);
	return rc < 0 ? rc : 0;
}

static void end(struct exec *exec, int exit_code, const char *error)
{
	if (exec->state == EXEC_ENDED)
		return;
	if (exec->ended)
		exec->ended(exec->ended_arg, exit_code, error);
	exec->ended = NULL;
	exec->state = EXEC_ENDED;
	exec->exit_code = exit_code;
	exec->pid = 0;
	exec->ended_ms = uv_now(&exec->inst->isolad->loop);
	json_object_put(exec->process);
	exec->process = NULL;
}

/* The last thing that is done with it here. */
static void settle(struct exec *exec)
{
	if (exec->held && !exec->asked && exec->state == EXEC_ENDED)
		forget(exec);
}

/* A keeper that cannot start it tells the client why, and then exec_exit. */
static void on_started(void *arg, const struct err *err, json_object *reply)
{
	struct exec *exec = arg;
	op_done_fn *done = exec->done;
	exec->done = NULL;
	exec->asked = false;
	struct err e = ERR_INIT;
	if (err) {
		bool file = err->code == ENOENT || err->code == EACCES || err->code == ENOTDIR;
		(void)err_set(&e, file ? EINVAL : err->code, "cannot start the exec: %s",
			      err->text);
		end(exec, (int)json_i64_or(reply, "exit_code", EXIT_NO_EXEC) & 255, e.text);
	} else if (exec->state == EXEC_STARTING) {
		exec->state = EXEC_RUNNING;
		exec->pid = (pid_t)json_i64_or(reply, "pid", 0);
		emit(exec, "exec_start");
	}
	later_done(exec->inst->isolad, done, exec->arg, err ? &e : NULL, NULL);
	settle(exec);
}

void exec_start(struct exec *exec, const struct stream_request *req, int h, int w, op_done_fn *done,
		void *arg)
{
	struct isolad *d = exec->inst->isolad;
	cleanup_fd int fd = req ? req->fd : -1;
	struct err e = ERR_INIT;
	json_object *msg = NULL;
	int rc = exec_start_check(exec, &e);
	if (rc == 0 && !(msg = json_object_new_object()))
		rc = err_set(&e, ENOMEM, "out of memory");
	if (rc < 0) {
		later_done(d, done, arg, &e, NULL);
		return;
	}
	exec->state = EXEC_STARTING;
	exec->done = done;
	exec->arg = arg;
	json_add_str(msg, "exec", exec->id);
	/* With the process, which may ask before a "resize" comes. */
	if (h > 0 && w > 0 && json_bool_or(exec->process, "terminal", false)) {
		json_object *size = json_object_new_object();
		json_add_i64(size, "height", h);
		json_add_i64(size, "width", w);
		json_add(exec->process, "consoleSize", size);
	}
	json_add(msg, "process", json_object_get(exec->process));
	json_add_bool(msg, "privileged", json_bool_or(exec->config, "Privileged", false));
	if (exec->held)
		json_add_bool(msg, "held", true);
	if (req)
		stream_describe(req, exec->id, msg);
	exec->asked = true;
	link_call(exec->inst->link, "exec", msg, take_fd(&fd), on_started, exec);
}

/* ---- isolad's own ---- */

int exec_run(struct instance *inst, json_object *body, int fd, exec_end_fn *ended, void *arg,
	     struct exec **ret, struct err *err)
{
	cleanup_fd int output = fd;
	char id[ID_SIZE];
	int rc = exec_create(inst, body, id, err);
	struct exec *exec = rc < 0 ? NULL : by_id(inst->isolad, id);
	if (!exec)
		return rc;
	exec->held = true;
	rc = exec_start_check(exec, err);
	if (rc < 0) {
		forget(exec);
		return rc;
	}
	exec->ended = ended;
	exec->ended_arg = arg;
	const struct stream_request req = { .fd = take_fd(&output),
					    .want_stdout = true,
					    .want_stderr = true };
	*ret = exec;
	exec_start(exec, &req, 0, 0, NULL, NULL);
	return 0;
}

void exec_kill(struct exec *exec)
{
	if (!exec->inst->link || exec->state == EXEC_ENDED)
		return;
	json_object *msg = json_object_new_object();
	json_add_str(msg, "exec", exec->id);
	json_add_i64(msg, "signal", SIGKILL);
	link_call(exec->inst->link, "exec_kill", msg, -1, NULL, NULL);
}

void exec_let_go(struct exec *exec)
{
	exec->ended = NULL;
	exec_kill(exec);
}

/* ---- resize, inspect ---- */

void exec_resize(struct exec *exec, int h, int w, op_done_fn *done, void *arg)
{
	struct instance *inst = exec->inst;
	if ((exec->state != EXEC_RUNNING && exec->state != EXEC_STARTING) || !inst->link) {
		struct err e = ERR_INIT;
		(void)err_set(&e, EBUSY, "exec instance %s is not running", exec->id);
		later_done(inst->isolad, done, arg, &e, NULL);
		return;
	}
	json_object *msg = json_object_new_object();
	json_add_str(msg, "exec", exec->id);
	json_add_i64(msg, "h", h);
	json_add_i64(msg, "w", w);
	link_call_done(inst->link, "resize", msg, done, arg);
}

static json_object *process_config(const struct exec *exec)
{
	json_object *o = json_object_new_object();
	json_object *cmd = json_get(exec->config, "Cmd");
	json_object *args = json_object_new_array();
	for (size_t i = 1; i < json_len(cmd); i++)
		(void)json_object_array_add(args, json_object_new_string(json_item_str(cmd, i)));
	json_add_bool(o, "tty", exec_tty(exec));
	json_add_str(o, "entrypoint", json_len(cmd) ? json_item_str(cmd, 0) : "");
	json_add(o, "arguments", args);
	json_add_bool(o, "privileged", json_bool_or(exec->config, "Privileged", false));
	const char *user = json_str_or(exec->config, "User", "");
	if (*user)
		json_add_str(o, "user", user);
	return o;
}

json_object *exec_inspect(struct exec *exec)
{
	bool in, out, errors;
	exec_wants(exec, &in, &out, &errors);
	json_object *o = json_object_new_object();
	json_add_str(o, "ID", exec->id);
	json_add_bool(o, "Running", exec->state == EXEC_RUNNING || exec->state == EXEC_STARTING);
	json_add(o, "ExitCode",
		 exec->state == EXEC_ENDED ? json_object_new_int(exec->exit_code) : NULL);
	json_add(o, "ProcessConfig", process_config(exec));
	json_add_bool(o, "OpenStdin", in);
	json_add_bool(o, "OpenStderr", errors);
	json_add_bool(o, "OpenStdout", out);
	json_add_bool(o, "CanRemove", exec->state == EXEC_ENDED);
	json_add_str(o, "ContainerID", exec->inst->id);
	json_add_str(o, "DetachKeys", json_str_or(exec->config, "DetachKeys", ""));
	json_add_i64(o, "Pid", exec->pid);
	return o;
}

void exec_hear(struct exec *exec)
{
	if (exec->inst->link)
		link_drain(exec->inst->link);
}

/* ---- what the keeper tells ---- */

static struct exec *of_instance(struct instance *inst, const char *id)
{
	struct exec *exec = by_id(inst->isolad, id);
	return exec && exec->inst == inst ? exec : NULL;
}

void exec_ended(struct instance *inst, const char *id, int exit_code, const char *error)
{
	struct exec *exec = of_instance(inst, id);
	if (!exec || exec->state == EXEC_ENDED)
		return;
	if (error)
		log_warn(inst->id, "exec %.12s: %s", id, error);
	end(exec, exit_code & 255, error);
	char code[16];
	(void)snprintf(code, sizeof(code), "%d", exec->exit_code);
	json_object *attrs = json_object_new_object();
	json_add_str(attrs, "execID", exec->id);
	json_add_str(attrs, "exitCode", code);
	events_emit_instance(inst, "exec_die", attrs);
	settle(exec);
}

void execs_ended(struct instance *inst, json_object *list)
{
	for (size_t i = 0; i < json_len(list); i++) {
		json_object *item = json_object_array_get_idx(list, i);
		exec_ended(inst, json_str_or(item, "exec", ""),
			   (int)json_i64_or(item, "exit_code", 137), NULL);
	}
	list_for_each_safe (node, &inst->execs) {
		struct exec *exec = container_of(node, struct exec, siblings);
		if (exec->state == EXEC_RUNNING)
			exec_ended(inst, exec->id, 137, NULL);
	}
}

void execs_adopt(struct instance *inst, json_object *list)
{
	for (size_t i = 0; i < json_len(list) && i < PER_INSTANCE; i++) {
		json_object *item = json_object_array_get_idx(list, i);
		const char *id = json_str_or(item, "exec", "");
		if (!id_is_prefix(id) || strlen(id) != ID_SIZE - 1 || by_id(inst->isolad, id))
			continue;
		struct exec *exec = add(inst, id);
		if (!exec)
			return;
		exec->state = EXEC_RUNNING;
		exec->pid = (pid_t)json_i64_or(item, "pid", 0);
		int64_t code = json_i64_or(item, "exit_code", -1);
		if (code >= 0)
			end(exec, (int)code & 255, NULL);
	}
}

void execs_free(struct instance *inst)
{
	list_for_each_safe (node, &inst->execs)
		forget(container_of(node, struct exec, siblings));
}

/* SPDX-License-Identifier: Apache-2.0 */
/* ops - see ops.h. */
#include "ops.h"

#include "isola/fd.h"
#include "isola/json.h"
#include "isola/step.h"

#include "control.h"
#include "exec.h"
#include "stream.h"

#include <errno.h>
#include <string.h>

/* @fd may be taken by setting it to -1. */
typedef int op_fn(struct keeper *k, const struct request *r, int *fd, json_object *answer,
		  struct err *err);

static int need_running(const struct keeper *k, struct err *err)
{
	if (k->state == STATE_RUNNING || k->state == STATE_PAUSED)
		return 0;
	return err_set(err, ESRCH, "the %s is not running", k->payload->noun);
}

static int op_start(struct keeper *k, const struct request *r, int *fd, json_object *answer,
		    struct err *err)
{
	(void)r;
	(void)fd;
	int rc = keeper_start(k, err);
	if (rc < 0) {
		if (k->failure.code)
			json_add_i64(answer, "exit_code", k->rec.exit_code);
		return rc;
	}
	json_add_i64(answer, "pid", k->rec.pid);
	json_add_i64(answer, "started_ns", k->rec.started_ns);
	return 0;
}

static int op_attach(struct keeper *k, const struct request *r, int *fd, json_object *answer,
		     struct err *err)
{
	(void)answer;
	if (k->failure.code)
		return err_copy(err, &k->failure);
	if (k->state == STATE_EXITED)
		return need_running(k, err);
	if (execs_find_stream(k, r->stream.id))
		return err_set(err, EEXIST, "stream %s exists already", r->stream.id);
	int rc = stream_new(&k->io, &r->stream, *fd, err);
	if (rc == 0)
		(void)take_fd(fd);
	return rc;
}

static int op_exec(struct keeper *k, const struct request *r, int *fd, json_object *answer,
		   struct err *err)
{
	pid_t pid = 0;
	int exit_code = 0;
	int rc = exec_start(k, r, take_fd(fd), &pid, &exit_code, err);
	if (rc < 0 && rc != -EINPROGRESS)
		json_add_i64(answer, "exit_code", exit_code);
	else if (rc == 0)
		json_add_i64(answer, "pid", pid);
	return rc;
}

static int find_exec(struct keeper *k, const char *id, struct exec **ret, struct err *err)
{
	struct exec *e = exec_find(k, id);
	if (!e)
		return err_set(err, ENOENT, "no exec %s is running", id);
	*ret = e;
	return 0;
}

static int op_resize(struct keeper *k, const struct request *r, int *fd, json_object *answer,
		     struct err *err)
{
	(void)fd;
	(void)answer;
	struct exec *e = NULL;
	int rc = r->exec ? find_exec(k, r->exec, &e, err) : 0;
	/* Before the start too: the size is there when the payload looks. */
	if (rc == 0 && !e && k->state == STATE_EXITED)
		rc = need_running(k, err);
	if (rc < 0)
		return rc;
	if (!e && k->payload->resize)
		return k->payload->resize(k, r->rows, r->columns, err);
	rc = e ? exec_resize(e, r->rows, r->columns) : payio_resize(&k->io, r->rows, r->columns);
	return rc < 0 ? err_rc(err, rc, "cannot resize the terminal") : 0;
}

static int op_kill(struct keeper *k, const struct request *r, int *fd, json_object *answer,
		   struct err *err)
{
	(void)fd;
	(void)answer;
	int rc = need_running(k, err);
	return rc < 0 ? rc : k->payload->kill(k, r->signal, r->all, err);
}

static int op_exec_kill(struct keeper *k, const struct request *r, int *fd, json_object *answer,
			struct err *err)
{
	(void)fd;
	(void)answer;
	struct exec *e = NULL;
	int rc = find_exec(k, r->exec, &e, err);
	if (rc < 0)
		return rc;
	rc = exec_signal(e, r->signal);
	return rc < 0 ? err_rc(err, rc, "cannot signal exec %s", r->exec) : 0;
}

static int op_freeze(struct keeper *k, const struct request *r, int *fd, json_object *answer,
		     struct err *err)
{
	(void)fd;
	(void)answer;
	int rc = need_running(k, err);
	if (rc == 0 && r->held && !r->frozen)
		rc = err_set(err, EINVAL, "only a freeze can be held");
	if (rc == 0 && r->frozen == (k->state == STATE_PAUSED))
		rc = err_set(err, EALREADY, "the %s is %s", k->payload->noun,
			     r->frozen ? "paused already" : "not paused");
	if (rc == 0)
		rc = k->payload->freeze(k, r->frozen, err);
	if (rc == -EINPROGRESS)
		k->holder = r->held ? k->asker.conn : 0;
	if (rc < 0)
		return rc;
	k->state = r->frozen ? STATE_PAUSED : STATE_RUNNING;
	k->holder = r->held ? k->asker.conn : 0;
	return 0;
}

void ops_conn_gone(struct keeper *k, uint64_t conn)
{
	struct err err = ERR_INIT;
	execs_conn_gone(k, conn);
	if (k->holder != conn)
		return;
	k->holder = 0;
	/* A guest's pause may be on the way yet: what comes behind it undoes it, and is refused
	 * where there is none. */
	bool is_guest = k->payload == &payload_guest || k->payload == &payload_vm;
	bool coming = is_guest && k->state == STATE_RUNNING;
	if (k->state != STATE_PAUSED && !coming)
		return;
	k->asker = (struct asker){ 0 }; /* nobody asks */
	int rc = k->payload->freeze(k, false, &err);
	if (rc < 0 && rc != -EINPROGRESS) {
		control_warn(k, err.text);
		return;
	}
	/* At once: what a later isolad hears first is what it goes by, and what it asks of the
	 * VM comes behind this. */
	k->state = STATE_RUNNING;
	k->thaws += rc == -EINPROGRESS;
}

static int op_update(struct keeper *k, const struct request *r, int *fd, json_object *answer,
		     struct err *err)
{
	static const char *const known[] = { "max_size", "max_files", NULL };
	(void)fd;
	(void)answer;
	struct jlog_limits limits = k->spec.log_limits;
	int rc = k->failure.code || k->state == STATE_EXITED ? need_running(k, err) : 0;
	if (rc == 0 && r->log)
		rc = keepspec_only(r->log, known, "log", err);
	if (rc == 0 && r->log)
		rc = keepspec_log_limits(r->log, &limits, err);
	if (rc == 0 && r->args && k->payload != &payload_guest)
		rc = err_set(err, EINVAL, "only a guest has sizes that change");
	if (rc == 0 && (r->resources || r->args))
		rc = k->payload->update(k, r->resources, r->args, err);
	if ((rc < 0 && rc != -EINPROGRESS) || !r->log)
		return rc;
	k->spec.log_limits = limits;
	if (k->log)
		jlog_limit(k->log, &limits);
	return rc;
}

static int op_detach(struct keeper *k, const struct request *r, int *fd, json_object *answer,
		     struct err *err)
{
	(void)fd;
	(void)answer;
	struct stream *s = execs_find_stream(k, r->stream.id);
	if (!s)
		return err_set(err, ENOENT, "no stream %s is attached", r->stream.id);
	stream_detach(s);
	return 0;
}

static int op_mount(struct keeper *k, const struct request *r, int *fd, json_object *answer,
		    struct err *err)
{
	(void)fd;
	(void)answer;
	int rc = need_running(k, err);
	if (rc < 0)
		return rc;
	step_reached("keeper.mounting");
	rc = k->payload->mount(k, r->mount, r->make_source, r->op == OP_UNMOUNT, err);
	step_reached("keeper.mounted");
	return rc;
}

static int op_copy(struct keeper *k, const struct request *r, int *fd, json_object *answer,
		   struct err *err)
{
	(void)r;
	(void)answer;
	int rc = need_running(k, err);
	return rc < 0 ? rc : k->payload->copy(k, fd, err);
}

static int op_sync(struct keeper *k, const struct request *r, int *fd, json_object *answer,
		   struct err *err)
{
	(void)r;
	(void)fd;
	(void)answer;
	int rc = need_running(k, err);
	return rc < 0 ? rc : k->payload->sync(k, err);
}

/* What only a VM can be asked for. */
static int op_command(struct keeper *k, const struct request *r, int *fd, json_object *answer,
		      struct err *err)
{
	(void)fd;
	(void)answer;
	int rc = need_running(k, err);
	return rc < 0 ? rc : k->payload->command(k, r, err);
}

static op_fn *const functions[OP_COUNT] = {
	[OP_START] = op_start,   [OP_ATTACH] = op_attach,
	[OP_EXEC] = op_exec,     [OP_RESIZE] = op_resize,
	[OP_KILL] = op_kill,     [OP_EXEC_KILL] = op_exec_kill,
	[OP_FREEZE] = op_freeze, [OP_UPDATE] = op_update,
	[OP_DETACH] = op_detach, [OP_MOUNT] = op_mount,
	[OP_UNMOUNT] = op_mount, [OP_COPY] = op_copy,
	[OP_SYNC] = op_sync,     [OP_RESET... OP_UNLINK] = op_command,
};

/* Not every kind of payload has all. */
static bool knows(const struct keeper *k, enum op op)
{
	if (op >= OP_RESET)
		return k->payload->command != NULL;
	if (op == OP_MOUNT || op == OP_UNMOUNT)
		return k->payload->mount != NULL;
	if (op == OP_COPY)
		return k->payload->copy != NULL;
	if (op == OP_SYNC)
		return k->payload->sync != NULL;
	return k->payload->exec != NULL || (op != OP_EXEC && op != OP_EXEC_KILL);
}

int ops_run(struct keeper *k, const struct request *request, int fd, json_object *answer,
	    struct err *err)
{
	cleanup_fd int own = fd;
	if (!knows(k, request->op))
		return err_set(err, EOPNOTSUPP, "a %s knows no \"%s\"", k->payload->noun,
			       request_op_name(request->op));
	return functions[request->op](k, request, &own, answer, err);
}

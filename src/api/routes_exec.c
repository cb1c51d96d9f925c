/* SPDX-License-Identifier: Apache-2.0 */
/* routes_exec - commands run in a container that runs. Docker Engine API 1.47,
 * "Exec". isolad, loop thread. */
#include "routes.h"

#include "isola/fd.h"
#include "isola/json.h"
#include "isola/log.h"

#include <errno.h>
#include <string.h>

#define CONSOLE_SIZE_SINCE_MINOR 42

void containers_exec(struct exchange *x)
{
	struct err err = ERR_INIT;
	cleanup_json json_object *body = NULL;
	char id[ID_SIZE];
	struct instance *inst = route_instance(x);
	if (!inst)
		return;
	int rc = request_json(x, &body, &err);
	if (rc == 0)
		rc = err_set(&err, EINVAL, "No exec command specified");
	if (rc > 0)
		rc = exec_create(inst, body, id, &err);
	if (rc < 0) {
		reply_err(x, &err);
		return;
	}
	json_object *o = json_object_new_object();
	if (o)
		json_add_str(o, "Id", id);
	reply_json(x, 201, o);
}

static struct exec *route_exec(struct exchange *x)
{
	struct err err = ERR_INIT;
	struct exec *exec = exec_find(x->isolad, x->param[0], &err);
	if (!exec)
		reply_err(x, &err);
	return exec;
}

static void inspect_again(struct exchange *x)
{
	struct exchange_timer *timer = x->user;
	x->on_gone = NULL;
	exchange_timer_stop(&timer);
	struct exec *exec = route_exec(x);
	if (!exec)
		return;
	exec_hear(exec);
	exec = route_exec(x); /* its container may have ended */
	if (exec)
		reply_json(x, 200, exec_inspect(exec));
}

static void inspect_gone(struct exchange *x)
{
	struct exchange_timer *timer = x->user;
	exchange_timer_stop(&timer);
}

/* Clients ask for the exit code as soon as they see the stream's end. The keeper
 * reports the exit before it ends the stream, so the report is there already,
 * but perhaps behind this request in the loop's turn, and behind others' reports:
 * who has no exit code yet is looked at again in the next one, when all that was
 * told is heard. */
void execs_inspect(struct exchange *x)
{
	struct exec *exec = route_exec(x);
	if (!exec)
		return;
	cleanup_json json_object *o = exec_inspect(exec);
	struct exchange_timer *timer = NULL;
	if (!json_get(o, "ExitCode"))
		timer = exchange_timer_start(x, 0, 0, inspect_again);
	if (!timer) {
		reply_json(x, 200, take_ptr(o));
		return;
	}
	x->user = timer;
	x->on_gone = inspect_gone;
}

void execs_resize(struct exchange *x)
{
	struct err err = ERR_INIT;
	int64_t h, w;
	struct exec *exec = route_exec(x);
	if (!exec)
		return;
	if (request_i64(x, "h", 0, UINT16_MAX, 0, &h, &err) < 0 ||
	    request_i64(x, "w", 0, UINT16_MAX, 0, &w, &err) < 0)
		reply_err(x, &err);
	else
		exec_resize(exec, (int)h, (int)w, done_ok_empty, exchange_ref(x));
}

/* ---- start ---- */

struct start {
	bool detach, tty;
	int h, w; /* 0 = not given */
};

static int read_console_size(json_object *body, struct start *s, struct err *err)
{
	json_object *size = NULL;
	int rc = json_get_arr(body, "ConsoleSize", &size, err);
	if (rc <= 0)
		return rc;
	int64_t v[2] = { 0, 0 };
	for (size_t i = 0; i < 2 && json_len(size) == 2; i++) {
		json_object *item = json_object_array_get_idx(size, i);
		v[i] = json_object_is_type(item, json_type_int) ? json_object_get_int64(item) : -1;
	}
	if (json_len(size) != 2 || v[0] < 0 || v[0] > UINT16_MAX || v[1] < 0 || v[1] > UINT16_MAX)
		return err_set(err, EINVAL, "ConsoleSize must be [height, width]");
	s->h = (int)v[0];
	s->w = (int)v[1];
	return 0;
}

static int read_start(struct exchange *x, struct start *s, struct err *err)
{
	cleanup_json json_object *body = NULL;
	int rc = request_json(x, &body, err);
	if (rc <= 0)
		return rc;
	rc = json_get_bool(body, "Detach", &s->detach, err);
	if (rc >= 0)
		rc = json_get_bool(body, "Tty", &s->tty, err);
	/* A size without a terminal, or from before it existed, means nothing. */
	if (rc >= 0 && s->tty && x->api_minor >= CONSOLE_SIZE_SINCE_MINOR)
		rc = read_console_size(body, s, err);
	return rc < 0 ? rc : 0;
}

static void on_started(void *arg, const struct err *err, json_object *result)
{
	struct exchange *x = arg;
	(void)result;
	if (err)
		log_warn(NULL, "api: exec %.12s: %s", x->param[0], err->text);
	exchange_unref(x);
}

static void start_attached(struct exchange *x, struct exec *exec, const struct start *s)
{
	struct stream_request req = { 0 };
	cleanup_free char *head = NULL;
	exec_wants(exec, &req.want_stdin, &req.want_stdout, &req.want_stderr);
	/* As Docker does: how to frame is this request's word, not the exec's. */
	if (stream_hijack(x, !s->tty, &req, &head) == 0)
		exec_start(exec, &req, s->h, s->w, on_started, exchange_ref(x));
}

void execs_start(struct exchange *x)
{
	struct err err = ERR_INIT;
	struct start s = { 0 };
	struct exec *exec = route_exec(x);
	if (!exec)
		return;
	int rc = read_start(x, &s, &err);
	if (rc == 0)
		rc = exec_start_check(exec, &err);
	if (rc < 0)
		reply_err(x, &err);
	else if (s.detach)
		exec_start(exec, NULL, s.h, s.w, done_ok_empty, exchange_ref(x));
	else
		start_attached(x, exec, &s);
}

/* SPDX-License-Identifier: Apache-2.0 */
/* routes_life - start, stop, signals, freezing, waiting. Docker Engine API 1.47,
 * "Containers". isolad, loop thread. */
#include "routes.h"

#include "isola/json.h"

#include <errno.h>
#include <signal.h>
#include <string.h>

#define STOP_OWN_TIMEOUT -2 /* daemon.h, instance_stop() */
#define STOP_FOR_EVER    -1

/* Docker's own limit: what cannot be a JSON document of use. */
#define START_BODY_MAX 7

void containers_start(struct exchange *x)
{
	struct instance *inst = route_instance(x);
	if (!inst)
		return;
	if (x->body.len > START_BODY_MAX)
		reply_error(x, 400,
			    "starting container with non-empty request body was deprecated since "
			    "API v1.22 and removed in v1.24");
	else
		instance_start(inst, done_no_content, exchange_ref(x));
}

/* "signal" and "t" of stop and restart. */
static int read_stop(struct exchange *x, int *ret_signal, int *ret_timeout_s, struct err *err)
{
	int64_t t;
	int rc = request_i64(x, "t", INT32_MIN, INT32_MAX, STOP_OWN_TIMEOUT, &t, err);
	const char *given = query_get(&x->query, "t");
	if (rc == 0 && given && *given && t < 0)
		t = STOP_FOR_EVER;
	*ret_timeout_s = (int)t;
	return rc < 0 ? rc : request_signal(x, "signal", ret_signal, err);
}

static void stop_with(struct exchange *x, void (*op)(struct instance *inst, int signal,
						     int timeout_s, op_done_fn *done, void *arg))
{
	struct err err = ERR_INIT;
	int signal = 0, timeout_s = STOP_OWN_TIMEOUT;
	struct instance *inst = route_instance(x);
	if (!inst)
		return;
	if (read_stop(x, &signal, &timeout_s, &err) < 0)
		reply_err(x, &err);
	else
		op(inst, signal, timeout_s, done_no_content, exchange_ref(x));
}

void containers_stop(struct exchange *x)
{
	stop_with(x, instance_stop);
}

void containers_restart(struct exchange *x)
{
	stop_with(x, instance_restart);
}

void containers_kill(struct exchange *x)
{
	struct err err = ERR_INIT;
	int signal = 0;
	struct instance *inst = route_instance(x);
	if (!inst)
		return;
	if (request_signal(x, "signal", &signal, &err) < 0)
		reply_err(x, &err);
	else
		instance_kill(inst, signal ? signal : SIGKILL, done_no_content, exchange_ref(x));
}

void containers_pause(struct exchange *x)
{
	struct instance *inst = route_instance(x);
	if (inst)
		instance_pause(inst, done_no_content, exchange_ref(x));
}

void containers_unpause(struct exchange *x)
{
	struct instance *inst = route_instance(x);
	if (inst)
		instance_unpause(inst, done_no_content, exchange_ref(x));
}

void containers_resize(struct exchange *x)
{
	struct err err = ERR_INIT;
	int64_t h, w;
	struct instance *inst = route_instance(x);
	if (!inst)
		return;
	if (request_i64(x, "h", 0, UINT16_MAX, 0, &h, &err) < 0 ||
	    request_i64(x, "w", 0, UINT16_MAX, 0, &w, &err) < 0)
		reply_err(x, &err);
	else
		instance_resize(inst, (int)h, (int)w, done_ok_empty, exchange_ref(x));
}

/* ---- wait ---- */

static const struct {
	const char *name;
	enum wait_condition until;
} conditions[] = {
	{ "", WAIT_NOT_RUNNING },
	{ "not-running", WAIT_NOT_RUNNING },
	{ "next-exit", WAIT_NEXT_EXIT },
	{ "removed", WAIT_REMOVED },
};

static int read_condition(struct exchange *x, enum wait_condition *ret, struct err *err)
{
	const char *text = query_get(&x->query, "condition");
	for (size_t i = 0; i < sizeof(conditions) / sizeof(conditions[0]); i++) {
		if (strcmp(text ? text : "", conditions[i].name) != 0)
			continue;
		*ret = conditions[i].until;
		return 0;
	}
	return err_set(err, EINVAL,
		       "invalid condition: \"%s\" (one of not-running, next-exit, removed)", text);
}

static void on_waited(void *arg, const struct err *err, json_object *result)
{
	struct exchange *x = arg;
	x->on_gone = NULL;
	/* The head has gone out long ago, so a failure is told in the body. */
	cleanup_json json_object *o = err ? json_object_new_object() : json_object_get(result);
	if (err && o) {
		json_object *why = json_object_new_object();
		json_add_i64(o, "StatusCode", -1);
		json_add_str(why, "Message", err->text);
		json_add(o, "Error", why);
	}
	reply_chunk_json(x, o);
	reply_end(x);
	exchange_unref(x);
}

static void wait_gone(struct exchange *x)
{
	if (x->user)
		instance_wait_cancel(x->user);
	x->user = NULL;
	exchange_unref(x);
}

void containers_wait(struct exchange *x)
{
	struct err err = ERR_INIT;
	enum wait_condition until = WAIT_NOT_RUNNING;
	struct instance *inst = route_instance(x);
	if (!inst)
		return;
	if (read_condition(x, &until, &err) < 0) {
		reply_err(x, &err);
		return;
	}
	/* The client starts the container only when it has seen this head. */
	reply_begin(x, 200, "application/json");
	if (!x->conn)
		return;
	x->user = instance_wait(inst, until, on_waited, exchange_ref(x));
	x->on_gone = wait_gone;
}

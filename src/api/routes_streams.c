/* SPDX-License-Identifier: Apache-2.0 */
/* routes_streams - attach and logs: what can fail is checked while an error can
 * still be answered; then the socket goes to the container's keeper or to a log
 * reader. Docker Engine API 1.47, "Containers". isolad, loop thread. */
#include "routes.h"

#include "isola/detachkeys.h"
#include "isola/fd.h"
#include "isola/json.h"
#include "isola/log.h"
#include "isola/num.h"

#include <errno.h>
#include <string.h>

/* Nothing can be answered any more when this comes. */
static void on_handed_over(void *arg, const struct err *err, json_object *result)
{
	struct exchange *x = arg;
	(void)result;
	if (err)
		log_warn(NULL, "api: the stream for %s ended early: %s", x->url.text, err->text);
	exchange_unref(x);
}

static bool has_tty(const struct instance *inst)
{
	return json_bool_or(inst->config, "Tty", false);
}

/* ---- logs ---- */

static int read_tail(struct exchange *x, int64_t *ret, struct err *err)
{
	const char *tail = query_get(&x->query, "tail");
	*ret = -1;
	if (!tail || !*tail || !strcmp(tail, "all"))
		return 0;
	int64_t n;
	if (num_parse_i64(tail, &n) < 0)
		return err_set(err, EINVAL, "tail must be a number or \"all\", not \"%s\"", tail);
	*ret = n < 0 ? -1 : n;
	return 0;
}

static int read_logs(struct exchange *x, struct logs_request *req, struct err *err)
{
	req->follow = request_bool(x, "follow", false);
	req->want_stdout = request_bool(x, "stdout", false);
	req->want_stderr = request_bool(x, "stderr", false);
	req->timestamps = request_bool(x, "timestamps", false);
	req->details = request_bool(x, "details", false);
	if (!req->want_stdout && !req->want_stderr)
		return err_set(err, EINVAL,
			       "Bad parameters: you must choose at least one stream: stdout, "
			       "stderr");
	int rc = request_time(x, "since", &req->since_ns, err);
	if (rc == 0)
		rc = request_time(x, "until", &req->until_ns, err);
	if (rc == 0)
		rc = read_tail(x, &req->tail, err);
	return rc;
}

void containers_logs(struct exchange *x)
{
	struct err err = ERR_INIT;
	struct logs_request req = { 0 };
	struct instance *inst = route_instance(x);
	if (!inst)
		return;
	int rc = read_logs(x, &req, &err);
	if (rc == 0)
		rc = instance_logs_check(inst, &err);
	if (rc < 0) {
		reply_err(x, &err);
		return;
	}
	req.mux = !has_tty(inst);
	req.fd = stream_take_chunked(x, req.mux, &req.chunked);
	if (req.fd >= 0)
		instance_logs(inst, &req, on_handed_over, exchange_ref(x));
}

/* ---- attach ---- */

static int check_detach_keys(const char *keys, struct err *err)
{
	struct detachkeys parsed;
	return keys ? detachkeys_parse(keys, &parsed, err) : 0;
}

/* What was printed so far, and with "stream" what comes; it cannot take input. */
static void attach_logs(struct exchange *x, struct instance *inst,
			const struct stream_request *want)
{
	struct err err = ERR_INIT;
	struct stream_request req = *want;
	cleanup_free char *head = NULL;
	if (want->want_stdin) {
		reply_error(x, 400, "attach: logs together with stdin is not supported yet");
		return;
	}
	if (instance_logs_check(inst, &err) < 0) {
		reply_err(x, &err);
		return;
	}
	if (stream_hijack(x, !has_tty(inst), &req, &head) < 0)
		return;
	struct logs_request logs = {
		.fd = req.fd,
		.follow = request_bool(x, "stream", false),
		.want_stdout = req.want_stdout,
		.want_stderr = req.want_stderr,
		.mux = req.mux,
		.tail = -1,
	};
	instance_logs(inst, &logs, on_handed_over, exchange_ref(x));
}

void containers_attach(struct exchange *x)
{
	struct err err = ERR_INIT;
	cleanup_free char *head = NULL;
	struct instance *inst = route_instance(x);
	struct stream_request req = {
		.want_stdin = request_bool(x, "stdin", false),
		.want_stdout = request_bool(x, "stdout", false),
		.want_stderr = request_bool(x, "stderr", false),
		.detach_keys = query_get(&x->query, "detachKeys"),
	};
	if (!inst)
		return;
	const char *noun = instance_noun(inst->kind);
	if (req.detach_keys && !*req.detach_keys)
		req.detach_keys = NULL;
	bool logs = request_bool(x, "logs", false), stream = request_bool(x, "stream", false);
	if (check_detach_keys(req.detach_keys, &err) < 0) {
		reply_err(x, &err);
	} else if (inst->state == INSTANCE_PAUSED) {
		reply_error(x, 409, "%s %s is paused, %s before attach", noun, x->param[0],
			    inst->kind == INSTANCE_VM ? "resume it" : "unpause the container");
	} else if (inst->state == INSTANCE_RESTARTING) {
		reply_error(x, 409, "%s %s is restarting, wait until the %s is running", noun,
			    x->param[0], noun);
	} else if (!logs && !stream) {
		reply_error(x, 400, "attach: one of the parameters logs and stream must be 1");
	} else if (logs) {
		attach_logs(x, inst, &req);
	} else if (stream_hijack(x, !has_tty(inst), &req, &head) == 0) {
		instance_attach(inst, &req, on_handed_over, exchange_ref(x));
	}
}

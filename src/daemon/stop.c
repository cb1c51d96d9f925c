/* SPDX-License-Identifier: Apache-2.0 */
/* stop - stop, kill and restart.
 *
 *   stop:     signal -> (time-out) SIGKILL -> (10 s) the keeper's SIGKILL
 *   restart:  stop -> run over -> start
 *
 * A paused payload is thawed, so that it can act on the signal. isolad, loop
 * thread. */
#include "isola/json.h"
#include "isola/signo.h"
#include "isola/step.h"

#include "isolad.h"
#include "life.h"
#include "persist.h"
#include "root_image.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>

/* SIGKILL takes that long only when something is badly stuck. */
#define KILL_PATIENCE_MS 10000

/* ---- signals ---- */

static void on_thawed(void *arg, const struct err *err, json_object *reply)
{
	struct instance *inst = arg;
	(void)reply;
	if (err && err->code != ECONNRESET)
		log_warn(inst->id, "cannot thaw it: %s", err->text);
	else if (err)
		return; /* it is gone, and says so itself */
	else if (state_apply(inst, EVENT_UNPAUSED, NULL) == 0)
		events_emit_instance(inst, inst->kind == INSTANCE_VM ? "resume" : "unpause", NULL);
}

static void emit_kill(struct instance *inst, int signo)
{
	char text[16];
	(void)snprintf(text, sizeof(text), "%d", signo);
	json_object *attrs = json_object_new_object();
	json_add_str(attrs, "signal", text);
	events_emit_instance(inst, "kill", attrs);
}

static json_object *kill_message(int signo, bool all)
{
	json_object *msg = json_object_new_object();
	json_add_i64(msg, "signal", signo);
	json_add_bool(msg, "all", all);
	return msg;
}

static void thaw(struct instance *inst)
{
	json_object *msg = json_object_new_object();
	json_add_bool(msg, "frozen", false);
	link_call(inst->link, "freeze", msg, -1, on_thawed, inst);
}

/* The power button, with the last word on what the guest makes of it: a reboot
 * counts as its end. A paused VM is resumed by that. */
static void press_power(struct instance *inst)
{
	json_object *msg = json_object_new_object();
	json_add_bool(msg, "stop", true);
	bool paused = inst->state == INSTANCE_PAUSED;
	link_call(inst->link, "powerdown", msg, -1, paused ? on_thawed : NULL, inst);
}

/* How a VM is asked to stop (@hard false) or ended. */
static void end_vm(struct instance *inst, bool hard)
{
	if (!inst->link)
		return;
	events_emit_instance(inst, hard ? "kill" : "powerdown", NULL);
	if (hard)
		link_call(inst->link, "quit", NULL, -1, NULL, NULL);
	else
		press_power(inst);
	step_reached("stop.asked");
}

void send_signal(struct instance *inst, int signo, bool all)
{
	if (inst->kind == INSTANCE_VM) {
		end_vm(inst, signo == SIGKILL);
		return;
	}
	if (!inst->link)
		return;
	emit_kill(inst, signo);
	link_call(inst->link, "kill", kill_message(signo, all), -1, NULL, NULL);
	step_reached("stop.asked");
	if (inst->state == INSTANCE_PAUSED)
		thaw(inst);
}

static void on_patience_over(void *arg)
{
	struct op *op = arg;
	struct life *life = life_of(op->inst);
	timer_stop(&op->timer);
	log_warn(op->inst->id, "SIGKILL does not end it; killing its keeper and its cgroup");
	if (life->keeper)
		(void)child_kill(life->keeper, SIGKILL);
}

void kill_hard(struct op *op)
{
	send_signal(op->inst, SIGKILL, true);
	timer_stop(&op->timer);
	op->timer = timer_start(op->inst->isolad, KILL_PATIENCE_MS, on_patience_over, op);
}

static int stop_signal(const struct instance *inst)
{
	int signo = signo_parse(json_str_or(inst->config, "StopSignal", ""));
	return signo > 0 ? signo : SIGTERM;
}

static int stop_timeout(const struct instance *inst)
{
	int64_t fallback = inst->isolad->config.default_stop_timeout;
	return (int)json_i64_or(inst->config, "StopTimeout", fallback);
}

void give_up_restart(struct instance *inst)
{
	timer_stop(&life_of(inst)->back_off);
	(void)state_apply(inst, EVENT_GIVEN_UP, NULL);
	persist_save(inst, NULL, NULL);
}

/* ---- stop ---- */

enum { STOPPING, KILLING, STARTING };

static void on_timeout(void *arg)
{
	struct op *op = arg;
	op->stage = KILLING;
	kill_hard(op);
}

/* Begins to stop what runs. */
static void stop_begin(struct op *op)
{
	struct instance *inst = op->inst;
	inst->manually_stopped = true;
	op->stage = STOPPING;
	send_signal(inst, op->signal ? op->signal : stop_signal(inst), false);
	int s = op->timeout_s == -2 ? stop_timeout(inst) : op->timeout_s;
	if (s >= 0)
		op->timer = timer_start(inst->isolad, (uint64_t)s * 1000, on_timeout, op);
}

static void stop_run(struct op *op)
{
	struct instance *inst = op->inst;
	struct err e = ERR_INIT;
	if (state_next(inst, EVENT_STOP, &e) < 0) {
		op_finish(op, &e, NULL);
	} else if (inst->state == INSTANCE_RESTARTING) {
		inst->manually_stopped = true;
		give_up_restart(inst);
		op_finish(op, NULL, NULL);
	} else {
		stop_begin(op);
	}
}

static void hurry(struct op *op)
{
	if (op->stage == STOPPING)
		on_timeout(op);
}

static void stop_wake(struct op *op, enum op_wake why)
{
	if (why == OP_WAKE_ENDED)
		op_finish(op, NULL, NULL);
	if (why == OP_WAKE_HURRY)
		hurry(op);
}

static const struct op_type stop_type = {
	.name = "stop", .event = "stop", .run = stop_run, .wake = stop_wake, .no_policy = true
};

/* A stop that is less patient than the one under way makes that one as quick. */
static void shorten_current(struct instance *inst, int timeout_s)
{
	struct op *op = op_current(inst);
	int s = timeout_s == -2 ? stop_timeout(inst) : timeout_s;
	if (!op || op->type != &stop_type || op->stage != STOPPING || s < 0)
		return;
	uint64_t ms = (uint64_t)s * 1000;
	if (op->timer && timer_left(op->timer) <= ms)
		return;
	timer_stop(&op->timer);
	op->timer = timer_start(inst->isolad, ms, on_timeout, op);
}

static struct op *new_op(struct instance *inst, const struct op_type *type, int signo,
			 int timeout_s, op_done_fn *done, void *arg)
{
	struct op *op = op_new(inst, type, done, arg);
	if (!op)
		return NULL;
	op->signal = signo;
	op->timeout_s = timeout_s;
	return op;
}

void instance_stop(struct instance *inst, int signo, int timeout_s, op_done_fn *done, void *arg)
{
	struct op *op = new_op(inst, &stop_type, signo, timeout_s, done, arg);
	if (!op)
		return;
	shorten_current(inst, timeout_s);
	(void)root_image_cut(inst);
	op_queue(op);
}

/* ---- restart ---- */

static void restart_start(struct op *op)
{
	timer_stop(&op->timer);
	op->stage = STARTING;
	start_begin(op, EVENT_START);
}

static void restart_run(struct op *op)
{
	struct instance *inst = op->inst;
	struct err e = ERR_INIT;
	if (state_next(inst, EVENT_RESTART, &e) < 0) {
		op_finish(op, &e, NULL);
		return;
	}
	if (inst->state == INSTANCE_RESTARTING)
		give_up_restart(inst);
	if (instance_is_running(inst))
		stop_begin(op);
	else
		restart_start(op);
}

static void restart_wake(struct op *op, enum op_wake why)
{
	if (op->stage == STARTING)
		start_wake(op, why);
	else if (why == OP_WAKE_ENDED)
		restart_start(op);
	else if (why == OP_WAKE_HURRY)
		hurry(op);
}

static const struct op_type restart_type = { .name = "restart",
					     .event = "restart",
					     .run = restart_run,
					     .wake = restart_wake,
					     .no_policy = true,
					     .no_removal = true };

void instance_restart(struct instance *inst, int signo, int timeout_s, op_done_fn *done, void *arg)
{
	struct op *op = new_op(inst, &restart_type, signo, timeout_s, done, arg);
	if (op)
		op_queue(op);
}

/* ---- kill ---- */

/* SIGKILL is answered when the payload has ended, others when they are sent. */
static void on_killed(void *arg, const struct err *err, json_object *reply)
{
	struct op *op = arg;
	(void)reply;
	struct err e = ERR_INIT;
	bool already = err && (err->code == ESRCH || !instance_is_running(op->inst));
	if (err && !already)
		e = *err;
	op->pinned = false;
	if (e.code || op->signal != SIGKILL || !instance_is_running(op->inst))
		op_finish(op, e.code ? &e : NULL, NULL);
	else
		op->timer = timer_start(op->inst->isolad, KILL_PATIENCE_MS, on_patience_over, op);
}

static void kill_run(struct op *op)
{
	struct instance *inst = op->inst;
	struct err e = ERR_INIT;
	if (state_next(inst, EVENT_KILL, &e) < 0)
		(void)err_prefix(&e, "cannot kill %s: %s", instance_noun(inst->kind), inst->name);
	bool stops = op->signal == SIGKILL || op->signal == stop_signal(inst);
	if (!e.code && stops)
		inst->manually_stopped = true;
	if (!e.code && inst->state == INSTANCE_RESTARTING) {
		if (stops)
			give_up_restart(inst);
		op_finish(op, NULL, NULL);
		return;
	}
	if (!e.code && !inst->link)
		(void)err_set(&e, EBUSY, "cannot kill %s: %s: its keeper has gone away",
			      instance_noun(inst->kind), inst->name);
	if (e.code) {
		op_finish(op, &e, NULL);
		return;
	}
	/* The answer always comes, and with it the op's end. */
	op->pinned = true;
	emit_kill(inst, op->signal);
	link_call(inst->link, "kill", kill_message(op->signal, op->signal == SIGKILL), -1,
		  on_killed, op);
	if (stops && inst->state == INSTANCE_PAUSED)
		thaw(inst);
}

static void kill_wake(struct op *op, enum op_wake why)
{
	if (why == OP_WAKE_ENDED && op->timer)
		op_finish(op, NULL, NULL);
}

static const struct op_type kill_type = { .name = "kill", .run = kill_run, .wake = kill_wake };

static bool is_end(int signo)
{
	return signo == 0 || signo == SIGKILL || signo == SIGTERM;
}

void instance_kill(struct instance *inst, int signo, op_done_fn *done, void *arg)
{
	/* One that would start, but for its root, does not. */
	if (is_end(signo) && root_image_cut(inst)) {
		later_done(inst->isolad, done, arg, NULL, NULL);
		return;
	}
	struct op *op = new_op(inst, &kill_type, signo ? signo : SIGKILL, 0, done, arg);
	if (!op)
		return;
	/* A start is waited for; nothing else may hold a signal back. */
	if (inst->state == INSTANCE_STARTING)
		op_queue(op);
	else
		op_aside(op);
}

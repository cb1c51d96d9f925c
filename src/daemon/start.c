/* SPDX-License-Identifier: Apache-2.0 */
/* start - from "start" to a running payload. The keeper is spawned first and
 * makes the container while the messages are still on their way. isolad, loop
 * thread.
 *
 *   wait until the last run is over -> volumes, root image -> ports of the host -> (taps) -> run
 *   folder, bundle -> spawn -> attach streams -> (veths: the container is made -> its
 *   links) -> "start" -> answer: RUNNING, or back with the reason */
#include "isola/cgroup.h"
#include "isola/fd.h"
#include "isola/json.h"
#include "isola/keeper.h"
#include "isola/num.h"
#include "isola/step.h"
#include "isola/wire.h"

#include "bundle.h"
#include "isolad.h"
#include "life.h"
#include "persist.h"
#include "root_image.h"
#include "stream.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static int open_run_dir(struct instance *inst, struct err *err)
{
	int run_fd = inst->isolad->roots.run_fd;
	if (mkdirat(run_fd, inst->id, 0700) < 0 && errno != EEXIST)
		return err_sys(err, "cannot make the run folder");
	int fd = openat(run_fd, inst->id, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0)
		return err_sys(err, "cannot open the run folder");
	/* The last run's end must not be taken for this one's. */
	(void)unlinkat(fd, "exit.json", 0);
	(void)unlinkat(fd, "keeper.pid", 0);
	(void)unlinkat(fd, "keeper.sock", 0);
	return fd;
}

static int spawn_keeper(struct instance *inst, int ret_socks[2], struct err *err)
{
	struct life *life = life_of(inst);
	cleanup_free char *run_dir = instance_run_dir(inst);
	int rc = run_dir ? wire_pair(ret_socks, err) : err_set(err, ENOMEM, "out of memory");
	if (rc < 0)
		return rc;
	rc = nursery_spawn(inst->isolad, run_dir, ret_socks[1], run_on_keeper_exit, inst,
			   &life->keeper, err);
	fd_close(&ret_socks[1]);
	if (rc < 0)
		fd_close(&ret_socks[0]);
	else
		inst->keeper_pid = child_pid(life->keeper);
	return rc;
}

static void on_started(void *arg, const struct err *err, json_object *reply)
{
	struct op *op = arg;
	struct instance *inst = op->inst;
	op->pinned = false;
	step_reached("start.started");
	if (inst->isolad->stopping) {
		op_finish(op, err, NULL);
		return;
	}
	if (err) {
		struct err e = *err;
		run_start_failed(inst, (int)json_i64_or(reply, "exit_code", 0), &e);
		op_finish(op, &e, NULL);
		return;
	}
	endpoints_settled(inst);
	inst->pid = (pid_t)json_i64_or(reply, "pid", 0);
	inst->root_pid = (pid_t)json_i64_or(reply, "root_pid", inst->pid);
	inst->started_ns = json_i64_or(reply, "started_ns", num_now_ns());
	inst->finished_ns = 0;
	inst->exit_code = 0;
	inst->oom_killed = false;
	inst->resets = 0;
	set_text(&inst->error, NULL);
	set_text(&inst->reason, NULL);
	set_text(&inst->reason_text, NULL);
	(void)state_apply(inst, EVENT_STARTED, NULL);
	volumes_emit(inst, "mount");
	events_emit_instance(inst, "start", NULL);
	/* The run folder tells of a --rm instance that it runs. */
	if (!inst->auto_remove)
		persist_save(inst, NULL, NULL);
	op_finish(op, NULL, NULL);
}

/* ---- the network: between the container and its start ---- */

static void send_start(struct op *op)
{
	step_reached("start.saved");
	link_call(op->inst->link, "start", NULL, -1, on_started, op);
	step_reached("start.asked");
}

/* No payload will run in it. */
static void fail_before_start(struct op *op, const struct err *err)
{
	struct instance *inst = op->inst;
	struct err e = *err;
	op->pinned = false;
	if (inst->isolad->stopping) {
		op_finish(op, err, NULL);
		return;
	}
	/* Init ends with its keeper. */
	if (life_of(inst)->keeper)
		(void)child_kill(life_of(inst)->keeper, SIGKILL);
	run_start_failed(inst, 0, &e);
	op_finish(op, &e, NULL);
}

/* The published ports must be known to whoever adopts a payload that runs. */
static void on_ports_saved(void *arg, const struct err *err)
{
	struct op *op = arg;
	struct err gone = ERR_INIT;
	if (!err && !op->inst->link) {
		(void)err_set(&gone, ECONNRESET, "the keeper ended");
		err = &gone;
	}
	if (err)
		fail_before_start(op, err);
	else
		send_start(op);
}

static void on_plugged(void *arg, const struct err *err)
{
	struct op *op = arg;
	step_reached("start.plugged");
	if (err || !life_of(op->inst)->bindings.n)
		on_ports_saved(op, err);
	else
		persist_save(op->inst, on_ports_saved, op);
}

/* Hello has come before. Without an init, "start" is answered with the reason. */
static void on_created(void *arg, const struct err *err, json_object *reply)
{
	struct op *op = arg;
	struct instance *inst = op->inst;
	(void)reply;
	step_reached("start.created");
	if (inst->isolad->stopping || !inst->link)
		on_started(op, err, NULL);
	else if (err || !life_of(inst)->init_pid)
		send_start(op);
	else
		endpoints_up(inst, life_of(inst)->init_pid, on_plugged, op);
}

static int begin_run(struct op *op, struct err *err)
{
	struct instance *inst = op->inst;
	struct life *life = life_of(inst);
	int socks[2] = { -1, -1 };
	life->ended = life->reported = false;
	life->init_pid = 0;
	set_text(&life->fail_text, NULL);
	cleanup_fd int dir = open_run_dir(inst, err);
	if (dir < 0)
		return dir;
	int rc = bundle_write(inst, dir, err);
	step_reached("start.bundle");
	if (rc == 0)
		rc = spawn_keeper(inst, socks, err);
	step_reached("start.spawned");
	if (rc < 0)
		return rc;
	life->run_dir_fd = take_fd(&dir);
	rc = link_new(inst->isolad, socks[0], &run_link_handler, inst, &inst->link, err);
	if (rc < 0) {
		/* Without its control socket it undoes everything. */
		(void)child_kill(life->keeper, SIGKILL);
		return rc;
	}
	streams_send_pending(inst);
	op->pinned = true;
	/* A request for nothing: it is answered when the container is made. */
	if (list_is_empty(&inst->endpoints) || endpoint_link(inst) == NET_LINK_TAP)
		send_start(op);
	else
		link_call(inst->link, "update", NULL, -1, on_created, op);
	return 0;
}

static void begin_or_fail(struct op *op)
{
	struct err e = ERR_INIT;
	if (begin_run(op, &e) == 0)
		return;
	run_start_failed(op->inst, 0, &e);
	op_finish(op, &e, NULL);
}

/* ---- the network of a VM: in front of its keeper, which opens its taps ---- */

static void on_taps_saved(void *arg, const struct err *err)
{
	struct op *op = arg;
	struct err stopping = ERR_INIT;
	op->pinned = false;
	if (!err && op->inst->isolad->stopping) {
		(void)err_set(&stopping, ECANCELED, "isolad is shutting down");
		err = &stopping;
	}
	if (err)
		fail_before_start(op, err);
	else
		begin_or_fail(op);
}

static void on_taps(void *arg, const struct err *err)
{
	struct op *op = arg;
	step_reached("start.plugged");
	if (err || !life_of(op->inst)->bindings.n)
		on_taps_saved(op, err);
	else
		persist_save(op->inst, on_taps_saved, op);
}

static void take_network(struct op *op)
{
	struct instance *inst = op->inst;
	struct err e = ERR_INIT;
	step_reached("start.prepared");
	int rc = publish_take(inst, &e);
	step_reached("start.ports");
	if (rc < 0) {
		run_start_failed(inst, 0, &e);
		op_finish(op, &e, NULL);
	} else if (!list_is_empty(&inst->endpoints) && endpoint_link(inst) == NET_LINK_TAP) {
		op->pinned = true;
		endpoints_up(inst, 0, on_taps, op);
	} else {
		begin_or_fail(op);
	}
}

static bool prepare_volumes(struct instance *inst, op_done_fn *done, void *arg)
{
	return volumes_prepare(inst, false, done, arg);
}

/* What must be there before anything else: true = it is, else @done will come. */
static bool (*const needs[])(struct instance *inst, op_done_fn *done, void *arg) = {
	prepare_volumes,
	root_image_prepare,
};
#define N_NEEDS (sizeof(needs) / sizeof(needs[0]))

static void start_step(struct op *op);

static void on_prepared(void *arg, const struct err *err, json_object *result)
{
	struct op *op = arg;
	(void)result;
	op->preparing = op->pinned = false;
	op->prepared++;
	struct err e = err ? *err : (struct err)ERR_INIT;
	if (op->inst->isolad->stopping) {
		(void)err_set(&e, ECANCELED, "isolad is shutting down");
		op_finish(op, &e, NULL);
	} else if (err) {
		run_start_failed(op->inst, 0, &e);
		op_finish(op, &e, NULL);
	} else {
		start_step(op);
	}
}

static void start_step(struct op *op)
{
	struct instance *inst = op->inst;
	if (op->spawned || op->preparing)
		return;
	if (!run_is_over(inst)) {
		run_hurry_keeper(inst);
		return;
	}
	for (; op->prepared < N_NEEDS; op->prepared++) {
		op->preparing = op->pinned = true;
		if (!needs[op->prepared](inst, on_prepared, op))
			return;
		op->preparing = op->pinned = false;
	}
	op->spawned = true;
	take_network(op);
}

void start_wake(struct op *op, enum op_wake why)
{
	struct life *life = life_of(op->inst);
	if (why == OP_WAKE_OVER)
		start_step(op);
	if (why == OP_WAKE_HURRY)
		(void)root_image_cut(op->inst);
	/* The link breaks, and the start fails. */
	if (why == OP_WAKE_HURRY && op->spawned && life->keeper)
		(void)child_kill(life->keeper, SIGKILL);
}

void start_begin(struct op *op, enum instance_event event)
{
	struct instance *inst = op->inst;
	struct err e = ERR_INIT;
	if (state_apply(inst, event, &e) < 0) {
		op_finish(op, &e, NULL);
		return;
	}
	if (event == EVENT_START) {
		inst->manually_stopped = false;
		inst->restart_count = 0;
		inst->restart_backoff_ms = 0;
	}
	start_step(op);
}

static void start_run(struct op *op)
{
	start_begin(op, op->internal ? EVENT_START_AGAIN : EVENT_START);
}

static const struct op_type start_type = { .name = "start", .run = start_run, .wake = start_wake };

void instance_start(struct instance *inst, op_done_fn *done, void *arg)
{
	struct op *op = op_new(inst, &start_type, done, arg);
	if (op)
		op_queue(op);
}

void start_again(struct instance *inst)
{
	struct op *op = op_new(inst, &start_type, NULL, NULL);
	if (!op)
		return;
	op->internal = true;
	op_queue(op);
}

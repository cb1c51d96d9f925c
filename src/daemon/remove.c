/* SPDX-License-Identifier: Apache-2.0 */
/* remove - taking an instance away.
 *
 * By request: (force: kill) -> the run is over -> no write under way -> cleared
 * from the disk -> gone. A failure leaves it DEAD, and removal may be tried again.
 *
 * By itself (--rm): it has no record that could outlive it, so it is gone for
 * everybody as soon as its payload has ended; what is left is cleared behind that.
 * isolad, loop thread. */
#include "isola/fd.h"
#include "isola/json.h"

#include "copy.h"
#include "isolad.h"
#include "life.h"
#include "persist.h"
#include "project.h"
#include "secrets.h"
#include "record.h"
#include "stream.h"
#include "wait.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

static void free_later(void *arg)
{
	instance_free(arg);
}

/* @op is finished with it. */
static void gone(struct op *op)
{
	struct instance *inst = op->inst;
	struct err e = ERR_INIT;
	events_emit_instance(inst, "destroy", NULL);
	wait_on_removed(inst);
	secrets_forget(inst);
	project_end(inst->isolad->roots.state_fd, inst->project);
	registry_remove(inst);
	op_finish(op, NULL, NULL);
	(void)err_set(&e, ENOENT, "No such %s: %s", instance_noun(inst->kind), inst->id);
	op_fail_all(inst, &e);
	/* Others of this turn may still hold it. */
	later_call(inst->isolad, free_later, inst);
}

/* ---- --rm ---- */

static void vanish(struct op *op)
{
	struct instance *inst = op->inst;
	struct life *life = life_of(inst);
	struct isolad *d = inst->isolad;
	char record[ID_SIZE + sizeof(RECORD_FILE) + 1];
	(void)snprintf(record, sizeof(record), "%s/" RECORD_FILE, inst->id);
	/* From here on a later isolad only clears it away. */
	if (unlinkat(d->roots.run_fd, record, 0) < 0 && errno != ENOENT)
		log_error(inst->id, "cannot remove %s: %s", record, strerror(errno));
	struct wreck_args args = { .isolad = d,
				   .id = inst->id,
				   .kill_cgroup = !life->keeper,
				   .keeper = take_ptr(life->keeper),
				   .link = take_ptr(inst->link),
				   .userns_base = inst->userns_base };
	inst->userns_base = 0;
	wreck_clear(&args, NULL, NULL);
	volumes_release(inst, true);
	gone(op);
}

/* ---- by request ---- */

enum { ENDING, OVER, CLEARING };

static void on_cleared(void *arg, const struct err *err)
{
	struct op *op = arg;
	struct instance *inst = op->inst;
	op->pinned = false;
	if (!err) {
		gone(op);
		return;
	}
	struct err e = *err;
	(void)state_apply(inst, EVENT_REMOVE_FAILED, NULL);
	persist_resume(inst);
	set_text(&inst->error, e.text);
	(void)err_prefix(&e, "cannot remove %s %s", instance_noun(inst->kind), inst->name);
	e.code = EIO;
	op_finish(op, &e, NULL);
}

static void on_quiet(void *arg, const struct err *err)
{
	struct op *op = arg;
	(void)err;
	struct wreck_args args = { .isolad = op->inst->isolad, .id = op->inst->id };
	args.kill_cgroup = true;
	/* Before its record: whoever asked for that wants neither. */
	volumes_release(op->inst, op->volumes || op->inst->auto_remove);
	wreck_clear(&args, on_cleared, op);
}

static void clear_when_over(struct op *op)
{
	struct instance *inst = op->inst;
	op->stage = OVER;
	timer_stop(&op->timer);
	if (!run_is_over(inst)) {
		run_hurry_keeper(inst);
		return;
	}
	op->stage = CLEARING;
	op->pinned = true;
	persist_stop(inst, on_quiet, op);
}

static void clear(struct op *op)
{
	copies_cancel(op->inst);
	/* A sweep holds the instance. */
	if (!op->inst->auto_remove || life_of(op->inst)->sweeping)
		clear_when_over(op);
	else
		vanish(op);
}

static void take_away(struct op *op)
{
	struct err e = ERR_INIT;
	timer_stop(&op->timer);
	if (state_apply(op->inst, EVENT_REMOVE_FORCE, &e) < 0)
		op_finish(op, &e, NULL);
	else
		clear(op);
}

static void remove_run(struct op *op)
{
	struct instance *inst = op->inst;
	struct err e = ERR_INIT;
	if (state_next(inst, op->force ? EVENT_REMOVE_FORCE : EVENT_REMOVE, &e) < 0) {
		op_finish(op, &e, NULL);
		return;
	}
	if (inst->state == INSTANCE_RESTARTING)
		give_up_restart(inst);
	if (!instance_is_running(inst)) {
		take_away(op);
		return;
	}
	op->stage = ENDING;
	inst->manually_stopped = true;
	kill_hard(op);
}

static void remove_wake(struct op *op, enum op_wake why)
{
	if (op->stage == ENDING && why == OP_WAKE_ENDED)
		take_away(op);
	else if (op->stage == OVER && why == OP_WAKE_OVER)
		clear(op);
}

static const struct op_type remove_type = { .name = "remove",
					    .run = remove_run,
					    .wake = remove_wake,
					    .no_policy = true,
					    .no_removal = true };

static void remove_queue(struct instance *inst, bool force, bool volumes, op_done_fn *done,
			 void *arg)
{
	struct op *op = op_new(inst, &remove_type, done, arg);
	if (!op)
		return;
	op->force = force;
	op->volumes = volumes;
	/* What runs before it should not take its time. */
	if (force)
		op_wake(inst, OP_WAKE_HURRY);
	op_queue(op);
}

void remove_automatically(struct instance *inst)
{
	if (!inst->isolad->stopping)
		remove_queue(inst, true, true, NULL, NULL);
}

void instance_remove(struct instance *inst, bool force, bool volumes, op_done_fn *done, void *arg)
{
	remove_queue(inst, force, volumes, done, arg);
}

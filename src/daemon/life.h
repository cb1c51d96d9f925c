/* SPDX-License-Identifier: Apache-2.0 */
/* life - what an instance goes through, file by file:
 *
 *   add.c     instance_create(): checked, named, on disk, in the registry
 *   start.c   a keeper is spawned and told to start
 *   run.c     one run: the keeper's events, the payload's end, the keeper's end
 *   stop.c    stop, kill, restart
 *   pause.c   pause, unpause
 *   health.c  health checks, while it runs
 *   change.c  rename, update, resize
 *   vm.c      what only VMs do
 *   volume_use.c  its volumes: made, filled
 *   volume_users.c  let go
 *   remove.c  remove; wreck.c clears away what is left
 *   recover.c all of it again when isolad starts
 *
 * A "run" lasts from the spawn of a keeper to the keeper's end; the payload's
 * life lies within. Loop thread. */
#pragma once

#include "child.h"
#include "endpoint.h"
#include "link.h"
#include "op.h"
#include "state.h"

#define LIFE_MACS_MAX 8

struct life {
	struct list asides;           /* struct op: beside those in inst->ops */
	struct child *keeper;         /* NULL between runs */
	int run_dir_fd;               /* -1 between runs */
	bool ended;                   /* this run's end has been recorded */
	bool reported;                /* the keeper has told of it, or of its failure */
	bool sweeping;                /* a job removes what a dead keeper left */
	bool adopting;                /* recover.c waits for this keeper's hello */
	enum instance_state recorded; /* the record's, until then */
	pid_t init_pid;               /* of hello: what waits for its start; 0 = none */
	struct bindings bindings;     /* this run's published ports */
	char *fail_text;              /* why the creation failed, from the keeper's exit event */
	struct health *health;        /* health.c; NULL without a check */
	struct timer *back_off;
	struct timer *grace; /* the keeper ought to have ended by itself */
	unsigned int next_stream;
	struct save *save; /* persist.c */
	bool persist_stopped;
	struct known *known;            /* resolver.c, while it runs in networks with names */
	uint8_t macs[LIFE_MACS_MAX][6]; /* connect.c: of devices without a network in a plain VM */
	size_t n_macs;
	bool volumes_ready; /* volume_use.c has seen to them since isolad began */
};

static inline struct life *life_of(const struct instance *inst)
{
	return inst->priv;
}

/* Frees what hangs on the instance; keeper and payload live on. */
void life_fini(struct instance *inst);

/* ---- start.c ---- */

/* Begins a run on behalf of @op, which is finished when the payload runs or did
 * not start. @event: EVENT_START or EVENT_START_AGAIN. */
void start_begin(struct op *op, enum instance_event event);
/* What the op that began it does when it is woken. */
void start_wake(struct op *op, enum op_wake why);
/* The restart policy's own start. */
void start_again(struct instance *inst);

/* ---- run.c ---- */

extern const struct link_handler run_link_handler;

/* The callback of the keeper's struct child; @arg: the instance. */
void run_on_keeper_exit(void *arg, int status);

/* No keeper at work, nothing being swept: a new run may begin. */
bool run_is_over(const struct instance *inst);

/* Records the payload's end (KEEPER_EXIT), once a run, and decides what is next. */
void run_ended(struct instance *inst, json_object *exit);
/* The same when nobody could report it. */
void run_ended_unknown(struct instance *inst, const char *why);

/* No keeper to ask: kills what is left in the cgroup, in the thread pool, and then
 * records the end as unknown, with @why, unless it is recorded already. */
void run_sweep(struct instance *inst, const char *why);

/* The start failed with @err: records @exit_code (0 = by errno) and text, goes back
 * or to the policy. @err becomes what the requester is told. */
void run_start_failed(struct instance *inst, int exit_code, struct err *err);

/* Waits for the pause and starts again. */
void run_back_off(struct instance *inst);

/* Gives a keeper whose payload has ended its time to clean up, then kills it. */
void run_hurry_keeper(struct instance *inst);

/* @done when the run of @inst, whose payload has ended, is over: beside whatever else waits
 * for that, say a start. */
void run_wait_over(struct instance *inst, op_done_fn *done, void *arg);

void set_text(char **at, const char *text);

/* ---- add.c ---- */

/* As instance_create(), of a container that the next isolad removes. */
void instance_create_building(struct isolad *d, json_object *body, op_done_fn *done, void *arg);

/* ---- stop.c ---- */

/* SIGKILL for the payload, and for the keeper when that does not help in time: the
 * op is woken with OP_WAKE_ENDED in any case. Uses op->timer. */
void kill_hard(struct op *op);
/* Sends the signal to the payload; @all: to every process of the instance. */
void send_signal(struct instance *inst, int signo, bool all);
/* Stops waiting for the next start: RESTARTING -> EXITED. */
void give_up_restart(struct instance *inst);

/* ---- change.c, vm.c ---- */

/* Answers an update when it is on the disk. */
void change_save_and_finish(struct op *op);
/* The update of a VM; op->body: the VmUpdate. */
void vm_update_run(struct op *op);

/* ---- remove.c ---- */

/* --rm: from the payload's end, or a failed start. */
void remove_automatically(struct instance *inst);

/* ---- wreck.c ---- */

/* A state folder with this before its id is being removed. */
#define WRECK_PREFIX ".removing-"

struct wreck_args {
	struct isolad *isolad;
	const char *id;
	/* Taken; may be NULL. The keeper is done when it closes the link, or dies. */
	struct child *keeper;
	struct link *link;
	uint32_t userns_base; /* given back at the end; 0 = none */
	bool kill_cgroup;     /* nobody may have removed it */
};

/* Removes run folder, state folder and, if asked for or if the keeper does not
 * end well, the cgroup of an instance, in the thread pool. @done (may be NULL)
 * with the first error; a failure nobody asked about is logged. */
void wreck_clear(const struct wreck_args *args, void (*done)(void *arg, const struct err *err),
		 void *arg);
/* At the end of isolad: no longer waits for keepers. Jobs under way go on. */
void wrecks_drop(struct isolad *d);

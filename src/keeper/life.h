/* SPDX-License-Identifier: Apache-2.0 */
/* life - one payload's life under its keeper, from keeper.json to exit.json.
 *
 *             create ok              start ok
 *   (begin) -----------> CREATED ----------------> RUNNING <--> PAUSED
 *      |                   |  | start failed          | init ended
 *      | create failed     |  | init died             v
 *      +-------------------+--+-------------------> EXITED --> cleaned up, gone
 *                            no start in time
 *
 * The order at the end matters to others (isola/keeper.h):
 *   1. rest of the output read, log closed    a log reader that sees exit.json
 *   2. exit.json                              finds the log complete
 *   3. "exit" to every connection
 *   4. attached streams end                   a client that sees the end of its
 *   5. cgroup removed, poststop hooks         stream finds the exit code known
 *   6. keeper.sock and connections closed     isolad may use the names again
 *   7. what slow clients have not read yet is still delivered, then exit */
#pragma once

#include "isola/ctr.h"
#include "isola/err.h"

#include "exitrec.h"
#include "jlog.h"
#include "keepspec.h"
#include "loop.h"
#include "oom.h"
#include "payio.h"
#include "payload.h"

#include <json-c/json.h>
#include <stdbool.h>

enum state { STATE_CREATED, STATE_RUNNING, STATE_PAUSED, STATE_EXITED };

const char *state_name(enum state state);

/* Whom a later answer is for: a connection, by a number that is never used again. */
struct asker {
	uint64_t conn;
	int64_t seq;
};

struct guest;
struct vm;

struct keeper {
	struct loop loop;
	int run_dir_fd;
	const char *run_dir;
	struct keepspec spec;
	const struct payload_type *payload;
	struct ctr_spec *ctr_spec; /* NULL while nobody needs it: keeper_need_spec() */
	struct timer spec_timer;
	int cache_fd;        /* compiled seccomp filters, or -1 */
	struct ctr *ctr;     /* of a container, and the holder of a guest's root */
	struct vm *vm;       /* of a VM */
	struct guest *guest; /* of a container in a VM */
	struct source init;  /* the payload's first process: its pidfd */
	const char *cgroup;  /* the payload's; borrowed from it */
	struct payio io;
	struct jlog *log;
	struct oom oom;
	enum state state;
	struct exitrec rec;
	struct err failure;        /* why there is no payload; .code 0 = there is, or was */
	bool ending;               /* start_timer is for the end */
	struct timer start_timer;  /* for a start that never comes */
	struct timer linger_timer; /* for clients that never read */
	size_t linger_bytes;       /* waited for them when it was started */
	struct list execs;         /* exec.c */
	struct source listener;    /* keeper.sock; control.c */
	struct timer listen_timer; /* accepting goes on */
	struct list conns;
	uint64_t next_conn;
	struct asker asker; /* of the request at hand */
	uint64_t holder;    /* the connection that has it frozen; 0 = none */
	unsigned int thaws; /* under way, of a VM whose holders have gone */
};

/* Runs one container to its end; @run_dir as in isola/keeper.h, @control_fd
 * taken. Returns the exit status of the process: 0, also when the container
 * failed (exit.json tells), 1 when not even that could be written. */
int keeper_run(const char *run_dir, int control_fd);

/* ---- for ops.c, exec.c and control.c ---- */

/* Lets the payload begin. -EINPROGRESS: it takes a while, as payload.h says. */
int keeper_start(struct keeper *k, struct err *err);
void keeper_started(struct keeper *k);
/* @exit_code 0: by @err. Whoever asked is answered by the caller, and then
 * keeper_fail_answered() called. */
void keeper_start_failed(struct keeper *k, const struct err *err, int exit_code);

/* Watches k->init for the payload's end: at the creation, and for a new process that
 * goes on in the old one's place. 0 or -errno. */
int keeper_watch_init(struct keeper *k);

/* The payload has ended, and k->rec says how: the end of it all. Only from the loop;
 * with a caller on the stack keeper_end_soon(). */
void keeper_finish(struct keeper *k);
void keeper_end_soon(struct keeper *k);

/* Has k->ctr_spec at hand. It is the largest thing in a keeper (100 KiB with a
 * seccomp profile), and used by few: it goes when it was not needed for a while
 * and is read again from config.json, which takes 0.1 ms. */
int keeper_need_spec(struct keeper *k, struct err *err);

/* The start was refused for k->failure, and that has been answered: the end. */
void keeper_fail_answered(struct keeper *k);

/* A connection came or went. */
void keeper_conns_changed(struct keeper *k);

/* A stream of any payload is gone. */
void keeper_stream_ended(struct keeper *k, const char *stream_id, const char *why);

/* SPDX-License-Identifier: Apache-2.0 */
/* exec - further processes in a running instance, as Docker's exec objects. They
 * live in memory; a later isolad learns the running ones from the keeper's hello.
 * Five minutes after its end an exec is forgotten. The API's side is in
 * include/isola/daemon.h. Loop thread. */
#pragma once

#include "isola/daemon.h"

/* The keeper says that one has ended. */
void exec_ended(struct instance *inst, const char *id, int exit_code, const char *error);
/* The run is over: @list is KEEPER_EXIT's "execs" (may be NULL). */
void execs_ended(struct instance *inst, json_object *list);
/* "execs" of an adopted keeper's hello. */
void execs_adopt(struct instance *inst, json_object *list);
/* One of isolad's own, forgotten when it has ended: the keeper kills it should isolad die.
 * @body as for exec_create(); @fd (taken): the socket for what it prints, as it comes.
 * @ended is called once, unless exec_let_go() comes before; @error: why it could not
 * start, or NULL. */
typedef void exec_end_fn(void *arg, int exit_code, const char *error);
int exec_run(struct instance *inst, json_object *body, int fd, exec_end_fn *ended, void *arg,
	     struct exec **ret, struct err *err);
/* SIGKILL; it has not ended yet. */
void exec_kill(struct exec *exec);
/* Kills it, and nobody wants to know. */
void exec_let_go(struct exec *exec);

/* Forgets all of the instance. */
void execs_free(struct instance *inst);

/* Array of the ids of those that run, for inspect; owned. */
json_object *exec_ids(struct instance *inst);

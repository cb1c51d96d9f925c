/* SPDX-License-Identifier: Apache-2.0 */
/* cancel - SIGTERM, SIGINT and SIGHUP ask a job to stop and clean up; whoever
 * loops over input or waits for a lock asks whether they came. */
#pragma once

#include <stdbool.h>
#include <sys/types.h>

/* Who waits for a client looks this often whether they came. */
#define CANCEL_LOOK_MS 1000

/* System calls are interrupted by them (no SA_RESTART). SIGPIPE is ignored. */
void cancel_catch_signals(void);
bool cancel_requested(void);

/* In a process that works for a job: cancel_children() of that counts, too. */
void cancel_be_child(void);
/* What the processes of this job do is in vain: they stop, it goes on. */
void cancel_children(void);

/* The end of process @parent, which must be our parent, is such a request, too. Again
 * after a change of user or user namespace, which undoes it. -ESRCH: it has ended. */
int cancel_with_parent(pid_t parent);

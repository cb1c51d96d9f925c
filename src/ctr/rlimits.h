/* SPDX-License-Identifier: Apache-2.0 */
/* rlimits - limits, scheduling, oom score of a process (config.md "POSIX
 * process", "Linux Process"). */
#pragma once

#include "spec.h"

/* Parent's part, before the ids of @pid are those of a user namespace: raises
 * hard limits where the spec wants more than there is (CAP_SYS_RESOURCE), and
 * sets oom_score_adj. @pid 0 = the caller. */
int limits_raise(pid_t pid, const struct ctr_process *p, struct err *err);

/* The exact rlimits, for the caller; lowering needs no rights. */
int limits_apply(const struct ctr_process *p, struct err *err);

/* Scheduler class, I/O priority. For the caller. */
int limits_schedule(const struct ctr_process *p, struct err *err);

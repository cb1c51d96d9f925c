/* SPDX-License-Identifier: Apache-2.0 */
/* rlimits - see rlimits.h. */
#include "rlimits.h"

#include "isola/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#define IOPRIO_WHO_PROCESS 1

/* sched_setattr(2), version 0 of the structure; glibc 2.36 has no wrapper. */
struct sched_attr_v0 {
	uint32_t size, policy;
	uint64_t flags;
	int32_t nice;
	uint32_t priority;
	uint64_t runtime, deadline, period;
};

static int raise_one(pid_t pid, const struct ctr_rlimit *want, struct err *err)
{
	struct rlimit have, more;
	if (prlimit(pid, (__rlimit_resource_t)want->resource, NULL, &have) < 0)
		return err_sys(err, "process.rlimits: cannot read %s", want->name);
	if (have.rlim_max >= want->hard)
		return 0;
	more = (struct rlimit){ .rlim_cur = have.rlim_cur, .rlim_max = want->hard };
	if (prlimit(pid, (__rlimit_resource_t)want->resource, &more, NULL) < 0)
		return err_sys(err,
			       "process.rlimits: cannot raise %s to %llu above our own hard limit "
			       "of %llu (CAP_SYS_RESOURCE is missing)",
			       want->name, (unsigned long long)want->hard,
			       (unsigned long long)have.rlim_max);
	return 0;
}

static int write_oom_score(pid_t pid, int score, struct err *err)
{
	char path[64], text[16];
	if (pid)
		(void)snprintf(path, sizeof(path), "/proc/%d/oom_score_adj", pid);
	else
		(void)snprintf(path, sizeof(path), "/proc/self/oom_score_adj");
	(void)snprintf(text, sizeof(text), "%d", score);
	int rc = fd_write_file(AT_FDCWD, path, text);
	return rc < 0 ? err_rc(err, rc, "cannot set process.oomScoreAdj to %d", score) : 0;
}

int limits_raise(pid_t pid, const struct ctr_process *p, struct err *err)
{
	int rc = 0;
	for (size_t i = 0; rc == 0 && i < p->n_rlimits; i++)
		rc = raise_one(pid, &p->rlimits[i], err);
	if (rc == 0 && p->oom_score_adj_set)
		rc = write_oom_score(pid, p->oom_score_adj, err);
	return rc;
}

int limits_apply(const struct ctr_process *p, struct err *err)
{
	for (size_t i = 0; i < p->n_rlimits; i++) {
		const struct ctr_rlimit *r = &p->rlimits[i];
		const struct rlimit limit = { .rlim_cur = r->soft, .rlim_max = r->hard };
		if (setrlimit((__rlimit_resource_t)r->resource, &limit) < 0)
			return err_sys(err, "process.rlimits: cannot set %s", r->name);
	}
	return 0;
}

int limits_schedule(const struct ctr_process *p, struct err *err)
{
	const struct ctr_scheduler *s = &p->scheduler;
	struct sched_attr_v0 attr = {
		.size = sizeof(attr),
		.policy = s->policy,
		.flags = s->flags,
		.nice = s->nice,
		.priority = s->priority,
		.runtime = s->runtime_ns,
		.deadline = s->deadline_ns,
		.period = s->period_ns,
	};
	if (s->set && syscall(SYS_sched_setattr, 0, &attr, 0) < 0)
		return err_sys(err, "cannot set process.scheduler");
	if (p->ioprio >= 0 && syscall(SYS_ioprio_set, IOPRIO_WHO_PROCESS, 0, p->ioprio) < 0)
		return err_sys(err, "cannot set process.ioPriority");
	return 0;
}

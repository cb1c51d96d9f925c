/* SPDX-License-Identifier: Apache-2.0 */
/* netjob - see netjob.h. isolad. */
#include "netjob.h"

#include "isolad.h"

static void next(struct isolad *d);

static void run_job(uv_work_t *work)
{
	struct netjob *job = container_of(work, struct netjob, work);
	(void)job->run(job, job->isolad->networks.net);
}

static void after_job(uv_work_t *work, int status)
{
	struct netjob *job = container_of(work, struct netjob, work);
	struct isolad *d = job->isolad;
	(void)status;
	d->networks.job = NULL;
	next(d);
	job->done(job);
}

static void next(struct isolad *d)
{
	struct networks *all = &d->networks;
	if (all->job || list_is_empty(&all->jobs))
		return;
	all->job = container_of(all->jobs.next, struct netjob, node);
	list_del(&all->job->node);
	(void)uv_queue_work(&d->loop, &all->job->work, run_job, after_job);
}

void netjob_queue(struct isolad *d, struct netjob *job)
{
	job->isolad = d;
	list_add_tail(&d->networks.jobs, &job->node);
	next(d);
}

void netjob_begin(struct isolad *d, struct netjob *job,
		  int (*run)(struct netjob *job, struct net *n), void (*done)(struct netjob *job))
{
	job->run = run;
	job->done = done;
	netjob_queue(d, job);
}

/* SPDX-License-Identifier: Apache-2.0 */
/* netjob - what is done to the host's network, in the thread pool, one job after the
 * other: so a bridge that is about to go is gone before the next start makes it anew,
 * and `struct net` belongs to whichever job runs. */
#pragma once

#include "isola/list.h"
#include "isola/net.h"

#include <uv.h>

struct isolad;

struct netjob {
	struct list node;
	uv_work_t work;
	struct isolad *isolad;
	int (*run)(struct netjob *job, struct net *n); /* pool; copies only; text to job->err */
	void (*done)(struct netjob *job);              /* loop thread; frees what @job is in */
	struct err err;
};

void netjob_queue(struct isolad *d, struct netjob *job);
/* The same, with its two functions. */
void netjob_begin(struct isolad *d, struct netjob *job,
		  int (*run)(struct netjob *job, struct net *n), void (*done)(struct netjob *job));

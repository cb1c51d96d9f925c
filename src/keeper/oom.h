/* SPDX-License-Identifier: Apache-2.0 */
/* oom - tells when the kernel killed a process of the cgroup for want of memory
 * (cgroup-v2.rst, memory.events). Without the memory controller it never does. */
#pragma once

#include "loop.h"

#include <stdint.h>

struct oom {
	struct loop *loop;
	struct source src; /* memory.events, polled for EPOLLPRI; fd -1 = none */
	int cgroup_fd;
	uint64_t kills;
	void (*on_kill)(struct oom *oom);
};

/* @cgroup: below the cgroup2 mount, NULL = none. @on_kill is called once for
 * each change of the count. Never fails: what cannot be watched is not told. */
void oom_init(struct oom *oom, struct loop *loop, const char *cgroup,
	      void (*on_kill)(struct oom *oom));

/* Reads the count once more (the event may still be on its way when init's end
 * is seen); returns the kills so far. */
uint64_t oom_check(struct oom *oom);
void oom_fini(struct oom *oom);

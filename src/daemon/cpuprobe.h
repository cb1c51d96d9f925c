/* SPDX-License-Identifier: Apache-2.0 */
/* cpuprobe - what this host's KVM lists but cannot do, found out once by
 * `isola-vmm --probe` and told to each worker (cpus.broken of isola/vmm.h), which
 * otherwise tries for itself at each start. isolad, loop thread.
 *
 * It runs behind the first start of a VM, so that neither that start nor a host of
 * containers pays for it, and again when KVM was loaded anew or the microcode changed. */
#pragma once

#include "child.h"

#include <json-c/json.h>

struct timer;

struct cpuprobe {
	struct child *child; /* NULL while none runs */
	struct timer *limit;
	int out_fd;          /* what it printed */
	char tried[160];     /* the host it was tried on, "" = none: see identity() */
	json_object *broken; /* of that host; NULL = not known */
};

void cpuprobe_init(struct cpuprobe *p);
/* Kills what runs. */
void cpuprobe_fini(struct cpuprobe *p);

/* Begins, unless it runs or was tried on this host. Returns at once; a failure is
 * logged. */
void cpuprobe_start(struct isolad *d);
/* Names for cpus.broken, borrowed; NULL when they are not known. */
json_object *cpuprobe_broken(struct isolad *d);

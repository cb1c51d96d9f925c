/* SPDX-License-Identifier: Apache-2.0 */
/* place - where in the cgroup tree the instances live.
 *
 *   --cgroup X                 /X/<id>
 *   systemd 254 or later       isolad begins in <unit>/daemon (Delegate=yes,
 *                              DelegateSubgroup=daemon): <unit>/ctr/<id>
 *   else                       /isola/<id>
 *
 * isolad and its keepers stay where isolad was started. Not below the unit with an
 * older systemd: that starts a service in the unit's own cgroup, which the kernel
 * refuses while children have controllers (no internal processes), so isolad could
 * not be restarted under running containers. */
#pragma once

#include "isola/err.h"

#include <stdbool.h>

struct place {
	char *parent;      /* "/isola": the instances' parent, owned */
	char *controllers; /* usable by instances, space-separated; "" without any */
};

/* @want: the configured parent or "". */
int place_init(struct place *place, const char *want, struct err *err);
void place_fini(struct place *place);

/* Whether @name is one of @controllers, which are as in struct place. */
bool place_has(const char *controllers, const char *name);

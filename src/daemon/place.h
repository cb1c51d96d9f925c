/* SPDX-License-Identifier: Apache-2.0 */
/* place - where in the cgroup tree the instances live.
 *
 *   --cgroup X              instances in /X/<id>; isolad stays where it is
 *   systemd's Delegate=yes  isolad and keepers in <own>/daemon, instances in
 *                           <own>/ctr/<id> (no cgroup with controllers enabled
 *                           for its children may hold processes)
 *   else                    /isola/<id> */
#pragma once

#include "isola/err.h"

struct place {
	char *parent;      /* "/isola": the instances' parent, owned */
	char *controllers; /* usable by instances, space-separated; "" without any */
};

/* @want: the configured parent or "". Moves isolad when delegated. */
int place_init(struct place *place, const char *want, struct err *err);
void place_fini(struct place *place);

/* SPDX-License-Identifier: Apache-2.0 */
/* plan_devices - the nodes that the container's /dev gets: the default ones and
 * linux.devices (config-linux.md "Devices", "Default Devices"). */
#pragma once

#include "plan.h"

/* Makes plan->devices, unless /dev is a bind of the host's. */
int plan_devices(struct ctr_plan *plan, struct err *err);

/* With a user namespace: opens or makes each node as a tree to be bound. */
int plan_open_devices(struct ctr_plan *plan, struct err *err);

void plan_devices_fini(struct ctr_plan *plan);

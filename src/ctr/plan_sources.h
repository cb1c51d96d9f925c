/* SPDX-License-Identifier: Apache-2.0 */
/* plan_sources - the mounts and device nodes of the host that the container gets. */
#pragma once

#include "plan.h"

/* Refuses what only the host, or the whole plan, can tell to be impossible. */
int plan_check(struct ctr_plan *plan, struct err *err);

/* Makes the tables and fills them, unless that is init's part. */
int plan_sources(struct ctr_plan *plan, struct err *err);

void plan_sources_fini(struct ctr_plan *plan);

/* Gives a bind's @tree the attributes and propagation that @m asks for. */
int plan_mount_attributes(int tree, const struct ctr_mount *m, bool userns, struct err *err);

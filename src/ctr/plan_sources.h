/* SPDX-License-Identifier: Apache-2.0 */
/* plan_sources - the mounts and device nodes of the host that the container gets. */
#pragma once

#include "plan.h"

/* Refuses what only the host, or the whole plan, can tell to be impossible. */
int plan_check(struct ctr_plan *plan, struct err *err);

/* Makes the tables and fills them, unless that is init's part. */
int plan_sources(struct ctr_plan *plan, struct err *err);

void plan_sources_fini(struct ctr_plan *plan);

/* Opens the source of the bind @m, relative to @base, as a tree with its attributes. */
int plan_open_bind(bool userns, int base, const struct ctr_mount *m, struct plan_mount *ret,
		   struct err *err);
/* Idmaps @tree as @m asks: with maps of its own, or those of @userns_fd. */
int plan_idmap_bind(const struct ctr_mount *m, int tree, int userns_fd, struct err *err);

/* Gives a bind's @tree the attributes and propagation that @m asks for. */
int plan_mount_attributes(int tree, const struct ctr_mount *m, bool userns, struct err *err);

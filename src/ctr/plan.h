/* SPDX-License-Identifier: Apache-2.0 */
/* plan - all that is opened and compiled on the host before init is cloned.
 *
 * Made by the parent (isola-keeper, isola-oci); the cloned init reads its copy.
 * Whatever names a thing of the host (a bind's source, a device, a namespace, a
 * layer) is a descriptor here, so that init resolves names in the container only. */
#pragma once

#include "spec.h"

#include "isola/seccomp.h"

#include <stdbool.h>

/* Source of spec->mounts[i]. */
struct plan_mount {
	int tree;    /* a bind's detached clone, -1: init makes the file system */
	bool is_dir; /* what the target has to be */
};

/* A node for /dev: the defaults, then spec->devices. */
struct plan_device {
	const struct ctr_device *device;
	int tree; /* in a user namespace: a node to be bound; else -1 */
};

struct ctr_plan {
	const struct ctr_create_args *args;
	const struct ctr_spec *spec;
	const struct ctr_process *process; /* may be NULL: create only, start fails */
	bool userns;                       /* new or joined */
	bool sources_inside; /* we may not clone mounts here: init does, in its namespace */

	char *cgroup; /* NULL = none */
	int cgroup_fd;
	bool has_seccomp;
	struct seccomp_filter seccomp;
	int null_fd;              /* the host's /dev/null, for stdio without a descriptor */
	int ns_fds[CTR_NS_COUNT]; /* to join; -1 */
	int root_dir;             /* O_PATH of spec.root.path; -1 with layers */
	int root_tree;            /* its clone, or the overlay; -1 until it is made */
	bool make_devices;        /* /dev is ours to fill: it is no bind of the host's */
	struct plan_mount *mounts;
	struct plan_device *devices;
	size_t n_devices;
	/* Number of the stage that init is in; shared memory, one byte. */
	volatile unsigned char *progress;
	int parent_sock, child_sock;
};

void plan_init(struct ctr_plan *plan, const struct ctr_create_args *args);

/* Opens and compiles; no side effect but the cgroup. On failure plan_undo() and
 * plan_fini() are still to be called. */
int plan_prepare(struct ctr_plan *plan, struct err *err);

/* The part that clones mounts: from plan_prepare(), or from init when
 * plan->sources_inside. */
int plan_open_sources(struct ctr_plan *plan, struct err *err);

/* Removes the cgroup again. */
void plan_undo(struct ctr_plan *plan);

/* Closes and frees. */
void plan_fini(struct ctr_plan *plan);

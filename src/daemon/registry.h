/* SPDX-License-Identifier: Apache-2.0 */
/* registry - all instances by id, prefix and name. Look-ups for the API are in
 * include/isola/daemon.h. Loop thread. */
#pragma once

#include "isola/daemon.h"

struct registry {
	struct list instances; /* struct instance.node, oldest first; owned */
	unsigned int n;
};

void registry_init(struct registry *registry);

/* An instance with a fresh id and everything else empty; not registered.
 * NULL with ENOMEM. instance_free() undoes it, and gives back userns_base. */
struct instance *instance_new(struct isolad *d, struct err *err);
void instance_free(struct instance *inst);

/* Sets restart_mode, restart_max and auto_remove from inst->host_config. */
int instance_apply_host_config(struct instance *inst, struct err *err);

/* -EEXIST in Docker's words when the name is taken. @name without a slash. */
int registry_name_check(struct isolad *d, const char *name, struct err *err);

/* Takes ownership; inst->name must be set and free. */
int registry_add(struct isolad *d, struct instance *inst, struct err *err);
/* The caller owns it again. */
void registry_remove(struct instance *inst);
/* -EEXIST, -EINVAL (grammar, the same name). */
int registry_rename(struct instance *inst, const char *name, struct err *err);
/* Sets inst->name, which is NULL, to a free made-up one. */
int registry_make_name(struct instance *inst, struct err *err);
struct instance *registry_by_id(struct isolad *d, const char *id); /* full id or NULL */

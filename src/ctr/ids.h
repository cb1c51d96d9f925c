/* SPDX-License-Identifier: Apache-2.0 */
/* ids - user namespaces and their id maps (user_namespaces(7)). Parent's side. */
#pragma once

#include "spec.h"

/* Writes uid_map and gid_map of @pid, the first process of a new user namespace.
 * Without CAP_SETUID one line that maps our own id is all the kernel allows;
 * more goes through newuidmap(1) and newgidmap(1). */
int ids_write_maps(pid_t pid, const struct ctr_idmaps *uids, const struct ctr_idmaps *gids,
		   struct err *err);

/* A user namespace with these maps and nobody in it, for an idmapped mount.
 * Returns the owned fd. */
int ids_make_userns(const struct ctr_idmaps *uids, const struct ctr_idmaps *gids, struct err *err);

/* The user namespace of @pid; owned fd. */
int ids_open_userns(pid_t pid, struct err *err);

/* The host's ids of the container's root in the user namespace of @pid. -ENOENT
 * when it maps none. */
int ids_root_of(pid_t pid, uid_t *ret_uid, gid_t *ret_gid, struct err *err);

/* Gives the pipes and sockets of ours among @stdio (-1 = none) to the container's root: who
 * is not mapped in its user namespace owns what nobody there may open by name (/dev/stdout)
 * nor give to its user (stage_exec.c). @pid is in it. What fails is left as it is. */
void ids_give_stdio(pid_t pid, const int stdio[3]);

/* Whether @id of the container is mapped. */
bool ids_has(const struct ctr_idmaps *maps, uint32_t id);

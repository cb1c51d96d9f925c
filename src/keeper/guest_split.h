/* SPDX-License-Identifier: Apache-2.0 */
/* guest_split - config.json of a container that runs in a guest, taken apart: what the host
 * does (the root, with all that lies on the host), and what the guest does. Pure.
 *
 *   on the host    overlay, ids, binds (volumes, secrets, hosts files), tmpfs as places
 *   in the guest   proc, sysfs, /dev, tmpfs, mqueue, cgroup; process, capabilities, seccomp,
 *                  sysctls, limits of processes, masked paths, host name
 *
 * Neither side hears of the other's part. */
#pragma once

#include "isola/err.h"

#include <json-c/json.h>
#include <stdbool.h>
#include <stddef.h>

#define GUEST_SPLIT_SERVED "served" /* in the run folder: root.path of an empty root */
#define GUEST_SPLIT_PLACE  32

/* Whether an item of "mounts" is a bind; whether something of the host may be mounted at
 * @destination: not where the guest has file systems of its own (-EOPNOTSUPP). */
bool guest_split_is_bind(json_object *mount);
int guest_split_may_bind(const char *destination, struct err *err);

/* The config.json of the container that holds the root, owned. Its init never executes
 * anything; that its program exists is looked at all the same, as for any container, so
 * that the error is the same. @resources: OCI linux.resources of its cgroup, in which the
 * VM is; borrowed, may be NULL.
 *
 * With @layer, a folder that has "upper" and "work", the guest puts the root together
 * itself. What is served to it is then no root, but an empty folder that has
 *   layer      @layer
 *   mounts/N   the bind of mounts[N]; the guest finds it a place
 */
int guest_split_host(json_object *config, json_object *resources, const char *layer,
		     json_object **ret, struct err *err);

/* The place of mounts[@i] in what is served, "mounts/N"; of the @i'th that came later. */
const char *guest_split_place(size_t i, char ret[GUEST_SPLIT_PLACE]);
const char *guest_split_later(size_t i, char ret[GUEST_SPLIT_PLACE]);

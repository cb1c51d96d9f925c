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

/* The config.json of the container that holds the root, owned. Its init never executes
 * anything; that its program exists is looked at all the same, as for any container, so
 * that the error is the same. @resources: OCI linux.resources of its cgroup, in which the
 * VM is; borrowed, may be NULL. */
int guest_split_host(json_object *config, json_object *resources, json_object **ret,
		     struct err *err);

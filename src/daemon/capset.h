/* SPDX-License-Identifier: Apache-2.0 */
/* capset - which capabilities a container gets, from Docker's CapAdd, CapDrop
 * and Privileged. */
#pragma once

#include "isola/err.h"

#include <json-c/json.h>
#include <stdint.h>

/* Isola's default set: Docker's 14 without MKNOD and NET_RAW.
 *
 * MKNOD: in a user namespace the kernel refuses device nodes anyway, and with
 * --userns=host nothing that runs in a container needs to make them.
 * NET_RAW: raw and packet sockets forge addresses on a shared bridge and opened
 * most of the kernel's network holes (CVE-2017-7308, CVE-2020-14386); ping works
 * without it, as the bundle opens net.ipv4.ping_group_range. A ping binary with
 * file capabilities (Debian 12's) needs --cap-add NET_RAW. */
uint64_t capset_default(void);

/* "net_admin", "CAP_NET_ADMIN", "ALL" -> "CAP_NET_ADMIN", "ALL" in @ret of 40
 * bytes; -EINVAL for an unknown one. */
int capset_normalise(const char *text, char ret[40], struct err *err);

/* Bit n = capability n. @host_config: normalised. */
uint64_t capset_of(json_object *host_config);

/* All that the kernel has. */
uint64_t capset_all(void);

/* ["CAP_CHOWN", ...], owned; NULL when memory is out. */
json_object *capset_names(uint64_t set);

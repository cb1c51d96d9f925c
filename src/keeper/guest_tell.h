/* SPDX-License-Identifier: Apache-2.0 */
/* guest_tell - what a guest tells of its processes and its use (GUEST_PS, GUEST_STATS of
 * isola/guest.h), as JSON for isolad. Pure. Nothing of it is believed but its form: known
 * names, numbers and texts without controls, and no more than a message holds. */
#pragma once

#include "isola/err.h"

#include <json-c/json.h>
#include <stddef.h>
#include <stdint.h>

/* {"uptime_ticks", "processes": [[pid, uid, gid, parent, terminal, CPU time, priority, nice,
 * threads, start, KiB, resident KiB, "STATE", "name", "command"], ...]}, owned: rows of one
 * order, since there may be hundreds in a message. -EPROTO names what is wrong. */
int guest_tell_ps(const uint8_t *body, size_t size, json_object **ret, struct err *err);

/* {"memory.current": number, ...}: what the guest's kernel has of it. */
int guest_tell_stats(const uint8_t *body, size_t size, json_object **ret, struct err *err);

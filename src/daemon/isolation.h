/* SPDX-License-Identifier: Apache-2.0 */
/* isolation - which wall an image runs behind: a container's, or a microVM's
 * (HostConfig.Isolation). Decided once, at the creation; the record has the answer. What a
 * flag means behind each wall is the table in isolation_rules.c, which docs/isolation.md
 * shows and a test compares. Pure, in isolad. */
#pragma once

#include "isola/err.h"

#include <json-c/json.h>
#include <stdbool.h>
#include <stddef.h>

struct config;
struct create;
struct isolation_policy;

/* Whether this HostConfig, completed, is of a container in a microVM. */
bool isolation_is_vm(json_object *host_config);

/* Puts "container" or "vm" into @host's Isolation and "ctr" or "vm" into Runtime, from what
 * was asked for, what the administrator prescribes for the image (isolation_policy.h) and
 * the daemon's default; "auto" says by a warning what it chose and why. -EPERM when less
 * was asked for than is prescribed. Before any other default. */
int isolation_choose(struct create *c, json_object *host, struct err *err);

/* Refuses what has no meaning behind the VM wall. All defaults are there. */
int isolation_agree(const struct create *c, json_object *host, struct err *err);

/* Whether a create request (@body, unchecked) may end behind the VM wall, so that it is
 * worth to know first what KVM does. */
bool isolation_may_be_vm(const struct config *config, const struct isolation_policy *policy,
			 json_object *body);

/* The first thing in @host that pierces a container's wall, as its flag; or NULL. */
const char *isolation_pierced(json_object *host);
/* Whether it is one of the capabilities that do: "CAP_SYS_ADMIN". */
bool isolation_is_piercing(const char *capability);

struct instance;
/* Refuses that a container with @host joins a namespace of @donor (@field: NetworkMode,
 * PidMode) across a wall: what is in a guest belongs to its kernel. */
int isolation_agree_to_join(json_object *host, const char *field, const struct instance *donor,
			    struct err *err);

/* ---- isolation_rules.c ---- */

enum wall_verdict { WALL_SAME, WALL_DIFFERS, WALL_REFUSED };

struct wall_row {
	const char *flag;  /* as people type it */
	const char *field; /* of HostConfig or Config, without the prefix */
	const char *value; /* of a string, or, with a ':' at its end, how that begins; NULL:
			    * anything that says something */
	enum wall_verdict verdict;
	const char *text; /* how it differs, or why it is refused */
};

extern const struct wall_row wall_rows[];
extern const size_t wall_rows_n;

/* SPDX-License-Identifier: Apache-2.0 */
/* machine - the machine file (isola/vmm.h) as a checked, immutable object.
 *
 * All ranges are checked here and in the check() of each device type, before
 * anything is made; nowhere else. Errors name the field ("cpus.count: 0 is less
 * than 1"). isola-vmm, and isolad for what a user asks for. */
#pragma once

#include "isola/err.h"

#include "memory.h"

#include <json-c/json.h>
#include <stdbool.h>

#define MACHINE_CPUS_MAX 255

/* Where something is read from: a descriptor we were given, or by hand a path. */
struct source {
	const char *path; /* NULL when fd >= 0 */
	int fd;           /* -1: path */
};

struct machine {
	json_object *doc; /* owned; strings and devices' parts point into it */
	const char *id;
	struct source kvm;
	unsigned int cpus, threads_per_core, cores_per_socket;
	json_object *cpu_template; /* string or object, or NULL: host */
	json_object *affinity;     /* array or NULL */
	struct memory_args memory;
	struct source kernel, initrd; /* initrd: neither = none */
	const char *cmdline;
	const char *seccomp; /* "kill", "log", "off" */
	const char *vmgenid; /* or NULL */
	bool debug_exit;
	bool jail; /* uid and gid were given */
	uint32_t uid, gid;
};

/* @doc: taken, also on failure. @paths: {"path"} is allowed (by hand). */
int machine_parse(json_object *doc, bool paths, struct machine *ret, struct err *err);
void machine_fini(struct machine *machine);

/* The part of the machine file that belongs to @key, borrowed; NULL when absent. */
json_object *machine_part(const struct machine *machine, const char *key);

/* Member @key of @o as a SOURCE. 1 when present, 0 when absent, -EINVAL. */
int source_get(json_object *o, const char *key, struct source *ret, struct err *err);
/* Opens a path, or duplicates nothing and takes the descriptor. Owned by the
 * caller. @flags as for open(2). */
int source_open(const struct source *source, int flags, struct err *err);

/* Refuses members of @o that are not in @known (ends with NULL), naming them. */
int machine_only(json_object *o, const char *const *known, const char *what, struct err *err);

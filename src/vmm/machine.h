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

#define MACHINE_CPUS_MAX      255
#define MACHINE_FDS_MAX       1024 /* highest descriptor that a SOURCE may name, + 1 */
#define MACHINE_HOST_CPUS_MAX 1024
#define MACHINE_CMDLINE_MAX   2047 /* what x86 Linux takes */

/* Where something is read from: a descriptor we were given, or by hand a path. */
struct source {
	const char *path; /* NULL when fd >= 0 */
	int fd;           /* -1: path */
};

struct device_type;

struct machine {
	json_object *doc; /* owned; strings and devices' parts point into it */
	const char *id;
	struct source kvm;
	unsigned int cpus, threads_per_core, cores_per_socket;
	json_object *cpu_template;  /* string or object, or NULL: host */
	json_object *cpu_broken;    /* names of probe cases, or NULL: not probed */
	const char *cpu_broken_kvm; /* the KVM of which it is, or NULL: any (cpu_broken.h) */
	json_object *affinity;      /* array of arrays of host CPUs, or NULL */
	struct memory_args memory;
	struct source kernel, initrd; /* initrd: neither = none */
	const char *cmdline;
	const char *seccomp; /* "kill", "log", "off" */
	const char *vmgenid; /* or NULL */
	bool debug_exit;
	bool jail; /* uid and gid were given */
	uint32_t uid, gid;
	bool fds[MACHINE_FDS_MAX]; /* named by some SOURCE */
};

/* @doc: taken, also on failure. @paths: {"path"} is allowed (by hand). */
int machine_parse(json_object *doc, bool paths, struct machine *ret, struct err *err);
void machine_fini(struct machine *machine);

/* The part of the machine file that belongs to @key, borrowed; NULL when absent. */
json_object *machine_part(const struct machine *machine, const char *key);
/* Whether a device of a kind is to be made: it is there, or by default, and not "false". */
bool machine_wants(const struct machine *machine, const struct device_type *type);

/* Member @key of @o as a SOURCE. 1 when present, 0 when absent, -EINVAL. A path stays
 * borrowed from @o. That paths are allowed at all, and that no descriptor is named
 * twice, machine_parse() has seen to. */
int source_get(json_object *o, const char *key, struct source *ret, struct err *err);
/* The same for a value, e.g. an item of an array; @what names it in errors. */
int source_read(json_object *value, const char *what, struct source *ret, struct err *err);
/* Opens a path, or duplicates nothing and takes the descriptor (close-on-exec then;
 * -EBADF when it is not open). Owned by the caller. @flags as for open(2). */
int source_open(const struct source *source, int flags, struct err *err);

/* Refuses what is no object, and members that are not in @known (ends with NULL),
 * naming them. @what: "cpus", put in front; "" for none (the caller adds its own). */
int machine_only(json_object *o, const char *const *known, const char *what, struct err *err);
/* Whole number @key of @o in [@min, @max]. 1 when present, 0 when absent (@ret
 * untouched), -EINVAL with "@what.key: 0 is less than 1". */
int machine_int(json_object *o, const char *what, const char *key, int64_t min, int64_t max,
		int64_t *ret, struct err *err);
/* Whether @list is an array of at least one host CPU number. */
int machine_cpu_list(json_object *list, struct err *err);
/* One word of @words (ends with NULL): its index in @ret. As above otherwise. */
int machine_word(json_object *o, const char *what, const char *key, const char *const *words,
		 unsigned int *ret, struct err *err);

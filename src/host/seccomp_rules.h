/* SPDX-License-Identifier: Apache-2.0 */
/* seccomp_rules - between seccomp.c and its parts: compiler and cache. */
#pragma once

#include "isola/err.h"
#include "isola/seccomp.h"
#include "isola/strbuf.h"

#include <json-c/json.h>
#include <linux/filter.h>
#include <stddef.h>
#include <stdint.h>

struct seccomp_word {
	const char *name;
	uint32_t value; /* of libseccomp; actions with 0 for the errno */
};

/* The word of that kind, or NULL. */
const struct seccomp_word *seccomp_find(enum seccomp_kind kind, const char *name);

#define SECCOMP_MACHINES_MAX 24

/* What the prologue must know of a profile. */
struct seccomp_summary {
	uint32_t default_action;
	struct seccomp_machine {
		uint32_t token; /* SCMP_ARCH_*, which is AUDIT_ARCH_*, but for x32 */
		int highest;    /* number of a call that the profile names; -1: none */
	} machines[SECCOMP_MACHINES_MAX];
	size_t n_machines;
	uint64_t guarded;               /* calls of many purposes, by seccomp_prologue.c's table */
	bool open_socketcall, open_ipc; /* the profile itself lets all of these through */
};

/* Where a program is put together. What a machine can need in the prologue is well
 * below 128, which also keeps its jumps short enough. */
struct seccomp_code {
	struct sock_filter insns[BPF_MAXINSNS + 128 * SECCOMP_MACHINES_MAX];
	size_t n;
};

/* The profile names the call; and does not refuse it, maybe by its arguments. */
void seccomp_note_number(struct seccomp_summary *s, const char *name);
void seccomp_note_arguments(struct seccomp_summary *s, const char *name, bool has_args);

/* Writes the prologue to @p, which is empty. */
void seccomp_prologue(const struct seccomp_summary *s, struct seccomp_code *p);

/* Compiles @profile with libseccomp; @ret is owned, @ret_n instructions. With a
 * default action that refuses, system calls newer than every one that the
 * profile names get ENOSYS, so that a C library falls back. Slow (milliseconds). */
int seccomp_compile(json_object *profile, struct sock_filter **ret, size_t *ret_n, struct err *err);

/* The SECCOMP_FILTER_FLAG_* of @profile; without a "flags" member SPEC_ALLOW, as
 * with runc. */
int seccomp_read_flags(json_object *profile, unsigned int *ret, struct err *err);

/* Whether a rule's action is SCMP_ACT_NOTIFY. */
bool seccomp_uses_notify(json_object *profile);

/* Everything a compiled filter depends on, as bytes; the key of the cache. */
void seccomp_key(json_object *profile, struct strbuf *ret);

/* Looks @key up in the folder. 1 with owned memory of @ret_size bytes in which
 * @ret_prog->filter points, 0 when there is no valid entry. */
int seccomp_cache_get(int dir, const struct strbuf *key, void **ret_mem, size_t *ret_size,
		      struct sock_fprog *ret_prog);

/* Adds or replaces; what fails is no matter. */
void seccomp_cache_put(int dir, const struct strbuf *key, const struct sock_fprog *prog);

/* SPDX-License-Identifier: Apache-2.0 */
/* seccomp_rules - between seccomp.c and its parts: compiler and cache. */
#pragma once

#include "isola/err.h"
#include "isola/strbuf.h"

#include <json-c/json.h>
#include <linux/filter.h>
#include <stddef.h>
#include <stdint.h>

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

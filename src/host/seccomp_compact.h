/* SPDX-License-Identifier: Apache-2.0 */
/* seccomp_compact - the same filter in fewer instructions. The kernel translates,
 * checks and compiles a filter anew for each process that loads it, 0.3 us an
 * instruction, and libseccomp gives each call one or two of its own. */
#pragma once

#include <linux/filter.h>
#include <stddef.h>

/* Writes to @ret, which has room for @n, a program that decides every call, of
 * whatever machine, number and arguments, as @in does. Returns its length, less
 * than @n; 0 when @in has instructions that this module does not know or when
 * nothing is gained. Pure. */
size_t seccomp_compact(const struct sock_filter *in, size_t n, struct sock_filter *ret);

/* SPDX-License-Identifier: Apache-2.0 */
/* uidrange - which 65536 host ids each instance's user namespace gets.
 *
 * Two instances never share a range, so one that breaks out of its namespaces
 * owns nothing of another. Ranges are handed out round-robin: a freed one is
 * used again as late as possible. Loop thread. */
#pragma once

#include "isola/err.h"

#include <stdint.h>

#define UIDRANGE_SIZE 65536u

struct uidrange {
	uint32_t first, n; /* host id of range 0; number of ranges */
	uint32_t next;
	unsigned char *used; /* a bit each, owned */
};

/* -EINVAL when the ranges do not fit into 32-bit ids or touch ids below 65536. */
int uidrange_init(struct uidrange *u, int64_t first, int64_t n, struct err *err);
void uidrange_fini(struct uidrange *u);

/* -ENOSPC when all are in use. */
int uidrange_take(struct uidrange *u, uint32_t *ret_base, struct err *err);
/* Marks the range at @base, found in a record, as used; -EEXIST when it was,
 * -EINVAL when it is none of ours (the caller may go on: it is just not ours). */
int uidrange_reserve(struct uidrange *u, uint32_t base);
/* Gives it back; 0 is fine. */
void uidrange_put(struct uidrange *u, uint32_t base);

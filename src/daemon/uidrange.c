/* SPDX-License-Identifier: Apache-2.0 */
/* uidrange - see uidrange.h. user_namespaces(7). isolad, loop thread. */
#include "uidrange.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>

int uidrange_init(struct uidrange *u, int64_t first, int64_t n, struct err *err)
{
	/* 2^32 - 1 is "no id" and old interfaces are signed: stay below 2^31. */
	if (first < UIDRANGE_SIZE || n < 1 || n > INT32_MAX / (int64_t)UIDRANGE_SIZE ||
	    first > INT32_MAX - n * UIDRANGE_SIZE)
		return err_set(err, EINVAL,
			       "userns-first %lld with userns-ranges %lld does not fit between %u "
			       "and %d",
			       (long long)first, (long long)n, UIDRANGE_SIZE, INT32_MAX);
	unsigned char *used = calloc(((size_t)n + 7) / 8, 1);
	if (!used)
		return err_set(err, ENOMEM, "out of memory");
	*u = (struct uidrange){ .first = (uint32_t)first, .n = (uint32_t)n, .used = used };
	return 0;
}

void uidrange_fini(struct uidrange *u)
{
	free(u->used);
	*u = (struct uidrange){ 0 };
}

static bool is_used(const struct uidrange *u, uint32_t i)
{
	return u->used[i / 8] & (1u << (i % 8));
}

int uidrange_take(struct uidrange *u, uint32_t *ret_base, struct err *err)
{
	for (uint32_t k = 0; k < u->n; k++) {
		uint32_t i = (u->next + k) % u->n;
		if (is_used(u, i))
			continue;
		u->used[i / 8] |= (unsigned char)(1u << (i % 8));
		u->next = (i + 1) % u->n;
		*ret_base = u->first + i * UIDRANGE_SIZE;
		return 0;
	}
	return err_set(err, ENOSPC,
		       "all %u ranges of user ids are in use: remove containers or raise "
		       "userns-ranges",
		       u->n);
}

static bool find(const struct uidrange *u, uint32_t base, uint32_t *ret)
{
	if (base < u->first || (base - u->first) % UIDRANGE_SIZE ||
	    (base - u->first) / UIDRANGE_SIZE >= u->n)
		return false;
	*ret = (base - u->first) / UIDRANGE_SIZE;
	return true;
}

int uidrange_reserve(struct uidrange *u, uint32_t base)
{
	uint32_t i;
	if (!find(u, base, &i))
		return -EINVAL;
	if (is_used(u, i))
		return -EEXIST;
	u->used[i / 8] |= (unsigned char)(1u << (i % 8));
	return 0;
}

void uidrange_put(struct uidrange *u, uint32_t base)
{
	uint32_t i;
	if (base && find(u, base, &i))
		u->used[i / 8] &= (unsigned char)~(1u << (i % 8));
}

/* SPDX-License-Identifier: Apache-2.0 */
/* seccomp_compact - see seccomp_compact.h. isola-keeper and isola-oci, when a
 * filter is not in the cache.
 *
 * A filter compares the machine and the number with constants only, so between two
 * neighbouring constants it treats all of them alike. Each such interval is tried
 * out: either it ends in one action, whatever the arguments, or it comes to a load
 * of an argument. What is then written is
 *
 *     a comparison for each machine whose numbers matter
 *       a binary tree over the intervals of its numbers, equal neighbours joined
 *         an action, or what is left of the filter for that number
 *
 * "What is left" is the filter itself, run with machine and number known: only
 * loads of arguments, and the tests of these, remain.
 *
 * Jumps of BPF lead forward, so the program is written from its end: a block knows
 * where its successors are. Anything unexpected gives up, and the filter stays as
 * it was. */
#include "seccomp_compact.h"

#include <linux/seccomp.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define OFF_NR   offsetof(struct seccomp_data, nr)
#define OFF_ARCH offsetof(struct seccomp_data, arch)
/* A conditional jump reaches 255; what may have to stand between is taken off. */
#define REACH 250

/* Places are counted from the end of the program: 0 is its last instruction. */
typedef size_t place_t;
#define NOWHERE SIZE_MAX

struct value {
	bool known;
	uint32_t v;
};

struct compact {
	const struct sock_filter *in;
	size_t n;
	struct sock_filter *out; /* of @n, filled from the end */
	size_t used;
	bool gave_up;
	uint32_t *starts; /* of the intervals, ascending */
	size_t n_starts;
	place_t *memo;     /* of residue(), by instruction */
	uint32_t nr, arch; /* what residue() is about */
};

/* How an interval ends. */
struct outcome {
	bool constant; /* @action; else it looks at arguments, or at what is not known */
	uint32_t action;
};

static place_t give_up(struct compact *c)
{
	c->gave_up = true;
	return NOWHERE;
}

/* ---- reading ------------------------------------------------------------ */

static bool compare(uint16_t code, uint32_t a, uint32_t k)
{
	switch (BPF_OP(code)) {
	case BPF_JEQ:
		return a == k;
	case BPF_JGT:
		return a > k;
	default:
		return a >= k;
	}
}

/* Only what this module can follow. */
static bool is_readable(const struct sock_filter *f, size_t i, size_t n)
{
	switch (f->code) {
	case BPF_RET | BPF_K:
		return true;
	case BPF_LD | BPF_W | BPF_ABS:
	case BPF_ALU | BPF_AND | BPF_K:
		return i + 1 < n;
	case BPF_JMP | BPF_JA:
		return f->k < n && i + 1 + f->k < n;
	case BPF_JMP | BPF_JEQ | BPF_K:
	case BPF_JMP | BPF_JGT | BPF_K:
	case BPF_JMP | BPF_JGE | BPF_K:
		return i + 1 + f->jt < n && i + 1 + f->jf < n;
	default:
		return false;
	}
}

/* The first instruction from @*pc on that ends the program or that @nr and @arch do
 * not decide, with the accumulator as it is there. */
static void follow(struct compact *c, const struct value *nr, const struct value *arch, size_t *pc,
		   struct value *a)
{
	while (!c->gave_up) {
		const struct sock_filter *f = &c->in[*pc];
		switch (BPF_CLASS(f->code)) {
		case BPF_LD:
			*a = f->k == OFF_NR     ? *nr
			     : f->k == OFF_ARCH ? *arch
						: (struct value){ .known = false };
			if (!a->known)
				return;
			++*pc;
			break;
		case BPF_JMP:
			if (f->code == (BPF_JMP | BPF_JA))
				*pc += 1 + f->k;
			else if (a->known)
				*pc += 1 + (compare(f->code, a->v, f->k) ? f->jt : f->jf);
			else
				return;
			break;
		case BPF_ALU:
			/* A masked number would not be one interval any more. */
			if (a->known)
				(void)give_up(c);
			return;
		default:
			return;
		}
	}
}

static struct outcome try_out(struct compact *c, const struct value *nr, const struct value *arch)
{
	size_t pc = 0;
	struct value a = { true, 0 };
	follow(c, nr, arch, &pc, &a);
	const struct sock_filter *f = &c->in[pc];
	bool constant = BPF_CLASS(f->code) == BPF_RET;
	return (struct outcome){ constant, constant ? f->k : 0 };
}

static int by_size(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
	return x < y ? -1 : x > y;
}

/* Every constant begins an interval, and so does what follows it. */
static void find_starts(struct compact *c)
{
	size_t n = 0;
	c->starts[n++] = 0;
	for (size_t i = 0; i < c->n; i++) {
		const struct sock_filter *f = &c->in[i];
		if (BPF_CLASS(f->code) != BPF_JMP || f->code == (BPF_JMP | BPF_JA))
			continue;
		c->starts[n++] = f->k;
		c->starts[n++] = f->k + 1; /* may wrap to 0, which is there */
	}
	qsort(c->starts, n, sizeof(*c->starts), by_size);
	for (size_t i = 0; i < n; i++)
		if (i == 0 || c->starts[i] != c->starts[c->n_starts - 1])
			c->starts[c->n_starts++] = c->starts[i];
}

/* ---- writing ------------------------------------------------------------ */

static place_t put(struct compact *c, uint16_t code, uint32_t k, size_t jt, size_t jf)
{
	if (c->gave_up || c->used >= c->n)
		return give_up(c);
	c->out[c->n - 1 - c->used] = (struct sock_filter){ code, (uint8_t)jt, (uint8_t)jf, k };
	return c->used++;
}

static size_t distance(const struct compact *c, place_t to)
{
	return c->used - to - 1;
}

static place_t put_jump(struct compact *c, place_t to)
{
	return put(c, BPF_JMP | BPF_JA, (uint32_t)distance(c, to), 0, 0);
}

/* @code, and then the block at @next. */
static place_t put_before(struct compact *c, uint16_t code, uint32_t k, place_t next)
{
	if (next == NOWHERE || (distance(c, next) > 0 && put_jump(c, next) == NOWHERE))
		return NOWHERE;
	return put(c, code, k, 0, 0);
}

static place_t put_test(struct compact *c, uint16_t code, uint32_t k, place_t yes, place_t no)
{
	if (yes == NOWHERE || no == NOWHERE || yes == no)
		return yes == NOWHERE ? yes : no;
	if (distance(c, yes) > REACH)
		yes = put_jump(c, yes);
	if (yes != NOWHERE && distance(c, no) > REACH)
		no = put_jump(c, no);
	if (yes == NOWHERE || no == NOWHERE)
		return NOWHERE;
	return put(c, code, k, distance(c, yes), distance(c, no));
}

/* One within reach is as good as a new one. */
static place_t put_return(struct compact *c, uint32_t action)
{
	for (place_t at = c->used; at-- > 0 && distance(c, at) <= REACH;) {
		const struct sock_filter *f = &c->out[c->n - 1 - at];
		if (f->code == (BPF_RET | BPF_K) && f->k == action)
			return at;
	}
	return put(c, BPF_RET | BPF_K, action, 0, 0);
}

/* ---- what is left for one number ---------------------------------------- */

static place_t residue(struct compact *c, size_t pc, struct value a)
{
	const struct value nr = { true, c->nr }, arch = { true, c->arch };
	follow(c, &nr, &arch, &pc, &a);
	if (c->gave_up)
		return NOWHERE;
	const struct sock_filter *f = &c->in[pc];
	if (BPF_CLASS(f->code) == BPF_RET)
		return put_return(c, f->k);
	/* From here on the accumulator is not known, so the place decides. */
	if (c->memo[pc] != NOWHERE)
		return c->memo[pc];
	const struct value unknown = { false, 0 };
	if (BPF_CLASS(f->code) == BPF_JMP) {
		place_t yes = residue(c, pc + 1 + f->jt, unknown);
		place_t no = residue(c, pc + 1 + f->jf, unknown);
		return c->memo[pc] = put_test(c, f->code, f->k, yes, no);
	}
	return c->memo[pc] = put_before(c, f->code, f->k, residue(c, pc + 1, unknown));
}

static place_t put_residue(struct compact *c, uint32_t nr)
{
	c->nr = nr;
	for (size_t i = 0; i < c->n; i++)
		c->memo[i] = NOWHERE;
	return residue(c, 0, (struct value){ true, 0 });
}

/* ---- the numbers of one machine ----------------------------------------- */

struct range {
	uint32_t start;
	struct outcome outcome;
};

static place_t put_tree(struct compact *c, const struct range *r, size_t n)
{
	if (n == 1)
		return r->outcome.constant ? put_return(c, r->outcome.action)
					   : put_residue(c, r->start);
	size_t half = n / 2;
	place_t low = put_tree(c, r, half), high = put_tree(c, r + half, n - half);
	return put_test(c, BPF_JMP | BPF_JGE | BPF_K, r[half].start, high, low);
}

static place_t put_machine(struct compact *c, uint32_t token)
{
	struct range *ranges = calloc(c->n_starts, sizeof(*ranges));
	if (!ranges)
		return give_up(c);
	const struct value arch = { true, token };
	size_t n = 0;
	c->arch = token;
	for (size_t i = 0; i < c->n_starts; i++) {
		const struct value nr = { true, c->starts[i] };
		struct outcome o = try_out(c, &nr, &arch);
		if (n > 0 && o.constant && ranges[n - 1].outcome.constant &&
		    o.action == ranges[n - 1].outcome.action)
			continue;
		ranges[n++] = (struct range){ c->starts[i], o };
	}
	place_t tree = c->gave_up ? NOWHERE : put_tree(c, ranges, n);
	free(ranges);
	return put_before(c, BPF_LD | BPF_W | BPF_ABS, OFF_NR, tree);
}

/* ---- the machines ------------------------------------------------------- */

#define MACHINES_MAX 32

/* The values of @arch for which the number matters, in @ret; all others must end in
 * the one action @ret_other. Their number, or -1. */
static int find_machines(struct compact *c, uint32_t ret[MACHINES_MAX], uint32_t *ret_other)
{
	const struct value nr = { false, 0 };
	bool has_other = false;
	int n = 0;
	for (size_t i = 0; i < c->n_starts; i++) {
		const struct value arch = { true, c->starts[i] };
		bool single = i + 1 < c->n_starts && c->starts[i + 1] == c->starts[i] + 1;
		struct outcome o = try_out(c, &nr, &arch);
		if (o.constant && (!has_other || o.action == *ret_other)) {
			*ret_other = o.action;
			has_other = true;
		} else if (single && n < MACHINES_MAX) {
			ret[n++] = c->starts[i];
		} else {
			return -1;
		}
	}
	return has_other ? n : -1;
}

static void write_all(struct compact *c)
{
	uint32_t machines[MACHINES_MAX], other = 0;
	place_t blocks[MACHINES_MAX];
	find_starts(c);
	int n = find_machines(c, machines, &other);
	if (n < 0) {
		(void)give_up(c);
		return;
	}
	for (int i = 0; i < n; i++)
		blocks[i] = put_machine(c, machines[i]);
	place_t next = put_return(c, other);
	for (int i = 0; i < n; i++)
		next = put_test(c, BPF_JMP | BPF_JEQ | BPF_K, machines[i], blocks[i], next);
	(void)put_before(c, BPF_LD | BPF_W | BPF_ABS, OFF_ARCH, next);
}

size_t seccomp_compact(const struct sock_filter *in, size_t n, struct sock_filter *ret)
{
	for (size_t i = 0; i < n; i++)
		if (!is_readable(&in[i], i, n))
			return 0;
	if (n < 2 || n > BPF_MAXINSNS * 2)
		return 0;
	struct compact c = {
		.in = in,
		.n = n,
		.out = calloc(n, sizeof(*c.out)),
		.starts = calloc(2 * n + 1, sizeof(*c.starts)),
		.memo = calloc(n, sizeof(*c.memo)),
	};
	if (c.out && c.starts && c.memo)
		write_all(&c);
	size_t used = !c.out || !c.starts || !c.memo || c.gave_up || c.used >= n ? 0 : c.used;
	if (used > 0)
		memcpy(ret, c.out + n - used, used * sizeof(*ret));
	free(c.out);
	free(c.starts);
	free(c.memo);
	return used;
}

/* SPDX-License-Identifier: Apache-2.0 */
/* seccomp_compact - whatever goes in decides as before, by an interpreter of
 * seccomp's BPF: filters of libseccomp, and programs at random. */
#include "host/seccomp_compact.h"

#include "isola/fd.h"

#include <linux/audit.h>
#include <linux/seccomp.h>
#include <seccomp.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#define N(array) (sizeof(array) / sizeof((array)[0]))
#define MAX      4096

static uint32_t rng = 1;

static uint32_t draw(uint32_t below)
{
	rng ^= rng << 13;
	rng ^= rng >> 17;
	rng ^= rng << 5;
	return rng % below;
}

static uint32_t run(const struct sock_filter *f, size_t n, const struct seccomp_data *d)
{
	uint32_t a = 0;
	for (size_t pc = 0; pc < n; pc++) {
		const struct sock_filter *i = &f[pc];
		switch (i->code) {
		case BPF_LD | BPF_W | BPF_ABS:
			assert_true(i->k <= sizeof(*d) - sizeof(a));
			memcpy(&a, (const char *)d + i->k, sizeof(a));
			break;
		case BPF_RET | BPF_K:
			return i->k;
		case BPF_ALU | BPF_AND | BPF_K:
			a &= i->k;
			break;
		case BPF_JMP | BPF_JA:
			pc += i->k;
			break;
		case BPF_JMP | BPF_JEQ | BPF_K:
			pc += a == i->k ? i->jt : i->jf;
			break;
		case BPF_JMP | BPF_JGT | BPF_K:
			pc += a > i->k ? i->jt : i->jf;
			break;
		case BPF_JMP | BPF_JGE | BPF_K:
			pc += a >= i->k ? i->jt : i->jf;
			break;
		default:
			fail_msg("instruction %zu: code %x", pc, i->code);
		}
	}
	fail_msg("runs over its end");
	return 0;
}

static uint64_t draw_argument(void)
{
	switch (draw(5)) {
	case 0:
		return draw(8);
	case 1:
		return 1ULL << draw(64);
	case 2:
		return UINT32_MAX - draw(3);
	case 3:
		return (uint64_t)draw(UINT32_MAX) << 32 | draw(8);
	default:
		return (uint64_t)draw(UINT32_MAX) << 32 | draw(UINT32_MAX);
	}
}

static void compare_at(const struct sock_filter *in, size_t n, const struct sock_filter *out,
		       size_t m, uint32_t arch, uint32_t nr)
{
	struct seccomp_data d = { .nr = (int)nr, .arch = arch };
	for (size_t i = 0; i < N(d.args); i++)
		d.args[i] = draw_argument();
	uint32_t want = run(in, n, &d), got = run(out, m, &d);
	if (want != got)
		fail_msg("arch %x, number %x: %x, not %x", arch, nr, got, want);
}

static const uint32_t archs[] = { AUDIT_ARCH_X86_64,     AUDIT_ARCH_I386, AUDIT_ARCH_AARCH64, 0,
				  AUDIT_ARCH_X86_64 + 1, UINT32_MAX };
static const uint32_t bases[] = { 0, 0x40000000, 0x80000000, UINT32_MAX - 700 };

static void is_the_same(const struct sock_filter *in, size_t n, const struct sock_filter *out,
			size_t m)
{
	for (size_t a = 0; a < N(archs); a++)
		for (size_t b = 0; b < N(bases); b++)
			for (uint32_t i = 0; i < 700; i++)
				for (int times = 0; times < 8; times++)
					compare_at(in, n, out, m, archs[a], bases[b] + i);
}

/* ---- filters of libseccomp ---------------------------------------------- */

static size_t export(scmp_filter_ctx ctx, struct sock_filter *ret)
{
	cleanup_fd int fd = memfd_create("filter", MFD_CLOEXEC);
	assert_true(fd >= 0);
	assert_int_equal(seccomp_export_bpf(ctx, fd), 0);
	ssize_t size = pread(fd, ret, MAX * sizeof(*ret), 0);
	assert_true(size > 0 && (size_t)size < MAX * sizeof(*ret));
	return (size_t)size / sizeof(*ret);
}

static void add_rules(scmp_filter_ctx ctx, uint32_t action)
{
	static const enum scmp_compare ops[] = { SCMP_CMP_NE, SCMP_CMP_LT, SCMP_CMP_LE,
						 SCMP_CMP_EQ, SCMP_CMP_GE, SCMP_CMP_GT };
	for (int nr = 0; nr < 450; nr++) {
		if (draw(8) == 0)
			continue;
		cleanup_free char *name = seccomp_syscall_resolve_num_arch(SCMP_ARCH_NATIVE, nr);
		int call = name ? seccomp_syscall_resolve_name(name) : __NR_SCMP_ERROR;
		if (call < 0)
			continue;
		if (draw(12)) {
			(void)seccomp_rule_add(ctx, action, call, 0);
			continue;
		}
		struct scmp_arg_cmp one = SCMP_CMP(draw(6), ops[draw(N(ops))], draw_argument());
		struct scmp_arg_cmp two = SCMP_CMP(5, SCMP_CMP_MASKED_EQ, draw(16), draw(16));
		if (draw(2) || one.arg == 5)
			(void)seccomp_rule_add(ctx, action, call, 1, one);
		else
			(void)seccomp_rule_add(ctx, action, call, 2, one, two);
	}
}

static void filters__decide_as_before(void **state)
{
	(void)state;
	static struct sock_filter in[MAX], out[MAX];
	static const uint32_t more[] = { SCMP_ARCH_X86, SCMP_ARCH_X32, SCMP_ARCH_AARCH64 };
	for (unsigned int round = 0; round < 16; round++) {
		scmp_filter_ctx ctx = seccomp_init(round % 2 ? SCMP_ACT_ERRNO(1) : SCMP_ACT_ALLOW);
		assert_non_null(ctx);
		(void)seccomp_attr_set(ctx, SCMP_FLTATR_CTL_OPTIMIZE, round & 4 ? 2 : 1);
		for (size_t i = 0; i < N(more); i++)
			if (round & 1U << (i + 1))
				(void)seccomp_arch_add(ctx, more[i]);
		add_rules(ctx, round % 2 ? SCMP_ACT_ALLOW : SCMP_ACT_ERRNO(38));
		size_t n = export(ctx, in);
		seccomp_release(ctx);
		size_t m = seccomp_compact(in, n, out);
		assert_true(m > 0 && m < n);
		is_the_same(in, n, out, m);
		/* and once more there is hardly anything to gain */
		assert_true(seccomp_compact(out, m, in) <= m);
	}
}

/* ---- programs at random ------------------------------------------------- */

static struct sock_filter draw_instruction(size_t left)
{
	static const uint16_t tests[] = { BPF_JEQ, BPF_JGT, BPF_JGE };
	static const uint32_t offsets[] = { 0, 0, 0, 4, 4, 16, 20, 24 };
	uint32_t near = (uint32_t)(left < 12 ? left : 12);
	uint32_t k = draw(3) ? draw(12) : archs[draw(N(archs))];
	if (left == 0)
		return (struct sock_filter){ BPF_RET | BPF_K, 0, 0, draw(4) };
	switch (draw(10)) {
	case 0:
	case 1:
	case 2:
		return (struct sock_filter){ BPF_LD | BPF_W | BPF_ABS, 0, 0,
					     offsets[draw(N(offsets))] };
	case 3:
		return (struct sock_filter){ BPF_RET | BPF_K, 0, 0, draw(4) };
	case 4:
		return (struct sock_filter){ BPF_JMP | BPF_JA, 0, 0, draw(near) };
	case 5:
		if (draw(3) == 0)
			return (struct sock_filter){ BPF_ALU | BPF_AND | BPF_K, 0, 0, draw(16) };
		/* fall through */
	default:
		return (struct sock_filter){ BPF_JMP | BPF_K | tests[draw(N(tests))],
					     (uint8_t)draw(near), (uint8_t)draw(near), k };
	}
}

static void programs__decide_as_before(void **state)
{
	(void)state;
	struct sock_filter in[90], out[90];
	unsigned int done = 0;
	for (int round = 0; round < 60000; round++) {
		size_t n = 2 + draw(N(in) - 2);
		for (size_t i = 0; i < n; i++)
			in[i] = draw_instruction(n - 1 - i);
		size_t m = seccomp_compact(in, n, out);
		assert_true(m < n);
		done += m > 0;
		for (uint32_t nr = 0; m > 0 && nr < 16; nr++)
			for (size_t a = 0; a < N(archs); a++) {
				compare_at(in, n, out, m, archs[a], nr);
				compare_at(in, n, out, m, draw(14), archs[draw(N(archs))]);
			}
	}
	assert_true(done > 1000); /* else this would have tested nothing */
}

/* ---- what it leaves alone ----------------------------------------------- */

static void compact__gives_up(void **state)
{
	(void)state;
	static const struct sock_filter ld = { BPF_LD | BPF_W | BPF_ABS, 0, 0, 0 },
					end = { BPF_RET | BPF_K, 0, 0, SECCOMP_RET_ALLOW };
	static const struct sock_filter odd[] = {
		{ BPF_JMP | BPF_JSET | BPF_K, 0, 0, 1 },
		{ BPF_ALU | BPF_AND | BPF_K, 0, 0, 1 }, /* of the number */
		{ BPF_ALU | BPF_ADD | BPF_K, 0, 0, 1 },
		{ BPF_JMP | BPF_JA, 0, 0, 7 },
		{ BPF_JMP | BPF_JA, 0, 0, UINT32_MAX },
		{ BPF_JMP | BPF_JEQ | BPF_K, 0, 200, 1 },
		{ BPF_JMP | BPF_JEQ | BPF_X, 0, 0, 0 },
		{ BPF_RET | BPF_A, 0, 0, 0 },
		{ BPF_LD | BPF_W | BPF_LEN, 0, 0, 0 },
		{ BPF_ST, 0, 0, 0 },
		{ 0xffff, 0, 0, 0 },
	};
	struct sock_filter out[8];
	for (size_t i = 0; i < N(odd); i++) {
		struct sock_filter in[] = { ld, odd[i], end, end, end };
		if (seccomp_compact(in, N(in), out) != 0)
			fail_msg("case %zu", i);
	}
	struct sock_filter open_end[] = { ld, ld, ld };
	assert_int_equal(seccomp_compact(open_end, 3, out), 0);
	assert_int_equal(seccomp_compact(&end, 1, out), 0);
	assert_int_equal(seccomp_compact(&end, 0, out), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(filters__decide_as_before),
		cmocka_unit_test(programs__decide_as_before),
		cmocka_unit_test(compact__gives_up),
	};
	return cmocka_run_group_tests_name("seccomp_compact", tests, NULL, NULL);
}

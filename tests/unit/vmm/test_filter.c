/* SPDX-License-Identifier: Apache-2.0 */
/* test_filter - the BPF that comes out of a table, run by a small interpreter, and the
 * limits of the compiler. */
#include "vmm/filter.h"

#include <errno.h>
#include <linux/audit.h>
#include <linux/seccomp.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#include <cmocka.h>

#define NO SECCOMP_RET_KILL_PROCESS

/* What the kernel would do; fails on an instruction that we never emit. */
static uint32_t run(const struct sock_filter *code, int n, const struct seccomp_data *data)
{
	uint32_t a = 0;
	for (int pc = 0; pc < n; pc++) {
		const struct sock_filter *i = &code[pc];
		switch (i->code) {
		case BPF_LD | BPF_W | BPF_ABS:
			assert_true(i->k + 4 <= sizeof(*data));
			memcpy(&a, (const char *)data + i->k, 4);
			break;
		case BPF_JMP | BPF_JEQ | BPF_K:
			pc += a == i->k ? i->jt : i->jf;
			break;
		case BPF_JMP | BPF_JSET | BPF_K:
			pc += (a & i->k) ? i->jt : i->jf;
			break;
		case BPF_RET | BPF_K:
			return i->k;
		default:
			fail_msg("unexpected instruction 0x%x", i->code);
		}
	}
	fail_msg("ran over the end");
	return 0;
}

static const struct filter_row rows[] = {
	{ SYS_ioctl, FILTER_IS, 1, 0xae80, "KVM_RUN" },
	{ SYS_ioctl, FILTER_IS, 1, 0x5401, "TCGETS" },
	{ SYS_mmap, FILTER_LACKS, 2, PROT_EXEC, "no code" },
	{ SYS_read, FILTER_ANY, 0, 0, "all" },
};

static uint32_t ask(uint32_t arch, int nr, uint64_t a1, uint64_t a2)
{
	struct sock_filter code[FILTER_INSNS_MAX];
	int n = filter_compile(rows, sizeof(rows) / sizeof(rows[0]), NO, code);
	assert_true(n > 0);
	const struct seccomp_data data = { .nr = nr, .arch = arch, .args = { 0, a1, a2 } };
	return run(code, n, &data);
}

static void compile__allows_what_the_rows_say(void **state)
{
	(void)state;
	const uint32_t x86 = AUDIT_ARCH_X86_64, yes = SECCOMP_RET_ALLOW;
	assert_int_equal(ask(x86, SYS_read, 1, 2), yes);
	assert_int_equal(ask(x86, SYS_write, 1, 2), NO);
	assert_int_equal(ask(x86, SYS_ioctl, 0xae80, 0), yes);
	assert_int_equal(ask(x86, SYS_ioctl, 0x5401, 0), yes);
	assert_int_equal(ask(x86, SYS_ioctl, 0x5402, 0), NO);
	/* the kernel looks at 32 bits of a request, too */
	assert_int_equal(ask(x86, SYS_ioctl, 0x10000ae80, 0), yes);
	assert_int_equal(ask(x86, SYS_mmap, 0, PROT_READ | PROT_WRITE), yes);
	assert_int_equal(ask(x86, SYS_mmap, 0, PROT_NONE), yes);
	assert_int_equal(ask(x86, SYS_mmap, 0, PROT_READ | PROT_EXEC), NO);
	assert_int_equal(ask(x86, SYS_mmap, 0, PROT_EXEC), NO);
}

static void compile__refuses_other_machines(void **state)
{
	(void)state;
	assert_int_equal(ask(AUDIT_ARCH_I386, SYS_read, 0, 0), NO);
	assert_int_equal(ask(AUDIT_ARCH_X86_64, SYS_read | 0x40000000 /* x32 */, 0, 0), NO);
	assert_int_equal(ask(AUDIT_ARCH_X86_64, -1, 0, 0), NO);
}

static void compile__empty_table_refuses_all(void **state)
{
	(void)state;
	struct sock_filter code[FILTER_INSNS_MAX];
	const struct seccomp_data data = { .nr = SYS_read, .arch = AUDIT_ARCH_X86_64 };
	int n = filter_compile(rows, 0, NO, code);
	assert_int_equal(run(code, n, &data), NO);
}

static void compile__says_when_it_is_too_much(void **state)
{
	(void)state;
	static struct filter_row many[400];
	struct sock_filter code[FILTER_INSNS_MAX];
	for (int i = 0; i < 400; i++)
		many[i] = (struct filter_row){ SYS_ioctl, FILTER_IS, 1, (uint32_t)i, "" };
	/* more values than a jump can pass over */
	assert_int_equal(filter_compile(many, 400, NO, code), -E2BIG);
	assert_int_equal(filter_compile(many, 86, NO, code), -E2BIG);
	assert_true(filter_compile(many, 84, NO, code) > 0);
	for (int i = 0; i < 400; i++)
		many[i].nr = i;
	assert_int_equal(filter_compile(many, 400, NO, code), -E2BIG);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(compile__allows_what_the_rows_say),
		cmocka_unit_test(compile__refuses_other_machines),
		cmocka_unit_test(compile__empty_table_refuses_all),
		cmocka_unit_test(compile__says_when_it_is_too_much),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

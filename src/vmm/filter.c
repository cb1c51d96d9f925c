/* SPDX-License-Identifier: Apache-2.0 */
/* filter - see filter.h. isola-vmm. */
#include "filter.h"

#include <errno.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

struct code {
	struct sock_filter *insns;
	size_t n;
};

/* Counts on beyond the end, so that the caller sees that it was too much. */
static void emit(struct code *c, int op, uint32_t k, uint8_t jt, uint8_t jf)
{
	if (c->n < FILTER_INSNS_MAX)
		c->insns[c->n] = (struct sock_filter){ (uint16_t)op, jt, jf, k };
	c->n++;
}

static void emit_load(struct code *c, size_t offset)
{
	emit(c, BPF_LD | BPF_W | BPF_ABS, (uint32_t)offset, 0, 0);
}

/* The arguments in question are all ints for the kernel: it ignores the upper half,
 * and so do we (x86-64 is little endian). */
static void emit_row(struct code *c, const struct filter_row *row)
{
	if (row->check != FILTER_ANY)
		emit_load(c, offsetof(struct seccomp_data, args) + row->arg * sizeof(uint64_t));
	if (row->check == FILTER_IS)
		emit(c, BPF_JMP | BPF_JEQ | BPF_K, row->value, 0, 1);
	if (row->check == FILTER_LACKS)
		emit(c, BPF_JMP | BPF_JSET | BPF_K, row->value, 1, 0);
	emit(c, BPF_RET | BPF_K, SECCOMP_RET_ALLOW, 0, 0);
}

int filter_compile(const struct filter_row *rows, size_t n, uint32_t otherwise,
		   struct sock_filter code[FILTER_INSNS_MAX])
{
	struct code c = { .insns = code };
	emit_load(&c, offsetof(struct seccomp_data, arch));
	emit(&c, BPF_JMP | BPF_JEQ | BPF_K, AUDIT_ARCH_X86_64, 1, 0);
	emit(&c, BPF_RET | BPF_K, otherwise, 0, 0);
	emit_load(&c, offsetof(struct seccomp_data, nr));
	for (size_t i = 0; i < n;) {
		size_t start = c.n;
		int nr = rows[i].nr;
		emit(&c, BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)nr, 0, 0);
		for (; i < n && rows[i].nr == nr; i++)
			emit_row(&c, &rows[i]);
		emit(&c, BPF_RET | BPF_K, otherwise, 0, 0);
		if (c.n > FILTER_INSNS_MAX || c.n - start - 1 > UINT8_MAX)
			return -E2BIG;
		code[start].jf = (uint8_t)(c.n - start - 1);
	}
	emit(&c, BPF_RET | BPF_K, otherwise, 0, 0);
	return c.n > FILTER_INSNS_MAX ? -E2BIG : (int)c.n;
}

int filter_install(const struct filter_row *rows, size_t n, uint32_t otherwise, struct err *err)
{
	struct sock_filter code[FILTER_INSNS_MAX];
	int len = filter_compile(rows, n, otherwise, code);
	if (len < 0)
		return err_rc(err, len, "the seccomp filter");
	struct sock_fprog prog = { .len = (unsigned short)len, .filter = code };
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 ||
	    syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &prog) < 0)
		return err_sys(err, "cannot install the seccomp filter");
	return 0;
}

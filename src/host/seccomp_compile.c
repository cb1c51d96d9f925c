/* SPDX-License-Identifier: Apache-2.0 */
/* seccomp_compile - linux.seccomp to classic BPF, by libseccomp (config-linux.md
 * "Seccomp"; seccomp_rule_add(3)). */
#include "seccomp_rules.h"

#include "isola/fd.h"
#include "isola/json.h"
#include "isola/seccomp.h"

#include <errno.h>
#include <inttypes.h>
#include <linux/audit.h>
#include <linux/seccomp.h>
#include <seccomp.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#ifndef SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV
#define SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV (1UL << 5)
#endif
#define X32_BIT      0x40000000
#define ERRNO_MAX    4095
#define SYSCALLS_MAX 4096 /* entries; a name each */
#define ARGS_MAX     6

/* ---- words ------------------------------------------------------------- */

struct word {
	const char *name;
	uint32_t value;
};

/* With a value that takes an errno or a message in its low half. */
static const struct word actions[] = {
	{ "SCMP_ACT_KILL", SCMP_ACT_KILL },
	{ "SCMP_ACT_KILL_PROCESS", SCMP_ACT_KILL_PROCESS },
	{ "SCMP_ACT_KILL_THREAD", SCMP_ACT_KILL_THREAD },
	{ "SCMP_ACT_TRAP", SCMP_ACT_TRAP },
	{ "SCMP_ACT_ERRNO", SCMP_ACT_ERRNO(0) },
	{ "SCMP_ACT_TRACE", SCMP_ACT_TRACE(0) },
	{ "SCMP_ACT_ALLOW", SCMP_ACT_ALLOW },
	{ "SCMP_ACT_LOG", SCMP_ACT_LOG },
	{ "SCMP_ACT_NOTIFY", SCMP_ACT_NOTIFY },
};

static const struct word operators[] = {
	{ "SCMP_CMP_NE", SCMP_CMP_NE },
	{ "SCMP_CMP_LT", SCMP_CMP_LT },
	{ "SCMP_CMP_LE", SCMP_CMP_LE },
	{ "SCMP_CMP_EQ", SCMP_CMP_EQ },
	{ "SCMP_CMP_GE", SCMP_CMP_GE },
	{ "SCMP_CMP_GT", SCMP_CMP_GT },
	{ "SCMP_CMP_MASKED_EQ", SCMP_CMP_MASKED_EQ },
};

static const struct word arches[] = {
	{ "SCMP_ARCH_X86", SCMP_ARCH_X86 },
	{ "SCMP_ARCH_X86_64", SCMP_ARCH_X86_64 },
	{ "SCMP_ARCH_X32", SCMP_ARCH_X32 },
	{ "SCMP_ARCH_ARM", SCMP_ARCH_ARM },
	{ "SCMP_ARCH_AARCH64", SCMP_ARCH_AARCH64 },
	{ "SCMP_ARCH_MIPS", SCMP_ARCH_MIPS },
	{ "SCMP_ARCH_MIPS64", SCMP_ARCH_MIPS64 },
	{ "SCMP_ARCH_MIPS64N32", SCMP_ARCH_MIPS64N32 },
	{ "SCMP_ARCH_MIPSEL", SCMP_ARCH_MIPSEL },
	{ "SCMP_ARCH_MIPSEL64", SCMP_ARCH_MIPSEL64 },
	{ "SCMP_ARCH_MIPSEL64N32", SCMP_ARCH_MIPSEL64N32 },
	{ "SCMP_ARCH_PPC", SCMP_ARCH_PPC },
	{ "SCMP_ARCH_PPC64", SCMP_ARCH_PPC64 },
	{ "SCMP_ARCH_PPC64LE", SCMP_ARCH_PPC64LE },
	{ "SCMP_ARCH_S390", SCMP_ARCH_S390 },
	{ "SCMP_ARCH_S390X", SCMP_ARCH_S390X },
	{ "SCMP_ARCH_PARISC", SCMP_ARCH_PARISC },
	{ "SCMP_ARCH_PARISC64", SCMP_ARCH_PARISC64 },
	{ "SCMP_ARCH_RISCV64", SCMP_ARCH_RISCV64 },
};

static const struct word flags[] = {
	{ "SECCOMP_FILTER_FLAG_TSYNC", SECCOMP_FILTER_FLAG_TSYNC },
	{ "SECCOMP_FILTER_FLAG_LOG", SECCOMP_FILTER_FLAG_LOG },
	{ "SECCOMP_FILTER_FLAG_SPEC_ALLOW", SECCOMP_FILTER_FLAG_SPEC_ALLOW },
	{ "SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV", SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV },
};

#define N(array) (sizeof(array) / sizeof((array)[0]))

static const struct word *find(const struct word *words, size_t n, const char *name)
{
	for (size_t i = 0; i < n; i++)
		if (!strcmp(words[i].name, name))
			return &words[i];
	return NULL;
}

size_t seccomp_words(enum seccomp_kind kind, const char **ret, size_t max)
{
	static const struct {
		const struct word *words;
		size_t n;
	} tables[] = {
		[SECCOMP_ACTIONS] = { actions, N(actions) },
		[SECCOMP_OPERATORS] = { operators, N(operators) },
		[SECCOMP_ARCHES] = { arches, N(arches) },
		[SECCOMP_FLAGS] = { flags, N(flags) },
	};
	size_t n = tables[kind].n < max ? tables[kind].n : max;
	for (size_t i = 0; i < n; i++)
		ret[i] = tables[kind].words[i].name;
	return n;
}

bool seccomp_has_action(const char *name)
{
	const struct word *w = find(actions, N(actions), name);
	uint32_t action = w ? w->value : 0;
	return w && syscall(SYS_seccomp, SECCOMP_GET_ACTION_AVAIL, 0, &action) == 0;
}

/* The kernel looks at the flags before the program: EFAULT means it knows it. */
bool seccomp_has_flag(const char *name)
{
	const struct word *w = find(flags, N(flags), name);
	unsigned int value = w ? w->value : 0;
	if (value == SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV)
		value |= SECCOMP_FILTER_FLAG_NEW_LISTENER; /* means nothing alone */
	return w && syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, value, NULL) < 0 &&
	       errno == EFAULT;
}

int seccomp_read_flags(json_object *profile, unsigned int *ret, struct err *err)
{
	json_object *a = NULL;
	int rc = json_get_strv(profile, "flags", &a, err);
	if (rc < 0)
		return rc;
	unsigned int value = rc ? 0 : SECCOMP_FILTER_FLAG_SPEC_ALLOW;
	for (size_t i = 0; i < json_len(a); i++) {
		const struct word *w = find(flags, N(flags), json_item_str(a, i));
		if (!w)
			return err_set(err, EINVAL, "flags[%zu]: unknown flag \"%.60s\"", i,
				       json_item_str(a, i));
		value |= w->value;
	}
	*ret = value;
	return 0;
}

bool seccomp_uses_notify(json_object *profile)
{
	json_object *a = json_get(profile, "syscalls");
	if (!json_object_is_type(a, json_type_array))
		return false;
	for (size_t i = 0; i < json_len(a); i++)
		if (!strcmp(json_str_or(json_object_array_get_idx(a, i), "action", ""),
			    "SCMP_ACT_NOTIFY"))
			return true;
	return false;
}

/* ---- rules ------------------------------------------------------------- */

/* Numbers of one machine's system calls that the profile names. */
struct machine {
	uint32_t token; /* SCMP_ARCH_* */
	int highest;    /* -1: none */
};

struct compiler {
	scmp_filter_ctx ctx;
	struct err *err;
	uint32_t default_action;
	struct machine machines[N(arches) + 1];
	size_t n_machines;
	char where[40]; /* "syscalls[3]" */
};

/* "action" or "defaultAction" with its errno; -EINVAL names the member. */
static int read_action(struct compiler *c, json_object *o, const char *where, const char *key,
		       const char *errno_key, uint32_t *ret)
{
	const char *name = json_str_or(o, key, "");
	const struct word *w = find(actions, N(actions), name);
	if (!w)
		return err_set(c->err, EINVAL, "%s%s: unknown action \"%.60s\"", where, key, name);
	json_object *v = json_get(o, errno_key);
	bool takes_errno = w->value == SCMP_ACT_ERRNO(0) || w->value == SCMP_ACT_TRACE(0);
	int64_t value = EPERM;
	if (v) {
		value = json_object_get_int64(v);
		if (!json_object_is_type(v, json_type_int) || value < 0 || value > ERRNO_MAX)
			return err_set(c->err, EINVAL, "%s%s: must be 0 to %d", where, errno_key,
				       ERRNO_MAX);
		if (!takes_errno)
			return err_set(c->err, EINVAL, "%s%s: %s takes none", where, errno_key,
				       name);
	}
	*ret = takes_errno ? w->value | (uint32_t)value : w->value;
	return 0;
}

static int read_u64(struct compiler *c, json_object *o, size_t i, const char *key, uint64_t *ret)
{
	json_object *v = json_get(o, key);
	if (!v)
		return 0;
	if (!json_object_is_type(v, json_type_int))
		return err_set(c->err, EINVAL, "%sargs[%zu].%s: must be a number", c->where, i,
			       key);
	/* A negative one is the same 64 bits. */
	*ret = json_object_get_int64(v) < 0 ? (uint64_t)json_object_get_int64(v)
					    : json_object_get_uint64(v);
	return 1;
}

static int read_arg(struct compiler *c, json_object *o, size_t i, struct scmp_arg_cmp *ret)
{
	const char *name = json_str_or(o, "op", "");
	const struct word *op = find(operators, N(operators), name);
	uint64_t index = 0, value = 0, two = 0;
	if (!op)
		return err_set(c->err, EINVAL, "%sargs[%zu].op: unknown operator \"%.60s\"",
			       c->where, i, name);
	int rc = read_u64(c, o, i, "index", &index);
	if (rc < 0 || (rc = read_u64(c, o, i, "value", &value)) < 0 ||
	    (rc = read_u64(c, o, i, "valueTwo", &two)) < 0)
		return rc;
	if (index >= ARGS_MAX)
		return err_set(c->err, EINVAL, "%sargs[%zu].index: must be 0 to %d", c->where, i,
			       ARGS_MAX - 1);
	*ret = (struct scmp_arg_cmp){ .arg = (unsigned int)index,
				      .op = (enum scmp_compare)op->value,
				      .datum_a = value,
				      .datum_b = two };
	return 0;
}

/* Reads the conditions. @ret_any: two look at the same argument, which no one
 * rule can; then each is a rule of its own, and any will do, as with runc. */
static int read_args(struct compiler *c, json_object *entry, struct scmp_arg_cmp *args,
		     unsigned int *ret_n, bool *ret_any)
{
	json_object *a = json_get(entry, "args");
	size_t n = json_len(a);
	unsigned int seen = 0;
	if (a && (!json_object_is_type(a, json_type_array) || n > ARGS_MAX))
		return err_set(c->err, EINVAL, "%sargs: must be an array of at most %d", c->where,
			       ARGS_MAX);
	*ret_any = false;
	for (size_t i = 0; i < n; i++) {
		int rc = read_arg(c, json_object_array_get_idx(a, i), i, &args[i]);
		if (rc < 0)
			return rc;
		if (seen & 1U << args[i].arg)
			*ret_any = true;
		seen |= 1U << args[i].arg;
	}
	*ret_n = (unsigned int)n;
	return 0;
}

static int add_rule(struct compiler *c, const char *name, int nr, uint32_t action,
		    const struct scmp_arg_cmp *args, unsigned int n, bool any)
{
	int rc = 0;
	if (!any)
		rc = seccomp_rule_add_array(c->ctx, action, nr, n, args);
	for (unsigned int i = 0; any && rc == 0 && i < n; i++)
		rc = seccomp_rule_add_array(c->ctx, action, nr, 1, &args[i]);
	return rc < 0 ? err_rc(c->err, rc, "%snames: cannot add the rule for %.60s", c->where, name)
		      : 0;
}

/* Keeps the highest number that each machine has for the profile's names. */
static void note_number(struct compiler *c, const char *name)
{
	for (size_t i = 0; i < c->n_machines; i++) {
		struct machine *m = &c->machines[i];
		int nr = seccomp_syscall_resolve_name_arch(m->token, name);
		if (nr >= 0 && m->token == SCMP_ARCH_X32)
			nr &= ~X32_BIT;
		if (nr > m->highest)
			m->highest = nr;
	}
}

static int add_entry(struct compiler *c, json_object *entry)
{
	json_object *names = NULL;
	struct scmp_arg_cmp args[ARGS_MAX];
	unsigned int n_args = 0;
	bool any = false;
	uint32_t action = 0;
	int rc = json_get_strv(entry, "names", &names, c->err);
	if (rc < 0 || json_len(names) == 0)
		return err_set(c->err, EINVAL, "%snames: must hold names of system calls",
			       c->where);
	if ((rc = read_action(c, entry, c->where, "action", "errnoRet", &action)) < 0 ||
	    (rc = read_args(c, entry, args, &n_args, &any)) < 0)
		return rc;
	for (size_t i = 0; rc == 0 && i < json_len(names); i++) {
		const char *name = json_item_str(names, i);
		int nr = seccomp_syscall_resolve_name(name);
		if (nr == __NR_SCMP_ERROR)
			continue;
		if (action == SCMP_ACT_NOTIFY && !strcmp(name, "write"))
			return err_set(c->err, EINVAL,
				       "%snames: SCMP_ACT_NOTIFY for write would stop us ourselves",
				       c->where);
		note_number(c, name);
		/* libseccomp refuses what says nothing new. */
		if (action != c->default_action)
			rc = add_rule(c, name, nr, action, args, n_args, any);
	}
	return rc;
}

static int add_machines(struct compiler *c, json_object *profile)
{
	json_object *a = NULL;
	int rc = json_get_strv(profile, "architectures", &a, c->err);
	if (rc < 0)
		return rc;
	if (json_len(a) > N(arches))
		return err_set(c->err, EINVAL, "architectures: too many");
	c->machines[c->n_machines++] = (struct machine){ seccomp_arch_native(), -1 };
	for (size_t i = 0; i < json_len(a); i++) {
		const char *name = json_item_str(a, i);
		const struct word *w = find(arches, N(arches), name);
		if (!w)
			return err_set(c->err, EINVAL,
				       "architectures[%zu]: unknown architecture \"%.60s\"", i,
				       name);
		rc = seccomp_arch_add(c->ctx, w->value);
		if (rc == -EEXIST)
			continue;
		if (rc < 0)
			return err_set(c->err, EOPNOTSUPP,
				       "architectures[%zu]: %s cannot be filtered here", i, name);
		c->machines[c->n_machines++] = (struct machine){ w->value, -1 };
	}
	return 0;
}

static int add_entries(struct compiler *c, json_object *profile)
{
	json_object *a = json_get(profile, "syscalls");
	if (a && (!json_object_is_type(a, json_type_array) || json_len(a) > SYSCALLS_MAX))
		return err_set(c->err, EINVAL, "syscalls: must be an array of at most %d",
			       SYSCALLS_MAX);
	int rc = 0;
	for (size_t i = 0; rc == 0 && i < json_len(a); i++) {
		(void)snprintf(c->where, sizeof(c->where), "syscalls[%zu].", i);
		rc = add_entry(c, json_object_array_get_idx(a, i));
	}
	return rc;
}

/* ---- code -------------------------------------------------------------- */

/* Where a program is put together; the longest prologue is short. */
struct code {
	struct sock_filter insns[BPF_MAXINSNS + 8 * (N(arches) + 1) + 1];
	size_t n;
};

static void emit(struct code *p, int op, uint32_t k, int jt, int jf)
{
	p->insns[p->n++] = (struct sock_filter){ (uint16_t)op, (uint8_t)jt, (uint8_t)jf, k };
}

static const struct machine *find_machine(const struct compiler *c, uint32_t token)
{
	for (size_t i = 0; i < c->n_machines; i++)
		if (c->machines[i].token == token && c->machines[i].highest >= 0)
			return &c->machines[i];
	return NULL;
}

/* One machine: above the highest number ENOSYS, else on to the filter proper.
 * x32 is x86-64 with a bit in the number; unless asked for it is above all. */
static void emit_machine(struct code *p, const struct machine *m, const struct machine *x32)
{
	const uint32_t enosys = SECCOMP_RET_ERRNO | ENOSYS;
	emit(p, BPF_JMP | BPF_JEQ | BPF_K, m->token, 0, x32 ? 6 : 4);
	emit(p, BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr), 0, 0);
	if (x32) {
		emit(p, BPF_JMP | BPF_JGE | BPF_K, X32_BIT, 1, 0);
		emit(p, BPF_JMP | BPF_JGT | BPF_K, (uint32_t)m->highest, 1, 2);
		emit(p, BPF_JMP | BPF_JGT | BPF_K, X32_BIT | (uint32_t)x32->highest, 0, 1);
	} else {
		emit(p, BPF_JMP | BPF_JGT | BPF_K, (uint32_t)m->highest, 0, 1);
	}
	emit(p, BPF_RET | BPF_K, enosys, 0, 0);
	emit(p, BPF_JMP | BPF_JA, 0, 0, 0); /* to the end; patched */
}

static void emit_prologue(const struct compiler *c, struct code *p)
{
	emit(p, BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, arch), 0, 0);
	for (size_t i = 0; i < c->n_machines; i++) {
		const struct machine *m = &c->machines[i];
		if (m->highest < 0 || m->token == SCMP_ARCH_X32)
			continue;
		emit_machine(p, m,
			     m->token == SCMP_ARCH_X86_64 ? find_machine(c, SCMP_ARCH_X32) : NULL);
	}
	for (size_t i = 0; i < p->n; i++)
		if (p->insns[i].code == (BPF_JMP | BPF_JA))
			p->insns[i].k = (uint32_t)(p->n - i - 1);
}

static bool is_refusal(uint32_t action)
{
	return (action & SECCOMP_RET_ACTION_FULL) == SECCOMP_RET_ERRNO ||
	       action == SCMP_ACT_KILL_PROCESS || action == SCMP_ACT_KILL_THREAD;
}

static int export_code(struct compiler *c, struct code *p)
{
	cleanup_fd int fd = memfd_create("seccomp", MFD_CLOEXEC);
	if (fd < 0)
		return err_sys(c->err, "cannot make a file for the seccomp filter");
	int rc = seccomp_export_bpf(c->ctx, fd);
	if (rc < 0)
		return err_rc(c->err, rc, "cannot compile the seccomp filter");
	off_t size = lseek(fd, 0, SEEK_END);
	size_t n = (size_t)size / sizeof(struct sock_filter);
	if (p->n + n > BPF_MAXINSNS)
		return err_set(c->err, EINVAL,
			       "seccomp: the filter is %zu instructions long, the kernel takes %d",
			       p->n + n, BPF_MAXINSNS);
	if (pread(fd, &p->insns[p->n], (size_t)size, 0) != size)
		return err_sys(c->err, "cannot read the seccomp filter");
	p->n += n;
	return 0;
}

static int compile(struct compiler *c, json_object *profile, struct code *p)
{
	c->ctx = seccomp_init(c->default_action);
	if (!c->ctx)
		return err_set(c->err, ENOMEM, "cannot make a seccomp filter: out of memory");
	/* A binary tree over the numbers: a few comparisons in place of hundreds. */
	(void)seccomp_attr_set(c->ctx, SCMP_FLTATR_CTL_OPTIMIZE, 2);
	int rc = add_machines(c, profile);
	if (rc < 0 || (rc = add_entries(c, profile)) < 0)
		return rc;
	if (is_refusal(c->default_action))
		emit_prologue(c, p);
	return export_code(c, p);
}

int seccomp_compile(json_object *profile, struct sock_filter **ret, size_t *ret_n, struct err *err)
{
	struct compiler c = { .err = err };
	int rc =
		read_action(&c, profile, "", "defaultAction", "defaultErrnoRet", &c.default_action);
	if (rc < 0)
		return rc;
	if (c.default_action == SCMP_ACT_NOTIFY)
		return err_set(err, EINVAL, "defaultAction: must not be SCMP_ACT_NOTIFY");
	cleanup_free struct code *p = malloc(sizeof(*p));
	if (!p)
		return err_set(err, ENOMEM, "out of memory");
	p->n = 0;
	rc = compile(&c, profile, p);
	if (c.ctx)
		seccomp_release(c.ctx);
	if (rc < 0)
		return rc;
	struct sock_filter *code = malloc(p->n * sizeof(*code));
	if (!code)
		return err_set(err, ENOMEM, "out of memory");
	memcpy(code, p->insns, p->n * sizeof(*code));
	*ret = code;
	*ret_n = p->n;
	return 0;
}

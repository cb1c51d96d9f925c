/* SPDX-License-Identifier: Apache-2.0 */
/* seccomp_compile - linux.seccomp to classic BPF, by libseccomp (config-linux.md
 * "Seccomp"; seccomp_rule_add(3)). */
#include "seccomp_compact.h"
#include "seccomp_rules.h"

#include "isola/fd.h"
#include "isola/json.h"

#include <errno.h>
#include <linux/seccomp.h>
#include <seccomp.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

#define ERRNO_MAX    4095
#define SYSCALLS_MAX 4096 /* entries */
#define ARGS_MAX     6

struct compiler {
	scmp_filter_ctx ctx;
	struct err *err;
	struct seccomp_summary sum;
	char where[40]; /* "syscalls[3]." */
};

static bool is_refusal(uint32_t action)
{
	return (action & SECCOMP_RET_ACTION_FULL) == SECCOMP_RET_ERRNO ||
	       action == SCMP_ACT_KILL_PROCESS || action == SCMP_ACT_KILL_THREAD;
}

/* "action" or "defaultAction" with its errno; -EINVAL names the member. */
static int read_action(struct compiler *c, json_object *o, const char *where, const char *key,
		       const char *errno_key, uint32_t *ret)
{
	const char *name = json_str_or(o, key, "");
	const struct seccomp_word *w = seccomp_find(SECCOMP_ACTIONS, name);
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
	const struct seccomp_word *op = seccomp_find(SECCOMP_OPERATORS, name);
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
		seccomp_note_number(&c->sum, name);
		if (!is_refusal(action))
			seccomp_note_arguments(&c->sum, name, n_args > 0);
		/* libseccomp refuses what says nothing new. */
		if (action != c->sum.default_action)
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
	if (json_len(a) > SECCOMP_MACHINES_MAX - 1)
		return err_set(c->err, EINVAL, "architectures: too many");
	c->sum.machines[c->sum.n_machines++] =
		(struct seccomp_machine){ seccomp_arch_native(), -1 };
	for (size_t i = 0; i < json_len(a); i++) {
		const char *name = json_item_str(a, i);
		const struct seccomp_word *w = seccomp_find(SECCOMP_ARCHES, name);
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
		c->sum.machines[c->sum.n_machines++] = (struct seccomp_machine){ w->value, -1 };
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

static int export_code(struct compiler *c, struct seccomp_code *p)
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
			       "the filter is %zu instructions long, the kernel takes %d", p->n + n,
			       BPF_MAXINSNS);
	if (pread(fd, &p->insns[p->n], (size_t)size, 0) != size)
		return err_sys(c->err, "cannot read the seccomp filter");
	p->n += n;
	return 0;
}

static int compile(struct compiler *c, json_object *profile, struct seccomp_code *p)
{
	c->ctx = seccomp_init(c->sum.default_action);
	if (!c->ctx)
		return err_set(c->err, ENOMEM, "cannot make a seccomp filter: out of memory");
	/* A binary tree over the numbers: a few comparisons in place of hundreds. */
	(void)seccomp_attr_set(c->ctx, SCMP_FLTATR_CTL_OPTIMIZE, 2);
	int rc = add_machines(c, profile);
	if (rc < 0 || (rc = add_entries(c, profile)) < 0)
		return rc;
	if (is_refusal(c->sum.default_action))
		seccomp_prologue(&c->sum, p);
	return export_code(c, p);
}

int seccomp_compile(json_object *profile, struct sock_filter **ret, size_t *ret_n, struct err *err)
{
	struct compiler c = { .err = err };
	int rc = read_action(&c, profile, "", "defaultAction", "defaultErrnoRet",
			     &c.sum.default_action);
	if (rc < 0)
		return rc;
	if (c.sum.default_action == SCMP_ACT_NOTIFY)
		return err_set(err, EINVAL, "defaultAction: must not be SCMP_ACT_NOTIFY");
	cleanup_free struct seccomp_code *p = malloc(sizeof(*p));
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
	*ret_n = seccomp_compact(p->insns, p->n, code);
	if (*ret_n == 0) {
		memcpy(code, p->insns, p->n * sizeof(*code));
		*ret_n = p->n;
	}
	*ret = code;
	return 0;
}

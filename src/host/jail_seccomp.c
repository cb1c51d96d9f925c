/* SPDX-License-Identifier: Apache-2.0 */
/* jail_seccomp - see include/isola/jail.h. seccomp(2), through libseccomp; a file of
 * its own, for programs that do without that library. */
#include "isola/jail.h"

#include <errno.h>
#include <seccomp.h>
#include <string.h>

static int allow(scmp_filter_ctx ctx, const struct jail_calls *row)
{
	char name[64];
	for (const char *p = row->names; *p;) {
		size_t n = strcspn(p, " ");
		if (n == 0 || n >= sizeof(name))
			return -EINVAL;
		memcpy(name, p, n);
		name[n] = '\0';
		p += n;
		p += strspn(p, " ");
		int nr = seccomp_syscall_resolve_name(name);
		if (nr < 0) /* not on this machine */
			continue;
		struct scmp_arg_cmp none =
			SCMP_CMP64(row->arg, SCMP_CMP_MASKED_EQ, row->forbidden, 0);
		int rc = seccomp_rule_add_array(ctx, SCMP_ACT_ALLOW, nr, row->forbidden ? 1 : 0,
						&none);
		if (rc < 0)
			return rc;
	}
	return 0;
}

static int install(const struct jail_calls *rows, size_t n, uint32_t otherwise, struct err *err)
{
	scmp_filter_ctx ctx = seccomp_init(otherwise);
	if (!ctx)
		return err_set(err, ENOMEM, "cannot make a seccomp filter");
	/* A binary tree: the list is long, and file calls are frequent. */
	int rc = seccomp_attr_set(ctx, SCMP_FLTATR_CTL_OPTIMIZE, 2);
	for (size_t i = 0; rc == 0 && i < n; i++)
		rc = allow(ctx, &rows[i]);
	if (rc == 0)
		rc = seccomp_load(ctx); /* sets no_new_privs, too */
	seccomp_release(ctx);
	return rc < 0 ? err_rc(err, rc, "cannot install the seccomp filter") : 0;
}

int jail_seccomp(const struct jail_calls *rows, size_t n, struct err *err)
{
	return install(rows, n, SCMP_ACT_KILL_PROCESS, err);
}

int jail_seccomp_refusing(const struct jail_calls *rows, size_t n, int refuse, struct err *err)
{
	return install(rows, n, SCMP_ACT_ERRNO((uint32_t)refuse), err);
}

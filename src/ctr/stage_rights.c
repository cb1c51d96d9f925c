/* SPDX-License-Identifier: Apache-2.0 */
/* stage_rights - ids, capabilities, no_new_privs and seccomp of the payload, in
 * the order in which the kernel allows them (capabilities(7), credentials(7)).
 *
 *   bounding set -> groups -> uid (permitted kept) -> sets, ambient -> [gate]
 *   -> seccomp and the last capset, in rights_finish(), next to the exec.
 *
 * Without no_new_privs a filter may be installed only with CAP_SYS_ADMIN, which
 * is then held until that call; with it the filter is the very last call. */
#include "init.h"

#include "channel.h"
#include "isola/caps.h"
#include "isola/fd.h"

#include <errno.h>
#include <grp.h>
#include <linux/capability.h>
#include <linux/securebits.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#define ADMIN (UINT64_C(1) << CAP_SYS_ADMIN)

static int set_caps(uint64_t effective, uint64_t permitted, uint64_t inheritable)
{
	struct __user_cap_header_struct head = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct data[2];
	for (int i = 0; i < 2; i++)
		data[i] = (struct __user_cap_data_struct){
			.effective = (uint32_t)(effective >> (32 * i)),
			.permitted = (uint32_t)(permitted >> (32 * i)),
			.inheritable = (uint32_t)(inheritable >> (32 * i)),
		};
	return syscall(SYS_capset, &head, data) < 0 ? -errno : 0;
}

static uint64_t own_permitted(void)
{
	struct __user_cap_header_struct head = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct data[2];
	if (syscall(SYS_capget, &head, data) < 0)
		return 0;
	return data[0].permitted | (uint64_t)data[1].permitted << 32;
}

static int drop_bounding(uint64_t keep, struct err *err)
{
	for (int cap = 0; cap <= caps_last(); cap++) {
		if (keep >> cap & 1)
			continue;
		if (prctl(PR_CAPBSET_DROP, cap, 0, 0, 0) < 0 &&
		    prctl(PR_CAPBSET_READ, cap, 0, 0, 0) != 0)
			return err_sys(err, "cannot drop a capability of the bounding set");
	}
	return 0;
}

static int set_groups(const struct init *in, struct err *err)
{
	const struct ctr_process *p = in->process;
	size_t n = p->n_groups + in->user.n_groups;
	gid_t *groups = malloc((n + 1) * sizeof(*groups));
	if (!groups)
		return err_set(err, ENOMEM, "out of memory");
	if (p->n_groups)
		memcpy(groups, p->groups, p->n_groups * sizeof(*groups));
	if (in->user.n_groups)
		memcpy(groups + p->n_groups, in->user.groups, in->user.n_groups * sizeof(*groups));
	int rc = setgroups(n, groups) < 0 ? -errno : 0;
	free(groups);
	/* Denied in a user namespace made without privilege: nothing to drop. */
	if (rc == -EPERM && n == 0 && in->spec->ns[CTR_NS_USER].mode != CTR_NS_HOST)
		return 0;
	return rc < 0 ? err_rc(err, rc, "cannot set the supplementary groups") : 0;
}

/* Fails with EINVAL for what the user namespace does not map. */
static int set_ids(const struct init *in, struct err *err)
{
	int rc = set_groups(in, err);
	if (rc < 0)
		return rc;
	if (setresgid(in->user.gid, in->user.gid, in->user.gid) < 0)
		return err_sys(err, "cannot become group %u%s", in->user.gid,
			       errno == EINVAL ? " (not in linux.gidMappings)" : "");
	if (setresuid(in->user.uid, in->user.uid, in->user.uid) < 0)
		return err_sys(err, "cannot become user %u%s", in->user.uid,
			       errno == EINVAL ? " (not in linux.uidMappings)" : "");
	return 0;
}

static int raise_ambient(uint64_t ambient, struct err *err)
{
	(void)prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
	for (int cap = 0; ambient >> cap; cap++) {
		/* One that is not both permitted and inheritable is not given,
		 * as the kernel has it. */
		if (ambient >> cap & 1 &&
		    prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, cap, 0, 0) < 0 && errno != EPERM)
			return err_sys(err, "cannot raise an ambient capability");
		if (cap == 63)
			break;
	}
	return 0;
}

/* What the caller itself lacks, nobody can give. */
static struct ctr_caps caps_of(const struct init *in, uint64_t own)
{
	struct ctr_caps c = in->process->caps;
	c.permitted &= own;
	c.effective &= c.permitted;
	c.inheritable &= own;
	return c;
}

int stage_rights(struct init *in, struct err *err)
{
	const struct ctr_process *p = in->process;
	if (!p)
		return 0;
	in->keeps_admin = in->seccomp && !p->no_new_privileges;
	int rc = drop_bounding(p->caps.bounding, err);
	if (rc < 0)
		return rc;
	uint64_t own = own_permitted();
	in->caps = caps_of(in, own);
	const struct ctr_caps c = in->caps;
	uint64_t extra = in->keeps_admin ? ADMIN & own : 0;
	if (prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0) < 0)
		return err_sys(err, "cannot keep capabilities");
	rc = set_ids(in, err);
	if (rc < 0)
		return rc;
	rc = set_caps(c.effective | extra, c.permitted | extra, c.inheritable);
	if (rc < 0)
		return err_rc(err, rc, "cannot set the capabilities");
	if (prctl(PR_SET_KEEPCAPS, 0, 0, 0, 0) < 0)
		return err_sys(err, "cannot stop keeping capabilities");
	rc = raise_ambient(c.ambient, err);
	if (rc < 0)
		return rc;
	/* A change of ids clears both; dumpable stays off until the exec. */
	if (prctl(PR_SET_DUMPABLE, 0) < 0 || prctl(PR_SET_PDEATHSIG, 9) < 0)
		return err_sys(err, "cannot stay undumpable");
	if (p->no_new_privileges && prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return err_sys(err, "cannot set process.noNewPrivileges");
	return in->cwd_pending ? stage_cwd(in, err) : 0;
}

/* The listener of SCMP_ACT_NOTIFY goes to the parent, which knows its agent. */
static int install_filter(const struct init *in)
{
	int rc = seccomp_filter_install(in->seccomp);
	if (rc <= 0)
		return rc;
	int listener = rc;
	rc = chan_send(in->sock, CHAN_LISTENER, 0, &listener, 1);
	(void)close(listener);
	return rc;
}

int rights_finish(struct init *in, struct err *err)
{
	const struct ctr_caps c = in->caps;
	int rc = in->seccomp ? install_filter(in) : 0;
	if (rc < 0)
		return err_rc(err, rc, "cannot install the seccomp filter");
	if (in->keeps_admin) {
		rc = set_caps(c.effective, c.permitted, c.inheritable);
		if (rc < 0)
			return err_rc(err, rc, "cannot drop CAP_SYS_ADMIN");
	}
	return 0;
}

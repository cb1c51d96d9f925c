/* SPDX-License-Identifier: Apache-2.0 */
/* stage_start - the first stages of init: safe against its parent's death,
 * ids, namespaces, and what the namespaces themselves are set to. */
#include "channel.h"
#include "ids.h"
#include "init.h"
#include "signals.h"

#include "isola/fd.h"
#include "isola/loopback.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/keyctl.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

int stage_guard(struct init *in, struct err *err)
{
	(void)in;
	if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0)
		return err_sys(err, "cannot ask to die with the parent");
	signals_reset();
	return 0;
}

/* Offsets can be set only while nobody is in the namespace, hence not by clone3. */
int stage_time(struct init *in, struct err *err)
{
	const struct ctr_spec *spec = in->spec;
	if (!ctr_spec_has_new(spec, CTR_NS_TIME))
		return 0;
	if (unshare(CLONE_NEWTIME) < 0)
		return err_sys(err, "cannot make a time namespace");
	for (size_t i = 0; i < spec->n_time_offsets; i++) {
		const struct ctr_time_offset *o = &spec->time_offsets[i];
		char line[80];
		(void)snprintf(line, sizeof(line), "%s %lld %u", o->clock, (long long)o->secs,
			       o->nanosecs);
		int rc = fd_write_file(AT_FDCWD, "/proc/self/timens_offsets", line);
		if (rc < 0)
			return err_rc(err, rc, "cannot set linux.timeOffsets.%s", o->clock);
	}
	cleanup_fd int ns = open("/proc/self/ns/time_for_children", O_RDONLY | O_CLOEXEC);
	if (ns < 0 || setns(ns, CLONE_NEWTIME) < 0)
		return err_sys(err, "cannot enter the time namespace");
	return 0;
}

/* Becomes the root that the id maps know, so that what is made from here on
 * belongs to it. Where the maps have no root, capabilities have to do. */
int start_become_root(const struct init *in, struct err *err)
{
	const struct ctr_spec *spec = in->spec;
	const bool joined = spec->ns[CTR_NS_USER].mode == CTR_NS_JOIN;
	/* Denied where one's own group was mapped without privilege. */
	if (setgroups(0, NULL) < 0 && errno != EPERM)
		return err_sys(err, "cannot drop supplementary groups");
	if ((joined || ids_has(&spec->gid_maps, 0)) && setresgid(0, 0, 0) < 0)
		return err_sys(err, "cannot become group 0 of the user namespace");
	if ((joined || ids_has(&spec->uid_maps, 0)) && setresuid(0, 0, 0) < 0)
		return err_sys(err, "cannot become user 0 of the user namespace");
	return 0;
}

int stage_ids(struct init *in, struct err *err)
{
	if (in->plan->userns) {
		int rc = chan_expect(in->sock, CHAN_MAPPED, err);
		if (rc == 0)
			rc = start_become_root(in, err);
		if (rc < 0)
			return rc;
		/* A change of ids made us undumpable and cleared this. */
		if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0)
			return err_sys(err, "cannot ask to die with the parent");
	}
	/* Processes of a namespace we are about to join may not look into us:
	 * /proc/<pid>/exe and fd lead to the host (CVE-2019-5736, CVE-2016-9962). */
	if (prctl(PR_SET_DUMPABLE, 0) < 0)
		return err_sys(err, "cannot become undumpable");
	return 0;
}

int stage_namespaces(struct init *in, struct err *err)
{
	for (int i = 0; i < CTR_NS_COUNT; i++) {
		/* User and pid namespaces were joined before we were cloned. */
		if (in->spec->ns[i].mode != CTR_NS_JOIN || i == CTR_NS_USER || i == CTR_NS_PID)
			continue;
		if (setns(in->plan->ns_fds[i], ctr_ns_types[i].clone_flag) < 0)
			return err_sys(err, "cannot join the %s namespace %s", ctr_ns_types[i].name,
				       in->spec->ns[i].path);
	}
	/* Not by clone3, which would take the parent's cgroup for its root. */
	if (ctr_spec_has_new(in->spec, CTR_NS_CGROUP) && unshare(CLONE_NEWCGROUP) < 0)
		return err_sys(err, "cannot make a cgroup namespace");
	return 0;
}

int stage_network(struct init *in, struct err *err)
{
	if (!ctr_spec_has_new(in->spec, CTR_NS_NET))
		return 0;
	int rc = loopback_up();
	return rc < 0 ? err_rc(err, rc, "cannot bring lo up") : 0;
}

int stage_hostname(struct init *in, struct err *err)
{
	const struct ctr_spec *spec = in->spec;
	if (spec->hostname && sethostname(spec->hostname, strlen(spec->hostname)) < 0)
		return err_sys(err, "cannot set hostname %s", spec->hostname);
	if (spec->domainname && setdomainname(spec->domainname, strlen(spec->domainname)) < 0)
		return err_sys(err, "cannot set domainname %s", spec->domainname);
	return 0;
}

/* A session keyring of its own, so that the host's keys stay the host's
 * (keyrings(7)). Kernels without keys, and filters that forbid them, are fine. */
static int join_keyring(const struct init *in, struct err *err)
{
	char name[300];
	(void)snprintf(name, sizeof(name), "_ses.%s", in->id ? in->id : "");
	if (syscall(SYS_keyctl, KEYCTL_JOIN_SESSION_KEYRING, in->id ? name : NULL) >= 0 ||
	    errno == ENOSYS || errno == EPERM)
		return 0;
	if (errno == EDQUOT)
		return err_set(err, EDQUOT,
			       "no more session keyrings for this user: raise "
			       "kernel.keys.maxkeys, or use --no-new-keyring");
	return err_sys(err, "cannot make a session keyring");
}

int stage_session(struct init *in, struct err *err)
{
	/* console_become() does it along with the terminal. */
	if (!(in->process && in->process->terminal) && setsid() < 0)
		return err_sys(err, "cannot start a session");
	return in->new_keyring ? join_keyring(in, err) : 0;
}

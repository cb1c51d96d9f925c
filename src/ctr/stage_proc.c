/* SPDX-License-Identifier: Apache-2.0 */
/* stage_proc - what is set by writing to procfs, through a procfs of the
 * container's namespaces that we mounted and nobody else has touched
 * (CVE-2019-19921, CVE-2025-52881), and how the process is scheduled. */
#include "init.h"
#include "rlimits.h"
#include "mount_guard.h"
#include "tree.h"

#include "isola/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <string.h>
#include <sys/personality.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

/* A user namespace may not mount procfs where the one there is partly masked, as
 * exec finds it; then that one has to do. */
static int open_proc(struct init *in, struct err *err)
{
	if (in->proc_fd >= 0)
		return 0;
	in->proc_fd = tree_new("proc", "proc", NULL, 0, 0, err);
	if (in->proc_fd == -EPERM && !in->plan)
		in->proc_fd = open("/proc", O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (in->proc_fd < 0)
		return err_prefix(err, "cannot open a procfs");
	return mount_guard_is_proc(in->proc_fd)
		       ? 0
		       : err_set(err, EINVAL, "/proc is not a proc file system");
}

/* @path below that procfs: no link, no mount of anybody on the way. */
static int write_proc(const struct init *in, const char *path, const char *text)
{
	struct open_how how = {
		.flags = O_WRONLY | O_CLOEXEC,
		.resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_XDEV,
	};
	cleanup_fd int fd = (int)syscall(SYS_openat2, in->proc_fd, path, &how, sizeof(how));
	if (fd < 0)
		return -errno;
	return write(fd, text, strlen(text)) < 0 ? -errno : 0;
}

int stage_sysctl(struct init *in, struct err *err)
{
	const struct ctr_spec *spec = in->spec;
	if (spec->n_sysctls == 0)
		return 0;
	int rc = open_proc(in, err);
	for (size_t i = 0; rc == 0 && i < spec->n_sysctls; i++) {
		char path[512];
		if (snprintf(path, sizeof(path), "sys/%s", spec->sysctls[i].path) >=
		    (int)sizeof(path))
			return err_set(err, ENAMETOOLONG, "linux.sysctl: %s", spec->sysctls[i].key);
		rc = write_proc(in, path, spec->sysctls[i].value);
		if (rc < 0)
			return err_rc(err, rc, "linux.sysctl: cannot set %s to %s",
				      spec->sysctls[i].key, spec->sysctls[i].value);
	}
	return rc;
}

int stage_schedule(struct init *in, struct err *err)
{
	const struct ctr_process *p = in->process;
	if (in->spec->personality_set && personality(in->spec->personality) < 0)
		return err_sys(err, "cannot set linux.personality");
	if (!p)
		return 0;
	(void)umask(p->umask < 0 ? 0022 : (mode_t)p->umask);
	return limits_schedule(p, err);
}

/* For the next execve. The first file that there is takes it. */
static int write_label(const struct init *in, const char *const *files, const char *text)
{
	int rc = -ENOENT;
	for (; rc == -ENOENT && *files; files++) {
		char path[64]; /* "self" would be a link */
		(void)snprintf(path, sizeof(path), "%d/attr/%s", getpid(), *files);
		rc = write_proc(in, path, text);
	}
	return rc;
}

int stage_labels(struct init *in, struct err *err)
{
	/* AppArmor's own file came with Linux 5.8. */
	static const char *const apparmor[] = { "apparmor/exec", "exec", NULL };
	static const char *const selinux[] = { "exec", NULL };
	const struct ctr_process *p = in->process;
	if (!p || (!p->apparmor_profile && !p->selinux_label))
		return 0;
	int rc = open_proc(in, err);
	if (rc < 0)
		return rc;
	if (p->apparmor_profile) {
		char text[600];
		(void)snprintf(text, sizeof(text), "exec %s", p->apparmor_profile);
		rc = write_label(in, apparmor, text);
		if (rc < 0)
			return err_rc(err, rc, "cannot set process.apparmorProfile %s",
				      p->apparmor_profile);
	}
	rc = p->selinux_label ? write_label(in, selinux, p->selinux_label) : 0;
	return rc < 0 ? err_rc(err, rc, "cannot set process.selinuxLabel %s", p->selinux_label) : 0;
}

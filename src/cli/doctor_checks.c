/* SPDX-License-Identifier: Apache-2.0 */
/* doctor_checks - what doctor looks at, a function each. KVM itself is judged by
 * isola-vmm --probe, which runs a tiny guest; the rest is read from /proc and /sys.
 * Linux, virt/kvm/api.rst and admin-guide/kernel-parameters. Runs in vmctl. */
#include "doctor.h"

#include "doctor_probe.h"
#include "isola/fd.h"
#include "isola/json.h"
#include "kernel.h"
#include "kernel_store.h"
#include "place.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

/* The first line of a small file; "" when there is none. */
static const char *line_of(const char *path, char *buf, size_t size)
{
	cleanup_fd int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : read(fd, buf, size - 1);
	buf[n < 0 ? 0 : n] = '\0';
	buf[strcspn(buf, "\n")] = '\0';
	return buf;
}

/* Whether a line of /proc/cpuinfo's flags has @flag. */
static bool cpu_has(const char *flag)
{
	char *line = NULL;
	size_t size = 0, len = strlen(flag);
	bool found = false;
	FILE *f = fopen("/proc/cpuinfo", "re");
	while (f && !found && getline(&line, &size, f) > 0) {
		if (strncmp(line, "flags", 5) != 0)
			continue;
		for (char *p = line; (p = strstr(p, flag)); p += len)
			found = found || (p[-1] == ' ' && (p[len] == ' ' || p[len] == '\n'));
		break;
	}
	free(line);
	if (f)
		(void)fclose(f);
	return found;
}

static const char *module_of_cpu(void)
{
	return cpu_has("svm") ? "kvm_amd" : cpu_has("vmx") ? "kvm_intel" : NULL;
}

static void check_kvm(struct doctor *d)
{
	cleanup_fd int fd = open("/dev/kvm", O_RDWR | O_CLOEXEC);
	const char *module = module_of_cpu();
	if (fd >= 0) {
		doctor_add(d, "kvm", FINDING_OK, NULL, "/dev/kvm is there and may be used.");
		return;
	}
	d->broken = true;
	if (errno == EACCES || errno == EPERM)
		doctor_add(d, "kvm", FINDING_FAIL,
			   "run this as root, as isolad runs; or join the group that owns "
			   "/dev/kvm: usermod -aG kvm NAME",
			   "/dev/kvm may not be opened: %s.", strerror(errno));
	else if (module)
		doctor_add(d, "kvm", FINDING_FAIL, "load it: modprobe kvm_amd (or kvm_intel)",
			   "There is no /dev/kvm, though the processor has the means (%s).",
			   module);
	else if (cpu_has("hypervisor"))
		doctor_add(d, "kvm", FINDING_FAIL,
			   "allow nested virtualization where this machine is defined (libvirt: "
			   "host-passthrough; clouds: an instance type with it, or bare metal)",
			   "There is no /dev/kvm: this machine is a VM itself, and its processor "
			   "shows no virtualization.");
	else
		doctor_add(d, "kvm", FINDING_FAIL,
			   "switch on AMD-V or VT-x in the machine's firmware, then modprobe "
			   "kvm_amd or kvm_intel",
			   "There is no /dev/kvm, and the processor shows no virtualization.");
}

static void check_nested(struct doctor *d)
{
	if (cpu_has("hypervisor"))
		doctor_add(
			d, "nested", FINDING_NOTE, NULL,
			"This machine is a VM itself: guests are nested, and each exit of theirs "
			"costs several times as much.");
}

static void check_programs(struct doctor *d)
{
	static const char *const names[] = { "isola-vmm", "isola-keeper", "isola-bootdisk",
					     "isola-boot-init" };
	char path[PATH_MAX];
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		struct err err = ERR_INIT;
		if (place_find(names[i], path, sizeof(path), &err) == 0)
			continue;
		doctor_add(d, "programs", FINDING_FAIL, "install all of Isola (ninja install)",
			   "%s is not there: neither beside vmctl nor in " ISOLA_LIBEXECDIR ".",
			   names[i]);
		if (i == 0)
			d->broken = true;
	}
}

static void check_daemon(struct doctor *d)
{
	struct err err = ERR_INIT;
	cleanup_json json_object *doc = NULL;
	if (client_call(cli_client(d->cli), "GET", "/version", NULL, &doc, &err) == 200)
		doctor_add(d, "isolad", FINDING_OK, NULL, "isolad %s answers on %s.",
			   json_str_or(doc, "Version", "?"), d->cli->host.path);
	else
		doctor_add(d, "isolad", FINDING_WARN,
			   "start it: systemctl start isolad (or name its socket with -H)",
			   "isolad does not answer on %s.", d->cli->host.path);
}

static void check_kernels(struct doctor *d)
{
	struct err err = ERR_INIT;
	struct kernel k;
	char store[PATH_MAX];
	if (kernel_store(d->cli, d->args, store, sizeof(store), &err) == 0 &&
	    kernel_find(store, KERNEL_DEFAULT, &k, &err) == 0)
		doctor_add(d, "kernel", FINDING_OK, NULL, "The default guest kernel is %s.",
			   k.name);
	else
		doctor_add(d, "kernel", FINDING_NOTE,
			   "vmctl kernel fetch brings Debian's; disks with a kernel of their own "
			   "need none",
			   "There is no default guest kernel in %s.", store);
}

/* ---- speed ---- */

static void check_huge_pages_split(struct doctor *d)
{
	char buf[32];
	if (*line_of("/sys/module/kvm/parameters/nx_huge_pages", buf, sizeof(buf)) == 'Y')
		doctor_add(
			d, "nx_huge_pages", FINDING_WARN,
			"if all guests are trusted, or the processor is not affected: "
			"kvm.nx_huge_pages=never",
			"KVM splits huge pages that guests execute (nx_huge_pages): a start costs "
			"milliseconds more, code in guests runs slower.");
}

static void check_cgroup_mode(struct doctor *d)
{
	char line[512];
	bool v2 = false, favored = false;
	FILE *f = fopen("/proc/self/mounts", "re");
	while (f && fgets(line, sizeof(line), f)) {
		if (!strstr(line, " cgroup2 "))
			continue;
		v2 = true;
		favored = favored || strstr(line, "favordynmods");
	}
	if (f)
		(void)fclose(f);
	if (v2 && !favored)
		doctor_add(d, "favordynmods", FINDING_NOTE,
			   "mount -o remount,favordynmods /sys/fs/cgroup",
			   "cgroup2 is mounted without favordynmods: making a VM may wait for some "
			   "milliseconds while threads move between cgroups.");
}

static void check_io_uring(struct doctor *d)
{
	char buf[32];
	const char *v = line_of("/proc/sys/kernel/io_uring_disabled", buf, sizeof(buf));
	if (*v == '1' || *v == '2')
		doctor_add(d, "io_uring", FINDING_WARN, "sysctl kernel.io_uring_disabled=0",
			   "io_uring is switched off (kernel.io_uring_disabled=%s): disks use the "
			   "slower way.",
			   v);
}

static void check_thp(struct doctor *d)
{
	char buf[64];
	const char *v = line_of("/sys/kernel/mm/transparent_hugepage/enabled", buf, sizeof(buf));
	if (strstr(v, "[never]"))
		doctor_add(d, "transparent_hugepage", FINDING_NOTE,
			   "echo madvise > /sys/kernel/mm/transparent_hugepage/enabled",
			   "Transparent huge pages are off: --thp has no effect.");
}

static void check_clock(struct doctor *d)
{
	char buf[64];
	const char *v = line_of("/sys/devices/system/clocksource/clocksource0/current_clocksource",
				buf, sizeof(buf));
	if (*v && strcmp(v, "tsc") != 0 && strcmp(v, "kvm-clock") != 0)
		doctor_add(d, "clocksource", FINDING_WARN, NULL,
			   "The host's clock is %s, not the TSC: guests cannot use kvmclock's fast "
			   "path.",
			   v);
}

/* ---- walls ---- */

static void check_smt(struct doctor *d)
{
	char buf[16];
	if (*line_of("/sys/devices/system/cpu/smt/active", buf, sizeof(buf)) == '1')
		doctor_add(d, "smt", FINDING_NOTE,
			   "between tenants who do not trust each other: echo off > "
			   "/sys/devices/system/cpu/smt/control, or pin VMs to whole cores",
			   "Threads share cores (SMT): a VM can measure what its neighbour on the "
			   "same core does.");
}

static void check_ksm(struct doctor *d)
{
	char buf[16];
	if (*line_of("/sys/kernel/mm/ksm/run", buf, sizeof(buf)) == '1')
		doctor_add(d, "ksm", FINDING_WARN, "echo 2 > /sys/kernel/mm/ksm/run",
			   "KSM merges equal pages: VMs that opt in (--merge) can be measured by "
			   "others.");
}

static void check_vulnerabilities(struct doctor *d)
{
	static const char *const names[] = { "l1tf",
					     "mds",
					     "spectre_v2",
					     "spec_store_bypass",
					     "srbds",
					     "mmio_stale_data",
					     "retbleed",
					     "spec_rstack_overflow",
					     "gather_data_sampling" };
	char path[128], buf[160];
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		(void)snprintf(path, sizeof(path), "/sys/devices/system/cpu/vulnerabilities/%s",
			       names[i]);
		if (!strncmp(line_of(path, buf, sizeof(buf)), "Vulnerable", 10))
			doctor_add(
				d, "vulnerability", FINDING_WARN,
				"update kernel and microcode, and do not boot with mitigations=off",
				"The processor is open to %s (%s).", names[i], buf);
	}
}

/* ---- limits and parts ---- */

static void check_limits(struct doctor *d)
{
	struct rlimit r;
	if (geteuid() == 0 && getrlimit(RLIMIT_NOFILE, &r) == 0 && r.rlim_max < 65536)
		doctor_add(d, "nofile", FINDING_NOTE, "LimitNOFILE=1048576 in isolad's unit",
			   "A process may open only %llu files: enough for some VMs, not for "
			   "thousands.",
			   (unsigned long long)r.rlim_max);
}

static void check_controllers(struct doctor *d)
{
	static const char *const names[] = { "cpu", "memory", "pids", "io" };
	char buf[256], padded[260], word[16], lacking[64] = "";
	const char *v = line_of("/sys/fs/cgroup/cgroup.controllers", buf, sizeof(buf));
	if (!*v)
		v = line_of("/sys/fs/cgroup/unified/cgroup.controllers", buf, sizeof(buf));
	(void)snprintf(padded, sizeof(padded), " %s ", v);
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		(void)snprintf(word, sizeof(word), " %s ", names[i]);
		if (!strstr(padded, word))
			(void)snprintf(lacking + strlen(lacking), sizeof(lacking) - strlen(lacking),
				       "%s%s", *lacking ? ", " : "", names[i]);
	}
	if (*lacking)
		doctor_add(d, "cgroup", FINDING_WARN,
			   "boot with systemd.unified_cgroup_hierarchy=1, or free the controllers "
			   "from cgroup v1",
			   "cgroup v2 has no controllers for %s here: limits of that kind are "
			   "refused.",
			   lacking);
}

static void check_tun(struct doctor *d)
{
	if (access("/dev/net/tun", F_OK) < 0)
		doctor_add(d, "tun", FINDING_WARN, "modprobe tun",
			   "There is no /dev/net/tun: VMs can have no tap devices (--net tap=).");
}

static bool have_program(const char *const *paths)
{
	for (; *paths; paths++)
		if (access(*paths, X_OK) == 0)
			return true;
	return false;
}

static void check_helpers(struct doctor *d)
{
	static const char *const virtiofsd[] = { "/usr/libexec/virtiofsd",
						 "/usr/lib/qemu/virtiofsd", "/usr/bin/virtiofsd",
						 NULL };
	static const char *const passt[] = { "/usr/bin/passt", NULL };
	if (!have_program(virtiofsd))
		doctor_add(d, "virtiofsd", FINDING_NOTE,
			   "apt-get install virtiofsd (Debian 12: qemu-system-common)",
			   "There is no virtiofsd: folders cannot be shared (--share).");
	if (!have_program(passt))
		doctor_add(d, "passt", FINDING_NOTE, "apt-get install passt",
			   "There is no passt: no network without a tap device (--net passt).");
}

void (*const doctor_checks[])(struct doctor *d) = {
	check_kvm,
	doctor_probe,
	check_nested,
	check_programs,
	check_daemon,
	check_kernels,
	check_huge_pages_split,
	check_cgroup_mode,
	check_io_uring,
	check_thp,
	check_clock,
	check_smt,
	check_ksm,
	check_vulnerabilities,
	check_limits,
	check_controllers,
	check_tun,
	check_helpers,
	NULL,
};

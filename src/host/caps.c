/* SPDX-License-Identifier: Apache-2.0 */
/* caps - see include/isola/caps.h. The names are a table of ours: libcap-ng's
 * would cost each start of a program eight system calls (its constructor asks
 * the kernel for what we do not need) and, linked statically, the whole of NSS.
 * Whether the kernel has a capability is asked of the kernel. */
#include "isola/caps.h"

#include <errno.h>
#include <linux/capability.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>

#define ROW(name) [name] = #name

static const char *const names[] = {
	ROW(CAP_CHOWN),
	ROW(CAP_DAC_OVERRIDE),
	ROW(CAP_DAC_READ_SEARCH),
	ROW(CAP_FOWNER),
	ROW(CAP_FSETID),
	ROW(CAP_KILL),
	ROW(CAP_SETGID),
	ROW(CAP_SETUID),
	ROW(CAP_SETPCAP),
	ROW(CAP_LINUX_IMMUTABLE),
	ROW(CAP_NET_BIND_SERVICE),
	ROW(CAP_NET_BROADCAST),
	ROW(CAP_NET_ADMIN),
	ROW(CAP_NET_RAW),
	ROW(CAP_IPC_LOCK),
	ROW(CAP_IPC_OWNER),
	ROW(CAP_SYS_MODULE),
	ROW(CAP_SYS_RAWIO),
	ROW(CAP_SYS_CHROOT),
	ROW(CAP_SYS_PTRACE),
	ROW(CAP_SYS_PACCT),
	ROW(CAP_SYS_ADMIN),
	ROW(CAP_SYS_BOOT),
	ROW(CAP_SYS_NICE),
	ROW(CAP_SYS_RESOURCE),
	ROW(CAP_SYS_TIME),
	ROW(CAP_SYS_TTY_CONFIG),
	ROW(CAP_MKNOD),
	ROW(CAP_LEASE),
	ROW(CAP_AUDIT_WRITE),
	ROW(CAP_AUDIT_CONTROL),
	ROW(CAP_SETFCAP),
	ROW(CAP_MAC_OVERRIDE),
	ROW(CAP_MAC_ADMIN),
	ROW(CAP_SYSLOG),
	ROW(CAP_WAKE_ALARM),
	ROW(CAP_BLOCK_SUSPEND),
	ROW(CAP_AUDIT_READ),
	ROW(CAP_PERFMON),
	ROW(CAP_BPF),
	ROW(CAP_CHECKPOINT_RESTORE),
};

#define N_NAMES ((int)(sizeof(names) / sizeof(names[0])))

int caps_last(void)
{
	static int last = -1; /* the same whoever computes it */
	if (last >= 0)
		return last;
	int n = N_NAMES - 1;
	while (n > 0 && prctl(PR_CAPBSET_READ, n, 0, 0, 0) < 0)
		n--;
	while (n < 63 && prctl(PR_CAPBSET_READ, n + 1, 0, 0, 0) >= 0)
		n++;
	last = n;
	return n;
}

uint64_t caps_all(void)
{
	return UINT64_MAX >> (63 - caps_last());
}

int caps_parse(const char *name)
{
	if (strncmp(name, "CAP_", 4))
		return -EINVAL;
	for (int cap = 0; cap < N_NAMES; cap++)
		if (!strcmp(names[cap] + 4, name + 4))
			return cap <= caps_last() ? cap : -EINVAL;
	return -EINVAL;
}

char *caps_name(int cap, char *ret, unsigned int size)
{
	if (cap >= 0 && cap < N_NAMES)
		(void)snprintf(ret, size, "%s", names[cap]);
	else
		(void)snprintf(ret, size, "CAP_%d", cap);
	return ret;
}

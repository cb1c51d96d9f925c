/* SPDX-License-Identifier: Apache-2.0 */
/* stub - see stub.h. The list is that of src/daemon/bundle_mounts.c. */
#include "stub.h"

#include <stddef.h>
#include <string.h>

static const char *const stubs[] = {
	"/dev", "/dev/console", "/dev/mqueue",    "/dev/pts",         "/dev/shm",
	"/etc", "/etc/hosts",   "/etc/hostname",  "/etc/resolv.conf", "/proc",
	"/sys", "/sys/fs",      "/sys/fs/cgroup",
};

bool stub_is(const char *path, const struct stat *st)
{
	if (!S_ISDIR(st->st_mode) && !(S_ISREG(st->st_mode) && st->st_size == 0))
		return false;
	for (size_t i = 0; i < sizeof(stubs) / sizeof(stubs[0]); i++)
		if (!strcmp(stubs[i], path))
			return true;
	return false;
}

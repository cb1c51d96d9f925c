/* SPDX-License-Identifier: Apache-2.0 */
/* lsm - see include/isola/lsm.h. */
#include "isola/lsm.h"

#include "isola/fd.h"

#include <fcntl.h>

bool lsm_has_apparmor(void)
{
	cleanup_fd int fd = open("/sys/module/apparmor/parameters/enabled", O_RDONLY | O_CLOEXEC);
	char c = 'N';
	return fd >= 0 && read(fd, &c, 1) == 1 && c == 'Y';
}

bool lsm_has_selinux(void)
{
	return access("/sys/fs/selinux/enforce", F_OK) == 0;
}

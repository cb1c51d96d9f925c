/* SPDX-License-Identifier: Apache-2.0 */
/* loopback - see include/isola/loopback.h. Runs in a container's init while it
 * is being set up. */
#include "isola/loopback.h"

#include "isola/fd.h"

#include <errno.h>
#include <net/if.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

int loopback_up(void)
{
	cleanup_fd int sock = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (sock < 0)
		return -errno;
	struct ifreq req = { .ifr_name = "lo", .ifr_flags = IFF_UP | IFF_RUNNING };
	return ioctl(sock, SIOCSIFFLAGS, &req) < 0 ? -errno : 0;
}

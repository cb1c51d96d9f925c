/* SPDX-License-Identifier: Apache-2.0 */
/* mkfs_find - where this host has mkfs.erofs: below /usr, which is what its jail has of the
 * host (mkfs.h). isolad links it, too. */
#include "isola/image.h"

#include <unistd.h>

const char *image_mkfs(void)
{
	static const char *const places[] = { "/usr/bin/mkfs.erofs", "/usr/sbin/mkfs.erofs",
					      "/usr/local/bin/mkfs.erofs",
					      "/usr/local/sbin/mkfs.erofs" };
	for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++)
		if (access(places[i], X_OK) == 0)
			return places[i];
	return NULL;
}

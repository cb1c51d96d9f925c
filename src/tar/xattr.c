/* SPDX-License-Identifier: Apache-2.0 */
/* xattr - which extended attributes travel with a file: isola/pack.h. In isola-image, ctrctl
 * and, in guests, isola-init. */
#include "isola/pack.h"

#include <string.h>

bool pack_keeps_xattr(const char *name)
{
	if (!strncmp(name, "user.", 5))
		return strncmp(name, "user.overlay.", 13) != 0;
	return !strcmp(name, "security.capability") || !strcmp(name, "system.posix_acl_access") ||
	       !strcmp(name, "system.posix_acl_default");
}

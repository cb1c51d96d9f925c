/* SPDX-License-Identifier: Apache-2.0 */
/* place - see place.h. */
#include "place.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

int place_find(const char *name, char *ret, size_t size, struct err *err)
{
	char own[PATH_MAX];
	ssize_t n = readlink("/proc/self/exe", own, sizeof(own) - 1);
	own[n < 0 ? 0 : n] = '\0';
	char *slash = strrchr(own, '/');
	if (slash)
		slash[1] = '\0';
	if (snprintf(ret, size, "%s%s", own, name) < (int)size && access(ret, F_OK) == 0)
		return 0;
	if (snprintf(ret, size, ISOLA_LIBEXECDIR "/%s", name) < (int)size && access(ret, F_OK) == 0)
		return 0;
	return err_set(err, ENOENT,
		       "%s is neither beside vmctl nor in " ISOLA_LIBEXECDIR
		       ": is all of Isola installed?",
		       name);
}

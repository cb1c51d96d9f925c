/* SPDX-License-Identifier: Apache-2.0 */
/* caps - see include/isola/caps.h. Names come from libcap-ng's table; whether
 * the kernel has one is asked of the kernel. */
#include "isola/caps.h"

#include <cap-ng.h>
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>

int caps_last(void)
{
	static int last = -1; /* the same whoever computes it */
	if (last >= 0)
		return last;
	int n = CAP_LAST_CAP;
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
	/* libcap-ng ignores case, and would take "CAP_" of its own accord. */
	for (const char *p = name + 4; *p; p++)
		if (!isupper((unsigned char)*p) && *p != '_')
			return -EINVAL;
	int cap = capng_name_to_capability(name + 4);
	return cap < 0 || cap > caps_last() ? -EINVAL : cap;
}

char *caps_name(int cap, char *ret, unsigned int size)
{
	const char *name = cap < 0 ? NULL : capng_capability_to_name((unsigned int)cap);
	if (!name) {
		(void)snprintf(ret, size, "CAP_%d", cap);
		return ret;
	}
	(void)snprintf(ret, size, "CAP_%s", name);
	for (char *p = ret; *p; p++)
		*p = (char)toupper((unsigned char)*p);
	return ret;
}

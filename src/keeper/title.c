/* SPDX-License-Identifier: Apache-2.0 */
/* title - see title.h. /proc/<pid>/cmdline shows the memory of the arguments. */
#include "title.h"

#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>

void title_set(int argc, char **argv, const char *text)
{
	char name[16]; /* the first word */
	(void)snprintf(name, sizeof(name), "%.*s", (int)strcspn(text, " "), text);
	(void)prctl(PR_SET_NAME, name, 0, 0, 0);
	/* The kernel lays the strings out one behind the other. */
	char *end = argv[0];
	for (int i = 0; i < argc && argv[i] == end; i++)
		end += strlen(end) + 1;
	size_t room = (size_t)(end - argv[0]);
	if (room == 0)
		return;
	size_t n = strnlen(text, room - 1);
	memcpy(argv[0], text, n);
	memset(argv[0] + n, 0, room - n);
}

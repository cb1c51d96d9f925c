/* SPDX-License-Identifier: Apache-2.0 */
/* probe - see probe.h. */
#include "probe.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

const char *outcome(long rc)
{
	return rc >= 0 ? "ok" : strerrorname_np(errno);
}

void say(const char *what, long rc)
{
	printf("%s %s\n", what, outcome(rc));
}

void must(long rc, const char *what)
{
	if (rc >= 0)
		return;
	printf("%s %s\n", what, outcome(rc));
	exit(1);
}

int made(const char *name, const char *text)
{
	int fd = open(name, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
	must(fd, name);
	must(write(fd, text, strlen(text)), "write");
	return fd;
}

static const struct probe *find(const struct probe *list, const char *name)
{
	for (; list->name; list++)
		if (!strcmp(list->name, name))
			return list;
	return NULL;
}

int main(int argc, char **argv)
{
	const struct probe *p = NULL;
	(void)setvbuf(stdout, NULL, _IONBF, 0); /* they fork */
	if (argc > 1)
		p = find(file_probes, argv[1]);
	if (argc > 1 && !p)
		p = find(system_probes, argv[1]);
	if (!p) {
		(void)fprintf(stderr, "usage: probe WORD [FOLDER]\n");
		return 2;
	}
	if (argc > 2)
		must(chdir(argv[2]), argv[2]);
	p->run();
	return 0;
}

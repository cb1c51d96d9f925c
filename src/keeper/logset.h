/* SPDX-License-Identifier: Apache-2.0 */
/* logset - the files of a rotated log by descriptor, oldest first: a file that
 * is open here can be read to its end, whatever it is called by now. Relies on
 * the invariants in jlog.h. */
#pragma once

#include "isola/err.h"

#include <stddef.h>
#include <sys/types.h>

struct logset_file {
	int fd;
	dev_t dev;
	ino_t ino;
};

struct logset {
	int dir_fd;
	char *name;
	struct logset_file *files; /* oldest first */
	size_t n, cap;
};

/* Opens all that there is of the log @path now; nothing is no error. */
int logset_open(struct logset *set, const char *path, struct err *err);
void logset_fini(struct logset *set);

/* Opens what is newer than the newest file here. Returns how many came, or
 * -errno. */
int logset_refresh(struct logset *set);

/* Closes file @i and forgets it. */
void logset_drop(struct logset *set, size_t i);

/* SPDX-License-Identifier: Apache-2.0 */
/* fixture - what the keeper's unit tests share: cmocka, a folder of one's own. */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "isola/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char folder[200];

/* setup and teardown: a new folder, named by folder[]. */
static inline int make_folder(void **state)
{
	(void)state;
	const char *tmp = getenv("TMPDIR");
	(void)snprintf(folder, sizeof(folder), "%s/keeper.XXXXXX", tmp ? tmp : "/tmp");
	return mkdtemp(folder) ? 0 : -1;
}

static inline int remove_folder(void **state)
{
	(void)state;
	return fd_remove_tree(AT_FDCWD, folder, NULL);
}

static inline const char *in_folder(const char *name)
{
	static char path[4][300];
	static unsigned int next;
	char *p = path[next++ % 4];
	(void)snprintf(p, 300, "%s/%s", folder, name);
	return p;
}

static inline void write_text(const char *name, const char *text)
{
	int fd = open(in_folder(name), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	assert_true(fd >= 0);
	assert_int_equal(fd_write_all(fd, text, strlen(text)), 0);
	assert_int_equal(close(fd), 0);
}

/* Owned by the caller; NULL when there is no such file. */
static inline char *read_text(const char *name)
{
	char *text = NULL;
	return fd_read_file(AT_FDCWD, in_folder(name), 1 << 28, &text, NULL, NULL) < 0 ? NULL
										       : text;
}

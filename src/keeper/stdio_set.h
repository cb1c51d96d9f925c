/* SPDX-License-Identifier: Apache-2.0 */
/* stdio_set - the pipes of a payload that is about to be started: our ends, and
 * those that become its descriptors 0 to 2. */
#pragma once

#include "isola/err.h"

#include "payio.h"

#include <stdbool.h>

struct stdio_set {
	struct payio_fds ours;
	int theirs[3]; /* -1: /dev/null */
};

#define STDIO_SET_INIT                                                                             \
	{                                                                                          \
		.ours = { { -1, -1, -1 } }, .theirs = { -1, -1, -1 }                               \
	}

/* Makes a pipe for each of stdin, stdout and stderr in @wanted. 0 or -errno; what
 * was made is closed by stdio_set_close() in any case. */
int stdio_set_pipes(struct stdio_set *set, const bool wanted[3], struct err *err);

void stdio_set_close(struct stdio_set *set);
#define cleanup_stdio __attribute__((cleanup(stdio_set_close)))

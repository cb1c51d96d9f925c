/* SPDX-License-Identifier: Apache-2.0 */
/* top - the columns of ps(1) that `docker top` can show, as rows. */
#pragma once

#include "isola/err.h"
#include "isola/proc_stat.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define TOP_COLUMNS_MAX 32
#define TOP_CELL_BYTES  4096

/* One process, from /proc/<pid> (proc(5)), or as a guest tells of it. */
struct top_process {
	pid_t pid;
	int64_t uid, gid;             /* in the container's user namespace; -1 = none of its */
	struct proc_stat stat;        /* comm is without controls, too */
	char command[TOP_CELL_BYTES]; /* arguments, or [comm]; UTF-8 without controls */
	int64_t start_ns;             /* wall clock */
	int64_t elapsed_ticks;        /* since the start */
};

typedef void top_format_fn(const struct top_process *p, char *buf, size_t size);

struct top_column {
	const char *keyword, *title;
	top_format_fn *format;
};

/* Turns "-ef", "aux", "-o pid,comm" or "-eo pid cmd" into columns; "" = "-ef".
 * Returns their number; -EINVAL names what is not supported. Pure. */
int top_parse(const char *ps_args, const struct top_column *ret[TOP_COLUMNS_MAX], struct err *err);

/* SPDX-License-Identifier: Apache-2.0 */
/* proc_stat - what /proc/<pid>/stat says of a process (proc(5)), as far as ps(1) shows it.
 * Pure. Also in isola-init, which is built without the rest of host. */
#pragma once

#include <stdint.h>
#include <sys/types.h>

struct proc_stat {
	pid_t ppid;
	char comm[64]; /* any bytes but NUL: what the process calls itself */
	char state;
	int tty, nice, priority;
	int64_t threads, vsz_kib, rss_kib;
	int64_t cpu_ticks;   /* used so far */
	int64_t start_ticks; /* since the boot */
};

/* @text: the file. 0, or -EINVAL with @ret as it was. */
int proc_stat_parse(const char *text, struct proc_stat *ret);

/* SPDX-License-Identifier: Apache-2.0 */
/* proc_stat - see include/isola/proc_stat.h. */
#include "isola/proc_stat.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

int proc_stat_parse(const char *text, struct proc_stat *ret)
{
	/* The name may hold anything, also ") R 1"; the last ")" ends it. */
	const char *open_paren = strchr(text, '('), *close_paren = strrchr(text, ')');
	if (!open_paren || !close_paren || close_paren < open_paren)
		return -EINVAL;
	struct proc_stat p = { .state = '?' };
	long long ppid, tty, utime, stime, priority, nice, threads, start, vsize, rss;
	(void)snprintf(p.comm, sizeof(p.comm), "%.*s", (int)(close_paren - open_paren - 1),
		       open_paren + 1);
	int n = sscanf(close_paren + 1,
		       " %c %lld %*d %*d %lld %*d %*u %*u %*u %*u %*u %lld %lld %*d %*d %lld %lld "
		       "%lld %*d %lld %lld %lld",
		       &p.state, &ppid, &tty, &utime, &stime, &priority, &nice, &threads, &start,
		       &vsize, &rss);
	if (n != 11)
		return -EINVAL;
	p.ppid = (pid_t)ppid;
	p.tty = (int)tty;
	p.cpu_ticks = utime + stime;
	p.start_ticks = start;
	p.priority = (int)priority;
	p.nice = (int)nice;
	p.threads = threads;
	p.vsz_kib = vsize / 1024;
	p.rss_kib = rss * (sysconf(_SC_PAGESIZE) / 1024);
	*ret = p;
	return 0;
}

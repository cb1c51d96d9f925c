/* SPDX-License-Identifier: Apache-2.0 */
/* cgroup_stat - what a cgroup uses, and its OOM kills (cgroup-v2.rst, interface
 * files of the controllers; PSI). See include/isola/cgroup.h. */
#include "isola/cgroup.h"

#include "isola/fd.h"

#include "cgroup_file.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

#define NONE UINT64_MAX

ssize_t cgroup_read(int dir, const char *file, char *buf, size_t size)
{
	cleanup_fd int fd = openat(dir, file, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	ssize_t n = read(fd, buf, size - 1);
	if (n < 0)
		return -errno;
	buf[n] = '\0';
	return n;
}

/* Digits at @p; more than 64 bits saturate. */
static uint64_t number(const char *p)
{
	uint64_t v = 0;
	for (; *p >= '0' && *p <= '9'; p++)
		if (__builtin_mul_overflow(v, 10, &v) ||
		    __builtin_add_overflow(v, (uint64_t)(*p - '0'), &v))
			return NONE;
	return v;
}

uint64_t cgroup_key(const char *text, const char *key, uint64_t fallback)
{
	size_t n = strlen(key);
	for (const char *p = text; p && *p; p = strchr(p, '\n')) {
		p += *p == '\n';
		if (!strncmp(p, key, n) && p[n] == ' ')
			return number(p + n + 1);
	}
	return fallback;
}

/* A file with one number; "max" and a missing file are UINT64_MAX. */
static uint64_t read_number(int dir, const char *file)
{
	char buf[32];
	if (cgroup_read(dir, file, buf, sizeof(buf)) <= 0 || *buf < '0' || *buf > '9')
		return NONE;
	return number(buf);
}

static void read_cpu(int dir, struct cgroup_stat *s)
{
	char buf[2048];
	if (cgroup_read(dir, "cpu.stat", buf, sizeof(buf)) < 0)
		return;
	s->cpu_usage_us = cgroup_key(buf, "usage_usec", NONE);
	s->cpu_user_us = cgroup_key(buf, "user_usec", NONE);
	s->cpu_system_us = cgroup_key(buf, "system_usec", NONE);
	s->cpu_periods = cgroup_key(buf, "nr_periods", NONE);
	s->cpu_throttled = cgroup_key(buf, "nr_throttled", NONE);
	s->cpu_throttled_us = cgroup_key(buf, "throttled_usec", NONE);
}

static void read_memory(int dir, struct cgroup_stat *s)
{
	char buf[8192];
	s->memory_current = read_number(dir, "memory.current");
	if (s->memory_current == NONE)
		return;
	s->memory_peak = read_number(dir, "memory.peak"); /* since Linux 5.19 */
	s->memory_max = read_number(dir, "memory.max");
	if (cgroup_read(dir, "memory.stat", buf, sizeof(buf)) < 0)
		return;
	s->memory_inactive_file = cgroup_key(buf, "inactive_file", NONE);
	s->memory_anon = cgroup_key(buf, "anon", NONE);
	s->memory_file = cgroup_key(buf, "file", NONE);
}

/* Adds up "rbytes=N" and so on over the devices' lines. */
static void add_up(const char *text, const char *key, uint64_t *sum)
{
	size_t n = strlen(key);
	*sum = 0;
	for (const char *p = text; (p = strstr(p, key)); p += n)
		if (p > text && p[-1] == ' ')
			*sum += number(p + n);
}

static void read_io(int dir, struct cgroup_stat *s)
{
	char buf[16384];
	if (cgroup_read(dir, "io.stat", buf, sizeof(buf)) < 0)
		return;
	add_up(buf, "rbytes=", &s->io_read_bytes);
	add_up(buf, "wbytes=", &s->io_write_bytes);
	add_up(buf, "rios=", &s->io_read_ops);
	add_up(buf, "wios=", &s->io_write_ops);
}

/* "some avg10=0.00 avg60=0.00 avg300=0.00 total=0" */
static void read_pressure(int dir, const char *file, uint64_t *some, uint64_t *full)
{
	char buf[512];
	if (cgroup_read(dir, file, buf, sizeof(buf)) < 0)
		return;
	const struct {
		const char *kind;
		uint64_t *ret;
	} rows[] = { { "some ", some }, { "full ", full } };
	for (size_t i = 0; i < 2; i++) {
		const char *line = strstr(buf, rows[i].kind);
		const char *total = line ? strstr(line, "total=") : NULL;
		if (total && rows[i].ret)
			*rows[i].ret = number(total + 6);
	}
}

int cgroup_stat_read(int cgroup_fd, struct cgroup_stat *ret)
{
	struct cgroup_stat s;
	memset(&s, 0xff, sizeof(s)); /* every field UINT64_MAX */
	if (faccessat(cgroup_fd, "cgroup.procs", F_OK, 0) < 0)
		return -errno;
	read_cpu(cgroup_fd, &s);
	read_memory(cgroup_fd, &s);
	s.pids_current = read_number(cgroup_fd, "pids.current");
	s.pids_max = read_number(cgroup_fd, "pids.max");
	read_io(cgroup_fd, &s);
	read_pressure(cgroup_fd, "cpu.pressure", &s.psi_cpu_some_us, NULL);
	read_pressure(cgroup_fd, "memory.pressure", &s.psi_memory_some_us, &s.psi_memory_full_us);
	read_pressure(cgroup_fd, "io.pressure", &s.psi_io_some_us, &s.psi_io_full_us);
	*ret = s;
	return 0;
}

uint64_t cgroup_oom_kills(int cgroup_fd)
{
	char buf[512];
	if (cgroup_read(cgroup_fd, "memory.events", buf, sizeof(buf)) < 0)
		return 0;
	return cgroup_key(buf, "oom_kill", 0) + cgroup_key(buf, "oom_group_kill", 0);
}

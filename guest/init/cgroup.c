/* SPDX-License-Identifier: Apache-2.0 */
/* cgroup - the container's cgroup in the guest (cgroup-v2.rst): limits, freezing, numbers
 * and processes. Without one (a test) what needs it is refused. */
#include "init.h"

#include "isola/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define FREEZE_MS 5000
#define FILE_MAX  (256 * 1024)

static void name_file(const struct guest *g, const char *file, char ret[256])
{
	(void)snprintf(ret, 256, "%s/%s", g->cgroup, file);
}

static int no_cgroup(struct err *err)
{
	return err_set(err, EOPNOTSUPP, "this guest has no cgroup for its container");
}

static int write_file(const struct guest *g, const char *file, const char *text, struct err *err)
{
	char path[256];
	if (!g->cgroup)
		return no_cgroup(err);
	name_file(g, file, path);
	int rc = fd_write_file(AT_FDCWD, path, text);
	return rc < 0 ? err_rc(err, rc, "cannot write %s in the guest", path) : 0;
}

static char *read_file(const struct guest *g, const char *file)
{
	char path[256], *text = NULL;
	if (!g->cgroup)
		return NULL;
	name_file(g, file, path);
	return fd_read_file(AT_FDCWD, path, FILE_MAX, &text, NULL, NULL) < 0 ? NULL : text;
}

static uint64_t number_in(const char *text, const char *name)
{
	size_t n = strlen(name);
	for (const char *line = text; line; line = strchr(line, '\n')) {
		line += *line == '\n';
		if (!strncmp(line, name, n) && line[n] == ' ')
			return strtoull(line + n + 1, NULL, 10);
	}
	return 0;
}

/* ---- kills for want of memory ---- */

/* kernfs wakes pollers of memory.events until the file is read again from its begin. */
static void on_oom(struct guest *g, struct source *src, uint32_t events)
{
	char text[512];
	(void)events;
	ssize_t n = pread(src->fd, text, sizeof(text) - 1, 0);
	text[n > 0 ? n : 0] = '\0';
	uint64_t kills = number_in(text, "oom_kill");
	if (kills <= g->oom_kills)
		return;
	g->oom_kills = kills;
	cleanup_tlv struct tlv_writer w = { 0 };
	tlv_put_u64(&w, GF_OOM, kills);
	link_send(g, GUEST_OOM, 0, &w);
}

/* Without a memory controller there are none. */
static void watch_oom(struct guest *g)
{
	char path[256];
	name_file(g, "memory.events", path);
	g->oom = (struct source){ .fd = open(path, O_RDONLY | O_CLOEXEC), .on_event = on_oom };
	if (g->oom.fd < 0)
		return;
	on_oom(g, &g->oom, 0); /* arms it */
	(void)source_watch(g, &g->oom, EPOLLPRI);
}

/* ---- the cgroup ---- */

int cgroup_make(struct guest *g, struct err *err)
{
	if (!g->cgroup)
		return 0;
	/* Each as far as the kernel has it. */
	static const char *const controllers[] = { "+cpu", "+memory", "+pids", "+io", "+cpuset" };
	char parent[256];
	(void)snprintf(parent, sizeof(parent), "%s", g->cgroup);
	*strrchr(parent, '/') = '\0';
	strcat(parent, "/cgroup.subtree_control");
	for (size_t i = 0; i < sizeof(controllers) / sizeof(controllers[0]); i++)
		(void)fd_write_file(AT_FDCWD, parent, controllers[i]);
	if (mkdir(g->cgroup, 0755) < 0 && errno != EEXIST)
		return err_sys(err, "cannot make %s in the guest", g->cgroup);
	watch_oom(g);
	return 0;
}

int cgroup_join(const struct guest *g, struct err *err)
{
	return g->cgroup ? write_file(g, "cgroup.procs", "0", err) : 0;
}

uint64_t cgroup_oom_kills(const struct guest *g)
{
	cleanup_free char *text = read_file(g, "memory.events");
	return text ? number_in(text, "oom_kill") : 0;
}

int cgroup_freeze(const struct guest *g, bool on, struct err *err)
{
	int rc = write_file(g, "cgroup.freeze", on ? "1" : "0", err);
	for (int64_t until = now_ms() + FREEZE_MS; rc == 0;) {
		cleanup_free char *text = read_file(g, "cgroup.events");
		if (text && number_in(text, "frozen") == on)
			return 0;
		if (now_ms() >= until)
			return err_set(err, ETIMEDOUT, "the container does not %s",
				       on ? "freeze" : "thaw");
		const struct timespec a_moment = { .tv_nsec = 2000000 };
		(void)nanosleep(&a_moment, NULL);
	}
	return rc;
}

int cgroup_kill_all(const struct guest *g, int signo, struct err *err)
{
	if (signo == SIGKILL)
		return write_file(g, "cgroup.kill", "1", err);
	cleanup_free char *text = read_file(g, "cgroup.procs");
	if (!text)
		return no_cgroup(err);
	char *end = text;
	for (long pid; (pid = strtol(end, &end, 10)) > 1;)
		(void)kill((pid_t)pid, signo);
	return 0;
}

char *cgroup_procs(const struct guest *g, struct err *err)
{
	char *text = read_file(g, "cgroup.procs");
	if (!text)
		(void)no_cgroup(err);
	return text;
}

int cgroup_limit(const struct guest *g, const uint8_t *data, size_t size, struct err *err)
{
	struct limit_spec limit;
	if (limit_spec_parse(data, size, &limit) < 0)
		return err_set(err, EPROTO, "isola-keeper sent a malformed limit");
	return write_file(g, limit.file, limit.value, err);
}

int cgroup_limits(const struct guest *g, const uint8_t *data, size_t size, struct err *err)
{
	struct tlv_reader r = tlv_read(data, size);
	struct tlv_field f;
	int rc = 0;
	while (rc == 0 && tlv_next(&r, &f) > 0)
		if (f.tag == GF_LIMIT)
			rc = cgroup_limit(g, f.data, f.size, err);
	return rc;
}

static void put_number(struct tlv_writer *w, const char *name, uint64_t number)
{
	size_t mark = tlv_open(w, GF_STAT);
	tlv_put_text(w, GF_NAME, name);
	tlv_put_u64(w, GF_NUMBER, number);
	tlv_close(w, mark);
}

int cgroup_numbers(const struct guest *g, struct tlv_writer *w, struct err *err)
{
	static const struct {
		const char *file, *key; /* key NULL: the file is the number */
	} rows[] = {
		{ "memory.current", NULL },
		{ "memory.peak", NULL },
		{ "memory.max", NULL },
		{ "memory.stat", "anon" },
		{ "memory.stat", "file" },
		{ "memory.stat", "inactive_file" },
		{ "memory.stat", "pgfault" },
		{ "memory.stat", "pgmajfault" },
		{ "memory.events", "oom_kill" },
		{ "cpu.stat", "usage_usec" },
		{ "cpu.stat", "user_usec" },
		{ "cpu.stat", "system_usec" },
		{ "cpu.stat", "nr_periods" },
		{ "cpu.stat", "nr_throttled" },
		{ "cpu.stat", "throttled_usec" },
		{ "pids.current", NULL },
		{ "pids.max", NULL },
	};
	if (!g->cgroup)
		return no_cgroup(err);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		cleanup_free char *text = read_file(g, rows[i].file);
		/* A kernel without that controller; or no limit. */
		if (!text || !strncmp(text, "max", 3))
			continue;
		put_number(w, rows[i].key ? rows[i].key : rows[i].file,
			   rows[i].key ? number_in(text, rows[i].key) : strtoull(text, NULL, 10));
	}
	return 0;
}

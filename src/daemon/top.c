/* SPDX-License-Identifier: Apache-2.0 */
/* top - the processes of an instance, as `docker top` shows them. isolad, loop
 * thread; reads /proc of each pid in the cgroup. What a payload calls itself is
 * foreign text: bounded, and made harmless for a terminal and for JSON. */
#include "top.h"

#include "bundle.h"
#include "isolad.h"
#include "isolation.h"

#include "isola/cgroup.h"
#include "isola/fd.h"
#include "isola/json.h"
#include "isola/num.h"
#include "isola/utf8.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define PIDS_MAX 4096

int top_parse_stat(const char *text, struct top_process *p, int64_t *ret_start_ticks)
{
	/* The name may hold anything, also ") R 1"; the last ")" ends it. */
	const char *open_paren = strchr(text, '('), *close_paren = strrchr(text, ')');
	if (!open_paren || !close_paren || close_paren < open_paren)
		return -EINVAL;
	(void)snprintf(p->comm, sizeof(p->comm), "%.*s", (int)(close_paren - open_paren - 1),
		       open_paren + 1);
	long long ppid, tty, utime, stime, priority, nice, threads, start, vsize, rss;
	int n = sscanf(close_paren + 1,
		       " %c %lld %*d %*d %lld %*d %*u %*u %*u %*u %*u %lld %lld %*d %*d %lld %lld "
		       "%lld %*d %lld %lld %lld",
		       &p->state, &ppid, &tty, &utime, &stime, &priority, &nice, &threads, &start,
		       &vsize, &rss);
	if (n != 11)
		return -EINVAL;
	p->ppid = (pid_t)ppid;
	p->tty = (int)tty;
	p->cpu_ticks = utime + stime;
	p->priority = (int)priority;
	p->nice = (int)nice;
	p->threads = threads;
	p->vsz_kib = vsize / 1024;
	p->rss_kib = rss * (sysconf(_SC_PAGESIZE) / 1024);
	*ret_start_ticks = start;
	return 0;
}

/* Arguments are separated by NUL; what a terminal could obey becomes '?'. */
void top_make_harmless(char *text, size_t size)
{
	while (size && !text[size - 1])
		size--;
	for (size_t i = 0; i < size;) {
		unsigned char c = (unsigned char)text[i];
		size_t n = utf8_len(text + i, size - i);
		/* C1 controls; their second byte is none by itself. */
		if (n == 2 && c == 0xc2 && (unsigned char)text[i + 1] < 0xa0)
			n = 0;
		if (c == '\0')
			text[i] = ' ';
		else if (!n || c < 0x20 || c == 0x7f)
			text[i] = '?';
		i += n ? n : 1;
	}
	text[size] = '\0';
}

static ssize_t read_file(int dir, const char *name, char *buf, size_t size)
{
	cleanup_fd int fd = openat(dir, name, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -errno : fd_read_all(fd, buf, size - 1);
	if (n >= 0)
		buf[n] = '\0';
	return n;
}

struct sampling {
	uint32_t userns_base;
	int64_t now_ns, uptime_ticks;
	const struct top_column *columns[TOP_COLUMNS_MAX];
	int n_columns;
	json_object *rows;
};

static int64_t inside_id(const struct sampling *s, int64_t id)
{
	if (!s->userns_base)
		return id;
	id -= s->userns_base;
	return id >= 0 && id < UIDRANGE_SIZE ? id : -1;
}

/* Who owns the folder is who the process runs as (effective ids). */
static int read_process(const struct sampling *s, pid_t pid, struct top_process *p)
{
	char path[32], text[1024];
	struct stat st;
	int64_t start_ticks, hertz = sysconf(_SC_CLK_TCK);
	(void)snprintf(path, sizeof(path), "/proc/%d", (int)pid);
	cleanup_fd int dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (dir < 0 || fstat(dir, &st) < 0)
		return -ESRCH;
	*p = (struct top_process){ .pid = pid };
	if (read_file(dir, "stat", text, sizeof(text)) <= 0 ||
	    top_parse_stat(text, p, &start_ticks) < 0)
		return -ESRCH;
	p->uid = inside_id(s, st.st_uid);
	p->gid = inside_id(s, st.st_gid);
	p->elapsed_ticks = s->uptime_ticks - start_ticks;
	p->start_ns = s->now_ns - p->elapsed_ticks * (1000000000 / hertz);
	top_make_harmless(p->comm, strlen(p->comm));
	ssize_t n = read_file(dir, "cmdline", p->command, sizeof(p->command));
	if (n > 0)
		top_make_harmless(p->command, (size_t)n);
	if (n <= 0 || !*p->command)
		(void)snprintf(p->command, sizeof(p->command), "[%s]", p->comm);
	return 0;
}

static int add_process(pid_t pid, void *arg)
{
	struct sampling *s = arg;
	struct top_process p;
	char cell[TOP_CELL_BYTES];
	if (json_len(s->rows) >= PIDS_MAX)
		return -E2BIG;
	if (read_process(s, pid, &p) < 0)
		return 0; /* ended meanwhile */
	json_object *row = json_object_new_array_ext(s->n_columns);
	for (int i = 0; i < s->n_columns; i++) {
		s->columns[i]->format(&p, cell, sizeof(cell));
		(void)json_object_array_add(row, json_object_new_string(cell));
	}
	(void)json_object_array_add(s->rows, row);
	return 0;
}

static json_object *make_titles(const struct sampling *s)
{
	json_object *titles = json_object_new_array_ext(s->n_columns);
	for (int i = 0; i < s->n_columns; i++)
		(void)json_object_array_add(titles, json_object_new_string(s->columns[i]->title));
	return titles;
}

json_object *top_list(struct instance *inst, const char *ps_args, struct err *err)
{
	struct sampling s = { .userns_base = bundle_userns_of(inst), .now_ns = num_now_ns() };
	struct timespec up;
	if (!instance_is_running(inst)) {
		(void)err_set(err, EBUSY, "Container %s is not running", inst->id);
		return NULL;
	}
	if (isolation_refuse(inst, "a list of processes (top)", err) < 0)
		return NULL;
	s.n_columns = top_parse(ps_args, s.columns, err);
	if (s.n_columns < 0)
		return NULL;
	(void)clock_gettime(CLOCK_BOOTTIME, &up);
	s.uptime_ticks = (int64_t)up.tv_sec * sysconf(_SC_CLK_TCK);
	cleanup_free char *path = instance_cgroup(inst);
	cleanup_fd int fd = path ? cgroup_open(path) : -ENOMEM;
	cleanup_json json_object *rows = json_object_new_array();
	s.rows = rows;
	int rc = fd < 0 ? fd : cgroup_pids(fd, add_process, &s);
	if (rc < 0 && rc != -E2BIG) {
		(void)err_rc(err, rc, "cannot list the processes of container %.12s", inst->id);
		return NULL;
	}
	json_object *o = json_object_new_object();
	json_add(o, "Titles", make_titles(&s));
	json_add(o, "Processes", json_object_get(rows));
	events_emit_instance(inst, "top", NULL);
	return o;
}

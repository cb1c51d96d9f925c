/* SPDX-License-Identifier: Apache-2.0 */
/* top - the processes of an instance, as `docker top` shows them. isolad, loop
 * thread; reads /proc of each pid in the cgroup, or asks the guest in which they are.
 * What a payload calls itself is foreign text: bounded, and made harmless for a terminal
 * and for JSON. */
#include "top.h"

#include "bundle.h"
#include "isolad.h"
#include "isolation.h"
#include "later.h"
#include "link.h"

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
	(void)snprintf(path, sizeof(path), "/proc/%d", (int)pid);
	cleanup_fd int dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (dir < 0 || fstat(dir, &st) < 0)
		return -ESRCH;
	*p = (struct top_process){ .pid = pid };
	if (read_file(dir, "stat", text, sizeof(text)) <= 0 || proc_stat_parse(text, &p->stat) < 0)
		return -ESRCH;
	p->uid = inside_id(s, st.st_uid);
	p->gid = inside_id(s, st.st_gid);
	utf8_make_harmless(p->stat.comm, strlen(p->stat.comm));
	ssize_t n = read_file(dir, "cmdline", p->command, sizeof(p->command));
	utf8_make_harmless(p->command, n > 0 ? (size_t)n : 0);
	return 0;
}

/* Completes @p and makes its row. */
static void add_row(struct sampling *s, struct top_process *p)
{
	char cell[TOP_CELL_BYTES];
	p->elapsed_ticks = s->uptime_ticks - p->stat.start_ticks;
	p->start_ns = s->now_ns - p->elapsed_ticks * (1000000000 / sysconf(_SC_CLK_TCK));
	if (!*p->command)
		(void)snprintf(p->command, sizeof(p->command), "[%s]", p->stat.comm);
	json_object *row = json_object_new_array_ext(s->n_columns);
	for (int i = 0; i < s->n_columns; i++) {
		s->columns[i]->format(p, cell, sizeof(cell));
		(void)json_object_array_add(row, json_object_new_string(cell));
	}
	(void)json_object_array_add(s->rows, row);
}

static int add_process(pid_t pid, void *arg)
{
	struct sampling *s = arg;
	struct top_process p;
	if (json_len(s->rows) >= PIDS_MAX)
		return -E2BIG;
	if (read_process(s, pid, &p) == 0) /* else it ended meanwhile */
		add_row(s, &p);
	return 0;
}

static json_object *make_titles(const struct sampling *s)
{
	json_object *titles = json_object_new_array_ext(s->n_columns);
	for (int i = 0; i < s->n_columns; i++)
		(void)json_object_array_add(titles, json_object_new_string(s->columns[i]->title));
	return titles;
}

/* {"Titles","Processes"} of what was sampled; takes nothing. */
static json_object *make_result(const struct sampling *s)
{
	json_object *o = json_object_new_object();
	json_add(o, "Titles", make_titles(s));
	json_add(o, "Processes", json_object_get(s->rows));
	return o;
}

/* ---- a container's ---- */

static json_object *list_here(struct instance *inst, struct sampling *s, struct err *err)
{
	struct timespec up;
	(void)clock_gettime(CLOCK_BOOTTIME, &up);
	s->uptime_ticks = (int64_t)up.tv_sec * sysconf(_SC_CLK_TCK);
	cleanup_free char *path = instance_cgroup(inst);
	cleanup_fd int fd = path ? cgroup_open(path) : -ENOMEM;
	cleanup_json json_object *rows = json_object_new_array();
	s->rows = rows;
	int rc = fd < 0 ? fd : cgroup_pids(fd, add_process, s);
	if (rc < 0 && rc != -E2BIG) {
		(void)err_rc(err, rc, "cannot list the processes of container %.12s", inst->id);
		return NULL;
	}
	return make_result(s);
}

/* ---- a guest's ---- */

struct asked {
	struct isolad *isolad;
	struct sampling s;
	op_done_fn *done;
	void *arg;
};

static int64_t number(json_object *row, size_t i)
{
	return json_object_get_int64(json_object_array_get_idx(row, i));
}

/* The order is guest_tell_ps()'s (src/keeper/guest_tell.h). */
static void add_told(struct sampling *s, json_object *row)
{
	struct top_process p = {
		.pid = (pid_t)number(row, 0),
		.uid = number(row, 1),
		.gid = number(row, 2),
		.stat = { .ppid = (pid_t)number(row, 3),
			  .tty = (int)number(row, 4),
			  .cpu_ticks = number(row, 5),
			  .priority = (int)number(row, 6),
			  .nice = (int)number(row, 7),
			  .threads = number(row, 8),
			  .start_ticks = number(row, 9),
			  .vsz_kib = number(row, 10),
			  .rss_kib = number(row, 11),
			  .state = *json_item_str(row, 12) },
	};
	(void)snprintf(p.stat.comm, sizeof(p.stat.comm), "%s", json_item_str(row, 13));
	(void)snprintf(p.command, sizeof(p.command), "%s", json_item_str(row, 14));
	add_row(s, &p);
}

static void on_told(void *arg, const struct err *err, json_object *reply)
{
	struct asked *a = arg;
	json_object *ps = json_get(reply, "ps"), *list = json_get(ps, "processes");
	cleanup_json json_object *rows = json_object_new_array();
	a->s.rows = rows;
	a->s.now_ns = num_now_ns();
	a->s.uptime_ticks = json_i64_or(ps, "uptime_ticks", 0);
	for (size_t i = 0; i < json_len(list); i++)
		add_told(&a->s, json_object_array_get_idx(list, i));
	later_done(a->isolad, a->done, a->arg, err, err ? NULL : make_result(&a->s));
	free(a);
}

static int ask_guest(struct instance *inst, const struct sampling *s, op_done_fn *done, void *arg,
		     struct err *err)
{
	struct asked *a = inst->link ? malloc(sizeof(*a)) : NULL;
	if (!a)
		return err_set(err, inst->link ? ENOMEM : EBUSY,
			       "container %.12s: its keeper has gone away", inst->id);
	*a = (struct asked){ inst->isolad, *s, done, arg };
	link_call(inst->link, "ps", NULL, -1, on_told, a);
	return 0;
}

void instance_top(struct instance *inst, const char *ps_args, op_done_fn *done, void *arg)
{
	struct sampling s = { .userns_base = bundle_userns_of(inst), .now_ns = num_now_ns() };
	struct err e = ERR_INIT;
	json_object *o = NULL;
	int rc = 0;
	if (!instance_is_running(inst))
		rc = err_set(&e, EBUSY, "Container %s is not running", inst->id);
	if (rc == 0)
		rc = s.n_columns = top_parse(ps_args, s.columns, &e);
	if (rc >= 0 && isolation_is_vm(inst->host_config) &&
	    (rc = ask_guest(inst, &s, done, arg, &e)) == 0) {
		events_emit_instance(inst, "top", NULL);
		return;
	}
	if (rc >= 0)
		o = list_here(inst, &s, &e);
	if (o)
		events_emit_instance(inst, "top", NULL);
	later_done(inst->isolad, done, arg, o ? NULL : &e, o);
}

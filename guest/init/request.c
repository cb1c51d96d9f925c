/* SPDX-License-Identifier: Apache-2.0 */
/* request - what the host may ask for, a row each (isola/guest.h). */
#include "init.h"

#include "isola/console.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "isola/fd.h"

/* 0 with the answer's fields in @w, 1: the answer comes later, or -errno. */
typedef int request_fn(struct guest *g, uint64_t seq, const uint8_t *body, size_t size,
		       struct tlv_writer *w, struct err *err);

static int set_clock(const uint8_t *body, size_t size, struct err *err)
{
	uint64_t ns = tlv_u64_or(body, size, GF_CLOCK_NS, UINT64_MAX);
	const struct timespec ts = { .tv_sec = (time_t)(ns / 1000000000),
				     .tv_nsec = (long)(ns % 1000000000) };
	if (ns > INT64_MAX)
		return err_set(err, EINVAL, "no such time");
	return clock_settime(CLOCK_REALTIME, &ts) < 0 ? err_sys(err, "cannot set the clock") : 0;
}

static int do_setup(struct guest *g, uint64_t seq, const uint8_t *body, size_t size,
		    struct tlv_writer *w, struct err *err)
{
	struct tlv_field clock;
	(void)seq;
	(void)w;
	if (g->setup)
		return err_set(err, EALREADY, "the guest was set up before");
	int rc = setup_spec_check(body, size, err);
	if (rc == 0 && tlv_find(body, size, GF_CLOCK_NS, &clock) > 0)
		rc = set_clock(body, size, err);
	if (rc == 0)
		rc = net_setup(body, size, err);
	if (rc == 0)
		rc = cgroup_make(g, err);
	if (rc == 0)
		rc = cgroup_limits(g, body, size, err);
	if (rc < 0)
		return rc;
	if (!(g->setup = malloc(size)))
		return err_set(err, ENOMEM, "out of memory");
	memcpy(g->setup, body, size);
	g->setup_size = size;
	return image_serve(g, err);
}

static int do_run(struct guest *g, uint64_t seq, const uint8_t *body, size_t size,
		  struct tlv_writer *w, struct err *err)
{
	(void)w;
	if (!g->setup || g->ran)
		return err_set(err, EINVAL,
			       g->ran ? "the first process ran before" : "the guest is not set up");
	int rc = process_start(g, seq, true, body, size, err);
	g->ran = rc == 0;
	return rc < 0 ? rc : 1;
}

static int do_exec(struct guest *g, uint64_t seq, const uint8_t *body, size_t size,
		   struct tlv_writer *w, struct err *err)
{
	(void)w;
	if (g->ns_fds[0] < 0 || g->first_ended)
		return err_set(err, ESRCH, "the container %s",
			       g->first_ended ? "has ended" : "is not running");
	int rc = process_start(g, seq, false, body, size, err);
	return rc < 0 ? rc : 1;
}

static int do_copy(struct guest *g, uint64_t seq, const uint8_t *body, size_t size,
		   struct tlv_writer *w, struct err *err)
{
	uint64_t id = tlv_u64_or(body, size, GF_PROCESS, 0);
	(void)seq;
	(void)w;
	if (g->ns_fds[0] < 0 || g->first_ended)
		return err_set(err, ESRCH, "the container %s",
			       g->first_ended ? "has ended" : "is not running");
	if (!id)
		return err_set(err, EPROTO, "isola-keeper sent a copy without a number");
	return process_copy(g, id, err);
}

static int do_sync(struct guest *g, uint64_t seq, const uint8_t *body, size_t size,
		   struct tlv_writer *w, struct err *err)
{
	uint64_t id = tlv_u64_or(body, size, GF_PROCESS, 0);
	(void)w;
	if (g->ns_fds[0] < 0 || g->first_ended)
		return err_set(err, ESRCH, "the container is not running");
	if (!id)
		return err_set(err, EPROTO, "isola-keeper sent a sync without a number");
	int rc = process_sync(g, seq, id, err);
	return rc < 0 ? rc : 1;
}

static int change_mount(struct guest *g, uint64_t seq, const uint8_t *body, size_t size, bool gone,
			struct err *err)
{
	struct live_spec s;
	if (g->ns_fds[0] < 0 || g->first_ended)
		return err_set(err, ESRCH, "the container is not running");
	int rc = live_spec_parse(body, size, &s, err);
	if (rc == 0)
		rc = process_mount(g, seq, &s, gone, err);
	return rc < 0 ? rc : 1;
}

static int do_mount(struct guest *g, uint64_t seq, const uint8_t *body, size_t size,
		    struct tlv_writer *w, struct err *err)
{
	(void)w;
	return change_mount(g, seq, body, size, false, err);
}

static int do_unmount(struct guest *g, uint64_t seq, const uint8_t *body, size_t size,
		      struct tlv_writer *w, struct err *err)
{
	(void)w;
	return change_mount(g, seq, body, size, true, err);
}

static struct process *find(struct guest *g, const uint8_t *body, size_t size, struct err *err)
{
	struct process *p = process_find(g, tlv_u64_or(body, size, GF_PROCESS, 0));
	if (!p || p->ended)
		(void)err_set(err, ESRCH, "there is no such process in the guest");
	return p && !p->ended ? p : NULL;
}

static int do_signal(struct guest *g, uint64_t seq, const uint8_t *body, size_t size,
		     struct tlv_writer *w, struct err *err)
{
	uint64_t signo = tlv_u64_or(body, size, GF_SIGNO, 0);
	(void)seq;
	(void)w;
	if (signo < 1 || signo > 64)
		return err_set(err, EINVAL, "no such signal");
	if (tlv_u64_or(body, size, GF_ALL, 0))
		return cgroup_kill_all(g, (int)signo, err);
	struct process *p = find(g, body, size, err);
	if (!p)
		return -ESRCH;
	return kill(p->pid, (int)signo) < 0 ? err_sys(err, "cannot send signal %d", (int)signo) : 0;
}

static int do_resize(struct guest *g, uint64_t seq, const uint8_t *body, size_t size,
		     struct tlv_writer *w, struct err *err)
{
	struct process *p = find(g, body, size, err);
	(void)seq;
	(void)w;
	if (!p)
		return -ESRCH;
	if (p->master_fd < 0)
		return err_set(err, ENOTTY, "this process has no terminal");
	int rc = console_resize(p->master_fd, (uint16_t)tlv_u64_or(body, size, GF_ROWS, 24),
				(uint16_t)tlv_u64_or(body, size, GF_COLUMNS, 80));
	return rc < 0 ? err_rc(err, rc, "cannot resize the terminal") : 0;
}

static int do_ps(struct guest *g, uint64_t seq, const uint8_t *body, size_t size,
		 struct tlv_writer *w, struct err *err)
{
	(void)seq;
	(void)body;
	(void)size;
	return ps_list(g, w, err);
}

static int do_stats(struct guest *g, uint64_t seq, const uint8_t *body, size_t size,
		    struct tlv_writer *w, struct err *err)
{
	(void)seq;
	(void)body;
	(void)size;
	return cgroup_numbers(g, w, err);
}

static int do_clock(struct guest *g, uint64_t seq, const uint8_t *body, size_t size,
		    struct tlv_writer *w, struct err *err)
{
	(void)g;
	(void)seq;
	(void)w;
	return set_clock(body, size, err);
}

static int do_freeze(struct guest *g, uint64_t seq, const uint8_t *body, size_t size,
		     struct tlv_writer *w, struct err *err)
{
	(void)seq;
	(void)body;
	(void)size;
	(void)w;
	return cgroup_freeze(g, true, err);
}

static int do_thaw(struct guest *g, uint64_t seq, const uint8_t *body, size_t size,
		   struct tlv_writer *w, struct err *err)
{
	(void)seq;
	(void)body;
	(void)size;
	(void)w;
	return cgroup_freeze(g, false, err);
}

static int change_link(const uint8_t *body, size_t size,
		       int (*change)(const uint8_t *data, size_t size, struct err *err),
		       struct err *err)
{
	struct tlv_field f;
	if (tlv_find(body, size, GF_LINK, &f) <= 0)
		return err_set(err, EPROTO, "isola-keeper sent no link");
	return change(f.data, f.size, err);
}

static int do_link(struct guest *g, uint64_t seq, const uint8_t *body, size_t size,
		   struct tlv_writer *w, struct err *err)
{
	(void)g;
	(void)seq;
	(void)w;
	return change_link(body, size, net_link, err);
}

static int do_unlink(struct guest *g, uint64_t seq, const uint8_t *body, size_t size,
		     struct tlv_writer *w, struct err *err)
{
	(void)g;
	(void)seq;
	(void)w;
	return change_link(body, size, net_unlink, err);
}

static int do_online(struct guest *g, uint64_t seq, const uint8_t *body, size_t size,
		     struct tlv_writer *w, struct err *err)
{
	uint64_t cpus = tlv_u64_or(body, size, GF_CPUS, 0);
	(void)g;
	(void)seq;
	(void)w;
	if (cpus < 1 || cpus > 4096)
		return err_set(err, EINVAL, "no such number of processors");
	/* Processor 0 has no such file: it cannot be taken away. */
	for (unsigned int i = 1; i < 4096; i++) {
		char path[80];
		(void)snprintf(path, sizeof(path), "/sys/devices/system/cpu/cpu%u/online", i);
		if (access(path, F_OK) < 0)
			return i < cpus ? err_set(err, ENOENT, "the guest has %u processors", i)
					: 0;
		int rc = fd_write_file(AT_FDCWD, path, i < cpus ? "1" : "0");
		if (rc < 0)
			return err_rc(err, rc, "cannot write %s in the guest", path);
	}
	return 0;
}

static int do_limit(struct guest *g, uint64_t seq, const uint8_t *body, size_t size,
		    struct tlv_writer *w, struct err *err)
{
	(void)seq;
	(void)w;
	return cgroup_limits(g, body, size, err);
}

static int do_shutdown(struct guest *g, uint64_t seq, const uint8_t *body, size_t size,
		       struct tlv_writer *w, struct err *err)
{
	(void)seq;
	(void)body;
	(void)size;
	(void)w;
	(void)err;
	guest_end(g, END_ASKED, NULL);
}

static const struct {
	enum guest_type type;
	request_fn *run;
} requests[] = {
	{ GUEST_SETUP, do_setup },       { GUEST_RUN, do_run },       { GUEST_EXEC, do_exec },
	{ GUEST_SIGNAL, do_signal },     { GUEST_RESIZE, do_resize }, { GUEST_PS, do_ps },
	{ GUEST_STATS, do_stats },       { GUEST_CLOCK, do_clock },   { GUEST_FREEZE, do_freeze },
	{ GUEST_THAW, do_thaw },         { GUEST_LINK, do_link },     { GUEST_ONLINE, do_online },
	{ GUEST_SHUTDOWN, do_shutdown }, { GUEST_UNLINK, do_unlink }, { GUEST_LIMIT, do_limit },
	{ GUEST_COPY, do_copy },         { GUEST_MOUNT, do_mount },   { GUEST_UNMOUNT, do_unmount },
	{ GUEST_SYNC, do_sync },
};

void request_do(struct guest *g, unsigned int type, uint64_t seq, const uint8_t *body, size_t size)
{
	cleanup_tlv struct tlv_writer w = { 0 };
	struct err e = ERR_INIT;
	for (size_t i = 0; i < sizeof(requests) / sizeof(requests[0]); i++) {
		if (requests[i].type != type)
			continue;
		int rc = requests[i].run(g, seq, body, size, &w, &e);
		if (rc < 0)
			link_answer(g, seq, &e);
		else if (rc == 0)
			link_send(g, GUEST_ANSWER, seq, &w);
		return;
	}
	(void)err_set(&e, EOPNOTSUPP, "this isola-init does not know request %u", type);
	link_answer(g, seq, &e);
}

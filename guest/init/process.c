/* SPDX-License-Identifier: Apache-2.0 */
/* process - the processes that the host asked for. Everything else that ends is an
 * orphan, and only reaped. */
#include "init.h"

#include "isola/fd.h"
#include "isola/fd_pass.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define DRAIN_MS 10000 /* a host that does not read is not waited for longer */

const struct ns_kind ns_kinds[NS_COUNT] = {
	{ "pid", CLONE_NEWPID }, { "mnt", CLONE_NEWNS },        { "ipc", CLONE_NEWIPC },
	{ "uts", CLONE_NEWUTS }, { "cgroup", CLONE_NEWCGROUP },
};

struct process *process_find(struct guest *g, uint64_t id)
{
	list_for_each (node, &g->processes) {
		struct process *p = container_of(node, struct process, node);
		if (p->id == id)
			return p;
	}
	return NULL;
}

static void process_free(struct guest *g, struct process *p)
{
	relay_end(g, &p->in);
	relay_end(g, &p->out[0]);
	relay_end(g, &p->out[1]);
	(void)source_watch(g, &p->status, 0);
	fd_close(&p->status.fd);
	fd_close(&p->master_fd);
	list_del(&p->node);
	free(p);
}

/* ---- the end ---- */

static void note_end(struct process *p, int status)
{
	p->ended = true;
	p->wait_status = status;
	p->drain_until_ms = now_ms() + DRAIN_MS;
}

void process_reap(struct guest *g)
{
	int status;
	pid_t pid;
	while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
		list_for_each (node, &g->processes) {
			struct process *p = container_of(node, struct process, node);
			if (p->pid == pid && !p->ended)
				note_end(p, status);
		}
	}
}

static void tell_end(struct guest *g, struct process *p)
{
	cleanup_tlv struct tlv_writer w = { 0 };
	tlv_put_u64(&w, GF_PROCESS, p->id);
	tlv_put_u64(&w, GF_STATUS, (uint64_t)p->wait_status);
	tlv_put_u64(&w, GF_OOM, cgroup_oom_kills(g));
	if (p->first)
		g->first_ended = true;
	link_send(g, GUEST_EXITED, 0, &w);
	process_free(g, p);
}

void process_settle(struct guest *g)
{
	list_for_each_safe (node, &g->processes) {
		struct process *p = container_of(node, struct process, node);
		if (!p->ended || p->status.fd >= 0)
			continue;
		relay_end(g, &p->in);
		relay_run(g, &p->out[0]);
		relay_run(g, &p->out[1]);
		bool drained = !relay_lives(&p->out[0]) && !relay_lives(&p->out[1]);
		if (drained || now_ms() >= p->drain_until_ms)
			tell_end(g, p);
	}
}

int process_next_ms(const struct guest *g)
{
	int64_t next = -1, now = now_ms();
	list_for_each (node, &g->processes) {
		const struct process *p = container_of(node, struct process, node);
		int64_t left = p->drain_until_ms > now ? p->drain_until_ms - now : 0;
		if (p->ended && p->status.fd < 0 && (next < 0 || left < next))
			next = left;
	}
	return (int)next;
}

/* ---- the beginning ---- */

/* Only now: the first makes its cgroup namespace itself. One that has ended already has
 * none any more, and nothing joins it. */
static void open_namespaces(struct guest *g, pid_t pid)
{
	int fds[NS_COUNT];
	bool all = true;
	for (int i = 0; i < NS_COUNT; i++) {
		char path[64];
		(void)snprintf(path, sizeof(path), "/proc/%d/ns/%s", pid, ns_kinds[i].name);
		fds[i] = open(path, O_RDONLY | O_CLOEXEC);
		all = all && fds[i] >= 0;
	}
	for (int i = 0; i < NS_COUNT; i++) {
		if (all)
			g->ns_fds[i] = fds[i];
		else
			fd_close(&fds[i]);
	}
}

/* What a child says before its exec: an error; silence means that exec has happened. */
static void on_status(struct guest *g, struct source *src, uint32_t events)
{
	struct process *p = container_of(src, struct process, status);
	struct err e = ERR_INIT;
	ssize_t n = recv(src->fd, &e, sizeof(e), MSG_DONTWAIT);
	(void)events;
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n != 0 && n != sizeof(e))
		(void)err_set(&e, EIO, "a process said what is no error");
	e.text[sizeof(e.text) - 1] = '\0';
	uint64_t seq = p->seq;
	(void)source_watch(g, src, 0);
	fd_close(&src->fd);
	/* One that was killed on its way is told of as ended. */
	if (!e.code && p->first)
		open_namespaces(g, p->pid);
	if (e.code)
		process_free(g, p);
	link_answer(g, seq, &e);
}

static pid_t clone_child(struct guest *g, struct child *c)
{
	/* The cgroup namespace is made in the cgroup, hence by the child. */
	long flags = c->first ? CLONE_NEWPID | CLONE_NEWNS | CLONE_NEWIPC | CLONE_NEWUTS : 0;
	if (!c->first && setns(g->ns_fds[0], CLONE_NEWPID) < 0)
		return -errno;
	long pid = syscall(SYS_clone, flags | SIGCHLD, NULL, NULL, NULL, NULL);
	int error = errno;
	if (pid == 0)
		child_run(c);
	if (!c->first && setns(g->own_pid_ns, CLONE_NEWPID) < 0)
		guest_end(g, END_TROUBLE, "cannot return from the container's pid namespace");
	if (pid < 0)
		return error == ENOMEM && !c->first ? -ESRCH : -error;
	return (pid_t)pid;
}

/* The ends of a new process's streams. */
struct ends {
	int socks[3], ours[3], theirs[3];
	int status[2], master, slave;
};

static void ends_close(struct ends *e)
{
	for (int i = 0; i < 3; i++) {
		fd_close(&e->socks[i]);
		fd_close(&e->ours[i]);
		fd_close(&e->theirs[i]);
	}
	fd_close(&e->status[0]);
	fd_close(&e->status[1]);
	fd_close(&e->master);
	fd_close(&e->slave);
}

static int open_pipe(struct ends *e, int i)
{
	int fds[2];
	if (pipe2(fds, O_CLOEXEC) < 0)
		return -errno;
	e->ours[i] = fds[i == GUEST_STDIN];
	e->theirs[i] = fds[i != GUEST_STDIN];
	return 0;
}

static int open_ends(struct guest *g, const struct process_spec *spec, struct ends *e,
		     struct err *err)
{
	*e = (struct ends){ { -1, -1, -1 }, { -1, -1, -1 }, { -1, -1, -1 }, { -1, -1 }, -1, -1 };
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, e->status) < 0)
		return err_sys(err, "cannot make a socket pair");
	for (int i = 0; i < 3; i++) {
		int rc = 0;
		if (!(spec->streams >> i & 1))
			rc = e->theirs[i] = open("/dev/null", O_RDWR | O_CLOEXEC | O_NOCTTY);
		else if (!spec->tty)
			rc = open_pipe(e, i);
		if (rc < 0)
			return err_rc(err, rc == -1 ? -errno : rc, "cannot make a stream");
	}
	/* All at once: each is a way to the host and back. */
	for (int i = 0; i < 3; i++)
		if (spec->streams >> i & 1)
			e->socks[i] = link_begin_open(g);
	return 0;
}

static int connect_streams(struct guest *g, const struct process_spec *spec, struct ends *e,
			   struct err *err)
{
	int rc = 0;
	for (unsigned int i = 0; rc == 0 && i < 3; i++)
		if (spec->streams >> i & 1)
			rc = link_finish_open(g, GUEST_STREAM, i, spec->id, &e->socks[i], err);
	return rc;
}

/* The child's terminal: its master comes over the status socket, and a byte goes back. */
static int receive_master(struct ends *e)
{
	char c;
	/* Looks first: an error is no terminal, and is for on_status(). */
	if (recv(e->status[0], NULL, 0, MSG_PEEK | MSG_TRUNC) != 1)
		return -EAGAIN;
	ssize_t n = fd_receive_one(e->status[0], &c, 1, &e->master, 0);
	return n == 1 && e->master >= 0 ? 0 : -EIO;
}

static int begin_relays(struct guest *g, struct process *p, struct ends *e)
{
	int rc = 0;
	if (e->master >= 0) {
		int sock = fd_dup(e->socks[GUEST_STDOUT]), in = fd_dup(e->master);
		int out = fd_dup(e->master);
		p->master_fd = take_fd(&e->master);
		rc = sock < 0 || in < 0 || out < 0 ? -EMFILE : 0;
		if (rc == 0)
			rc = relay_begin(g, &p->in, p, sock, in, false);
		if (rc == 0)
			rc = relay_begin(g, &p->out[0], p, out, take_fd(&e->socks[GUEST_STDOUT]),
					 true);
		return rc;
	}
	if (e->ours[GUEST_STDIN] >= 0)
		rc = relay_begin(g, &p->in, p, take_fd(&e->socks[GUEST_STDIN]),
				 take_fd(&e->ours[GUEST_STDIN]), false);
	for (int i = GUEST_STDOUT; rc == 0 && i <= GUEST_STDERR; i++)
		if (e->ours[i] >= 0)
			rc = relay_begin(g, &p->out[i - 1], p, take_fd(&e->ours[i]),
					 take_fd(&e->socks[i]), true);
	return rc;
}

static int start(struct guest *g, struct process *p, const struct process_spec *spec,
		 struct ends *e, struct err *err)
{
	struct child c = { .g = g, .spec = spec, .first = p->first, .slave_fd = -1 };
	memcpy(c.stdio, e->theirs, sizeof(c.stdio));
	c.status_fd = e->status[1];
	pid_t pid = clone_child(g, &c);
	fd_close(&e->status[1]);
	for (int i = 0; i < 3; i++)
		fd_close(&e->theirs[i]);
	if (pid == -ESRCH)
		return err_set(err, ESRCH, "the container has ended");
	if (pid < 0)
		return err_rc(err, pid, "cannot make a process");
	p->pid = pid;
	/* A terminal that never comes leaves an error, or the end of the child. */
	if (spec->tty && receive_master(e) == -EIO)
		(void)kill(pid, SIGKILL);
	int rc = connect_streams(g, spec, e, err);
	if (rc == 0) {
		rc = begin_relays(g, p, e);
		p->status = (struct source){ .fd = take_fd(&e->status[0]), .on_event = on_status };
		if (rc == 0)
			rc = source_watch(g, &p->status, EPOLLIN);
		if (rc < 0)
			(void)err_rc(err, rc, "cannot watch a new process");
	}
	if (rc < 0)
		(void)kill(pid, SIGKILL);
	return rc;
}

static struct process *process_new(struct guest *g, const struct process *like)
{
	struct process *p = process_find(g, like->id) ? NULL : malloc(sizeof(*p));
	if (!p)
		return NULL;
	*p = *like;
	p->status.fd = p->master_fd = -1;
	p->in.from.fd = p->in.to.fd = -1;
	p->out[0] = p->out[1] = p->in;
	list_add_tail(&g->processes, &p->node);
	return p;
}

int process_start(struct guest *g, uint64_t seq, bool first, const uint8_t *body, size_t size,
		  struct err *err)
{
	struct process_spec spec;
	struct ends e;
	int rc = process_spec_parse(body, size, &spec, err);
	if (rc < 0)
		return rc;
	const struct process like = { .id = spec.id, .seq = seq, .first = first };
	struct process *p = process_new(g, &like);
	if (!p) {
		process_spec_fini(&spec);
		return err_set(err, EINVAL, "this process is there already");
	}
	rc = open_ends(g, &spec, &e, err);
	if (rc == 0)
		rc = start(g, p, &spec, &e, err);
	ends_close(&e);
	process_spec_fini(&spec);
	if (rc < 0)
		process_free(g, p);
	return rc;
}

/* ---- copies ---- */

static size_t count_copies(const struct guest *g)
{
	size_t n = 0;
	list_for_each (node, &g->processes)
		n += container_of(node, struct process, node)->copies;
	return n;
}

int process_copy(struct guest *g, uint64_t id, struct err *err)
{
	const struct process like = { .id = id, .copies = true };
	if (count_copies(g) >= GUEST_COPIES_MAX)
		return err_set(err, EBUSY, "%d copies into this container are under way already",
			       GUEST_COPIES_MAX);
	cleanup_fd int fd = link_begin_open(g);
	int rc = link_finish_open(g, GUEST_STREAM, GUEST_STDIN, id, &fd, err);
	if (rc < 0)
		return rc;
	struct process *p = process_new(g, &like);
	if (!p)
		return err_set(err, EINVAL, "this process is there already");
	long pid = syscall(SYS_clone, (long)SIGCHLD, NULL, NULL, NULL, NULL);
	if (pid == 0)
		copy_run(fd, g->ns_fds[NS_MOUNTS]);
	if (pid < 0) {
		rc = err_sys(err, "cannot make a process");
		process_free(g, p);
		return rc;
	}
	p->pid = (pid_t)pid;
	return 0;
}

/* ---- mounts, and syncs ---- */

struct work {
	const struct live_spec *mount; /* NULL: a sync */
	bool gone;
};

static void work_run(const struct guest *g, const struct work *w, int status_fd)
{
	if (w->mount)
		mount_run(g, w->mount, w->gone, status_fd);
	sync_run(g, status_fd);
}

/* In a process of init's own, whose end, or error, is the answer. */
static int start_work(struct guest *g, const struct process *like, const struct work *w,
		      struct err *err)
{
	int status[2];
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, status) < 0)
		return err_sys(err, "cannot make a socket pair");
	struct process *p = process_new(g, like);
	long pid = p ? syscall(SYS_clone, (long)SIGCHLD, NULL, NULL, NULL, NULL) : -1;
	if (pid == 0)
		work_run(g, w, status[1]);
	int rc = pid < 0 ? err_sys(err, "cannot make a process") : 0;
	fd_close(&status[1]);
	if (p) {
		p->status = (struct source){ .fd = status[0], .on_event = on_status };
		p->pid = (pid_t)pid;
		if (rc == 0 && source_watch(g, &p->status, EPOLLIN) < 0)
			rc = err_set(err, EIO, "cannot watch a new process");
		if (rc < 0 && pid > 0)
			(void)kill(p->pid, SIGKILL);
		if (rc < 0)
			process_free(g, p);
	} else {
		fd_close(&status[0]);
		rc = err_set(err, EINVAL, "this process is there already");
	}
	return rc;
}

int process_mount(struct guest *g, uint64_t seq, const struct live_spec *s, bool gone,
		  struct err *err)
{
	const struct process like = { .id = s->id, .seq = seq };
	return start_work(g, &like, &(struct work){ s, gone }, err);
}

int process_sync(struct guest *g, uint64_t seq, uint64_t id, struct err *err)
{
	const struct process like = { .id = id, .seq = seq, .syncs = true };
	size_t n = 0;
	list_for_each (node, &g->processes)
		n += container_of(node, struct process, node)->syncs;
	if (n >= GUEST_SYNCS_MAX)
		return err_set(err, EAGAIN, "%d syncs of its files are under way already",
			       GUEST_SYNCS_MAX);
	return start_work(g, &like, &(struct work){ NULL, false }, err);
}

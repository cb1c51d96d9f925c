/* SPDX-License-Identifier: Apache-2.0 */
/* init - PID 1 of a guest that runs one container (isola/guest.h). One process, one
 * thread, one epoll loop; nothing in it waits but for the short connect to the host.
 *
 *   main.c     the boot, the loop, the end
 *   link.c     connections, frames, answers
 *   spec.c     what the host asks for, taken apart
 *   request.c  what it asks for, as a table
 *   process.c  processes: made, reaped, told of
 *   relay.c    a stream: socket to pipe or terminal, or the other way
 *   child.c    a process on its way to the program
 *   copy.c     an archive becomes files of the container
 *   mount.c    a mount comes to it, or goes
 *   sync.c     what it has only in the page cache goes to the host
 *   root.c     the container's root and what is mounted in it
 *   image.c    a root that is an overlay, on an image of the guest's
 *   net.c      links, addresses, routes
 *   cgroup.c   the container's cgroup: limits, freezing, numbers, processes
 *   ps.c       processes as ps(1) shows them */
#pragma once

#include "isola/err.h"
#include "isola/guest.h"
#include "isola/list.h"
#include "isola/tlv.h"

#include "spec.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/epoll.h>
#include <sys/types.h>

struct guest;

struct source {
	int fd;
	uint32_t events; /* 0: not watched */
	void (*on_event)(struct guest *g, struct source *src, uint32_t events);
};

#define RELAY_BYTES 16384

/* One way. Lives in its process. */
struct relay {
	struct source from, to; /* fd -1: it has ended */
	struct process *process;
	char *buf;
	size_t at, len;
	bool to_socket, eof;
};

struct process {
	struct list node;
	uint64_t id, seq; /* seq: of the request that waits for an answer; else 0 */
	pid_t pid;
	struct source status; /* the child's errors, until its exec */
	int master_fd;        /* the terminal, or -1 */
	struct relay in, out[2];
	bool first, ended, copies, syncs;
	int wait_status;
	int64_t drain_until_ms;
};

struct guest {
	/* How it was called. */
	const char *test_socket; /* NULL: vsock, and this is a real guest */
	const char *place;       /* where the root is put together */
	const char *cgroup;      /* the container's, in the file system; NULL: none */

	int epoll_fd, signal_fd;
	struct source control, signals, oom;
	uint64_t oom_kills;
	uint8_t head[GUEST_FRAME_BYTES], *body;
	size_t got;
	uint8_t *out;
	size_t out_size;

	struct list processes;
	uint8_t *setup; /* the body of SETUP; owned */
	size_t setup_size;
	bool ran, first_ended;
	int own_pid_ns;
	int ns_fds[5]; /* of the container: pid, mnt, ipc, uts, cgroup; -1 */
};

#define NS_COUNT  5
#define NS_MOUNTS 1
extern const struct ns_kind {
	const char *name;
	int flag;
} ns_kinds[NS_COUNT];

/* main.c */
/* Those of the kernel that are for @when; none when all are built in. */
void load_modules(const char *when);
int source_watch(struct guest *g, struct source *src, uint32_t events);
int64_t now_ms(void);
/* Powers the guest off; in a test it exits with @code. */
void guest_end(struct guest *g, int code, const char *why) __attribute__((noreturn));
enum { END_ASKED = 0, END_PEER_GONE = 1, END_PROTOCOL = 2, END_TROUBLE = 3 };

/* link.c */
/* A connection in two steps, so that several, and a process, are made meanwhile: a
 * descriptor or -errno (which the second step makes good), and said hello on. */
int link_begin_open(struct guest *g);
int link_finish_open(struct guest *g, enum guest_kind kind, unsigned int stream, uint64_t process,
		     int *fd, struct err *err);
void link_begin(struct guest *g);
void link_send(struct guest *g, enum guest_type type, uint64_t seq, const struct tlv_writer *body);
void link_answer(struct guest *g, uint64_t seq, const struct err *err);

/* request.c */
void request_do(struct guest *g, unsigned int type, uint64_t seq, const uint8_t *body, size_t size);

/* process.c */
int process_start(struct guest *g, uint64_t seq, bool first, const uint8_t *body, size_t size,
		  struct err *err);
/* A mount that comes, or goes; @seq is answered once it is there. */
int process_mount(struct guest *g, uint64_t seq, const struct live_spec *s, bool gone,
		  struct err *err);
/* What the page cache has goes to the host; @seq is answered once it has. */
int process_sync(struct guest *g, uint64_t seq, uint64_t id, struct err *err);
/* A copy: answered at once. */
int process_copy(struct guest *g, uint64_t id, struct err *err);
struct process *process_find(struct guest *g, uint64_t id);
void process_reap(struct guest *g);
/* Ended processes whose streams have been drained, or not in time, are told of. */
void process_settle(struct guest *g);
/* Milliseconds until then, -1: nothing to wait for. */
int process_next_ms(const struct guest *g);

/* relay.c */
int relay_begin(struct guest *g, struct relay *r, struct process *p, int from, int to,
		bool to_socket);
void relay_run(struct guest *g, struct relay *r);
void relay_end(struct guest *g, struct relay *r);
static inline bool relay_lives(const struct relay *r)
{
	return r->from.fd >= 0;
}

/* child.c: in the clone; ends in the program, or _exit. */
struct child {
	const struct guest *g;
	const struct process_spec *spec;
	bool first;
	int status_fd, stdio[3];
	int slave_fd; /* of the terminal */
};
void child_run(struct child *c) __attribute__((noreturn));

/* copy.c: in a clone; @namespace_fd: of the container's mounts. */
/* Closes all descriptors of init's but two, which get these numbers: a process's stream ends
 * when init closes it. */
enum { KEPT_STREAM = 3, KEPT_NAMESPACE = 4 };
int files_keep(int stream_fd, int namespace_fd);
void copy_run(int stream_fd, int namespace_fd) __attribute__((noreturn));

/* mount.c: in a clone; says to @status_fd what child_run() would. */
void mount_run(const struct guest *g, const struct live_spec *s, bool gone, int status_fd)
	__attribute__((noreturn));

/* sync.c: as mount_run(). */
void sync_run(const struct guest *g, int status_fd) __attribute__((noreturn));

/* root.c: in the first process's clone, in its own namespaces. */
int root_make(const struct guest *g, int *ret_root, struct err *err);
int root_mount(int root, const struct mount_spec *m, struct err *err);
int root_console(int root, int slave, struct err *err);
int root_mask(const struct guest *g, int root, struct err *err);
int root_enter(const struct guest *g, int root, struct err *err);

/* image.c */
#define IMAGE_PATH 512
void image_place(const struct guest *g, const char *which, char ret[IMAGE_PATH]);
/* What the host serves, beside the root, if there is an image: by init itself. */
int image_serve(const struct guest *g, struct err *err);
/* The image beside it, and the overlay of both as the root. */
int image_mount(const struct guest *g, const struct mount_spec *image, struct err *err);
int image_bind(const struct guest *g, int root, const struct mount_spec *m, struct err *err);
void image_let_go(const struct guest *g);
/* What is served at @m's source now, as a detached mount with @m's flags, if it has this
 * inode number: a descriptor. In a process that needs no mounts but the container's any more. */
int image_open_served(const struct guest *g, const struct mount_spec *m, uint64_t inode,
		      struct err *err);
/* A place for it, and it in there. */
int image_attach(int root, int tree, const struct mount_spec *m, struct err *err);

/* net.c */
int net_setup(const uint8_t *data, size_t size, struct err *err); /* lo, and all GF_LINK */
int net_link(const uint8_t *data, size_t size, struct err *err);  /* one's fields */
int net_unlink(const uint8_t *data, size_t size, struct err *err);

/* cgroup.c */
int cgroup_make(struct guest *g, struct err *err);
int cgroup_join(const struct guest *g, struct err *err);
int cgroup_freeze(const struct guest *g, bool on, struct err *err);
int cgroup_kill_all(const struct guest *g, int signo, struct err *err);
char *cgroup_procs(const struct guest *g, struct err *err); /* owned */
int cgroup_limit(const struct guest *g, const uint8_t *data, size_t size, struct err *err);
int cgroup_limits(const struct guest *g, const uint8_t *data, size_t size, struct err *err);
int cgroup_numbers(const struct guest *g, struct tlv_writer *w, struct err *err);
uint64_t cgroup_oom_kills(const struct guest *g);

/* ps.c */
int ps_list(const struct guest *g, struct tlv_writer *w, struct err *err);

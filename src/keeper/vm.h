/* SPDX-License-Identifier: Apache-2.0 */
/* vm - a VM as a keeper's payload: one worker (isola-vmm) after the other in the same
 * cgroup, with the same pipes or pty, until one ends for another reason than a reset.
 *
 *          spawned           hello, start asked for          running
 *   (none) ------> BUILDING ----------------------> STARTING ------> RUNNING
 *                     ^                                                 |
 *                     +---- after a while, when it was reset before ----+ reset
 *
 * What the worker says is foreign: the guest may have taken it over. It can end
 * itself and ask for connections to the VM's own vsock sockets, no more.
 *
 *   vm.c          the payload: create, start, end, reset
 *   vm_link.c     what keeper and worker say to each other
 *   vm_spawn.c    clone, namespaces, descriptors, exec
 *   vm_sources.c  machine.json's SOURCEs become descriptors
 *   vm_tap.c      tap devices: the user's, and ports of isolad's networks
 *   vm_nic.c      network devices that come and go
 *   vm_helper.c   the programs of others that run beside a worker:
 *   vm_virtiofsd.c  virtiofsd, for
 *   vm_share.c    shared folders, and
 *   vm_tree.c     the root of a container
 *   vm_passt.c    passt for networks
 *   vm_vsock.c    the host's side of vsock
 *   vm_console.c  pseudo terminals of virtio consoles */
#pragma once

#include "isola/err.h"

#include "life.h"
#include "stdio_set.h"

#include <json-c/json.h>
#include <stdbool.h>
#include <sys/types.h>

#define VM_CONSOLES_MAX 8
#define VM_HELPERS_MAX  16
#define VM_PORTS_MAX    16

/* SOURCEs opened for one worker: it gets fds[i] as descriptor VMM_FIRST_FD + i. */
#define VM_FDS_MAX 256
struct vm_fds {
	int fds[VM_FDS_MAX];
	size_t n;
};

struct vm_console {
	char id[64];
	int master_fd, slave_fd; /* the slave stays open, so that it stays raw */
};

/* A tap device of isolad's: a detached queue of it, so that it is still there when the
 * next worker comes. */
struct vm_port {
	char name[16]; /* IFNAMSIZ */
	int fd;
};

#define VM_NICS_MAX 18

/* A network device to which a port can come (vm_nic.c). */
struct vm_nic {
	char id[64];   /* the worker's */
	char port[16]; /* "": none */
	char mac[18];  /* by which the guest knows it, unless it is empty */
	bool empty;    /* the guest has never seen a device there */
};

struct vm_vsock {
	int listen_fd; /* -1: the VM has no vsock */
	int dir_fd;    /* where the socket lies */
	char *name;    /* in there; owned */
};

enum vm_phase { VM_BUILDING, VM_STARTING, VM_RUNNING };

/* How the worker said it ended. */
struct vm_exit {
	bool known;
	char reason[32];
	int code, error; /* the exit code; an errno, when it could not even begin */
	char text[512];
};

struct vm {
	struct keeper *k;
	char *program; /* path of isola-vmm */
	char *cgroup;
	int cgroup_fd;
	int stdio[3]; /* the worker's ends; kept for the next one */
	struct vm_vsock vsock;
	struct vm_console consoles[VM_CONSOLES_MAX];
	size_t n_consoles;
	struct vm_port ports[VM_PORTS_MAX];
	size_t n_ports;
	struct vm_nic nics[VM_NICS_MAX]; /* of this worker; not a guest's (guest_nic.c) */
	size_t n_nics;
	struct vm_nic *plugging;       /* the worker has been asked */
	pid_t tree_pid;                /* the virtiofsd of a guest's root; 0: none */
	pid_t helpers[VM_HELPERS_MAX]; /* virtiofsds and passts of this worker */
	size_t n_helpers;

	/* This worker. */
	enum vm_phase phase;
	struct source link; /* vm_link.c; fd -1: none */
	struct list calls;  /* answers that are awaited */
	int64_t seq;
	bool alive; /* its pidfd is watched */
	int64_t began_ms;
	int64_t first_run_us, start_cpu_us; /* what its start took; 0: not told yet */
	struct vm_exit exit;
	const char *ended_by; /* "killed", "quit", "reset": by us */

	/* All of them. */
	bool start_asked, stopping;
	struct asker starter;
	unsigned int resets, quick_resets;
	bool guest_reset; /* who asked for the present one */
	struct timer quit_timer, spawn_timer, call_timer;
	unsigned int n_warns;
	int64_t warns_since_ms;
};

unsigned int vm_resets(const struct vm *vm);

/* ---- vm_link.c ---- */

/* @fd: our end of the worker's control socket, taken. */
int vm_link_begin(struct vm *vm, int fd, struct err *err);
/* Handles what has arrived, then closes; calls that wait fail. */
void vm_link_end(struct vm *vm);
/* @reply: borrowed, without "seq" and "ok"; @err NULL: it worked. */
typedef void vm_reply_fn(struct vm *vm, const struct asker *asker, json_object *reply,
			 const struct err *err);
/* @op: static. @args: taken, may be NULL. @reply may be NULL; after ten seconds it is
 * called with ETIMEDOUT. */
int vm_call(struct vm *vm, const char *op, json_object *args, const struct asker *asker,
	    vm_reply_fn *reply, struct err *err);
/* The same with a descriptor (borrowed; -1: none). */
int vm_call_fd(struct vm *vm, const char *op, json_object *args, int fd, const struct asker *asker,
	       vm_reply_fn *reply, struct err *err);
void vm_link_on_time(struct timer *timer); /* vm->call_timer */
/* Warns for the operator, but not without end. */
void vm_warn(struct vm *vm, const char *text);

/* ---- vm.c, for vm_link.c ---- */

void vm_on_hello(struct vm *vm);
void vm_on_exit(struct vm *vm, json_object *msg);
/* @op is done after all, when its asker has heard that there is no answer. */
void vm_on_late(struct vm *vm, const char *op);
/* It sent what is no message: it is ended. */
void vm_on_malformed(struct vm *vm);

/* ---- vm_spawn.c ---- */

/* Starts a worker: k->init.fd, k->rec.pid, the link. On failure nothing is left of
 * it. */
int vm_spawn(struct vm *vm, struct err *err);
/* Moves @fd to the child's table of descriptors as @to; for a clone's child, which
 * ends if that fails. All of them at once: see vm_spawn.c. */
void vm_give_fds(const int *fds, const int *to, size_t n);
/* A child in the VM's cgroup that dies with the keeper; runs @run and ends. @flags:
 * of clone3(2). Returns the pid, or -errno. */
pid_t vm_clone(struct vm *vm, uint64_t flags, int *ret_pidfd, void (*run)(void *arg), void *arg,
	       struct err *err);

/* ---- vm_sources.c ---- */

/* Opens every SOURCE of @machine and writes {"fd"} in its place. On failure all are
 * closed. */
int vm_sources_open(struct vm *vm, json_object *machine, struct vm_fds *fds, struct err *err);
void vm_fds_close(struct vm_fds *fds);
/* Adds a descriptor, taken; returns its number in the worker, or -errno. */
int vm_fds_add(struct vm_fds *fds, int fd, struct err *err);
/* machine.json of the run folder, owned. */
int vm_machine_read(const struct keeper *k, json_object **ret, struct err *err);
/* Grows the file of disk @id to @size bytes. */
int vm_disk_grow(struct vm *vm, const char *id, int64_t size, struct err *err);

/* ---- vm_tap.c ---- */

/* Opens net["tap"], {"name"} or {"port"}, once per queue, into @fds, and writes the
 * list of {"fd"} in its place. */
int vm_tap_open(struct vm *vm, json_object *net, struct vm_fds *fds, struct err *err);
void vm_ports_close(struct vm *vm);
/* One more port, of a VM that runs: a queue of it, owned, or -errno; and it goes. */
int vm_port_open(struct vm *vm, const char *name, struct err *err);
void vm_port_drop(struct vm *vm, const char *name);

/* ---- vm_nic.c ---- */

/* Which there are, of machine.json as it was read. */
void vm_nics_read(struct vm *vm, json_object *machine);
/* "link" and "unlink". */
struct request;
int vm_nic_command(struct vm *vm, const struct request *r, struct err *err);

/* ---- vm_helper.c ---- */

/* A child as of vm_clone() that ends with this worker. Its pid, or -errno. */
pid_t vm_helper_start(struct vm *vm, void (*run)(void *arg), void *arg, struct err *err);
/* Ends those that are left, and reaps. */
void vm_helpers_end(struct vm *vm);

/* ---- vm_share.c ---- */

/* Runs a sandboxed virtiofsd for @folder; returns a connected vhost-user socket. */
int vm_share_start(struct vm *vm, const char *folder, bool readonly, struct err *err);

/* ---- vm_passt.c ---- */

struct vm_passt_args {
	unsigned int uid, gid; /* what it becomes */
	unsigned int mtu;      /* that it tells the guest; 0: its own default */
};

/* Runs a passt and waits until it serves; returns a connected stream socket. */
int vm_passt_start(struct vm *vm, const struct vm_passt_args *args, struct err *err);

/* ---- vm_vsock.c ---- */

int vm_vsock_open(struct vm *vm, json_object *machine, struct err *err);
/* A stream to <socket>_<port>: a descriptor or -errno. */
int vm_vsock_connect(const struct vm *vm, int64_t port, struct err *err);
void vm_vsock_close(struct vm *vm);

/* ---- vm_console.c ---- */

/* Makes the terminals of @machine's consoles, and consoles.json in the run folder. */
int vm_consoles_open(struct vm *vm, json_object *machine, struct err *err);
const struct vm_console *vm_console_find(const struct vm *vm, const char *id);
void vm_consoles_close(struct vm *vm);

/* ---- small things of several of them ---- */

/* Connects to the listening stream socket at @path. A descriptor or -errno. */
int vm_connect(const char *path, struct err *err);

/* SPDX-License-Identifier: Apache-2.0 */
/* guest - a container in a VM as a keeper's payload (keeper.json of kind "guest"): the
 * bundle is a container's, the process is a VM's worker, and what runs is told by isola-init
 * in there (isola/guest.h).
 *
 *   create   the holder (ctr.h) makes the root; the worker is made, virtiofsd serves it
 *   start    the worker runs -> READY -> SETUP -> RUN, answered: it runs
 *   end      EXITED -> output read -> SHUTDOWN -> the worker ends
 *
 * The exit code is the process's; a VM that ends without one has its own reason and code,
 * as in vm.c. What a guest says that breaks the rules ends it with "protocol-error".
 *
 *   guest.c          the payload
 *   guest_start.c    from the worker's start to the process's
 *   guest_times.c    what that took
 *   guest_exec.c     further processes
 *   guest_copy.c     files that are copied into it
 *   guest_mount.c    mounts that come and go
 *   guest_change.c   its processes, its use, and other limits
 *   guest_console.c  what the kernel prints
 *   guest_nic.c      links that come and go
 *   guest_split.c, guest_setup.c, guest_process.c    config.json, taken apart
 *   guest_tell.c     what the guest tells, as JSON
 *   guest_link.c     the protocol */
#pragma once

#include "isola/ctr.h"
#include "isola/err.h"

#include "guest_link.h"
#include "guest_times.h"
#include "life.h"
#include "vm.h"

#include <json-c/json.h>
#include <stdbool.h>
#include <sys/types.h>

/* Number of the first process. */
#define GUEST_FIRST 1
/* Of a request that needs the guest's init alone. */
#define GUEST_CALL_MS 10000
/* Of a sync: the host's disk has part in it. */
#define GUEST_SYNC_MS 30000

struct guest_console {
	struct source src; /* fd -1: none, or ended */
	struct loop *loop;
	char tail[4096]; /* a ring */
	size_t n;        /* ever written */
};

#define GUEST_NICS_MAX 8

/* A place for a network device: of the machine file's nets. */
struct guest_nic {
	char id[16];   /* the worker's */
	char port[16]; /* the tap device that it has; "": free */
};

/* What is under way with one of them. */
struct guest_linking {
	bool busy;
	struct guest_nic *nic;
	struct asker asker;
	char port[16];     /* that comes */
	json_object *link; /* owned; NULL: it goes */
};

struct guest {
	struct keeper *k;
	struct guest_link link;
	struct guest_console console;
	json_object *config;        /* config.json, owned; until the process runs */
	struct ctr_spec *host_spec; /* of the holder; owned */
	json_object *links;         /* of keeper.json, owned; NULL: none */
	struct guest_nic nics[GUEST_NICS_MAX];
	size_t n_nics;
	struct guest_linking linking;
	int64_t boot_ms;      /* until READY */
	int64_t memory, cpus; /* of machine.json: RAM in bytes, how many */
	int64_t online;       /* of these */
	struct timer boot_timer, end_timer;
	struct guest_times times;
	struct list copies;   /* guest_copy.c: asked for, not begun */
	json_object *places;  /* guest_mount.c: {target: place} of binds that came later; owned */
	size_t n_later;       /* how many came */
	struct payio_fds fds; /* of the first process, until it runs */
	uint64_t number;      /* the last one given to a process */
	bool ran, exited, shutting_down;
	bool has_image; /* the root's image is the guest's: what is served is its layer and binds */
	bool holder_ended;
	bool protocol_error; /* of ->text */
	int64_t ended_ns;
	int status;         /* of the first process, as of wait(2) */
	uint64_t oom_kills; /* in the guest, for want of memory */
	char text[512];     /* why it was ended by us; "" */
};

/* ---- guest_start.c ---- */

/* The worker runs: for vm.c, in place of keeper_started(). */
void guest_vm_runs(struct guest *g);
/* The guest's kernel and init are there. */
void guest_on_ready(struct guest *g);
/* Ends the VM for a reason of ours, which is what its end, or the start, says. */
void guest_end(struct guest *g, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* ---- guest.c, for vm*.c ---- */

/* machine.json, before the first worker is made. */
void guest_vm_sized(struct guest *g, json_object *machine);
/* The worker has ended, and vm->exit says how: adds what we know. */
void guest_vm_ended(struct guest *g, struct vm *vm);
/* How it ended, into k->rec; false: as any VM. */
bool guest_record_exit(struct guest *g);
/* It was paused, and runs again. */
void guest_vm_resumed(struct guest *g);
/* The process whose root is the guest's, the holder; 0: none. */
pid_t guest_root_pid(const struct guest *g);

/* ---- guest_exec.c ---- */

int guest_exec_start(struct keeper *k, const struct request *r, const struct ctr_process *process,
		     int *fd, struct exec **ret, struct err *err);
/* False: it is none of an exec's. Takes @fd if so. */
bool guest_exec_stream(struct guest *g, uint64_t process, enum guest_stream stream, int fd);
bool guest_exec_exited(struct guest *g, uint64_t process, int status);

/* ---- guest_nic.c ---- */

/* Which places the machine has. */
int guest_nics_read(struct guest *g, struct err *err);
/* "link" and "unlink". */
int guest_nic_command(struct keeper *k, const struct request *r, struct err *err);
void guest_nics_end(struct guest *g);

/* ---- guest_copy.c ---- */

/* Asks for a copy; whoever has the other end of @fd (borrowed; SOCK_SEQPACKET) hears there
 * what came of it: a byte with the guest's stream, or "ERRNO text". -EINPROGRESS, as of
 * payload_type. */
int guest_copy_begin(struct keeper *k, int *fd, struct err *err);
/* False: it is none of a copy's. Takes @fd if so. */
bool guest_copy_stream(struct guest *g, uint64_t process, int fd);

/* ---- guest_mount.c ---- */

/* payload_type.mount. */
int guest_mount(struct keeper *k, json_object *mount, bool make_source, bool gone, struct err *err);

/* ---- guest_change.c ---- */

/* -EBUSY when paused, -ESRCH when not running: of who can be asked only while it runs. */
int guest_need(const struct guest *g, struct err *err);

/* payload_type.command, .update and .sync. */
int guest_command(struct keeper *k, const struct request *r, struct err *err);
int guest_update(struct keeper *k, json_object *resources, json_object *args, struct err *err);
int guest_sync(struct keeper *k, struct err *err);

/* ---- guest_console.c ---- */

/* Makes the pipe that is the worker's stdout and stderr; @ret_fd: its end, owned. */
int guest_console_open(struct guest_console *c, struct loop *loop, int *ret_fd, struct err *err);
void guest_console_close(struct guest_console *c);
/* Reads what is there, and writes the last lines, as printable text, to @ret. */
void guest_console_tail(struct guest_console *c, char *ret, size_t size);

/* ---- small things ---- */

/* Asks for something that answers with nothing; the answer goes to k->asker. Returns
 * -EINPROGRESS. */
int guest_ask(struct guest *g, enum guest_type type, const struct tlv_writer *body,
	      int64_t within_ms, struct err *err);

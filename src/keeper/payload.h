/* SPDX-License-Identifier: Apache-2.0 */
/* payload - what differs between the kinds of payload that a keeper keeps: a container
 * (container.c), a VM (vm.c), and a container in a VM (guest.c). Pipes and pty, log,
 * streams, exit record, connections and the order in which all ends (life.h) are the
 * same. */
#pragma once

#include "isola/err.h"

#include <json-c/json.h>
#include <stdbool.h>
#include <sys/types.h>

struct ctr_process;
struct exec;
struct keeper;
struct request;

struct payload_type {
	const char *noun; /* for sentences */
	/* Makes it, up to what the start opens, with its stdio: fills k->init.fd (a
	 * pidfd, owned by the type), k->rec.pid, k->cgroup and k->io. keeper.json is
	 * parsed, the log open. On failure nothing of it is left. */
	int (*create)(struct keeper *k, struct err *err);
	/* 0: it runs. -EINPROGRESS: keeper_started() or keeper_start_failed() comes. */
	int (*start)(struct keeper *k, struct err *err);
	/* Init was reaped; @status as by waitpid(2), -1 unknown. False: it goes on in a
	 * new process, whose pidfd is watched already. Else k->rec is filled. NULL:
	 * as any process. */
	bool (*ended)(struct keeper *k, int status);
	int (*kill)(struct keeper *k, int signo, bool all, struct err *err);
	/* Both may return -EINPROGRESS: the answer is the type's to give, to
	 * k->asker. */
	int (*freeze)(struct keeper *k, bool frozen, struct err *err);
	/* One more process: @process is r->process, checked; @fd the client's socket or -1,
	 * taken on success. On failure nothing is left but @fd. -EINPROGRESS as above; then
	 * the type takes @fd. NULL: there are none. */
	int (*exec)(struct keeper *k, const struct request *r, const struct ctr_process *process,
		    int *fd, struct exec **ret, struct err *err);
	/* "copy" of isola/keeper.h; @fd borrowed; NULL: there is none. */
	int (*copy)(struct keeper *k, int *fd, struct err *err);
	/* "sync" of isola/keeper.h; NULL: there is none. May return -EINPROGRESS. */
	int (*sync)(struct keeper *k, struct err *err);
	int (*command)(struct keeper *k, const struct request *r, struct err *err); /* or NULL */
	/* OCI linux.resources of its cgroup, and of a guest its own sizes (isola/keeper.h);
	 * one may be NULL. May return -EINPROGRESS. */
	int (*update)(struct keeper *k, json_object *resources, json_object *args, struct err *err);
	/* Of the first process's terminal; may return -EINPROGRESS. NULL: it is k->io's. */
	int (*resize)(struct keeper *k, unsigned int rows, unsigned int columns, struct err *err);
	/* A mount comes, or goes (@gone); NULL: there are none. */
	int (*mount)(struct keeper *k, json_object *mount, bool make_source, bool gone,
		     struct err *err);
	/* Everything of it goes: processes, cgroup, hooks. Failures are warned of. */
	void (*remove)(struct keeper *k);
	void (*free)(struct keeper *k);
};

extern const struct payload_type payload_container; /* container.c */
extern const struct payload_type payload_vm;        /* vm.c */
extern const struct payload_type payload_guest;     /* guest.c */

/* SPDX-License-Identifier: Apache-2.0 */
/* exec - further processes in the running container, each with its own stdio
 * and maybe a client's stream. */
#pragma once

#include "life.h"
#include "request.h"

struct exec;

/* What differs between the kinds of payload: exec_ctr.c and guest_exec.c embed a struct
 * exec in theirs. */
struct exec_type {
	int (*signal)(struct exec *e, int signo); /* 0 or -errno */
	int (*resize)(struct exec *e, unsigned int rows, unsigned int columns);
	/* The payload has ended: kills it, reaps, returns its exit code. */
	int (*end)(struct exec *e);
	void (*free)(struct exec *e); /* @e itself, too */
};

struct exec {
	struct list node; /* keeper.execs */
	const struct exec_type *type;
	struct keeper *k;
	char id[ID_SIZE];
	pid_t pid; /* 0: it has none here */
	struct payio io;
	bool ended;
	uint64_t holder;         /* the connection with which it ends; 0 = none */
	struct timer free_timer; /* to be freed from the loop, with no caller on the stack */
};

/* ---- for the types ---- */

/* Puts @e, all of whose type's own fields are set, among the keeper's, as what @r asks for;
 * it ends with exec_drop() or exec_ended(). */
void exec_init(struct exec *e, struct keeper *k, const struct exec_type *type,
	       const struct request *r);
/* Its stdio is in e->io: the client's socket @fd (taken on success), if there is one. */
int exec_attach(struct exec *e, const struct request *r, int *fd, struct err *err);
/* It did not come to be: frees it. */
void exec_drop(struct exec *e);
/* The end is told before the client sees the end of its stream. @error: why it never ran,
 * or NULL. */
void exec_ended(struct exec *e, int exit_code, const char *error);
/* It never ran: its clients read why, and then it has ended. */
void exec_failed(struct exec *e, int exit_code, const struct err *err);

/* Starts what @request asks for. @fd: the client's socket, or -1; taken. On
 * failure the client reads why, as with Docker, and *@ret_exit_code is 126, 127
 * or 128; the end is told to all connections. -EINPROGRESS: the type answers. */
int exec_start(struct keeper *k, const struct request *request, int fd, pid_t *ret_pid,
	       int *ret_exit_code, struct err *err);

/* NULL when there is none of that id. */
struct exec *exec_find(struct keeper *k, const char *id);

int exec_signal(struct exec *exec, int signo);
int exec_resize(struct exec *exec, unsigned int rows, unsigned int columns);

/* [{"exec","pid"}], owned. */
json_object *execs_json(const struct keeper *k);

/* Connection @conn has ended: those that it held die. */
void execs_conn_gone(struct keeper *k, uint64_t conn);

/* The container is gone, and they with it: reaps and reports all. */
void execs_end(struct keeper *k);

/* At the end of the keeper: frees all, streams too. */
void execs_free(struct keeper *k);

/* NULL when no stream of any payload (init's too) has that id. */
struct stream *execs_find_stream(struct keeper *k, const char *stream_id);

/* Whether there is a client of an exec, and the bytes that wait for all of them. */
bool execs_have_streams(const struct keeper *k);
size_t execs_waiting(const struct keeper *k);

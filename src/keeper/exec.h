/* SPDX-License-Identifier: Apache-2.0 */
/* exec - further processes in the running container, each with its own stdio
 * and maybe a client's stream. */
#pragma once

#include "life.h"
#include "request.h"

struct exec;

/* Starts what @request asks for. @fd: the client's socket, or -1; taken. On
 * failure the client reads why, as with Docker, and *@ret_exit_code is 126, 127
 * or 128; the end is told to all connections. */
int exec_start(struct keeper *k, const struct request *request, int fd, pid_t *ret_pid,
	       int *ret_exit_code, struct err *err);

/* NULL when there is none of that id. */
struct exec *exec_find(struct keeper *k, const char *id);

int exec_signal(struct exec *exec, int signo);
struct payio *exec_io(struct exec *exec);

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

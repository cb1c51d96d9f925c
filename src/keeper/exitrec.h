/* SPDX-License-Identifier: Apache-2.0 */
/* exitrec - how the payload and its execs ended: exit.json, KEEPER_EXIT of
 * isola/keeper.h. */
#pragma once

#include "isola/err.h"
#include "isola/id.h"

#include <json-c/json.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

/* Ended execs are remembered for an isolad that was away; health probes would
 * make an endless list. */
#define EXITREC_EXECS 64

struct exec_end {
	char id[ID_SIZE];
	uint8_t exit_code;
};

struct exitrec {
	int exit_code; /* as a shell has it: 128 + signal */
	int signal;
	bool oom;
	pid_t pid;
	int64_t started_ns, finished_ns;
	char *error;           /* owned, or NULL */
	char *reason, *text;   /* of a VM; owned, or NULL */
	struct exec_end *ends; /* ring of EXITREC_EXECS, or NULL */
	unsigned int n_ends;   /* ever */
};

/* Takes apart a status of waitpid(2). */
void exitrec_set_status(struct exitrec *rec, int status);
/* The same as an exit code alone. */
int exitrec_code(int status);
/* A failure to start: a copy of @text; -ENOMEM loses it silently. */
void exitrec_set_error(struct exitrec *rec, int exit_code, const char *text);
/* What a shell and Docker say for a failed exec(2): 127, 126, or @fallback. */
int exitrec_code_of_errno(int code, int fallback);

/* How a VM ended, as isola/keeper.h has it: copies. */
void exitrec_set_reason(struct exitrec *rec, const char *reason, int exit_code, const char *text);

void exitrec_add_exec(struct exitrec *rec, const char *id, int exit_code);

/* [{"exec","exit_code"}], owned. */
json_object *exitrec_execs(const struct exitrec *rec);
/* KEEPER_EXIT, owned; NULL when memory is out. */
json_object *exitrec_json(const struct exitrec *rec);
/* Writes exit.json into the run folder, atomically. */
int exitrec_write(const struct exitrec *rec, int run_dir_fd, struct err *err);
void exitrec_fini(struct exitrec *rec);

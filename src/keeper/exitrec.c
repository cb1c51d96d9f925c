/* SPDX-License-Identifier: Apache-2.0 */
/* exitrec - see exitrec.h. */
#include "exitrec.h"

#include "isola/fd.h"
#include "isola/json.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

int exitrec_code(int status)
{
	return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

void exitrec_set_status(struct exitrec *rec, int status)
{
	rec->exit_code = exitrec_code(status);
	rec->signal = WIFSIGNALED(status) ? WTERMSIG(status) : 0;
}

void exitrec_set_error(struct exitrec *rec, int exit_code, const char *text)
{
	rec->exit_code = exit_code;
	free(rec->error);
	rec->error = strdup(text);
}

void exitrec_set_reason(struct exitrec *rec, const char *reason, int exit_code, const char *text)
{
	rec->exit_code = exit_code;
	free(rec->reason);
	free(rec->text);
	rec->reason = strdup(reason);
	rec->text = strdup(text);
}

int exitrec_code_of_errno(int code, int fallback)
{
	switch (code) {
	case ENOENT:
		return 127;
	case EACCES:
	case ENOEXEC:
	case EISDIR:
		return 126;
	default:
		return fallback;
	}
}

void exitrec_add_exec(struct exitrec *rec, const char *id, int exit_code)
{
	if (!rec->ends)
		rec->ends = calloc(EXITREC_EXECS, sizeof(*rec->ends));
	if (!rec->ends)
		return;
	struct exec_end *end = &rec->ends[rec->n_ends++ % EXITREC_EXECS];
	(void)snprintf(end->id, sizeof(end->id), "%s", id);
	end->exit_code = (uint8_t)exit_code;
}

json_object *exitrec_execs(const struct exitrec *rec)
{
	json_object *list = json_object_new_array();
	unsigned int first = rec->n_ends > EXITREC_EXECS ? rec->n_ends - EXITREC_EXECS : 0;
	for (unsigned int i = first; list && i < rec->n_ends; i++) {
		const struct exec_end *end = &rec->ends[i % EXITREC_EXECS];
		json_object *o = json_object_new_object();
		json_add_str(o, "exec", end->id);
		json_add_i64(o, "exit_code", end->exit_code);
		(void)json_object_array_add(list, o);
	}
	return list;
}

json_object *exitrec_json(const struct exitrec *rec)
{
	json_object *o = json_object_new_object();
	if (!o)
		return NULL;
	json_add_i64(o, "exit_code", rec->exit_code);
	json_add_i64(o, "signal", rec->signal);
	json_add_bool(o, "oom", rec->oom);
	json_add_i64(o, "pid", rec->pid);
	json_add_i64(o, "started_ns", rec->started_ns);
	json_add_i64(o, "finished_ns", rec->finished_ns);
	if (rec->error)
		json_add_str(o, "error", rec->error);
	if (rec->reason)
		json_add_str(o, "reason", rec->reason);
	if (rec->text)
		json_add_str(o, "text", rec->text);
	json_add(o, "execs", exitrec_execs(rec));
	return o;
}

int exitrec_write(const struct exitrec *rec, int run_dir_fd, struct err *err)
{
	cleanup_json json_object *o = exitrec_json(rec);
	if (!o)
		return err_set(err, ENOMEM, "cannot write exit.json: out of memory");
	return json_write_atomic(run_dir_fd, "exit.json", o, FD_SYNC_NO, err);
}

void exitrec_fini(struct exitrec *rec)
{
	free(rec->error);
	free(rec->reason);
	free(rec->text);
	free(rec->ends);
}

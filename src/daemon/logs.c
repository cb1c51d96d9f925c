/* SPDX-License-Identifier: Apache-2.0 */
/* logs - a log reader is a process of its own with the client's socket in its
 * hands: it outlives isolad and slows nobody. isolad, loop thread. */
#include "isola/fd.h"
#include "isola/json.h"

#include "isolad.h"
#include "life.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define ARGV_MAX 24

static const char *log_driver(const struct instance *inst)
{
	return json_str_or(json_get(inst->host_config, "LogConfig"), "Type", "json-file");
}

int instance_logs_check(struct instance *inst, struct err *err)
{
	if (!strcmp(log_driver(inst), "none"))
		return err_set(err, EOPNOTSUPP,
			       "configured logging driver does not support reading: %s %s "
			       "has log driver \"none\"",
			       instance_noun(inst->kind), inst->name);
	return 0;
}

struct words {
	const char *argv[ARGV_MAX];
	size_t n;
	char since[24], until[24], tail[24];
};

static void word(struct words *w, bool wanted, const char *flag, const char *value)
{
	if (!wanted)
		return;
	w->argv[w->n++] = flag;
	if (value)
		w->argv[w->n++] = value;
}

static void make_words(struct words *w, const struct logs_request *req, const char *path,
		       const char *run_dir)
{
	(void)snprintf(w->since, sizeof(w->since), "%lld", (long long)req->since_ns);
	(void)snprintf(w->until, sizeof(w->until), "%lld", (long long)req->until_ns);
	(void)snprintf(w->tail, sizeof(w->tail), "%lld", (long long)req->tail);
	word(w, true, "isola-keeper", "logs");
	word(w, true, "--fd", "3");
	word(w, true, "--path", path);
	word(w, req->follow, "--follow", NULL);
	word(w, req->follow, "--run-dir", run_dir);
	word(w, req->since_ns != 0, "--since", w->since);
	word(w, req->until_ns != 0, "--until", w->until);
	word(w, req->tail >= 0, "--tail", w->tail);
	word(w, req->timestamps, "--timestamps", NULL);
	word(w, req->details, "--details", NULL);
	word(w, req->want_stdout, "--stdout", NULL);
	word(w, req->want_stderr, "--stderr", NULL);
	word(w, req->mux, "--mux", NULL);
	word(w, req->chunked, "--chunked", NULL);
}

void instance_logs(struct instance *inst, const struct logs_request *req, op_done_fn *done,
		   void *arg)
{
	cleanup_fd int fd = req->fd;
	cleanup_free char *path = instance_log_path(inst), *run_dir = instance_run_dir(inst);
	struct words w = { .n = 0 };
	struct err e = ERR_INIT;
	struct child *child = NULL;
	int rc = path && run_dir ? instance_logs_check(inst, &e)
				 : err_set(&e, ENOMEM, "out of memory");
	if (rc == 0) {
		make_words(&w, req, path, run_dir);
		struct child_args args = { .program = PROGRAM_KEEPER,
					   .argv = w.argv,
					   .stdin_fd = -1,
					   .stdout_fd = -1,
					   .fd3 = fd };
		rc = child_spawn(inst->isolad, &args, NULL, NULL, &child, &e);
	}
	later_done(inst->isolad, done, arg, rc < 0 ? &e : NULL, NULL);
}

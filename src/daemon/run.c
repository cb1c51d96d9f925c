/* SPDX-License-Identifier: Apache-2.0 */
/* run - one run of an instance: what its keeper tells, the payload's end, the
 * keeper's end. Order matters: the payload's end is recorded once, from the
 * "exit" event, else from exit.json, else as unknown; a new run begins only when
 * the old keeper is gone and nothing of it is left. isolad, loop thread. */
#include "isola/cgroup.h"
#include "isola/fd.h"
#include "isola/json.h"
#include "isola/keeper.h"
#include "isola/num.h"
#include "isola/step.h"

#include "exec.h"
#include "health.h"
#include "isolad.h"
#include "life.h"
#include "persist.h"
#include "recover.h"
#include "restart.h"
#include "stream.h"
#include "wait.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define EXIT_BYTES_MAX  (1024 * 1024)
#define KEEPER_GRACE_MS 30000 /* to clean up; hooks may take their time */
#define EXIT_UNKNOWN    137
#define EXIT_NOT_FOUND  127
#define EXIT_NO_EXEC    126
#define EXIT_NO_START   128

void set_text(char **at, const char *text)
{
	free(*at);
	*at = text ? strdup(text) : NULL;
}

void life_fini(struct instance *inst)
{
	struct life *life = life_of(inst);
	persist_fini(inst);
	health_fini(inst);
	timer_stop(&life->back_off);
	timer_stop(&life->grace);
	link_free(&inst->link);
	child_forget(life->keeper);
	life->keeper = NULL;
	fd_close(&life->run_dir_fd);
	streams_drop(inst);
	bindings_clear(&life->bindings);
	execs_free(inst);
	set_text(&life->fail_text, NULL);
}

bool run_is_over(const struct instance *inst)
{
	const struct life *life = life_of(inst);
	return !life->keeper && !life->sweeping;
}

/* ---- the payload's end ---- */

static void add_exit_code(struct instance *inst, const char *action)
{
	char code[16];
	(void)snprintf(code, sizeof(code), "%d", inst->exit_code);
	json_object *attrs = json_object_new_object();
	json_add_str(attrs, "exitCode", code);
	if (inst->reason)
		json_add_str(attrs, "reason", inst->reason);
	events_emit_instance(inst, action, attrs);
}

/* A stop, restart or removal under way decides by itself what comes next. */
static bool policy_may_act(const struct instance *inst)
{
	struct op *op = op_current(inst);
	return !(op && op->type->no_policy) && inst->state != INSTANCE_REMOVING &&
	       !inst->isolad->stopping;
}

static bool removal_is_due(const struct instance *inst)
{
	struct op *op = op_current(inst);
	return inst->auto_remove && !(op && op->type->no_removal) && !inst->isolad->stopping;
}

static void take_exit(struct instance *inst, json_object *exit)
{
	inst->exit_code = (int)json_i64_or(exit, "exit_code", EXIT_UNKNOWN) & 255;
	inst->finished_ns = json_i64_or(exit, "finished_ns", num_now_ns());
	if (!inst->started_ns)
		inst->started_ns = json_i64_or(exit, "started_ns", 0);
	inst->oom_killed = inst->oom_killed || json_bool_or(exit, "oom", false);
	inst->pid = inst->root_pid = 0;
	set_text(&inst->error, json_str_or(exit, "error", NULL));
	set_text(&inst->reason, json_str_or(exit, "reason", NULL));
	set_text(&inst->reason_text, json_str_or(exit, "text", NULL));
}

void run_ended(struct instance *inst, json_object *exit)
{
	struct life *life = life_of(inst);
	if (life->ended)
		return;
	life->ended = true;
	step_reached("end.noticed");
	take_exit(inst, exit);
	endpoints_down(inst);
	step_reached("end.unplugging");
	bool again = policy_may_act(inst) && restart_wanted(inst);
	(void)state_apply(inst, again ? EVENT_ENDED_AGAIN : EVENT_ENDED, NULL);
	execs_ended(inst, json_get(exit, "execs"));
	add_exit_code(inst, "die");
	volumes_emit(inst, "unmount");
	wait_on_exit(inst);
	if (again)
		run_back_off(inst);
	if (!inst->auto_remove)
		persist_save(inst, NULL, NULL);
	bool remove = removal_is_due(inst);
	op_wake(inst, OP_WAKE_ENDED);
	if (remove)
		remove_automatically(inst);
}

/* With an exit.json in the keeper's place: it also ends who follows the log. */
void run_ended_unknown(struct instance *inst, const char *why)
{
	struct life *life = life_of(inst);
	cleanup_json json_object *exit = json_object_new_object();
	struct err e = ERR_INIT;
	json_add_i64(exit, "exit_code", EXIT_UNKNOWN);
	json_add_i64(exit, "signal", SIGKILL);
	json_add_i64(exit, "started_ns", inst->started_ns);
	json_add_i64(exit, "finished_ns", num_now_ns());
	json_add_str(exit, "error", why);
	if (inst->kind == INSTANCE_VM)
		json_add_str(exit, "reason", "keeper-died");
	log_error(inst->id, "%s", why);
	if (life->run_dir_fd >= 0 &&
	    json_write_atomic(life->run_dir_fd, "exit.json", exit, FD_SYNC_NO, &e) < 0)
		log_error(inst->id, "%s", e.text);
	run_ended(inst, exit);
}

static void on_back_off_over(void *arg)
{
	struct instance *inst = arg;
	timer_stop(&life_of(inst)->back_off);
	inst->restart_count++;
	start_again(inst);
}

void run_back_off(struct instance *inst)
{
	struct life *life = life_of(inst);
	unsigned int ms = restart_backoff(inst);
	log_debug(inst->id, "exit code %d, next start in %u ms", inst->exit_code, ms);
	timer_stop(&life->back_off);
	life->back_off = timer_start(inst->isolad, ms, on_back_off_over, inst);
}

/* ---- a start that failed ---- */

static int exit_code_of(int code)
{
	switch (code) {
	case ENOENT:
		return EXIT_NOT_FOUND;
	case EACCES:
	case EPERM:
	case ENOEXEC:
	case EISDIR:
		return EXIT_NO_EXEC;
	default:
		return EXIT_NO_START;
	}
}

/* The errno that the API understands: of the request, not of some file. */
static int code_for_api(int code)
{
	switch (code) {
	case ENOENT:
	case EACCES:
	case EPERM:
	case ENOEXEC:
	case EISDIR:
	case ENOTDIR:
	case ELOOP:
	case EINVAL:
		return EINVAL;
	case EOPNOTSUPP:
	case ENOSPC:
	case ENOMEM:
		return code;
	default:
		return EIO;
	}
}

/* Docker's clients read these words to choose between exit codes. */
static void add_docker_words(struct err *err, int exit_code)
{
	const char *words = exit_code == EXIT_NOT_FOUND ? "executable file not found"
			    : exit_code == EXIT_NO_EXEC ? "permission denied"
							: NULL;
	size_t n = strlen(err->text);
	if (words && !strstr(err->text, words) && !strstr(err->text, "no such file or directory"))
		(void)snprintf(err->text + n, sizeof(err->text) - n, " (%s)", words);
}

void run_start_failed(struct instance *inst, int exit_code, struct err *err)
{
	struct life *life = life_of(inst);
	bool by_policy = inst->restart_backoff_ms != 0;
	if (err->code == ECONNRESET && life->fail_text)
		(void)err_set(err, EIO, "%s", life->fail_text);
	inst->exit_code = exit_code > 0 && exit_code < 256 ? exit_code : exit_code_of(err->code);
	if (inst->kind == INSTANCE_CONTAINER)
		add_docker_words(err, inst->exit_code);
	(void)err_prefix(err, "cannot start the %s", instance_noun(inst->kind));
	/* Of a VM it is another one that has the disk or tap. */
	if (inst->kind != INSTANCE_VM || err->code != EBUSY)
		err->code = code_for_api(err->code);
	log_warn(inst->id, "%s", err->text);
	life->ended = true;
	inst->pid = inst->root_pid = 0;
	endpoints_down(inst);
	set_text(&inst->error, err->text);
	if (inst->started_ns)
		inst->finished_ns = num_now_ns();
	(void)state_apply(inst, inst->started_ns ? EVENT_FAILED : EVENT_FAILED_FIRST, NULL);
	streams_drop(inst);
	if (by_policy && restart_wanted(inst) && state_apply(inst, EVENT_ENDED_AGAIN, NULL) == 0)
		run_back_off(inst);
	if (inst->auto_remove)
		remove_automatically(inst);
	else
		persist_save(inst, NULL, NULL);
}

/* ---- what the keeper tells ---- */

static void on_oom(struct instance *inst, json_object *msg)
{
	(void)msg;
	inst->oom_killed = true;
	events_emit_instance(inst, "oom", NULL);
}

static void on_exit_event(struct instance *inst, json_object *msg)
{
	life_of(inst)->reported = true;
	/* The answer to "start" follows, with the same reason. */
	if (inst->state == INSTANCE_STARTING)
		set_text(&life_of(inst)->fail_text, json_str_or(msg, "error", NULL));
	else
		run_ended(inst, msg);
}

/* A VM goes on in a new worker. */
static void on_reset(struct instance *inst, json_object *msg)
{
	inst->pid = (pid_t)json_i64_or(msg, "pid", 0);
	inst->root_pid = (pid_t)json_i64_or(msg, "root_pid", inst->pid);
	inst->resets = (unsigned int)json_i64_or(msg, "resets", 0);
	json_object *attrs = json_object_new_object();
	json_add_str(attrs, "by", json_str_or(msg, "by", "guest"));
	/* A paused VM that was reset runs. */
	if (inst->state == INSTANCE_PAUSED)
		(void)state_apply(inst, EVENT_UNPAUSED, NULL);
	events_emit_instance(inst, "reset", attrs);
}

static void on_exec_exit(struct instance *inst, json_object *msg)
{
	exec_ended(inst, json_str_or(msg, "exec", ""), (int)json_i64_or(msg, "exit_code", 255),
		   json_str_or(msg, "error", NULL));
}

static void on_stream_end(struct instance *inst, json_object *msg)
{
	if (!strcmp(json_str_or(msg, "why", ""), "detached"))
		events_emit_instance(inst, "detach", NULL);
}

static void on_hello(struct instance *inst, json_object *msg)
{
	int64_t version = json_i64_or(msg, "version", 0);
	if (version != KEEPER_VERSION)
		log_warn(inst->id, "its keeper speaks version %lld, this isolad %d",
			 (long long)version, KEEPER_VERSION);
	if (!strcmp(json_str_or(msg, "state", ""), "created"))
		life_of(inst)->init_pid = (pid_t)json_i64_or(msg, "pid", 0);
	if (life_of(inst)->adopting)
		recover_on_hello(inst, msg);
}

static void on_warn(struct instance *inst, json_object *msg)
{
	log_warn(inst->id, "%s", json_str_or(msg, "text", ""));
}

static const struct {
	const char *event;
	void (*on)(struct instance *inst, json_object *msg);
} handlers[] = {
	{ "hello", on_hello },           { "oom", on_oom },
	{ "exit", on_exit_event },       { "exec_exit", on_exec_exit },
	{ "stream_end", on_stream_end }, { "warn", on_warn },
	{ "reset", on_reset },
};

static void on_event(void *arg, const char *event, json_object *msg)
{
	for (size_t i = 0; i < sizeof(handlers) / sizeof(handlers[0]); i++) {
		if (strcmp(event, handlers[i].event))
			continue;
		handlers[i].on(arg, msg);
		return;
	}
	log_warn(((struct instance *)arg)->id, "unknown event \"%.32s\" from its keeper", event);
}

/* ---- the keeper's end ---- */

static void over(struct instance *inst)
{
	recover_check(inst->isolad);
	if (run_is_over(inst))
		op_wake(inst, OP_WAKE_OVER);
}

/* What only the run needed goes; exit.json stays until the next start, for a log
 * reader that comes late, and for an isolad that is killed before it has noted
 * the end on the disk. */
static void clear_run_dir(struct instance *inst)
{
	static const char *const files[] = { "config.json", "keeper.json", "machine.json",
					     "keeper.pid",  "keeper.sock", "vsock.sock" };
	struct life *life = life_of(inst);
	for (size_t i = 0; i < sizeof(files) / sizeof(files[0]) && life->run_dir_fd >= 0; i++)
		(void)unlinkat(life->run_dir_fd, files[i], 0);
	step_reached("end.cleared");
	fd_close(&life->run_dir_fd);
}

struct sweep {
	uv_work_t work;
	struct instance *inst; /* not freed while life->sweeping */
	char *cgroup, *why;
	struct err err;
};

static void sweep_job(uv_work_t *work)
{
	struct sweep *sweep = container_of(work, struct sweep, work);
	(void)cgroup_destroy(sweep->cgroup, 5000, &sweep->err);
}

static void on_swept(uv_work_t *work, int status)
{
	(void)status;
	struct sweep *sweep = container_of(work, struct sweep, work);
	struct instance *inst = sweep->inst;
	life_of(inst)->sweeping = false;
	if (sweep->err.code)
		log_error(inst->id, "%s", sweep->err.text);
	if (!life_of(inst)->ended)
		run_ended_unknown(inst, sweep->why);
	clear_run_dir(inst);
	over(inst);
	free(sweep->cgroup);
	free(sweep->why);
	free(sweep);
}

void run_sweep(struct instance *inst, const char *why)
{
	struct sweep *s = calloc(1, sizeof(*s));
	if (!s || !(s->cgroup = instance_cgroup(inst)) || !(s->why = strdup(why)))
		abort(); /* see later.h */
	s->inst = inst;
	life_of(inst)->sweeping = true;
	(void)uv_queue_work(&inst->isolad->loop, &s->work, sweep_job, on_swept);
}

static void sweep_after(struct instance *inst, int status)
{
	char why[128];
	const char *noun = instance_noun(inst->kind);
	(void)snprintf(why, sizeof(why), "the keeper of this %s died", noun);
	if (status >= 0 && (status & 0x7f))
		(void)snprintf(why, sizeof(why), "the keeper of this %s was killed by signal %d",
			       noun, status & 0x7f);
	run_sweep(inst, why);
}

/* True when the keeper left word of how the payload ended. */
static bool read_exit(struct instance *inst)
{
	struct life *life = life_of(inst);
	cleanup_json json_object *exit = NULL;
	struct err e = ERR_INIT;
	int rc = json_read_file(life->run_dir_fd, "exit.json", EXIT_BYTES_MAX, &exit, &e);
	if (rc < 0) {
		if (rc != -ENOENT)
			log_error(inst->id, "%s", e.text);
		return false;
	}
	run_ended(inst, exit);
	return true;
}

/* A keeper that closes the link unlinks its socket before. */
static bool has_cleaned_up(const struct instance *inst)
{
	const struct life *life = life_of(inst);
	return faccessat(life->run_dir_fd, "keeper.sock", F_OK, AT_SYMLINK_NOFOLLOW) < 0;
}

/* The keeper is through, or dead. If it is through, the process may live on for
 * a while to feed slow readers; that is no business of ours any more. */
static void keeper_done(struct instance *inst, int status)
{
	struct life *life = life_of(inst);
	child_forget(life->keeper);
	life->keeper = NULL;
	life->adopting = false;
	inst->keeper_pid = 0;
	timer_stop(&life->grace);
	bool known = life->reported || read_exit(inst);
	if (!known || !has_cleaned_up(inst)) {
		sweep_after(inst, status);
		return;
	}
	clear_run_dir(inst);
	over(inst);
}

/* The end of the link. Without the keeper's word that it is through, its end as a
 * process is what counts. */
static void on_closed(void *arg)
{
	struct instance *inst = arg;
	struct life *life = life_of(inst);
	link_free(&inst->link);
	if (!life->keeper)
		return;
	if (has_cleaned_up(inst))
		keeper_done(inst, 0);
	else
		(void)child_kill(life->keeper, SIGKILL);
}

const struct link_handler run_link_handler = { .on_event = on_event, .on_closed = on_closed };

void run_on_keeper_exit(void *arg, int status)
{
	struct instance *inst = arg;
	struct life *life = life_of(inst);
	struct child *ended = life->keeper;
	/* Its last words may still be in the socket; an unanswered "start" fails
	 * with the link. They may end the run, and a new one may begin at once:
	 * then link and keeper are not the ones this is about. */
	if (inst->link)
		link_drain(inst->link);
	if (life->keeper != ended)
		return;
	link_free(&inst->link);
	if (life->keeper)
		keeper_done(inst, status);
}

static void on_grace_over(void *arg)
{
	struct instance *inst = arg;
	struct life *life = life_of(inst);
	timer_stop(&life->grace);
	log_warn(inst->id, "its keeper does not end; killing it");
	if (life->keeper)
		(void)child_kill(life->keeper, SIGKILL);
}

void run_hurry_keeper(struct instance *inst)
{
	struct life *life = life_of(inst);
	if (life->keeper && !life->grace)
		life->grace = timer_start(inst->isolad, KEEPER_GRACE_MS, on_grace_over, inst);
}

static void over_run(struct op *op)
{
	if (run_is_over(op->inst))
		op_finish(op, NULL, NULL);
	else
		run_hurry_keeper(op->inst);
}

static void over_wake(struct op *op, enum op_wake why)
{
	if (why == OP_WAKE_OVER)
		over_run(op);
}

void run_wait_over(struct instance *inst, op_done_fn *done, void *arg)
{
	static const struct op_type type = { .name = "over", .run = over_run, .wake = over_wake };
	struct op *op = op_new(inst, &type, done, arg);
	if (op)
		op_aside(op);
}

/* SPDX-License-Identifier: Apache-2.0 */
/* vm - see vm.h: the payload that is a VM. */
#include "vm.h"

#include "isola/cgroup.h"
#include "isola/console.h"
#include "isola/fd.h"
#include "isola/json.h"
#include "isola/pid.h"

#include "control.h"
#include "guest.h"
#include "request.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

#define CGROUP_DESTROY_MS 5000
/* From "quit" to SIGKILL. */
#define QUIT_MS 2000
/* Resets that come so soon behind a start count as a loop: each waits longer than the
 * one before, and after the last the VM ends. */
#define QUICK_MS         10000
#define QUICK_FREE       2
#define QUICK_WAIT_MS    100
#define QUICK_WAIT_MAX   5000
#define QUICK_RESETS_MAX 8

static const char all_controllers[] = "cpu memory pids io cpuset hugetlb";

/* Exit codes of reasons that are ours; the worker's come with a code. */
enum {
	CODE_KILLED = 137,
	CODE_QUIT = 143,
	CODE_CRASH = 139,
	CODE_DEVICE = 138,
	CODE_PROTOCOL = 140,
	CODE_RESETS = 1,
	CODE_START = 128
};

unsigned int vm_resets(const struct vm *vm)
{
	return vm->resets;
}

/* ---- create ---- */

static void on_quit_timer(struct timer *timer);
static void on_spawn_timer(struct timer *timer);

static struct vm *vm_new(struct keeper *k)
{
	struct vm *vm = calloc(1, sizeof(*vm));
	if (!vm)
		return NULL;
	*vm = (struct vm){ .k = k,
			   .cgroup_fd = -1,
			   .stdio = { -1, -1, -1 },
			   .vsock = { .listen_fd = -1, .dir_fd = -1 },
			   .link = { .fd = -1 } };
	vm->quit_timer.on_time = on_quit_timer;
	vm->spawn_timer.on_time = on_spawn_timer;
	vm->call_timer.on_time = vm_link_on_time;
	list_init(&vm->calls);
	return vm;
}

static int make_cgroup(struct vm *vm, struct err *err)
{
	json_object *resources = vm->k->spec.resources;
	if (vm->k->guest) { /* with the root, and its limits */
		vm->cgroup_fd = cgroup_open(vm->cgroup);
		return vm->cgroup_fd < 0 ? err_rc(err, vm->cgroup_fd, "cgroup %s", vm->cgroup) : 0;
	}
	vm->cgroup_fd = cgroup_make(vm->cgroup, all_controllers, err);
	int rc = vm->cgroup_fd;
	if (rc >= 0 && resources)
		rc = cgroup_resources(vm->cgroup_fd, resources, true, err);
	return rc < 0 ? err_prefix(err, "cgroup %s", vm->cgroup) : 0;
}

/* What a guest's kernel prints is nobody's output. */
static int make_guest_stdio(struct vm *vm, struct stdio_set *set, struct err *err)
{
	struct guest *g = vm->k->guest;
	int rc = guest_console_open(&g->console, &vm->k->loop, &set->theirs[1], err);
	if (rc == 0 && (rc = set->theirs[2] = fd_dup(set->theirs[1])) < 0)
		(void)err_rc(err, rc, "cannot hand over the console");
	return rc < 0 ? rc : 0;
}

/* The terminal is raw: the guest's own edits lines and echoes. The worker's messages
 * have a pipe in any case. */
static int make_stdio(struct vm *vm, struct stdio_set *set, struct err *err)
{
	const struct keepspec *spec = &vm->k->spec;
	const bool wanted[3] = { spec->keeps_stdin && !spec->tty, !spec->tty, true };
	struct termios before;
	if (vm->k->guest)
		return make_guest_stdio(vm, set, err);
	int rc = stdio_set_pipes(set, wanted, err);
	if (rc < 0 || !spec->tty)
		return rc;
	rc = console_open(-1, &set->ours.fd[0], &set->theirs[0], NULL, err);
	if (rc < 0)
		return rc;
	rc = console_raw(set->theirs[0], &before);
	if (rc == 0)
		rc = set->theirs[1] = fd_dup(set->theirs[0]);
	return rc < 0 ? err_rc(err, rc, "cannot set up the terminal") : 0;
}

static int keep_stdio(struct vm *vm, struct stdio_set *set, struct err *err)
{
	struct keeper *k = vm->k;
	for (int i = 0; i < 3; i++)
		vm->stdio[i] = take_fd(&set->theirs[i]);
	if (vm->stdio[0] < 0)
		vm->stdio[0] = open("/dev/null", O_RDONLY | O_CLOEXEC);
	if (vm->stdio[0] < 0)
		return err_sys(err, "cannot open /dev/null");
	if (k->guest)
		return 0;
	int rc = payio_init(&k->io, &k->loop, &set->ours, k->spec.tty);
	if (rc < 0)
		return err_rc(err, rc, "cannot watch the VM's output");
	k->io.log = k->log;
	k->io.stdin_once = k->spec.stdin_once;
	if (k->spec.tty && (k->spec.rows || k->spec.columns))
		(void)payio_resize(&k->io, k->spec.rows, k->spec.columns);
	return 0;
}

/* What is the same for all workers of this VM. */
static int open_lasting(struct vm *vm, struct err *err)
{
	cleanup_json json_object *machine = NULL;
	int rc = vm_machine_read(vm->k, &machine, err);
	if (rc == 0 && vm->k->guest)
		guest_vm_sized(vm->k->guest, machine);
	if (rc == 0)
		rc = vm_vsock_open(vm, machine, err);
	return rc < 0 ? rc : vm_consoles_open(vm, machine, err);
}

static int begin_worker(struct vm *vm, struct err *err)
{
	vm->phase = VM_BUILDING;
	vm->exit = (struct vm_exit){ .known = false };
	vm->ended_by = NULL;
	vm->first_run_us = vm->start_cpu_us = 0;
	vm->began_ms = loop_now_ms();
	int rc = vm_spawn(vm, err);
	vm->alive = rc == 0;
	return rc;
}

static void free_lasting(struct vm *vm)
{
	vm_consoles_close(vm);
	vm_vsock_close(vm);
	vm_ports_close(vm);
	for (int i = 0; i < 3; i++)
		fd_close(&vm->stdio[i]);
	if (vm->cgroup_fd >= 0)
		(void)cgroup_destroy(vm->cgroup, CGROUP_DESTROY_MS, NULL);
	fd_close(&vm->cgroup_fd);
}

static int create(struct keeper *k, struct err *err)
{
	cleanup_stdio struct stdio_set set = STDIO_SET_INIT;
	struct vm *vm = k->vm = vm_new(k);
	if (!vm || !(vm->program = strdup(k->spec.vmm)) || !(vm->cgroup = strdup(k->spec.cgroup)))
		return err_set(err, ENOMEM, "out of memory");
	int rc = make_stdio(vm, &set, err);
	if (rc == 0)
		rc = keep_stdio(vm, &set, err);
	if (rc == 0)
		rc = open_lasting(vm, err);
	if (rc == 0)
		rc = make_cgroup(vm, err);
	if (rc == 0)
		rc = begin_worker(vm, err);
	if (rc < 0) {
		free_lasting(vm);
		return rc;
	}
	k->cgroup = vm->cgroup;
	return 0;
}

static void set_exit(struct vm *vm, const char *reason, int code, const char *text)
{
	(void)snprintf(vm->exit.reason, sizeof(vm->exit.reason), "%s", reason);
	(void)snprintf(vm->exit.text, sizeof(vm->exit.text), "%s", text);
	vm->exit.code = code;
	vm->exit.known = true;
}

/* ---- start ---- */

static void on_run_reply(struct vm *vm, const struct asker *asker, json_object *reply,
			 const struct err *err)
{
	struct keeper *k = vm->k;
	(void)reply;
	(void)asker;
	/* At the end of a worker that has just said why: vm_ended() judges it. */
	if (err && !vm->alive)
		return;
	if (err) {
		set_exit(vm, "worker-crash", CODE_CRASH, err->text);
		(void)kill(k->rec.pid, SIGKILL);
		return;
	}
	vm->phase = VM_RUNNING;
	if (k->guest) {
		guest_vm_runs(k->guest);
		return;
	}
	if (vm->resets > 0) {
		json_object *o = control_event_new("reset");
		json_add_i64(o, "pid", k->rec.pid);
		json_add_i64(o, "resets", vm->resets);
		json_add_str(o, "by", vm->guest_reset ? "guest" : "user");
		control_event(k, o);
		return;
	}
	keeper_started(k);
	json_object *o = json_object_new_object();
	json_add_i64(o, "pid", k->rec.pid);
	json_add_i64(o, "started_ns", k->rec.started_ns);
	control_answer(k, &vm->starter, o, NULL);
}

static int run_worker(struct vm *vm, struct err *err)
{
	int rc = vm_call(vm, "run", NULL, NULL, on_run_reply, err);
	if (rc == 0)
		vm->phase = VM_STARTING;
	return rc;
}

void vm_on_hello(struct vm *vm)
{
	struct err err = ERR_INIT;
	if (vm->phase != VM_BUILDING)
		return;
	vm->phase = VM_STARTING;
	if (vm->start_asked && run_worker(vm, &err) < 0) {
		vm_warn(vm, err.text);
		(void)kill(vm->k->rec.pid, SIGKILL);
	}
}

static int start(struct keeper *k, struct err *err)
{
	struct vm *vm = k->vm;
	vm->start_asked = true;
	vm->starter = k->asker;
	if (!vm->alive)
		return err_set(err, ESRCH, "isola-vmm has ended");
	/* Else its hello comes, or its end. */
	int rc = vm->phase == VM_STARTING ? run_worker(vm, err) : 0;
	return rc < 0 ? rc : -EINPROGRESS;
}

/* ---- the end of a worker ---- */

void vm_on_exit(struct vm *vm, json_object *msg)
{
	struct vm_exit *e = &vm->exit;
	int64_t code = json_i64_or(msg, "code", CODE_CRASH);
	e->known = true;
	e->code = code < 0 || code > 255 ? CODE_CRASH : (int)code;
	int64_t error = json_i64_or(msg, "errno", 0);
	e->error = error > 0 && error < 4096 ? (int)error : 0;
	(void)snprintf(e->reason, sizeof(e->reason), "%s", json_str_or(msg, "reason", ""));
	(void)snprintf(e->text, sizeof(e->text), "%s", json_str_or(msg, "text", ""));
	/* It is on its way out; one that hangs there is helped. */
	loop_timer(&vm->k->loop, &vm->quit_timer, QUIT_MS);
}

/* Its own last word, if it has said one, counts. */
void vm_on_malformed(struct vm *vm)
{
	if (!vm->exit.known)
		set_exit(vm, "protocol-error", CODE_PROTOCOL,
			 "isola-vmm sent what is no message; it was killed");
	if (vm->alive)
		(void)kill(vm->k->rec.pid, SIGKILL);
}

/* A worker that left no word, or one of ours. */
static void explain(struct vm *vm, int status)
{
	char text[128];
	int signo = status >= 0 && WIFSIGNALED(status) ? WTERMSIG(status) : 0;
	if (vm->ended_by && !strcmp(vm->ended_by, "killed")) {
		set_exit(vm, "killed", CODE_KILLED, "its power was cut");
	} else if (vm->ended_by && !vm->exit.known) {
		set_exit(vm, vm->ended_by, strcmp(vm->ended_by, "reset") ? CODE_QUIT : 0,
			 "it was asked to end, and did not: killed");
	} else if (!vm->exit.known && signo == SIGKILL && oom_check(&vm->k->oom) > 0) {
		set_exit(vm, "oom", CODE_KILLED,
			 "the kernel killed it: its cgroup was out of memory");
	} else if (!vm->exit.known || !*vm->exit.reason) {
		if (signo)
			(void)snprintf(text, sizeof(text), "isola-vmm was killed by signal %d%s",
				       signo, signo == SIGSYS ? " (its system call filter)" : "");
		else
			(void)snprintf(text, sizeof(text),
				       "isola-vmm ended with status %d without a reason",
				       status < 0 ? -1 : WEXITSTATUS(status));
		set_exit(vm, "worker-crash", CODE_CRASH, text);
	}
}

static void record_exit(struct vm *vm)
{
	struct keeper *k = vm->k;
	if (k->guest && guest_record_exit(k->guest))
		return;
	exitrec_set_reason(&k->rec, vm->exit.reason, vm->exit.code, vm->exit.text);
	k->rec.signal = 0;
}

/* Another one in its place? Says why not in vm->exit. */
static bool goes_on(struct vm *vm)
{
	bool by_us = vm->ended_by && !strcmp(vm->ended_by, "reset");
	if (vm->k->guest || vm->stopping || vm->k->state == STATE_CREATED ||
	    (!by_us && (vm->ended_by || strcmp(vm->exit.reason, "reset"))))
		return false;
	bool quick = loop_now_ms() - vm->began_ms < QUICK_MS;
	vm->quick_resets = quick && !by_us ? vm->quick_resets + 1 : 0;
	vm->guest_reset = !by_us;
	if (vm->quick_resets <= QUICK_RESETS_MAX)
		return true;
	char text[160];
	(void)snprintf(text, sizeof(text),
		       "the guest was reset %u times, each within %d seconds of its start; it is "
		       "not started again",
		       vm->quick_resets, QUICK_MS / 1000);
	set_exit(vm, "reset", CODE_RESETS, text);
	return false;
}

static int64_t wait_ms(const struct vm *vm)
{
	if (vm->quick_resets <= QUICK_FREE)
		return 0;
	int64_t ms = (int64_t)QUICK_WAIT_MS << (vm->quick_resets - QUICK_FREE - 1);
	return ms < QUICK_WAIT_MAX ? ms : QUICK_WAIT_MAX;
}

static void on_spawn_timer(struct timer *timer)
{
	struct vm *vm = container_of(timer, struct vm, spawn_timer);
	struct keeper *k = vm->k;
	struct err err = ERR_INIT;
	vm->resets++;
	int rc = begin_worker(vm, &err);
	if (rc == 0 && (rc = keeper_watch_init(k)) < 0)
		(void)err_rc(&err, rc, "cannot watch isola-vmm");
	if (rc == 0)
		return;
	(void)err_prefix(&err, "the VM cannot be started again after a reset");
	set_exit(vm, "device-error", CODE_DEVICE, err.text);
	record_exit(vm);
	keeper_finish(k);
}

/* The start that somebody waits for has failed, with the worker's own words. */
static void fail_start(struct vm *vm)
{
	struct err err = ERR_INIT;
	(void)err_set(&err, vm->exit.error ? vm->exit.error : EIO, "%s", vm->exit.text);
	keeper_start_failed(vm->k, &err, CODE_START);
	if (!vm->start_asked)
		return;
	json_object *o = json_object_new_object();
	json_add_i64(o, "exit_code", vm->k->rec.exit_code);
	control_answer(vm->k, &vm->starter, o, &err);
	keeper_fail_answered(vm->k);
}

static bool ended(struct keeper *k, int status)
{
	struct vm *vm = k->vm;
	vm->alive = false;
	loop_timer_stop(&vm->quit_timer);
	fd_close(&k->init.fd);
	vm_link_end(vm);
	vm_helpers_end(vm);
	explain(vm, status);
	if (k->guest)
		guest_vm_ended(k->guest, vm);
	if (k->state == STATE_CREATED) {
		fail_start(vm);
		return false;
	}
	if (!goes_on(vm)) {
		record_exit(vm);
		return true;
	}
	/* A paused VM that was reset runs. */
	k->state = STATE_RUNNING;
	/* From the loop, even at once: the reset is told when the new one runs. */
	loop_timer(&k->loop, &vm->spawn_timer, wait_ms(vm));
	return false;
}

/* ---- ends that are asked for ---- */

/* Ends the whole VM while there is no worker: between two of them. */
static void end_between(struct vm *vm, const char *reason, int code, const char *text)
{
	loop_timer_stop(&vm->spawn_timer);
	set_exit(vm, reason, code, text);
	record_exit(vm);
	/* From the loop: a connection is on the stack. */
	keeper_end_soon(vm->k);
}

static int kill_worker(struct vm *vm, const char *by, struct err *err)
{
	vm->ended_by = by;
	return kill(vm->k->rec.pid, SIGKILL) < 0 && errno != ESRCH
		       ? err_sys(err, "cannot kill isola-vmm")
		       : 0;
}

static void on_quit_timer(struct timer *timer)
{
	struct vm *vm = container_of(timer, struct vm, quit_timer);
	if (vm->alive)
		(void)kill(vm->k->rec.pid, SIGKILL);
}

/* As if the power were cut, but so that the worker may put its own things in order. */
static int quit_worker(struct vm *vm, const char *by)
{
	struct err ignored;
	vm->ended_by = by;
	bool asked = vm_call(vm, "quit", NULL, NULL, NULL, &ignored) == 0;
	loop_timer(&vm->k->loop, &vm->quit_timer, asked ? QUIT_MS : 0);
	return 0;
}

static int send_signal(struct keeper *k, int signo, bool all, struct err *err)
{
	struct vm *vm = k->vm;
	(void)all;
	if (signo != SIGKILL)
		return err_set(err, EINVAL, "a VM takes no signals but KILL");
	vm->stopping = true;
	if (!vm->alive) {
		end_between(vm, "killed", CODE_KILLED, "its power was cut");
		return 0;
	}
	return kill_worker(vm, "killed", err);
}

/* ---- commands ---- */

static void on_relayed(struct vm *vm, const struct asker *asker, json_object *reply,
		       const struct err *err)
{
	(void)reply;
	control_answer(vm->k, asker, NULL, err);
}

/* Who wants it to end is content when it has, and sees for himself when it hangs. */
static void on_stopping(struct vm *vm, const struct asker *asker, json_object *reply,
			const struct err *err)
{
	(void)reply;
	bool content = err && (err->code == ESRCH || err->code == ETIMEDOUT);
	control_answer(vm->k, asker, NULL, content ? NULL : err);
}

static void on_paused(struct vm *vm, const struct asker *asker, json_object *reply,
		      const struct err *err)
{
	(void)reply;
	/* Whose hold it was may have gone meanwhile. */
	if (!err && !vm->k->thaws)
		vm->k->state = STATE_PAUSED;
	control_answer(vm->k, asker, NULL, err);
}

static void on_resumed(struct vm *vm, const struct asker *asker, json_object *reply,
		       const struct err *err)
{
	struct keeper *k = vm->k;
	(void)reply;
	if (!err)
		k->state = STATE_RUNNING;
	bool thaw = !asker->conn; /* ops_conn_gone(): nobody asked */
	k->thaws -= thaw;
	/* EBUSY: it was never paused. */
	if (err && thaw && vm->alive && err->code != EBUSY) {
		k->state = STATE_PAUSED;
		control_warn(k, err->text);
	}
	if (!err && k->guest)
		guest_vm_resumed(k->guest);
	control_answer(k, asker, NULL, err);
}

static void on_resumed_silently(struct vm *vm, const struct asker *asker, json_object *reply,
				const struct err *err)
{
	(void)asker;
	(void)reply;
	if (!err)
		vm->k->state = STATE_RUNNING;
}

/* What failed shall not have happened: isolad has the VM in the old state. */
void vm_on_late(struct vm *vm, const char *op)
{
	struct err err = ERR_INIT;
	const char *undo = !strcmp(op, "pause") ? "resume" : !strcmp(op, "resume") ? "pause" : NULL;
	if (undo && !vm->stopping && vm_call(vm, undo, NULL, NULL, NULL, &err) < 0)
		vm_warn(vm, err.text);
}

static void on_stats(struct vm *vm, const struct asker *asker, json_object *reply,
		     const struct err *err)
{
	json_object *o = json_object_new_object();
	if (!err) {
		json_object *start = json_object_new_object();
		json_add_i64(start, "first_run_us", vm->first_run_us);
		json_add_i64(start, "cpu_us", vm->start_cpu_us);
		json_add(reply, "start", start);
		json_add(o, "stats", json_object_get(reply));
	}
	control_answer(vm->k, asker, o, err);
}

static int need_worker(const struct vm *vm, struct err *err)
{
	if (vm->alive && vm->phase == VM_RUNNING)
		return 0;
	return err_set(err, EBUSY, "the VM is being reset");
}

static int relay(struct vm *vm, const char *op, json_object *args, vm_reply_fn *reply,
		 struct err *err)
{
	int rc = need_worker(vm, err);
	if (rc < 0) {
		json_object_put(args);
		return rc;
	}
	rc = vm_call(vm, op, args, &vm->k->asker, reply, err);
	return rc < 0 ? rc : -EINPROGRESS;
}

static int freeze(struct keeper *k, bool frozen, struct err *err)
{
	return relay(k->vm, frozen ? "pause" : "resume", NULL, frozen ? on_paused : on_resumed,
		     err);
}

static int powerdown(struct vm *vm, bool stop, struct err *err)
{
	vm->stopping = vm->stopping || stop;
	/* Between two workers there is nobody to press it for; off is off. */
	if (!vm->alive && stop) {
		end_between(vm, "reset", 0, "it was stopped while it was being reset");
		return 0;
	}
	/* One that boots has not found its button yet: isolad's time-out sees to it. */
	if (vm->phase != VM_RUNNING && stop)
		return quit_worker(vm, "quit");
	/* A paused guest cannot mind its button. */
	if (stop && vm->k->state == STATE_PAUSED) {
		int rc = vm_call(vm, "resume", NULL, NULL, on_resumed_silently, err);
		if (rc < 0)
			return rc;
	}
	return relay(vm, "powerdown", NULL, stop ? on_stopping : on_relayed, err);
}

static int disk(struct vm *vm, json_object *args, struct err *err)
{
	int64_t size = 0;
	int rc = json_get_i64(args, "size", &size, err);
	if (rc > 0)
		rc = vm_disk_grow(vm, json_str_or(args, "id", ""), size, err);
	if (rc < 0)
		return rc;
	json_object *copy = json_copy(args);
	json_object_object_del(copy, "size");
	return relay(vm, "disk", copy, on_relayed, err);
}

static int command(struct keeper *k, const struct request *r, struct err *err)
{
	struct vm *vm = k->vm;
	switch (r->op) {
	case OP_RESET: {
		int rc = need_worker(vm, err);
		return rc < 0 ? rc : quit_worker(vm, "reset");
	}
	case OP_POWERDOWN:
		return powerdown(vm, r->stop, err);
	case OP_QUIT:
		vm->stopping = true;
		if (vm->alive)
			return quit_worker(vm, "quit");
		end_between(vm, "quit", CODE_QUIT, "it was ended while it was being reset");
		return 0;
	case OP_STATS:
		return relay(vm, "stats", NULL, on_stats, err);
	case OP_DISK:
		return disk(vm, r->args, err);
	case OP_LINK:
	case OP_UNLINK: {
		int rc = need_worker(vm, err);
		return rc < 0 ? rc : vm_nic_command(vm, r, err);
	}
	case OP_PS:
		return err_set(err, EOPNOTSUPP, "what runs in a VM is its own affair");
	default:
		return relay(vm, request_op_name(r->op), json_copy(r->args), on_relayed, err);
	}
}

static int update(struct keeper *k, json_object *resources, json_object *args, struct err *err)
{
	(void)args;
	return cgroup_resources(k->vm->cgroup_fd, resources, true, err);
}

/* ---- the end ---- */

static void remove_all(struct keeper *k)
{
	struct vm *vm = k->vm;
	struct err err = ERR_INIT;
	if (!vm)
		return;
	loop_timer_stop(&vm->quit_timer);
	loop_timer_stop(&vm->spawn_timer);
	if (vm->alive)
		(void)kill(k->rec.pid, SIGKILL);
	if (vm->cgroup_fd >= 0 && cgroup_destroy(vm->cgroup, CGROUP_DESTROY_MS, &err) < 0)
		control_warn(k, err.text);
	fd_close(&vm->cgroup_fd);
	if (vm->alive)
		(void)waitpid(k->rec.pid, NULL, WNOHANG | __WALL);
	vm->alive = false;
	fd_close(&k->init.fd);
	vm_link_end(vm);
	vm_helpers_end(vm);
	free_lasting(vm);
	(void)unlinkat(k->run_dir_fd, "consoles.json", 0);
}

static void free_all(struct keeper *k)
{
	if (!k->vm)
		return;
	remove_all(k);
	free(k->vm->program);
	free(k->vm->cgroup);
	free(k->vm);
	k->vm = NULL;
}

const struct payload_type payload_vm = {
	.noun = "VM",
	.create = create,
	.start = start,
	.ended = ended,
	.kill = send_signal,
	.freeze = freeze,
	.command = command,
	.update = update,
	.remove = remove_all,
	.free = free_all,
};

/* SPDX-License-Identifier: Apache-2.0 */
/* life - see life.h: start, run, end. How it begins is create.c's. */
#include "life.h"

#include "isola/fd.h"
#include "isola/json.h"
#include "isola/num.h"
#include "isola/step.h"

#include "control.h"
#include "create.h"
#include "exec.h"
#include "stream.h"

#include <errno.h>
#include <malloc.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>

/* How long a container waits for its "start" without anybody being there. */
#define START_WAIT_MS 60000
/* Clients of whom none reads any more of their output keep us this long. */
#define LINGER_MS 600000

static const char *const state_names[] = {
	[STATE_CREATED] = "created",
	[STATE_RUNNING] = "running",
	[STATE_PAUSED] = "paused",
	[STATE_EXITED] = "exited",
};

const char *state_name(enum state state)
{
	return state_names[state];
}

/* ---- the end ---- */

static bool has_streams(const struct keeper *k)
{
	return (k->io.loop && k->io.n_streams > 0) || execs_have_streams(k);
}

static size_t bytes_waiting(const struct keeper *k)
{
	return (k->io.loop ? streams_waiting(&k->io) : 0) + execs_waiting(k);
}

static void linger(struct keeper *k)
{
	k->linger_bytes = bytes_waiting(k);
	loop_timer(&k->loop, &k->linger_timer, LINGER_MS);
}

static void warn_err(struct keeper *k, const struct err *err)
{
	control_warn(k, err->text);
}

static void write_exit(struct keeper *k)
{
	struct err err = ERR_INIT;
	if (exitrec_write(&k->rec, k->run_dir_fd, &err) < 0)
		warn_err(k, &err);
}

static void end_output(struct keeper *k)
{
	int code = 0;
	execs_end(k);
	if (k->io.loop)
		payio_end(&k->io);
	uint64_t dropped = k->log ? jlog_dropped(k->log, &code) : 0;
	if (dropped > 0) {
		struct err err;
		(void)err_rc(&err, -code, "%llu lines of output are missing in the log",
			     (unsigned long long)dropped);
		warn_err(k, &err);
	}
	k->io.log = NULL;
	jlog_close(k->log);
	k->log = NULL;
}

/* Everything behind the payload's end, in the order of life.h. */
void keeper_finish(struct keeper *k)
{
	loop_timer_stop(&k->start_timer);
	end_output(k);
	k->rec.oom = oom_check(&k->oom) > 0 || k->rec.oom;
	oom_fini(&k->oom);
	k->state = STATE_EXITED;
	step_reached("keeper.ended");
	write_exit(k);
	step_reached("keeper.recorded");
	json_object *event = exitrec_json(&k->rec);
	if (event)
		json_add_str(event, "event", "exit");
	control_event(k, event);
	if (k->io.loop)
		streams_finish(&k->io);
	loop_unwatch(&k->loop, &k->init);
	k->payload->remove(k);
	control_close(k);
	fd_close(&k->run_dir_fd);
	fd_close(&k->cache_fd);
	if (has_streams(k))
		linger(k);
	else
		loop_stop(&k->loop);
}

void keeper_stream_ended(struct keeper *k, const char *stream_id, const char *why)
{
	json_object *o = control_event_new("stream_end");
	if (o) {
		json_add_str(o, "stream", stream_id);
		json_add_str(o, "why", why);
	}
	control_event(k, o);
	/* From the loop: there is a caller on the stack. */
	if (k->linger_timer.node.next && !has_streams(k))
		loop_timer(&k->loop, &k->linger_timer, 0);
}

static void on_linger_end(struct timer *timer)
{
	struct keeper *k = container_of(timer, struct keeper, linger_timer);
	if (has_streams(k) && bytes_waiting(k) < k->linger_bytes)
		linger(k);
	else
		loop_stop(&k->loop);
}

/* ---- failure ---- */

/* There is no payload and will be none: it can be read in exit.json at once, but
 * we stay to answer the start, as long as somebody is there to ask. */
static void fail(struct keeper *k, const struct err *err, int exit_code)
{
	k->failure = *err;
	if (k->failure.code == 0)
		k->failure.code = EIO;
	exitrec_set_error(&k->rec, exit_code, err->text);
	k->rec.finished_ns = num_now_ns();
	k->state = STATE_EXITED;
	write_exit(k);
	keeper_conns_changed(k);
}

void keeper_fail_answered(struct keeper *k)
{
	/* From the loop: a connection is on the stack. */
	loop_timer(&k->loop, &k->start_timer, 0);
}

static void on_start_timer(struct timer *timer)
{
	struct keeper *k = container_of(timer, struct keeper, start_timer);
	if (!k->failure.code && !k->ending) {
		struct err err;
		(void)err_set(&err, ETIMEDOUT, "no start was asked for within %d seconds",
			      START_WAIT_MS / 1000);
		fail(k, &err, 128);
	}
	keeper_finish(k);
}

void keeper_end_soon(struct keeper *k)
{
	k->ending = true;
	k->rec.finished_ns = num_now_ns();
	loop_timer(&k->loop, &k->start_timer, 0);
}

void keeper_conns_changed(struct keeper *k)
{
	if (k->ending)
		return;
	bool alone = list_is_empty(&k->conns);
	if (k->failure.code)
		loop_timer(&k->loop, &k->start_timer, alone ? 0 : START_WAIT_MS);
	else if (k->state == STATE_CREATED && alone)
		loop_timer(&k->loop, &k->start_timer, START_WAIT_MS);
	else
		loop_timer_stop(&k->start_timer);
}

/* ---- start and run ---- */

void keeper_started(struct keeper *k)
{
	k->state = STATE_RUNNING;
	loop_timer_stop(&k->start_timer);
}

void keeper_start_failed(struct keeper *k, const struct err *err, int exit_code)
{
	k->rec.started_ns = 0;
	fail(k, err, exit_code ? exit_code : exitrec_code_of_errno(err->code, 128));
}

int keeper_start(struct keeper *k, struct err *err)
{
	if (k->failure.code)
		return err_copy(err, &k->failure);
	if (k->state != STATE_CREATED || k->rec.started_ns)
		return err_set(err, EALREADY, "the %s was started already", k->payload->noun);
	/* Before: no line of its log is older than its start. */
	k->rec.started_ns = num_now_ns();
	int rc = k->payload->start(k, err);
	step_reached("keeper.started");
	if (rc == 0)
		keeper_started(k);
	else if (rc != -EINPROGRESS)
		keeper_start_failed(k, err, 0);
	return rc;
}

static void on_init_end(struct source *src, uint32_t events)
{
	struct keeper *k = container_of(src, struct keeper, init);
	int status = 0;
	(void)events;
	pid_t pid = waitpid(k->rec.pid, &status, WNOHANG | __WALL);
	if (pid == 0)
		return;
	loop_unwatch(&k->loop, src);
	k->rec.finished_ns = num_now_ns();
	if (k->failure.code)
		return; /* a start that failed; its end is on its way */
	if (pid < 0)    /* somebody else has reaped it: must not happen */
		exitrec_set_error(&k->rec, 255, "the exit status was lost");
	else
		exitrec_set_status(&k->rec, status);
	if (k->payload->ended && !k->payload->ended(k, pid < 0 ? -1 : status))
		return;
	if (k->state == STATE_CREATED) {
		struct err err;
		(void)err_set(&err, ECHILD, "the %s's init ended before the start (%s %d)",
			      k->payload->noun, k->rec.signal ? "signal" : "exit code",
			      k->rec.signal ? k->rec.signal : k->rec.exit_code);
		fail(k, &err, 128);
		return;
	}
	keeper_finish(k);
}

static void on_oom(struct oom *oom)
{
	control_event(container_of(oom, struct keeper, oom), control_event_new("oom"));
}

static void on_stream_end(struct payio *io, const char *stream_id, const char *why)
{
	keeper_stream_ended(container_of(io, struct keeper, io), stream_id, why);
}

/* The stack below us was used by the deepest call once, most likely to make the
 * container. It is at most as deep as the kernel maps it from the start. */
static void trim_stack(void)
{
#ifndef __SANITIZE_ADDRESS__
	const uintptr_t page = 4096, depth = 128 * 1024;
	uintptr_t here = (uintptr_t)__builtin_frame_address(0);
	uintptr_t end = (here & ~(page - 1)) - page;
	(void)madvise((void *)(end - depth), depth, MADV_DONTNEED);
#endif
}

/* Nothing happens: what the last burst needed goes back to the kernel. */
static void on_quiet(struct loop *loop)
{
	struct keeper *k = container_of(loop, struct keeper, loop);
	if (k->log)
		jlog_trim(k->log);
	(void)malloc_trim(0);
	trim_stack();
}

int keeper_watch_init(struct keeper *k)
{
	k->init.on_event = on_init_end;
	return loop_watch(&k->loop, &k->init, EPOLLIN);
}

static void watch_payload(struct keeper *k)
{
	k->io.on_stream_end = on_stream_end;
	oom_init(&k->oom, &k->loop, k->cgroup, on_oom);
	int rc = keeper_watch_init(k);
	if (rc < 0) {
		struct err err;
		(void)err_rc(&err, rc, "cannot watch the %s's first process", k->payload->noun);
		fail(k, &err, 128);
	}
}

static void keeper_fini(struct keeper *k)
{
	control_close(k);
	execs_free(k);
	payio_fini(&k->io);
	jlog_close(k->log);
	k->payload->free(k);
	keepspec_fini(&k->spec);
	exitrec_fini(&k->rec);
	fd_close(&k->cache_fd);
	fd_close(&k->run_dir_fd);
	loop_fini(&k->loop);
}

int keeper_run(const char *run_dir, int control_fd)
{
	struct keeper k = { .run_dir = run_dir,
			    .run_dir_fd = -1,
			    .cache_fd = -1,
			    .init = { .fd = -1 },
			    .payload = &payload_container };
	struct err err = ERR_INIT;
	list_init(&k.execs);
	list_init(&k.conns);
	k.start_timer.on_time = on_start_timer;
	k.linger_timer.on_time = on_linger_end;
	if (loop_init(&k.loop, &err) < 0 || create_open(&k, &err) < 0) {
		fd_close(&control_fd);
		keeper_fini(&k);
		return 1;
	}
	k.loop.on_quiet = on_quiet;
	if (create_payload(&k, &err) < 0)
		fail(&k, &err, 128);
	else
		watch_payload(&k);
	if (control_fd >= 0)
		control_add(&k, control_fd);
	keeper_conns_changed(&k);
	(void)loop_run(&k.loop);
	keeper_fini(&k);
	return 0;
}

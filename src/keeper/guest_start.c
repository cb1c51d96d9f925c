/* SPDX-License-Identifier: Apache-2.0 */
/* guest_start - a guest's way from the worker's start to its first process's. */
#include "guest.h"

#include "isola/fd.h"
#include "isola/json.h"

#include "control.h"
#include "guest_process.h"
#include "guest_setup.h"

#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* Mounting the root and all that may hang; and the exec behind it. */
#define SETUP_MS 30000
#define RUN_MS   30000

void guest_end(struct guest *g, const char *fmt, ...)
{
	va_list ap;
	if (!*g->text) {
		va_start(ap, fmt);
		(void)vsnprintf(g->text, sizeof(g->text), fmt, ap);
		va_end(ap);
	}
	if (g->k->vm->alive)
		(void)kill(g->k->rec.pid, SIGKILL);
}

/* ---- the first process runs ---- */

/* It is made, or could not be: whoever asked for the start hears it. */
static void fail_start(struct guest *g, const struct err *err)
{
	struct keeper *k = g->k;
	keeper_start_failed(k, err, 0);
	json_object *o = json_object_new_object();
	json_add_i64(o, "exit_code", k->rec.exit_code);
	control_answer(k, &k->vm->starter, o, err);
	keeper_fail_answered(k);
}

/* As the container library says it: the client tells by it which exit code it has. */
static bool is_about_program(const struct err *err)
{
	return *err->text == '"' && (err->code == ENOENT || err->code == EACCES ||
				     err->code == ENOEXEC || err->code == EISDIR);
}

static void on_run(void *arg, const uint8_t *body, size_t size, const struct err *err)
{
	struct guest *g = arg;
	struct keeper *k = g->k;
	struct err e = ERR_INIT;
	(void)body;
	(void)size;
	if (k->failure.code || !k->vm->alive)
		return;
	if (!err) {
		int rc = payio_open(&k->io, &g->fds);
		if (rc < 0)
			(void)err_rc(&e, rc, "cannot watch the process's output");
		err = rc < 0 ? &e : NULL;
	}
	if (err) {
		e = *err;
		fail_start(g, is_about_program(&e) ? (err_prefix(&e, "exec"), &e) : &e);
		return;
	}
	g->ran = true;
	guest_times_mark(&g->times, GUEST_TIME_RUN);
	/* From its exec, of which we know no better. */
	g->times.at_ns[GUEST_TIME_VCPU] =
		g->times.at_ns[GUEST_TIME_WORKER] + k->vm->first_run_us * 1000;
	guest_times_write(&g->times, k->run_dir_fd);
	loop_timer_stop(&g->boot_timer);
	keeper_started(k);
	json_object *o = json_object_new_object();
	json_add_i64(o, "pid", k->rec.pid);
	json_add_i64(o, "root_pid", guest_root_pid(g));
	json_add_i64(o, "started_ns", k->rec.started_ns);
	control_answer(k, &k->vm->starter, o, NULL);
}

static int ask_run(struct guest *g, struct err *err)
{
	struct keeper *k = g->k;
	const bool streams[3] = { k->spec.keeps_stdin, true, true };
	cleanup_tlv struct tlv_writer w = { 0 };
	const struct guest_process_args args = {
		.number = GUEST_FIRST,
		.process = json_get(g->config, "process"),
		.seccomp = json_get(json_get(g->config, "linux"), "seccomp"),
		.cache_fd = k->cache_fd,
		.streams = streams,
		.make_cwd = true,
		.reaper = k->spec.reaper,
		.rows = k->spec.rows,
		.columns = k->spec.columns,
	};
	int rc = guest_process_put(&w, &args, err);
	return rc < 0 ? rc : guest_link_call(&g->link, GUEST_RUN, &w, RUN_MS, on_run, g, err);
}

/* ---- the guest is made ---- */

static void on_setup(void *arg, const uint8_t *body, size_t size, const struct err *err)
{
	struct guest *g = arg;
	struct err e = ERR_INIT;
	(void)body;
	(void)size;
	if (g->k->failure.code || !g->k->vm->alive)
		return;
	guest_times_mark(&g->times, GUEST_TIME_SETUP);
	if (!err && ask_run(g, &e) < 0)
		err = &e;
	/* All of it is told. */
	json_object_put(g->config);
	g->config = NULL;
	if (err)
		fail_start(g, err);
}

void guest_on_ready(struct guest *g)
{
	struct err e = ERR_INIT;
	cleanup_tlv struct tlv_writer w = { 0 };
	loop_timer_stop(&g->boot_timer);
	guest_times_mark(&g->times, GUEST_TIME_READY);
	int rc = guest_setup_put(&w, g->config, g->links, g->has_image, &e);
	if (rc == 0)
		rc = guest_link_call(&g->link, GUEST_SETUP, &w, SETUP_MS, on_setup, g, &e);
	if (rc < 0)
		fail_start(g, &e);
}

/* ---- the guest boots ---- */

static void on_boot_timer(struct timer *timer)
{
	struct guest *g = container_of(timer, struct guest, boot_timer);
	guest_end(g, "the guest was not ready within %lld s", (long long)g->boot_ms / 1000);
}

void guest_vm_runs(struct guest *g)
{
	g->boot_timer.on_time = on_boot_timer;
	if (!g->link.ready)
		loop_timer(&g->k->loop, &g->boot_timer, g->boot_ms);
}

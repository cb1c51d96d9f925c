/* SPDX-License-Identifier: Apache-2.0 */
/* health_probe - one probe of a health check: see health.h. Its output comes by a
 * socket of ours; it is kept, not looked at. isolad, loop thread. */
#include "health.h"

#include "exec.h"
#include "isola/fd.h"
#include "isola/json.h"
#include "isola/num.h"
#include "isola/strbuf.h"
#include "isola/utf8.h"
#include "isolad.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

/* For the rest of its output, and for SIGKILL to end it. */
#define GRACE_MS 1000

struct probe {
	struct instance *inst;
	probe_done_fn *done;
	struct exec *exec;   /* NULL before and behind its life */
	struct timer *timer; /* its time-out, then the grace */
	uv_poll_t poll;
	int fd;      /* as long as the handle: libuv forgets by number (epoll) what it watched */
	bool silent; /* its output has ended */
	int64_t timeout_ns;
	int64_t start_ns, end_ns;
	int exit_code;
	bool ended;
	char *why; /* it did not run, or not to its end; owned */
	char output[HEALTH_OUTPUT_MAX];
	size_t size;
	bool more; /* than is kept */
};

static void on_closed(uv_handle_t *handle)
{
	struct probe *p = container_of(handle, struct probe, poll);
	fd_close(&p->fd);
	free(p->why);
	free(p);
}

static void probe_free(struct probe *p)
{
	timer_stop(&p->timer);
	uv_close((uv_handle_t *)&p->poll, on_closed);
}

/* What it printed, as text. Owned. */
static char *text_of(const struct probe *p)
{
	struct strbuf b = STRBUF_INIT;
	strbuf_puts(&b, p->why ? p->why : "");
	if (p->why && p->size)
		strbuf_puts(&b, ": ");
	for (size_t i = 0; i < p->size;) {
		size_t n = p->output[i] ? utf8_len(p->output + i, p->size - i) : 0;
		strbuf_printf(&b, "%.*s", n ? (int)n : 1, n ? p->output + i : "?");
		i += n ? n : 1;
	}
	if (p->more)
		strbuf_puts(&b, "...");
	return strbuf_take(&b);
}

static void finish(void *arg)
{
	struct probe *p = arg;
	cleanup_free char *text = text_of(p);
	if (p->exec)
		exec_let_go(p->exec);
	const struct probe_result r = {
		.start_ns = p->start_ns,
		.end_ns = p->end_ns ? p->end_ns : num_now_ns(),
		.exit_code = p->why ? -1 : p->exit_code,
		.output = text ? text : "",
	};
	p->done(p->inst, &r);
	probe_free(p);
}

static void finish_in(struct probe *p, uint64_t ms)
{
	timer_stop(&p->timer);
	p->timer = timer_start(p->inst->isolad, ms, finish, p);
}

/* ---- its output ---- */

static void keep(struct probe *p, const char *data, size_t size)
{
	size_t n = sizeof(p->output) - p->size;
	p->more = p->more || size > n;
	n = size < n ? size : n;
	memcpy(p->output + p->size, data, n);
	p->size += n;
}

static void on_readable(uv_poll_t *handle, int status, int events)
{
	struct probe *p = container_of(handle, struct probe, poll);
	char buf[8192];
	(void)events;
	ssize_t n = status < 0 ? 0 : recv(p->fd, buf, sizeof(buf), MSG_DONTWAIT);
	if (n > 0)
		keep(p, buf, (size_t)n);
	if (n > 0 || (n < 0 && (errno == EAGAIN || errno == EINTR)))
		return;
	(void)uv_poll_stop(&p->poll);
	p->silent = true;
	if (p->ended)
		finish_in(p, 0);
}

/* ---- its life ---- */

static void on_ended(void *arg, int exit_code, const char *error)
{
	struct probe *p = arg;
	p->exec = NULL;
	p->ended = true;
	p->exit_code = exit_code;
	if (!p->end_ns)
		p->end_ns = num_now_ns();
	if (error && !p->why)
		p->why = strdup(error);
	finish_in(p, p->silent ? 0 : GRACE_MS);
}

static void on_time_out(void *arg)
{
	struct probe *p = arg;
	struct strbuf b = STRBUF_INIT;
	strbuf_printf(&b, "Health check exceeded timeout (%g s)", (double)p->timeout_ns / 1e9);
	p->why = strbuf_take(&b);
	p->end_ns = num_now_ns();
	exec_kill(p->exec);
	finish_in(p, GRACE_MS);
}

/* ["CMD", "test", "-f", "/x"] or ["CMD-SHELL", "test -f /x"] as a command. Owned. */
static json_object *command_of(const struct instance *inst, json_object *test)
{
	json_object *cmd = json_object_new_array();
	json_object *shell = json_get(inst->config, "Shell");
	bool by_shell = !strcmp(json_item_str(test, 0), "CMD-SHELL");
	for (size_t i = 0; by_shell && i < json_len(shell); i++)
		(void)json_object_array_add(cmd, json_object_new_string(json_item_str(shell, i)));
	if (by_shell && !json_len(shell)) {
		(void)json_object_array_add(cmd, json_object_new_string("/bin/sh"));
		(void)json_object_array_add(cmd, json_object_new_string("-c"));
	}
	for (size_t i = 1; i < json_len(test); i++)
		(void)json_object_array_add(cmd, json_object_new_string(json_item_str(test, i)));
	return cmd;
}

static int run(struct probe *p, json_object *test, int *theirs, struct err *err)
{
	cleanup_json json_object *body = json_object_new_object();
	json_add(body, "Cmd", command_of(p->inst, test));
	json_add_bool(body, "AttachStdout", true);
	json_add_bool(body, "AttachStderr", true);
	return exec_run(p->inst, body, take_fd(theirs), on_ended, p, &p->exec, err);
}

struct probe *probe_start(struct instance *inst, const struct health_config *config,
			  probe_done_fn *done)
{
	int socks[2];
	struct err e = ERR_INIT;
	struct probe *p = calloc(1, sizeof(*p));
	if (!p || socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, socks) < 0) {
		free(p);
		return NULL;
	}
	cleanup_fd int theirs = socks[1];
	*p = (struct probe){ .inst = inst,
			     .done = done,
			     .fd = socks[0],
			     .timeout_ns = config->timeout_ns,
			     .start_ns = num_now_ns() };
	if (uv_poll_init(&inst->isolad->loop, &p->poll, p->fd) < 0) {
		fd_close(&p->fd);
		free(p);
		return NULL;
	}
	(void)uv_poll_start(&p->poll, UV_READABLE, on_readable);
	if (run(p, config->test, &theirs, &e) < 0)
		on_ended(p, -1, e.text);
	else
		p->timer =
			timer_start(inst->isolad, (uint64_t)(config->timeout_ns + 999999) / 1000000,
				    on_time_out, p);
	return p;
}

void probe_drop(struct probe *p)
{
	if (p->exec)
		exec_let_go(p->exec);
	probe_free(p);
}

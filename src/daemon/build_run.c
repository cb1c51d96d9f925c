/* SPDX-License-Identifier: Apache-2.0 */
/* build_run - the container of a RUN: an ordinary one, made, started and removed like
 * those of clients. Its configuration is the client's HostConfig and what the job
 * may say: command and environment. isolad, loop thread. */
#include "build.h"

#include "life.h"
#include "persist.h"
#include "timer.h"
#include "wait.h"

#include "isola/fd.h"
#include "isola/json.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#define TAIL_MAX  3
#define BEHIND_MS 10

static struct instance *instance_of(struct build *b, struct err *err)
{
	return *b->id ? registry_find(b->d, INSTANCE_CONTAINER, b->id, err) : NULL;
}

/* ---- output ---- */

/* Bytes at the end that begin a character which is not whole. */
static size_t cut_off(const char *text, size_t size)
{
	for (size_t n = 1; n <= TAIL_MAX && n <= size; n++) {
		unsigned char c = (unsigned char)text[size - n];
		if ((c & 0xc0) == 0xc0)
			return n < (c >= 0xf0 ? 4U : c >= 0xe0 ? 3U : 2U) ? n : 0;
		if (c < 0x80)
			return 0;
	}
	return 0;
}

static void say_output(struct build *b, const char *data, size_t size, bool last)
{
	cleanup_strbuf struct strbuf text = STRBUF_INIT;
	strbuf_add(&text, b->tail, b->n_tail);
	strbuf_add(&text, data, size);
	b->n_tail = 0;
	if (!strbuf_ok(&text) || !text.len)
		return;
	size_t n = last ? 0 : cut_off(text.text, text.len);
	memcpy(b->tail, text.text + text.len - n, n);
	b->n_tail = n;
	if (text.len > n)
		build_say(b, "%.*s", (int)(text.len - n), text.text);
}

static void on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *buf)
{
	(void)handle;
	(void)suggested;
	/* One reader at a time in one thread; used up before the next call. */
	static char shared[16384];
	*buf = uv_buf_init(shared, sizeof(shared));
}

static void on_out_closed(uv_handle_t *handle)
{
	build_unref(container_of(handle, struct build, out));
}

static void close_out(struct build *b)
{
	timer_stop(&b->pause);
	if (!b->out_open)
		return;
	b->out_open = false;
	uv_close((uv_handle_t *)&b->out, on_out_closed);
}

static void go_on(struct build *b);

static void on_output(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf);

static bool is_behind(const struct build *b)
{
	return !b->quiet && !b->over && b->full && b->full(b->arg);
}

static void look_again(void *arg)
{
	struct build *b = arg;
	timer_stop(&b->pause);
	if (is_behind(b))
		b->pause = timer_start(b->d, BEHIND_MS, look_again, b);
	/* Also with memory out, rather than never. */
	if (!b->pause)
		(void)uv_read_start((uv_stream_t *)&b->out, on_alloc, on_output);
}

/* A client that is behind slows the command down; one that does not read at all keeps
 * it waiting. */
static void wait_for_client(struct build *b)
{
	if (!is_behind(b))
		return;
	b->pause = timer_start(b->d, BEHIND_MS, look_again, b);
	if (b->pause)
		(void)uv_read_stop((uv_stream_t *)&b->out);
}

static void on_output(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf)
{
	struct build *b = container_of(stream, struct build, out);
	if (n > 0 && !b->over) {
		say_output(b, buf->base, (size_t)n, false);
		wait_for_client(b);
	}
	if (n >= 0)
		return;
	say_output(b, "", 0, true);
	close_out(b);
	go_on(b);
}

/* Should it fail, the socket is closed: the end of the output. */
static void on_attached(void *arg, const struct err *err, json_object *result)
{
	(void)err;
	(void)result;
	build_unref(arg);
}

static int attach(struct build *b, struct instance *inst, struct err *err)
{
	int pair[2];
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
		return err_sys(err, "cannot make a socket pair");
	cleanup_fd int ours = pair[0], theirs = pair[1];
	int rc = fd_set_nonblock(theirs, true);
	if (rc == 0)
		rc = uv_pipe_init(&b->d->loop, &b->out, 0);
	if (rc < 0)
		return err_rc(err, rc, "cannot read a command's output");
	b->out_open = true;
	build_ref(b);
	rc = uv_pipe_open(&b->out, ours);
	if (rc < 0) {
		close_out(b);
		return err_rc(err, rc, "cannot read a command's output");
	}
	(void)take_fd(&ours);
	(void)uv_read_start((uv_stream_t *)&b->out, on_alloc, on_output);
	const struct stream_request req = { .fd = take_fd(&theirs),
					    .want_stdout = true,
					    .want_stderr = true };
	instance_attach(inst, &req, on_attached, build_ref(b));
	return 0;
}

/* ---- the run is over ---- */

/* Its layer is nobody's any more. */
static void on_over(void *arg, const struct err *err, json_object *result)
{
	struct build *b = arg;
	(void)result;
	b->running = false;
	if (b->over) {
		build_settle(b);
	} else if (err) {
		build_answer_error(b, err);
	} else {
		char upper[ID_SIZE + 32];
		json_object *o = json_object_new_object();
		(void)snprintf(upper, sizeof(upper), "instances/%s/upper", b->id);
		if (b->status)
			json_add_i64(o, "status", b->status);
		else
			json_add_str(o, "upper", upper);
		build_answer(b, o);
	}
	build_unref(b);
}

static void fail(struct build *b, const struct err *err)
{
	b->running = false;
	if (b->waiter) {
		instance_wait_cancel(b->waiter);
		b->waiter = NULL;
		build_unref(b);
	}
	close_out(b);
	if (!b->over)
		build_answer_error(b, err);
}

/* Both the command and its output have to be at their end. */
static void go_on(struct build *b)
{
	struct err e = ERR_INIT;
	if (!b->running || !b->ended || b->out_open || b->over)
		return;
	struct instance *inst = instance_of(b, &e);
	if (inst)
		run_wait_over(inst, on_over, build_ref(b));
	else
		fail(b, &e);
}

static void on_exited(void *arg, const struct err *err, json_object *result)
{
	struct build *b = arg;
	b->waiter = NULL;
	b->ended = true;
	b->status = err ? 137 : (int)json_i64_or(result, "StatusCode", 137);
	go_on(b);
	build_unref(b);
}

/* ---- the start ---- */

static void on_started(void *arg, const struct err *err, json_object *result)
{
	struct build *b = arg;
	(void)result;
	if (err && b->running)
		fail(b, err);
	build_unref(b);
}

static void on_created(void *arg, const struct err *err, json_object *result)
{
	struct build *b = arg;
	struct err e = ERR_INIT;
	b->creating = false;
	(void)err_copy(&e, err);
	if (!err)
		(void)snprintf(b->id, sizeof(b->id), "%s", json_str_or(result, "Id", ""));
	struct instance *inst = err ? NULL : instance_of(b, &e);
	if (inst && !b->over) {
		build_say(b, " ---> Running in %.12s\n", b->id);
		if (attach(b, inst, &e) == 0) {
			b->waiter = instance_wait(inst, WAIT_NEXT_EXIT, on_exited, build_ref(b));
			instance_start(inst, on_started, build_ref(b));
		}
	}
	if (e.code)
		fail(b, &e);
	build_settle(b);
	build_unref(b);
}

static json_object *make_body(struct build *b, json_object *run)
{
	json_object *body = json_object_new_object(), *health = json_object_new_object();
	json_object *test = json_object_new_array();
	json_add_str(body, "Image", json_str_or(run, "image", ""));
	json_add(body, "Cmd", json_copy(json_get(run, "cmd")));
	json_add(body, "Entrypoint", json_object_new_array());
	json_add(body, "Env", json_copy(json_get(run, "env")));
	(void)json_object_array_add(test, json_object_new_string("NONE"));
	json_add(health, "Test", test);
	json_add(body, "Healthcheck", health);
	json_object *host = json_copy(b->host_config);
	/* Whatever the default; where a rule wants more for the image, it is refused. */
	json_add_str(host, "Isolation", "container");
	json_add(body, "HostConfig", host);
	return body;
}

void build_run(struct build *b, json_object *run)
{
	struct err e = ERR_INIT;
	if (*b->id) {
		(void)err_set(&e, EBUSY, "the last container is not dropped yet");
		build_answer_error(b, &e);
		return;
	}
	(void)images_reload(b->d->images, NULL);
	cleanup_json json_object *body = make_body(b, run);
	b->creating = b->running = true;
	b->ended = false;
	b->status = 0;
	instance_create_building(b->d, body, on_created, build_ref(b));
}

/* ---- dropping it ---- */

static void on_removed(void *arg, const struct err *err, json_object *result)
{
	struct build *b = arg;
	char id[ID_SIZE];
	(void)result;
	memcpy(id, b->id, sizeof(id));
	b->removing = false;
	*b->id = '\0';
	if (b->over) {
		build_settle(b);
	} else if (err && err->code != ENOENT) {
		build_answer_error(b, err);
	} else {
		build_say(b, " ---> Removed intermediate container %.12s\n", id);
		build_answer(b, json_object_new_object());
	}
	build_unref(b);
}

static void remove_it(struct build *b, struct instance *inst)
{
	b->removing = true;
	instance_remove(inst, true, true, on_removed, build_ref(b));
}

void build_drop(struct build *b, bool remove)
{
	struct instance *inst = instance_of(b, NULL);
	if (inst && remove) {
		remove_it(b, inst);
		return;
	}
	if (inst) {
		inst->building = false;
		persist_save(inst, NULL, NULL);
	}
	*b->id = '\0';
	build_answer(b, json_object_new_object());
}

bool build_run_end(struct build *b)
{
	if (b->creating || b->removing)
		return true;
	if (b->waiter) {
		instance_wait_cancel(b->waiter);
		b->waiter = NULL;
		build_unref(b);
	}
	close_out(b);
	struct instance *inst = instance_of(b, NULL);
	if (!inst)
		return false;
	remove_it(b, inst);
	return true;
}

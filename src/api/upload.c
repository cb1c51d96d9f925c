/* SPDX-License-Identifier: Apache-2.0 */
/* upload - image archives on their way from a client to the job that takes them
 * apart, and the job's progress on its way back. isolad only moves the bytes:
 * what the job's pipe does not take stops the reading from the client. Docker
 * Engine API 1.47, "Import images" and "Create an image". isolad, loop thread. */
#include "conn.h"
#include "routes.h"
#include "server.h"

#include "isola/fd.h"
#include "isola/json.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct upload {
	uv_pipe_t pipe; /* to the job's stdin */
	struct exchange *x;
	struct api_server *server;
	struct image_job *job; /* NULL once it is done */
	bool open;             /* pipe may be written to */
	bool body_ended;       /* the client has sent all */
	bool quiet;
	bool waited_for; /* a pull, push or build: who leaves it, does not want it */
	bool remote;     /* credentials go to the job's input */
};

struct piece {
	uv_write_t req;
	struct upload *up;
	char data[];
};

static void on_pipe_closed(uv_handle_t *handle)
{
	struct upload *up = container_of((uv_pipe_t *)handle, struct upload, pipe);
	struct api_server *server = up->server;
	exchange_unref(up->x);
	server_handle_closed(server);
}

static void close_pipe(struct upload *up)
{
	if (!up->open)
		return;
	up->open = false;
	uv_close((uv_handle_t *)&up->pipe, on_pipe_closed);
}

/* ---- to the job ---- */

static size_t pipe_queued(const struct upload *up)
{
	return up->open ? uv_stream_get_write_queue_size((const uv_stream_t *)&up->pipe) : 0;
}

static void end_of_body(struct upload *up)
{
	if (up->body_ended && pipe_queued(up) == 0)
		close_pipe(up);
}

static void on_piece_written(uv_write_t *req, int status)
{
	struct piece *piece = container_of(req, struct piece, req);
	struct upload *up = piece->up;
	free(piece);
	if (status == UV_ECANCELED)
		return;
	/* A job that reads no more has failed and will say so; till then the rest
	 * is read and dropped. */
	if (status < 0)
		close_pipe(up);
	if (pipe_queued(up) > 0)
		return;
	end_of_body(up);
	if (up->x->conn && !up->body_ended)
		conn_resume(up->x->conn);
}

static int queue_piece(struct upload *up, const char *data, size_t size)
{
	struct piece *piece = malloc(sizeof(*piece) + size);
	if (!piece)
		return -ENOMEM;
	piece->up = up;
	memcpy(piece->data, data, size);
	uv_buf_t buf = { .base = piece->data, .len = size };
	int rc = uv_write(&piece->req, (uv_stream_t *)&up->pipe, &buf, 1, on_piece_written);
	if (rc < 0)
		free(piece);
	else
		conn_hold(up->x->conn);
	return rc;
}

static void on_body(struct exchange *x, const char *data, size_t size)
{
	struct upload *up = x->user;
	if (!up->open)
		return;
	uv_buf_t buf = { .base = (char *)(uintptr_t)data, .len = size };
	int sent = uv_try_write((uv_stream_t *)&up->pipe, &buf, 1);
	if (sent == UV_EAGAIN)
		sent = 0;
	if (sent >= 0 && (size_t)sent < size)
		sent = queue_piece(up, data + sent, size - (size_t)sent);
	if (sent < 0)
		close_pipe(up);
}

/* ---- to the client ---- */

static void begin(struct exchange *x)
{
	if (x->conn && !x->replied)
		reply_begin(x, 200, "application/json");
}

/* The job's last words (an image's name, or id) came as progress. */
static void finish(struct exchange *x)
{
	begin(x);
	reply_end(x);
}

static void on_body_end(struct exchange *x)
{
	struct upload *up = x->user;
	up->body_ended = true;
	end_of_body(up);
	/* The job may have known all it needed before the end. */
	if (!up->job)
		finish(x);
}

/* "quiet" leaves out the bars, not the words. */
static bool is_bar(const char *line, size_t size)
{
	cleanup_json json_object *o = NULL;
	return json_parse(line, size, "progress", &o, NULL) == 0 && json_get(o, "progressDetail");
}

static void on_progress(void *arg, const char *line, size_t size)
{
	struct exchange *x = exchange_ref(arg);
	struct upload *up = x->user;
	if (!up->quiet || !is_bar(line, size)) {
		begin(x);
		reply_chunk_line(x, line, size);
	}
	exchange_unref(x);
}

/* @code: a command's exit status, 0 = none. */
static void fail(struct exchange *x, const struct err *err, int64_t code)
{
	if (!x->replied) {
		reply_err(x, err);
		return;
	}
	cleanup_json json_object *o = json_object_new_object();
	json_object *detail = json_object_new_object();
	json_add_str(detail, "message", err->text);
	if (code)
		json_add_i64(detail, "code", code);
	json_add(o, "errorDetail", detail);
	json_add_str(o, "error", err->text);
	reply_chunk_json(x, o);
	reply_end(x);
}

static void on_job_done(void *arg, const struct err *err, json_object *result)
{
	struct exchange *x = arg;
	struct upload *up = x->user;
	up->job = NULL;
	close_pipe(up);
	if (err)
		fail(x, err, json_i64_or(result, "code", 0));
	else if (up->body_ended)
		finish(x);
	else if (x->conn)
		conn_resume(x->conn);
	exchange_unref(x);
}

static void on_gone(struct exchange *x)
{
	struct upload *up = x->user;
	/* Who has sent all need not wait for the answer: skopeo does not. Whoever
	 * leaves a pull, push or build does not want it any more, as with Docker. */
	if (up->body_ended && !up->waited_for)
		return;
	close_pipe(up);
	if (up->job)
		image_job_cancel(up->job);
}

/* ---- start ---- */

static int open_pipe(struct upload *up, int fd, struct err *err)
{
	(void)uv_pipe_init(up->server->loop, &up->pipe, 0);
	server_handle_opened(up->server);
	(void)exchange_ref(up->x);
	up->open = true;
	int rc = uv_pipe_open(&up->pipe, fd);
	if (rc == 0)
		return 0;
	fd_close(&fd);
	close_pipe(up);
	return err_rc(err, rc, "cannot use the job's pipe");
}

static void start(struct exchange *x, const struct image_import *import,
		  const struct image_build *build)
{
	struct err err = ERR_INIT;
	struct upload *up = calloc(1, sizeof(*up));
	int fd = -1;
	if (!up) {
		reply_error(x, 500, "out of memory");
		return;
	}
	up->x = x;
	up->server = x->conn->server;
	up->quiet = request_bool(x, "quiet", false);
	up->remote = import && (import->pull || import->push);
	up->waited_for = up->remote || build;
	up->body_ended = !x->has_body;
	/* Freed with the exchange's last reference, so after the pipe's. */
	x->user = up;
	x->free_user = free;
	int rc = build ? image_build_start(x->isolad, build, on_progress, on_job_done,
					   exchange_ref(x), &up->job, &fd, &err)
		       : image_job_start(x->isolad, import, on_progress, on_job_done,
					 exchange_ref(x), &up->job, &fd, &err);
	if (rc < 0) {
		exchange_unref(x);
		reply_err(x, &err);
		return;
	}
	if (open_pipe(up, fd, &err) < 0) {
		image_job_cancel(up->job);
		reply_err(x, &err);
		return;
	}
	/* At most a header field's size: a pipe takes it at once. */
	if (up->remote) {
		const struct strbuf *auth = &x->registry_auth;
		if (auth->len && uv_try_write((uv_stream_t *)&up->pipe,
					      &(uv_buf_t){ auth->text, auth->len }, 1) < 0)
			image_job_cancel(up->job);
		close_pipe(up);
	}
	x->on_body = on_body;
	x->on_body_end = on_body_end;
	x->on_gone = on_gone;
	end_of_body(up);
}

void images_load(struct exchange *x)
{
	start(x, NULL, NULL);
}

static bool is_full(void *arg)
{
	const struct exchange *x = arg;
	return x->conn && conn_queued(x->conn) > API_QUEUE_BYTES / 4;
}

void upload_build(struct exchange *x, const struct image_build *build)
{
	struct image_build with_brake = *build;
	with_brake.full = is_full;
	start(x, NULL, &with_brake);
}

/* ---- import ---- */

json_object *query_list(const struct exchange *x, const char *key)
{
	json_object *a = json_object_new_array();
	for (size_t i = 0; a && i < x->query.n; i++)
		if (!strcmp(x->query.pair[i].key, key))
			(void)json_object_array_add(a,
						    json_object_new_string(x->query.pair[i].value));
	return a;
}

static void import(struct exchange *x)
{
	const char *repo = query_get(&x->query, "repo"), *tag = query_get(&x->query, "tag");
	const char *message = query_get(&x->query, "message");
	const char *platform = query_get(&x->query, "platform");
	cleanup_json json_object *changes = query_list(x, "changes");
	cleanup_strbuf struct strbuf ref = STRBUF_INIT;
	if (repo && *repo) {
		strbuf_puts(&ref, repo);
		if (tag && *tag)
			strbuf_printf(&ref, ":%s", tag);
	}
	struct image_import req = {
		.ref = ref.text,
		.message = message && *message ? message : "Imported from -",
		.changes = changes,
		.platform = platform && *platform ? platform : NULL,
	};
	if (strbuf_ok(&ref) && changes)
		start(x, &req, NULL);
	else
		reply_error(x, 500, "out of memory");
}

/* "busybox", "busybox:1.36" with a tag or a digest ("sha256:...") beside it. */
static void pull(struct exchange *x, const char *image)
{
	const char *tag = query_get(&x->query, "tag");
	const char *platform = query_get(&x->query, "platform");
	cleanup_strbuf struct strbuf ref = STRBUF_INIT;
	strbuf_puts(&ref, image);
	if (tag && *tag)
		strbuf_printf(&ref, "%c%s", strchr(tag, ':') ? '@' : ':', tag);
	const struct image_import req = {
		.ref = ref.text,
		.platform = platform && *platform ? platform : NULL,
		.pull = true,
	};
	if (strbuf_ok(&ref) && strbuf_ok(&x->registry_auth))
		start(x, &req, NULL);
	else
		reply_error(x, 500, "out of memory");
}

/* Without "tag" all tags of the repository. */
void images_push(struct exchange *x)
{
	const char *tag = query_get(&x->query, "tag");
	cleanup_strbuf struct strbuf ref = STRBUF_INIT;
	bool all = !tag || !*tag;
	strbuf_puts(&ref, x->param[0]);
	if (!all)
		strbuf_printf(&ref, ":%s", tag);
	const struct image_import req = { .ref = ref.text, .push = true, .all_tags = all };
	if (!strbuf_ok(&ref) || !strbuf_ok(&x->registry_auth))
		reply_error(x, 500, "out of memory");
	else if (strchr(x->param[0], '@'))
		reply_error(x, 400, "cannot push a digest reference");
	else
		start(x, &req, NULL);
}

void images_create(struct exchange *x)
{
	const char *image = query_get(&x->query, "fromImage"),
		   *src = query_get(&x->query, "fromSrc");
	if (image && *image)
		pull(x, image);
	else if (!src || !*src)
		reply_error(x, 400, "one of the parameters fromSrc and fromImage must be given");
	else if (strcmp(src, "-") != 0)
		reply_error(x, 501,
			    "importing from a URL is not supported yet: send the archive as the "
			    "request's body, with fromSrc=-");
	else
		import(x);
}

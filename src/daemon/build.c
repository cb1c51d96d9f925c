/* SPDX-License-Identifier: Apache-2.0 */
/* build - see build.h. isolad, loop thread. What the job says is checked like any
 * request: it has read foreign bytes. */
#include "build.h"

#include "isola/fd.h"
#include "isola/image.h"
#include "isola/json.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct build *build_ref(struct build *b)
{
	b->refs++;
	return b;
}

void build_unref(struct build *b)
{
	if (--b->refs)
		return;
	json_object_put(b->tags);
	json_object_put(b->host_config);
	free(b->auth);
	json_object_put(b->result);
	free(b->pulling);
	free(b);
}

/* ---- to the client ---- */

static void send_line(struct build *b, json_object *taken)
{
	size_t size = 0;
	const char *text = json_object_to_json_string_length(
		taken, JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE, &size);
	if (b->progress && !b->told && text)
		b->progress(b->arg, text, size);
	json_object_put(taken);
}

static void send_stream(struct build *b, const char *text, size_t size)
{
	json_object *o = json_object_new_object();
	json_add(o, "stream", json_new_text(text, size));
	send_line(b, o);
}

void build_say(struct build *b, const char *fmt, ...)
{
	cleanup_strbuf struct strbuf text = STRBUF_INIT;
	va_list ap;
	if (b->quiet)
		return;
	va_start(ap, fmt);
	strbuf_vprintf(&text, fmt, ap);
	va_end(ap);
	if (strbuf_ok(&text) && text.len)
		send_stream(b, text.text, text.len);
}

/* ---- to the job ---- */

struct line {
	uv_write_t req;
	struct build *b;
	char text[];
};

static void on_written(uv_write_t *req, int status)
{
	struct line *line = container_of(req, struct line, req);
	struct build *b = line->b;
	(void)status; /* a job that hears no more has ended and will say so */
	free(line);
	build_unref(b);
}

static void talk(struct build *b, json_object *o)
{
	size_t size = 0;
	const char *text = json_object_to_json_string_length(
		o, JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE, &size);
	struct line *line = text && b->talk_open ? malloc(sizeof(*line) + size + 1) : NULL;
	if (!line)
		return;
	line->b = build_ref(b);
	memcpy(line->text, text, size);
	line->text[size] = '\n';
	uv_buf_t buf = uv_buf_init(line->text, (unsigned int)size + 1);
	if (uv_write(&line->req, (uv_stream_t *)&b->talk, &buf, 1, on_written) < 0) {
		free(line);
		build_unref(b);
	}
}

void build_answer(struct build *b, json_object *answer)
{
	talk(b, answer);
	json_object_put(answer);
}

void build_answer_error(struct build *b, const struct err *err)
{
	json_object *o = json_object_new_object();
	json_add_str(o, "error", err->text);
	json_add_i64(o, "errno", err->code);
	build_answer(b, o);
}

static void on_talk_closed(uv_handle_t *handle)
{
	build_unref(container_of(handle, struct build, talk));
}

static void close_talk(struct build *b)
{
	if (!b->talk_open)
		return;
	b->talk_open = false;
	uv_close((uv_handle_t *)&b->talk, on_talk_closed);
}

/* ---- images ---- */

static void answer_image(struct build *b, const char *ref)
{
	struct err e = ERR_INIT;
	(void)images_reload(b->d->images, NULL);
	json_object *record = image_find(b->d, ref, &e);
	if (!record) {
		build_answer_error(b, &e);
		return;
	}
	json_object *o = json_object_new_object();
	json_add_str(o, "id", json_str_or(record, "id", ""));
	build_answer(b, o);
}

static void on_pull_line(void *arg, const char *line, size_t size)
{
	struct build *b = arg;
	if (b->progress && !b->quiet && !b->over)
		b->progress(b->arg, line, size);
}

static void on_pulled(void *arg, const struct err *err, json_object *result)
{
	struct build *b = arg;
	(void)result;
	b->pull = NULL;
	if (err && !b->over)
		build_answer_error(b, err);
	else if (!b->over)
		answer_image(b, b->pulling);
	build_settle(b);
	build_unref(b);
}

static int start_pull(struct build *b, const char *ref, const char *platform, struct err *err)
{
	const struct image_import import = { .ref = ref, .platform = platform, .pull = true };
	int fd = -1;
	free(b->pulling);
	b->pulling = strdup(ref);
	if (!b->pulling)
		return err_set(err, ENOMEM, "out of memory");
	int rc = image_job_start(b->d, &import, on_pull_line, on_pulled, b, &b->pull, &fd, err);
	if (rc < 0)
		return rc;
	build_ref(b);
	/* A header field's size: a pipe takes it at once. */
	if (b->auth && write(fd, b->auth, strlen(b->auth)) != (ssize_t)strlen(b->auth))
		image_job_cancel(b->pull);
	fd_close(&fd);
	return 0;
}

static void find_image(struct build *b, json_object *ask)
{
	struct err e = ERR_INIT;
	const char *ref = json_str_or(ask, "image", ""),
		   *platform = json_str_or(ask, "platform", NULL);
	bool pull = json_bool_or(ask, "pull", false) && strncmp(ref, "sha256:", 7) != 0;
	(void)images_reload(b->d->images, NULL);
	if (!pull && (image_find(b->d, ref, &e) || e.code != ENOENT)) {
		answer_image(b, ref);
		return;
	}
	if (!strncmp(ref, "sha256:", 7) || start_pull(b, ref, platform, &e) < 0)
		build_answer_error(b, &e);
}

/* ---- from the job ---- */

static void on_line(void *arg, const char *line, size_t size)
{
	struct build *b = arg;
	cleanup_json json_object *o = NULL;
	if (b->over || json_parse(line, size, "build", &o, NULL) < 0)
		return;
	json_object *ask = json_get(o, "ask");
	struct err e = ERR_INIT;
	if (!ask) {
		/* Not how layers are unpacked. */
		if (b->progress && !b->quiet && json_get(o, "stream"))
			b->progress(b->arg, line, size);
	} else if (b->pull || b->running || b->removing) {
		(void)err_set(&e, EBUSY, "the last question is not answered yet");
		build_answer_error(b, &e);
	} else if (json_get(ask, "run")) {
		build_run(b, json_get(ask, "run"));
	} else if (json_get(ask, "drop")) {
		build_drop(b, json_bool_or(ask, "drop", true));
	} else {
		find_image(b, ask);
	}
}

/* ---- the end ---- */

static void say_result(struct build *b)
{
	const char *id = json_str_or(b->result, "ID", "");
	const char *hex = strchr(id, ':');
	for (size_t i = 0; i < json_len(b->tags); i++) {
		char text[IMAGE_REF_MAX];
		image_ref_familiar(json_item_str(b->tags, i), text, sizeof(text));
		events_emit_image(b->d, "tag", id, text);
	}
	if (b->quiet) {
		cleanup_strbuf struct strbuf text = STRBUF_INIT;
		strbuf_printf(&text, "%s\n", id);
		if (strbuf_ok(&text))
			send_stream(b, text.text, text.len);
		return;
	}
	json_object *o = json_object_new_object(), *aux = json_object_new_object();
	json_add_str(aux, "ID", id);
	json_add(o, "aux", aux);
	send_line(b, o);
	build_say(b, "Successfully built %.12s\n", hex ? hex + 1 : "");
	for (size_t i = 0; i < json_len(b->tags); i++) {
		char text[IMAGE_REF_MAX];
		image_ref_familiar(json_item_str(b->tags, i), text, sizeof(text));
		build_say(b, "Successfully tagged %s\n", text);
	}
}

void build_settle(struct build *b)
{
	if (!b->over || b->told)
		return;
	if (b->pull) {
		if (!b->pull_cancelled)
			image_job_cancel(b->pull);
		b->pull_cancelled = true;
		return;
	}
	/* When isolad ends, the next one removes the container. */
	if (!b->d->stopping && build_run_end(b))
		return;
	if (!b->err.code)
		say_result(b);
	b->told = true;
	b->done(b->arg, b->err.code ? &b->err : NULL, b->result);
	build_unref(b);
}

static void on_job_done(void *arg, const struct err *err, json_object *result)
{
	struct build *b = arg;
	b->job = NULL;
	b->over = true;
	(void)err_copy(&b->err, err);
	b->result = json_object_get(result);
	close_talk(b);
	build_settle(b);
}

/* ---- the beginning ---- */

static int open_talk(struct build *b, int fd, struct err *err)
{
	int rc = uv_pipe_init(&b->d->loop, &b->talk, 0);
	if (rc < 0)
		return err_rc(err, rc, "cannot talk to a build job");
	b->talk_open = true;
	build_ref(b);
	rc = uv_pipe_open(&b->talk, fd);
	if (rc == 0)
		return 0;
	(void)close(fd);
	close_talk(b);
	return err_rc(err, rc, "cannot talk to a build job");
}

static int start(struct build *b, json_object *spec, struct image_job **ret_job, int *ret_fd,
		 struct err *err)
{
	static const char *const words[] = { "build", NULL };
	int in_fds[2], talk_fds[2];
	if (pipe2(in_fds, O_CLOEXEC) < 0)
		return err_sys(err, "cannot make a pipe");
	cleanup_fd int in = in_fds[0], feed = in_fds[1];
	if (pipe2(talk_fds, O_CLOEXEC) < 0)
		return err_sys(err, "cannot make a pipe");
	cleanup_fd int hears = talk_fds[0], says = talk_fds[1];
	int rc = fd_set_nonblock(feed, true);
	if (rc < 0)
		return err_rc(err, rc, "cannot set up the job's pipe");
	rc = open_talk(b, take_fd(&says), err);
	if (rc == 0)
		rc = job_start_fds(b->d, words, &(struct job_fds){ .in = in, .third = hears },
				   &b->job, on_line, on_job_done, b, err);
	if (rc < 0) {
		close_talk(b);
		return rc;
	}
	b->job->tells_errno = true;
	talk(b, spec);
	*ret_job = b->job;
	*ret_fd = take_fd(&feed);
	return 0;
}

/* The names in full, those that are "" left out. */
static int normalise_tags(json_object *spec, struct err *err)
{
	json_object *given = json_get(spec, "tags"), *tags = json_object_new_array();
	char full[IMAGE_REF_MAX];
	int rc = 0;
	for (size_t i = 0; rc == 0 && i < json_len(given); i++) {
		const char *text = json_item_str(given, i);
		if (!*text)
			continue;
		rc = image_ref_normalize(text, full, sizeof(full), err);
		if (rc == 0 && strchr(full, '@'))
			rc = err_set(err, EINVAL,
				     "refusing to create a tag with a digest reference: %.200s",
				     text);
		if (rc == 0)
			(void)json_object_array_add(tags, json_object_new_string(full));
	}
	json_add(spec, "tags", tags);
	return rc < 0 ? err_prefix(err, "t") : 0;
}

int image_build_start(struct isolad *d, const struct image_build *build,
		      image_progress_fn *progress, op_done_fn *done, void *arg,
		      struct image_job **ret_job, int *ret_fd, struct err *err)
{
	cleanup_json json_object *spec = json_copy(build->spec);
	struct build *b = NULL;
	int rc = spec ? normalise_tags(spec, err) : err_set(err, ENOMEM, "out of memory");
	if (rc < 0)
		return rc;
	b = calloc(1, sizeof(*b));
	if (!b)
		return err_set(err, ENOMEM, "out of memory");
	*b = (struct build){ .d = d,
			     .refs = 1,
			     .progress = progress,
			     .done = done,
			     .full = build->full,
			     .arg = arg,
			     .quiet = json_bool_or(spec, "quiet", false),
			     .tags = json_copy(json_get(spec, "tags")),
			     .host_config = json_copy(build->host_config),
			     .auth = build->auth ? strdup(build->auth) : NULL };
	rc = start(b, spec, ret_job, ret_fd, err);
	if (rc < 0)
		build_unref(b);
	return rc;
}

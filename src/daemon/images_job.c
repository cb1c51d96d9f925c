/* SPDX-License-Identifier: Apache-2.0 */
/* images_job - runs of isola-image: its output line by line, its end, and what
 * follows from it (the table, events). isolad, loop thread; the archive itself
 * never passes through here. include/isola/image.h has the protocol. */
#include "images_priv.h"

#include "isola/fd.h"
#include "isola/image.h"
#include "isola/json.h"
#include "isola/log.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

/* The longest tells of all images of an archive (LOAD_NAMES_MAX in src/image/load.c). */
#define LINE_BYTES_MAX (8 * 1024 * 1024)
#define WORDS_MAX      320

/* ---- the end ---- */

static void emit(struct image_job *job, json_object *of)
{
	const char *id = json_str_or(of, "ID", "");
	json_object *refs = json_get(of, "Refs");
	for (size_t i = 0; i < json_len(refs); i++) {
		char text[IMAGE_REF_MAX];
		image_ref_familiar(json_item_str(refs, i), text, sizeof(text));
		events_emit_image(job->d, job->event, id, text);
	}
	if (!json_len(refs))
		events_emit_image(job->d, job->event, id, id);
}

static void emit_all(struct image_job *job)
{
	json_object *images = json_get(job->aux, "Images");
	for (size_t i = 0; i < json_len(images); i++)
		emit(job, json_object_array_get_idx(images, i));
	if (!images)
		emit(job, job->aux);
}

static int judge(const struct image_job *job, struct err *err)
{
	bool clean = WIFEXITED(job->status) && WEXITSTATUS(job->status) == 0;
	if (clean && job->aux)
		return 0;
	if (job->cancelled)
		return err_set(err, ECANCELED, "the image job was cancelled");
	if (job->error)
		return err_set(err, job->error_code ? job->error_code : EINVAL, "%s", job->error);
	if (WIFSIGNALED(job->status))
		return err_set(err, EIO, "isola-image was killed by signal %d",
			       WTERMSIG(job->status));
	return err_set(err, EIO, "isola-image ended with status %d and no result",
		       WEXITSTATUS(job->status));
}

static void finish(struct image_job *job)
{
	struct err err = ERR_INIT, reload = ERR_INIT;
	int rc = judge(job, &err);
	/* Also after a failure: an archive may have brought some of its images. */
	if (job->d->images && images_reload(job->d->images, &reload) < 0)
		log_error(NULL, "cannot read the image store: %s", reload.text);
	if (rc == 0 && job->event)
		emit_all(job);
	/* What a killed one could not clean up must not fill the disk until a restart. */
	if (WIFSIGNALED(job->status) && !job->cleans && !job->d->stopping)
		images_clean(job->d);
	if (job->done)
		job->done(job->arg, rc < 0 ? &err : NULL, job->aux);
	list_del(&job->node);
	json_object_put(job->aux);
	free(job->error);
	strbuf_fini(&job->line);
	free(job);
}

/* Both the process and its output have to be at their end. */
static void maybe_finish(struct image_job *job)
{
	if (!job->child && !job->handles)
		finish(job);
}

static void on_closed(uv_handle_t *handle)
{
	struct image_job *job = handle->data;
	job->handles--;
	maybe_finish(job);
}

static void close_out(struct image_job *job)
{
	if (!job->out_open)
		return;
	job->out_open = false;
	uv_close((uv_handle_t *)&job->out, on_closed);
}

static void on_exit_(void *arg, int status)
{
	struct image_job *job = arg;
	job->child = NULL;
	job->status = status;
	maybe_finish(job);
}

/* ---- output ---- */

static void take_line(struct image_job *job, const char *line, size_t size)
{
	cleanup_json json_object *o = NULL;
	if (!size || json_parse(line, size, "progress", &o, NULL) < 0)
		return;
	/* With progress beside it, it is the client's. */
	json_object *aux = json_get(o, "progressDetail") ? NULL : json_get(o, "aux");
	const char *error = json_str_or(o, "error", NULL);
	if (aux) {
		json_object_put(job->aux);
		job->aux = json_object_get(aux);
	} else if (error) {
		free(job->error);
		job->error = strdup(error);
		/* A command's exit status, for who asked. */
		if (json_get(json_get(o, "errorDetail"), "code")) {
			json_object_put(job->aux);
			job->aux = json_object_get(json_get(o, "errorDetail"));
		}
		if (job->tells_errno)
			job->error_code = (int)json_i64_or(o, "errno", EIO);
	} else if (job->progress && !job->cancelled) {
		job->progress(job->arg, line, size);
	}
}

static void take_lines(struct image_job *job)
{
	struct strbuf *b = &job->line;
	char *nl;
	while (b->len && (nl = memchr(b->text, '\n', b->len))) {
		size_t size = (size_t)(nl - b->text);
		take_line(job, b->text, size);
		strbuf_drop(b, size + 1);
	}
}

static void on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *buf)
{
	(void)handle;
	(void)suggested;
	/* One reader at a time in one thread; used up before the next call. */
	static char shared[16384];
	*buf = uv_buf_init(shared, sizeof(shared));
}

static void on_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf)
{
	struct image_job *job = stream->data;
	if (n > 0) {
		strbuf_add(&job->line, buf->base, (size_t)n);
		take_lines(job);
	}
	if (n < 0)
		take_line(job, job->line.text ? job->line.text : "", job->line.len);
	if (n < 0 || !strbuf_ok(&job->line) || job->line.len > LINE_BYTES_MAX) {
		if (n >= 0 && job->child)
			(void)child_kill(job->child, SIGKILL);
		close_out(job);
	}
}

/* ---- the beginning ---- */

static int spawn(struct image_job *job, const char *const *words, const struct job_fds *fds,
		 int stdout_fd, struct err *err)
{
	const char *argv[WORDS_MAX];
	char parent[16];
	size_t n = 0;
	(void)snprintf(parent, sizeof(parent), "%d", (int)getpid());
	argv[n++] = "isola-image";
	argv[n++] = words[0];
	argv[n++] = "--parent";
	argv[n++] = parent;
	argv[n++] = "--state";
	argv[n++] = job->d->roots.state;
	for (size_t i = 1; words[i]; i++) {
		if (n == WORDS_MAX - 1)
			return err_set(err, E2BIG, "too many arguments for an image job");
		argv[n++] = words[i];
	}
	argv[n] = NULL;
	const struct child_args args = {
		.program = PROGRAM_IMAGE,
		.argv = argv,
		.stdin_fd = fds->in,
		.stdout_fd = stdout_fd,
		.fd3 = fds->third,
		.fd4 = fds->fourth,
	};
	return child_spawn(job->d, &args, on_exit_, job, &job->child, err);
}

static void on_unused_closed(uv_handle_t *handle)
{
	free(handle->data);
}

int job_start(struct isolad *d, const char *const *words, int stdin_fd, struct image_job **ret,
	      image_progress_fn *progress, op_done_fn *done, void *arg, struct err *err)
{
	const struct job_fds fds = { .in = stdin_fd, .third = -1 };
	return job_start_fds(d, words, &fds, ret, progress, done, arg, err);
}

int job_start_fds(struct isolad *d, const char *const *words, const struct job_fds *fds,
		  struct image_job **ret, image_progress_fn *progress, op_done_fn *done, void *arg,
		  struct err *err)
{
	int out_fds[2];
	if (pipe2(out_fds, O_CLOEXEC) < 0)
		return err_sys(err, "cannot make a pipe");
	cleanup_fd int out = out_fds[0], child_out = out_fds[1];
	struct image_job *job = calloc(1, sizeof(*job));
	if (!job)
		return err_set(err, ENOMEM, "out of memory");
	job->d = d;
	job->progress = progress;
	job->done = done;
	job->arg = arg;
	int rc = uv_pipe_init(&d->loop, &job->out, 0);
	if (rc < 0) {
		free(job);
		return err_rc(err, rc, "cannot read an image job");
	}
	job->out.data = job;
	rc = uv_pipe_open(&job->out, out);
	if (rc < 0) {
		(void)err_rc(err, rc, "cannot read an image job");
	} else {
		(void)take_fd(&out);
		rc = spawn(job, words, fds, child_out, err);
	}
	if (rc < 0) {
		uv_close((uv_handle_t *)&job->out, on_unused_closed);
		return rc;
	}
	job->out_open = true;
	job->handles = 1;
	list_add_tail(&d->images->jobs, &job->node);
	(void)uv_read_start((uv_stream_t *)&job->out, on_alloc, on_read);
	*ret = job;
	return 0;
}

/* ---- load and import ---- */

static const char *image_verb(const struct image_import *import)
{
	if (!import)
		return "load";
	return import->login ? "login" : import->push ? "push" : import->pull ? "pull" : "import";
}

static bool image_is_remote(const struct image_import *import)
{
	return import && (import->pull || import->push || import->login);
}

/* @ref: the full name; isola-image does not know of a default registry. */
static int import_words(const struct isolad *d, const struct image_import *import, const char *ref,
			const char **words, size_t max, struct err *err)
{
	size_t n = 0;
	bool remote = image_is_remote(import);
	words[n++] = image_verb(import);
	const struct {
		const char *flag, *value;
	} options[] = {
		{ "--ref", ref },
		{ "--message", import->message },
		{ "--platform", import->platform },
		{ "--server", import->login },
		{ "--registries", remote ? d->config.registries : NULL },
	};
	for (size_t i = 0; i < sizeof(options) / sizeof(options[0]); i++) {
		if (!options[i].value || !*options[i].value)
			continue;
		words[n++] = options[i].flag;
		words[n++] = options[i].value;
	}
	if (import->all_tags)
		words[n++] = "--all-tags";
	for (size_t i = 0; i < json_len(import->changes); i++) {
		if (n + 3 > max)
			return err_set(err, E2BIG, "too many changes");
		words[n++] = "--change";
		words[n++] = json_item_str(import->changes, i);
	}
	words[n] = NULL;
	return 0;
}

int image_job_start(struct isolad *d, const struct image_import *import,
		    image_progress_fn *progress, op_done_fn *done, void *arg,
		    struct image_job **ret_job, int *ret_fd, struct err *err)
{
	const char *words[WORDS_MAX - 4] = { "load", NULL };
	char full[IMAGE_REF_MAX] = "";
	int rc = 0;
	if (import && import->ref && *import->ref)
		rc = image_ref_normalize(import->ref, full, sizeof(full), err);
	if (rc >= 0 && import)
		rc = import_words(d, import, full, words, WORDS_MAX - 4, err);
	if (rc < 0)
		return rc;
	int fds[2];
	if (pipe2(fds, O_CLOEXEC) < 0)
		return err_sys(err, "cannot make a pipe");
	cleanup_fd int in = fds[0], feed = fds[1];
	rc = fd_set_nonblock(feed, true);
	if (rc < 0)
		return err_rc(err, rc, "cannot set up the job's pipe");
	struct image_job *job;
	rc = job_start(d, words, in, &job, progress, done, arg, err);
	if (rc < 0)
		return rc;
	job->event = import && import->login ? NULL : image_verb(import);
	job->tells_errno = image_is_remote(import);
	*ret_job = job;
	*ret_fd = take_fd(&feed);
	return 0;
}

void image_job_cancel(struct image_job *job)
{
	job->cancelled = true;
	/* Not SIGKILL: the helper removes its half-made files first. */
	if (job->child)
		(void)child_kill(job->child, SIGTERM);
}

/* Nobody watches children any more, so the pipe's end is the job's. */
void images_stop(struct images *images)
{
	if (!images)
		return;
	list_for_each_safe (node, &images->jobs) {
		struct image_job *job = container_of(node, struct image_job, node);
		image_job_cancel(job);
		child_forget(job->child);
		job->child = NULL;
		job->status = SIGTERM;
		close_out(job);
		maybe_finish(job);
	}
}

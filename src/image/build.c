/* SPDX-License-Identifier: Apache-2.0 */
/* build - see build.h: the talk with isolad, stages, and the way through the steps.
 * Dockerfile and context are foreign: in isola-image's jail. */
#include "build_priv.h"

#include "isola/fd.h"
#include "isola/json.h"
#include "isola/path.h"
#include "cancel.h"
#include "collect.h"
#include "context.h"
#include "progress.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define LINE_BYTES_MAX (2 * 1024 * 1024)
#define PATH_DEFAULT   "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

/* ---- the talk ---- */

/* The next line of descriptor 3 as JSON, owned. */
static int hear(struct build *b, json_object **ret, struct err *err)
{
	char buf[4096], *nl;
	while (!b->heard.len || !(nl = memchr(b->heard.text, '\n', b->heard.len))) {
		if (cancel_requested())
			return err_set(err, EINTR, "the build was cancelled");
		ssize_t n = read(b->talk_fd, buf, sizeof(buf));
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return err_sys(err, "cannot hear isolad");
		if (n == 0)
			return err_set(err, ECANCELED, "isolad has gone away");
		strbuf_add(&b->heard, buf, (size_t)n);
		if (!strbuf_ok(&b->heard) || b->heard.len > LINE_BYTES_MAX)
			return err_set(err, E2BIG, "isolad says too much");
	}
	size_t n = (size_t)(nl - b->heard.text);
	int rc = json_parse(b->heard.text, n, "what isolad says", ret, err);
	strbuf_drop(&b->heard, n + 1);
	return rc;
}

int build_ask(struct build *b, json_object *taken, json_object **ret, struct err *err)
{
	cleanup_json json_object *line = json_object_new_object(), *answer = NULL;
	json_add(line, "ask", taken);
	progress_line(line);
	int rc = hear(b, &answer, err);
	if (rc < 0)
		return rc;
	const char *error = json_str_or(answer, "error", NULL);
	if (error)
		return err_set(err, (int)json_i64_or(answer, "errno", EIO), "%s", error);
	*ret = take_ptr(answer);
	return 0;
}

int build_find_image(struct build *b, const char *ref, bool pull, const char *platform,
		     char ret_id[DIGEST_SIZE], json_object **ret_record, struct err *err)
{
	cleanup_json json_object *answer = NULL;
	json_object *ask = json_object_new_object();
	json_add_str(ask, "image", ref);
	json_add_bool(ask, "pull", pull);
	if (platform)
		json_add_str(ask, "platform", platform);
	int rc = build_ask(b, ask, &answer, err);
	if (rc < 0)
		return rc;
	const char *id = json_str_or(answer, "id", "");
	rc = collect_hold(b->job, id, ret_record, err);
	if (rc == 0)
		(void)snprintf(ret_id, DIGEST_SIZE, "%s", id);
	return rc;
}

int build_root(const struct build *b, struct stack *ret, struct err *err)
{
	cleanup_json json_object *record = NULL;
	if (!*b->id)
		return 0;
	int rc = record_read(b->job->store, b->id, &record, err);
	if (rc == 0)
		rc = err_set(err, ENOENT, "the image %.19s was removed meanwhile", b->id);
	return rc < 0 ? rc : stack_of_image(b->job->store, record, ret, err);
}

/* ---- stages ---- */

const struct stage *build_find_stage(const struct build *b, const char *name)
{
	char *end = NULL;
	unsigned long number = strtoul(name, &end, 10);
	/* The last one is not done yet. */
	size_t n = b->n_stages ? b->n_stages - 1 : 0;
	if (*name >= '0' && *name <= '9' && !*end)
		return number < n ? &b->stages[number] : NULL;
	for (size_t i = n; i-- > 0;)
		if (b->stages[i].name && !strcasecmp(b->stages[i].name, name))
			return &b->stages[i];
	return NULL;
}

static int add_stage(struct build *b, char *name, struct err *err)
{
	struct stage *more = realloc(b->stages, (b->n_stages + 1) * sizeof(*more));
	if (!more)
		return err_set(err, ENOMEM, "out of memory");
	b->stages = more;
	more[b->n_stages++] = (struct stage){ .name = name };
	return 0;
}

static void end_stage(struct build *b)
{
	if (b->n_stages)
		strcpy(b->stages[b->n_stages - 1].id, b->id);
}

/* Docker's builder gives an image without a PATH one; it counts from the next step
 * on. */
static void add_path(struct build *b)
{
	json_object *env = json_get(b->config, "Env");
	for (size_t i = 0; i < json_len(env); i++)
		if (!strncmp(json_item_str(env, i), "PATH=", 5))
			return;
	if (!env) {
		env = json_object_new_array();
		json_add(b->config, "Env", env);
	}
	(void)json_object_array_add(env, json_object_new_string(PATH_DEFAULT));
}

static int run_step(struct build *b, const struct step *s, struct err *err);

/* What the base wants done by who builds on it. */
static int triggers(struct build *b, struct err *err)
{
	cleanup_json json_object *list = json_copy(json_get(b->config, "OnBuild"));
	size_t n = json_len(list);
	json_object_object_del(b->config, "OnBuild");
	if (n)
		progress_stream("# Executing %zu build trigger%s\n", n, n > 1 ? "s" : "");
	for (size_t i = 0; i < n; i++) {
		cleanup_dockerfile struct dockerfile file = { 0 };
		int rc = dockerfile_parse_trigger(json_item_str(list, i), "ONBUILD", b->file.escape,
						  &file, err);
		if (rc == 0)
			rc = run_step(b, &file.steps[0], err);
		if (rc < 0)
			return err_prefix(err, "ONBUILD %.100s", json_item_str(list, i));
		progress_stream(" ---> %.12s\n", digest_hex(b->id));
	}
	return 0;
}

static int check_platform(const char *want, json_object *record, struct err *err)
{
	const char *arch = json_str_or(record, "architecture", "");
	const char *slash = want ? strchr(want, '/') : NULL;
	size_t n = slash ? strcspn(slash + 1, "/") : 0;
	if (want && (!slash || strlen(arch) != n || strncmp(slash + 1, arch, n) != 0))
		return err_set(err, EINVAL, "--platform=%.100s: the image is for linux/%.50s", want,
			       arch);
	return 0;
}

static int from_image(struct build *b, const struct step *s, const char *image, struct err *err)
{
	cleanup_json json_object *record = NULL;
	cleanup_free char *platform = NULL;
	char id[DIGEST_SIZE] = "";
	const char *flag = s->platform ? s->platform : json_str_or(b->spec, "platform", NULL);
	int rc = flag ? scope_expand(b, flag, &platform, err) : 0;
	const struct stage *stage = build_find_stage(b, image);
	/* A number is no stage's name here. */
	bool named = stage && stage->name && !strcasecmp(stage->name, image);
	if (rc == 0 && named)
		strcpy(id, stage->id);
	else if (rc == 0 && strcmp(image, "scratch") != 0)
		rc = build_find_image(b, image, json_bool_or(b->spec, "pull", false), platform, id,
				      &record, err);
	if (rc == 0 && record)
		rc = check_platform(platform, record, err);
	if (rc == 0)
		rc = step_enter(b, id, err);
	if (rc == 0)
		strcpy(b->id, id);
	return rc;
}

static int begin_stage(struct build *b, const struct step *s, struct err *err)
{
	char *text = NULL, *image = NULL, *as = NULL;
	end_stage(b);
	b->staged = false;
	int rc = dockerfile_from(s->args, &text, &as, err);
	if (rc == 0)
		rc = scope_expand(b, text, &image, err);
	free(text);
	if (rc == 0 && !*image)
		rc = err_set(err, EINVAL, "base name (%.100s) should not be blank", s->args);
	if (rc == 0)
		rc = add_stage(b, as, err);
	if (rc < 0) {
		free(as);
		free(image);
		return rc;
	}
	rc = from_image(b, s, image, err);
	free(image);
	if (rc < 0)
		return rc;
	json_object_put(b->args);
	b->args = json_object_new_object();
	b->staged = true;
	b->cmd_set = false;
	b->cache = !json_bool_or(b->spec, "no_cache", false);
	add_path(b);
	return triggers(b, err);
}

/* ---- the steps ---- */

static int run_step(struct build *b, const struct step *s, struct err *err)
{
	cleanup_free char *text = NULL;
	switch (s->kind) {
	case INSTR_FROM:
		return begin_stage(b, s, err);
	case INSTR_COPY:
	case INSTR_ADD:
		return step_copy(b, s, err);
	case INSTR_RUN:
		return step_run(b, s, err);
	case INSTR_ARG:
		/* Before the first FROM there is no image. */
		return b->staged ? step_config(b, s, err) : scope_arg(b, s, &text, err);
	default:
		return step_config(b, s, err);
	}
}

static int one_step(struct build *b, const struct step *s, struct err *err)
{
	if (cancel_requested())
		return err_set(err, EINTR, "the build was cancelled");
	progress_stream("Step %u/%u : %s\n", ++b->step_no, b->n_steps, s->text);
	int rc = run_step(b, s, err);
	/* What a command says is for its author; else the line tells where. */
	if (rc < 0 && strncmp(err->text, "The command '", 13) != 0)
		return err_prefix(err, "%s:%u", b->file_name, s->line);
	if (rc < 0)
		return rc;
	if (b->staged)
		progress_stream(" ---> %.12s\n", *b->id ? digest_hex(b->id) : "");
	return 0;
}

/* --label: one more instruction at the end. */
static int add_labels(struct build *b, struct err *err)
{
	cleanup_strbuf struct strbuf text = STRBUF_INIT;
	json_object *labels = json_get(b->spec, "labels");
	strbuf_puts(&text, "LABEL");
	json_object_object_foreach (labels, key, value) {
		const char *parts[] = { key, json_object_get_string(value) };
		for (size_t i = 0; i < 2; i++) {
			strbuf_puts(&text, i ? "=\"" : " \"");
			for (const char *p = parts[i] ? parts[i] : ""; *p; p++) {
				if (*p == '"' || *p == '$' || *p == b->file.escape)
					strbuf_putc(&text, b->file.escape);
				strbuf_putc(&text, *p);
			}
			strbuf_putc(&text, '"');
		}
	}
	char *whole = strbuf_take(&text);
	if (!whole)
		return err_set(err, ENOMEM, "out of memory");
	const struct step s = {
		.kind = INSTR_LABEL, .name = "LABEL", .text = whole, .args = whole + 6
	};
	int rc = one_step(b, &s, err);
	free(whole);
	return rc;
}

static bool has_labels(const struct build *b)
{
	json_object *labels = json_get(b->spec, "labels");
	return json_object_is_type(labels, json_type_object) && json_object_object_length(labels);
}

/* The end of the stage that --target names. */
static int find_end(struct build *b, struct err *err)
{
	const char *target = json_str_or(b->spec, "target", "");
	size_t stage = 0;
	bool found = false;
	b->end = b->file.n;
	for (size_t i = 0; *target && i < b->file.n; i++) {
		char *image = NULL, *as = NULL, number[24];
		if (b->file.steps[i].kind != INSTR_FROM)
			continue;
		if (found) {
			b->end = i;
			break;
		}
		int rc = dockerfile_from(b->file.steps[i].args, &image, &as, err);
		if (rc < 0)
			return rc;
		(void)snprintf(number, sizeof(number), "%zu", stage++);
		found = (as && !strcasecmp(as, target)) || !strcmp(number, target);
		free(image);
		free(as);
	}
	if (*target && !found)
		return err_set(err, EINVAL,
			       "failed to reach build target %.100s in Dockerfile: no such stage",
			       target);
	b->n_steps = (unsigned int)b->end + has_labels(b);
	return 0;
}

static void warn_unused(const struct build *b)
{
	cleanup_strbuf struct strbuf names = STRBUF_INIT;
	json_object *args = json_get(b->spec, "args");
	if (!args)
		return;
	json_object_object_foreach (args, name, value)
		if (value && !json_get(b->used, name))
			strbuf_printf(&names, "%s%s", names.len ? " " : "", name);
	if (names.len)
		progress_stream("[Warning] One or more build-args [%s] were not consumed\n",
				names.text);
}

static int all_steps(struct build *b, struct err *err)
{
	int rc = 0;
	for (size_t i = 0; rc == 0 && i < b->end; i++)
		rc = one_step(b, &b->file.steps[i], err);
	if (rc == 0 && has_labels(b))
		rc = add_labels(b, err);
	if (rc == 0 && !*b->id)
		rc = err_set(err, EINVAL, "No image was generated. Is your Dockerfile empty?");
	return rc;
}

/* ---- the job ---- */

static int read_dockerfile(struct build *b, struct err *err)
{
	cleanup_free char *text = NULL;
	size_t size = 0;
	b->file_name = json_str_or(b->spec, "dockerfile", "Dockerfile");
	int rc = stack_read(&b->context, b->file_name, DOCKERFILE_BYTES_MAX, &text, &size, err);
	if (rc == -ENOTDIR || (rc == 0 && !text))
		return err_set(err, ENOENT,
			       "Cannot locate specified Dockerfile: %.300s: no such file in the "
			       "build context",
			       b->file_name);
	return rc < 0 ? err_prefix(err, "%.300s", b->file_name)
		      : dockerfile_parse(text, size, b->file_name, &b->file, err);
}

static int prepare(struct build *b, struct err *err)
{
	int rc = hear(b, &b->spec, err);
	if (rc < 0)
		return rc;
	cleanup_fd int folder = context_read(b->job, b->limits, err);
	if (folder < 0)
		return folder;
	int copy = fd_dup(folder);
	rc = copy < 0 ? err_rc(err, copy, "cannot hold the build context")
		      : stack_of_folder(copy, &b->context, err);
	if (rc == 0)
		rc = read_dockerfile(b, err);
	if (rc == 0)
		rc = find_end(b, err);
	return rc < 0 ? rc : context_ignore(folder, b->limits, err);
}

static int tag(const struct build *b, json_object **ret_aux, struct err *err)
{
	json_object *tags = json_get(b->spec, "tags"), *aux = json_object_new_object();
	json_add_str(aux, "ID", b->id);
	json_add(aux, "Refs", json_copy(tags));
	int rc = 0;
	for (size_t i = 0; rc == 0 && i < json_len(tags); i++) {
		cleanup_json json_object *named = NULL;
		rc = job_tag(b->job->store, b->id, json_item_str(tags, i), &named, err);
	}
	if (rc < 0)
		json_object_put(aux);
	else
		*ret_aux = aux;
	return rc;
}

static void build_fini(struct build *b)
{
	for (size_t i = 0; i < b->n_stages; i++)
		free(b->stages[i].name);
	free(b->stages);
	dockerfile_fini(&b->file);
	stack_fini(&b->context);
	strbuf_fini(&b->heard);
	json_object_put(b->spec);
	json_object_put(b->globals);
	json_object_put(b->args);
	json_object_put(b->used);
	json_object_put(b->config);
	free(b->author);
}

int job_build(const struct store *s, const struct limits *limits, int talk_fd, int proc_fd,
	      json_object **ret_aux, struct err *err)
{
	cleanup_job struct job job = JOB_INIT;
	struct build b = { .job = &job,
			   .limits = limits,
			   .talk_fd = talk_fd,
			   .proc_fd = proc_fd,
			   .context = STACK_INIT,
			   .globals = json_object_new_object(),
			   .args = json_object_new_object(),
			   .used = json_object_new_object() };
	int rc = job_open(s, &job, err);
	if (rc == 0)
		rc = prepare(&b, err);
	if (rc == 0)
		rc = all_steps(&b, err);
	if (rc == 0)
		rc = tag(&b, ret_aux, err);
	if (rc == 0)
		warn_unused(&b);
	build_fini(&b);
	return rc;
}

/* SPDX-License-Identifier: Apache-2.0 */
/* build_step - instructions that change the configuration alone, RUN, and what each
 * step ends with: an image of its own, that the next build finds again by what it was
 * made from and how (the record's "built"; labels and the like are never asked). Runs
 * in isola-image. */
#include "build_priv.h"

#include "isola/fd.h"
#include "isola/json.h"
#include "isola/path.h"
#include "change.h"
#include "collect.h"
#include "commit.h"
#include "progress.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

/* ---- the image ---- */

int step_enter(struct build *b, const char *id, struct err *err)
{
	cleanup_derive struct derive d = DERIVE_INIT;
	int rc = derive_from(b->job, id, &d, err);
	if (rc < 0)
		return rc;
	json_object *config = json_copy(derive_config(&d));
	char *author = strdup(json_str_or(d.config, "author", ""));
	if (!config || !author) {
		json_object_put(config);
		free(author);
		return err_set(err, ENOMEM, "out of memory");
	}
	json_object_put(b->config);
	free(b->author);
	b->config = config;
	b->author = author;
	if (id != b->id)
		strcpy(b->id, id);
	return 0;
}

int step_commit(struct build *b, struct derive *d, const char *created_by, struct err *err)
{
	json_object *step = json_object_new_object();
	json_object *config = json_copy(b->config);
	char id[DIGEST_SIZE];
	if (!step || !config) {
		json_object_put(step);
		json_object_put(config);
		return err_set(err, ENOMEM, "out of memory");
	}
	json_add(d->config, "config", config);
	json_object_object_del(d->config, "comment");
	json_object_object_del(d->config, "author");
	if (*b->author) {
		json_add_str(d->config, "author", b->author);
		json_add_str(step, "author", b->author);
	}
	json_add_str(step, "created_by", created_by);
	d->parent = b->id;
	int rc = derive_commit(d, b->limits, step, NULL, id, err);
	return rc < 0 ? rc : step_enter(b, id, err);
}

/* ---- the cache ---- */

struct search {
	const char *parent, *key;
	char id[DIGEST_SIZE];
	int64_t created_ns;
};

static int compare(json_object *record, void *arg, struct err *err)
{
	struct search *s = arg;
	json_object *built = json_get(record, "built");
	int64_t created = json_i64_or(record, "created_ns", 0);
	(void)err;
	if (strcmp(json_str_or(built, "key", ""), s->key) != 0 ||
	    strcmp(json_str_or(built, "parent", "?"), s->parent) != 0 ||
	    (*s->id && created <= s->created_ns))
		return 0;
	(void)snprintf(s->id, sizeof(s->id), "%s", json_str_or(record, "id", ""));
	s->created_ns = created;
	return 0;
}

int step_cached(struct build *b, const char *text, char ret_key[DIGEST_SIZE], struct err *err)
{
	struct search s = { .parent = b->id, .key = ret_key };
	int rc = digest_of(text, strlen(text), ret_key, err);
	if (rc < 0 || !b->cache)
		return rc;
	rc = record_each(b->job->store, compare, &s, err);
	/* One that goes away meanwhile was not there. */
	if (rc == 0 && *s.id && step_enter(b, s.id, NULL) == 0) {
		progress_stream(" ---> Using cache\n");
		return 1;
	}
	b->cache = false;
	return rc;
}

char *step_nop(const struct build *b, const char *text)
{
	struct strbuf out = STRBUF_INIT;
	json_object *shell = json_get(b->config, "Shell");
	for (size_t i = 0; i < json_len(shell); i++)
		strbuf_printf(&out, "%s ", json_item_str(shell, i));
	strbuf_printf(&out, "%s#(nop) %s", json_len(shell) ? "" : "/bin/sh -c ", text);
	return strbuf_take(&out);
}

/* ---- the configuration ---- */

static void add_quoted_list(struct strbuf *out, json_object *list)
{
	strbuf_putc(out, '[');
	for (size_t i = 0; i < json_len(list); i++) {
		cleanup_json json_object *word = json_object_new_string(json_item_str(list, i));
		strbuf_printf(
			out, "%s%s", i ? " " : "",
			json_object_to_json_string_ext(
				word, JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE));
	}
	strbuf_putc(out, ']');
}

/* "ENV a=b": with the values that count. */
static char *describe(const struct build *b, const struct step *s, json_object *config)
{
	struct strbuf out = STRBUF_INIT;
	struct words_scope scope;
	cleanup_json json_object *words = NULL;
	strbuf_printf(&out, " %s ", s->name);
	switch (s->kind) {
	case INSTR_CMD:
	case INSTR_ENTRYPOINT:
		add_quoted_list(&out,
				json_get(config, s->kind == INSTR_CMD ? "Cmd" : "Entrypoint"));
		break;
	case INSTR_SHELL:
		add_quoted_list(&out, json_get(config, "Shell"));
		break;
	case INSTR_HEALTHCHECK:
	case INSTR_ONBUILD:
	case INSTR_MAINTAINER:
		strbuf_puts(&out, s->args);
		break;
	case INSTR_WORKDIR:
		strbuf_puts(&out, json_str_or(config, "WorkingDir", "/"));
		break;
	default:
		scope_of(b, &scope);
		if (words_split(s->args, &scope, &words, NULL) == 0)
			for (size_t i = 0; i < json_len(words); i++)
				strbuf_printf(&out, "%s%s", i ? " " : "", json_item_str(words, i));
		json_object_put(scope.env);
	}
	return strbuf_take(&out);
}

static int set_shell(json_object *config, const char *args, struct err *err)
{
	const struct words_scope none = { .env = NULL };
	json_object *list = NULL;
	cleanup_json json_object *probe = NULL;
	/* As it stands: no variables. */
	if (json_parse(args, strlen(args), "SHELL", &probe, NULL) < 0 || !json_len(probe) ||
	    change_list(args, &none, &list, NULL) <= 0) {
		json_object_put(list);
		return err_set(err, EINVAL,
			       "SHELL requires the arguments to be in JSON form: SHELL "
			       "[\"/bin/sh\", \"-c\"]");
	}
	json_object_put(list);
	json_add(config, "Shell", take_ptr(probe));
	return 0;
}

/* What the instruction makes of @config. */
static int apply(struct build *b, const struct step *s, json_object *config, struct err *err)
{
	struct words_scope scope;
	if (s->kind == INSTR_SHELL)
		return set_shell(config, s->args, err);
	if (s->kind == INSTR_MAINTAINER) {
		char *author = strdup(s->args);
		if (!author)
			return err_set(err, ENOMEM, "out of memory");
		free(b->author);
		b->author = author;
		return 0;
	}
	scope_of(b, &scope);
	int rc = change_instruction(config, s->name, s->args, &scope, err);
	json_object_put(scope.env);
	/* The base's Cmd was for the base's entry point. */
	if (rc == 0 && s->kind == INSTR_ENTRYPOINT && !b->cmd_set)
		json_object_object_del(config, "Cmd");
	b->cmd_set |= s->kind == INSTR_CMD;
	return rc;
}

/* A WORKDIR that is not there is made, for root. */
static int make_folder(struct build *b, struct derive *d, const char *path, struct err *err)
{
	cleanup_stack struct stack root = STACK_INIT;
	cleanup_layer_out struct layer_out out = LAYER_OUT_INIT;
	struct stack_spot spot;
	int rc = build_root(b, &root, err);
	if (rc == 0)
		rc = stack_find(&root, path, true, &spot, err);
	if (rc == 0 && spot.exists && !S_ISDIR(spot.st.st_mode))
		rc = err_set(err, ENOTDIR, "WORKDIR: %.200s is no folder", path);
	if (rc < 0 || (spot.exists && (*spot.path || root.n)))
		return rc;
	rc = layer_out_begin(b->job, b->limits->bytes, &out, err);
	struct pack_options pack = { .out = out.tar, .proc_fd = b->proc_fd, .shallow = true };
	struct copying c = { .b = b, .onto = &root, .out = &out, .pack = &pack };
	if (rc == 0)
		rc = pack_new(&pack, &c.packer, err);
	if (rc == 0)
		rc = files_parents(&c, spot.path, true, err);
	pack_free(c.packer);
	return rc < 0 ? rc : layer_out_end(&out, d, err);
}

static int commit_config(struct build *b, const struct step *s, const char *text, struct err *err)
{
	cleanup_derive struct derive d = DERIVE_INIT;
	cleanup_strbuf struct strbuf key_text = STRBUF_INIT;
	char key[DIGEST_SIZE];
	strbuf_printf(&key_text, "%s\n%s\n%s", text, b->author,
		      json_object_to_json_string_ext(b->config, JSON_C_TO_STRING_PLAIN));
	cleanup_free char *by = step_nop(b, text);
	if (!by || !strbuf_ok(&key_text))
		return err_set(err, ENOMEM, "out of memory");
	int rc = step_cached(b, key_text.text, key, err);
	if (rc != 0)
		return rc < 0 ? rc : 0;
	rc = derive_from(b->job, b->id, &d, err);
	if (rc == 0 && s->kind == INSTR_WORKDIR)
		rc = make_folder(b, &d, json_str_or(b->config, "WorkingDir", "/"), err);
	d.key = key;
	return rc < 0 ? rc : step_commit(b, &d, by, err);
}

int step_config(struct build *b, const struct step *s, struct err *err)
{
	cleanup_json json_object *config = json_copy(b->config);
	cleanup_free char *text = NULL, *arg = NULL;
	int rc = 0;
	if (!config)
		return err_set(err, ENOMEM, "out of memory");
	if (s->kind == INSTR_ARG) {
		rc = scope_arg(b, s, &arg, err);
		struct strbuf out = STRBUF_INIT;
		strbuf_printf(&out, " %s", arg ? arg : "");
		text = strbuf_take(&out);
	} else {
		rc = apply(b, s, config, err);
		if (rc == 0)
			text = describe(b, s, config);
	}
	if (rc < 0)
		return rc;
	if (!text)
		return err_set(err, ENOMEM, "out of memory");
	json_object_put(b->config);
	b->config = take_ptr(config);
	return commit_config(b, s, text, err);
}

/* ---- RUN ---- */

static char *join(json_object *args, json_object *cmd)
{
	struct strbuf out = STRBUF_INIT;
	if (json_len(args)) {
		strbuf_printf(&out, "|%zu ", json_len(args));
		for (size_t i = 0; i < json_len(args); i++)
			strbuf_printf(&out, "%s ", json_item_str(args, i));
	}
	for (size_t i = 0; i < json_len(cmd); i++)
		strbuf_printf(&out, "%s%s", i ? " " : "", json_item_str(cmd, i));
	return strbuf_take(&out);
}

static json_object *run_question(struct build *b, json_object *cmd)
{
	json_object *ask = json_object_new_object(), *run = json_object_new_object();
	json_object *env = scope_args(b, true), *own = json_get(b->config, "Env");
	for (size_t i = 0; i < json_len(own); i++)
		(void)json_object_array_add(env, json_object_new_string(json_item_str(own, i)));
	json_add_str(run, "image", b->id);
	json_add(run, "cmd", json_copy(cmd));
	json_add(run, "env", env);
	json_add(ask, "run", run);
	return ask;
}

static int drop(struct build *b, bool remove, struct err *err)
{
	cleanup_json json_object *answer = NULL;
	json_object *ask = json_object_new_object();
	json_add_bool(ask, "drop", remove);
	return build_ask(b, ask, &answer, err);
}

static int failed(struct build *b, json_object *cmd, int status, struct err *err)
{
	cleanup_free char *text = join(NULL, cmd);
	int rc = drop(b, json_bool_or(b->spec, "force_rm", false), err);
	if (rc < 0)
		return rc;
	progress_set_code(status);
	return err_set(err, EINVAL, "The command '%.800s' returned a non-zero code: %d",
		       text ? text : "", status);
}

static int run_and_commit(struct build *b, json_object *cmd, const char *by, const char *key,
			  struct err *err)
{
	cleanup_derive struct derive d = DERIVE_INIT;
	cleanup_json json_object *answer = NULL;
	int rc = build_ask(b, run_question(b, cmd), &answer, err);
	if (rc < 0)
		return rc;
	int status = (int)json_i64_or(answer, "status", 0);
	if (status)
		return failed(b, cmd, status, err);
	rc = derive_from(b->job, b->id, &d, err);
	if (rc == 0)
		rc = commit_upper(&d, json_str_or(answer, "upper", ""), false, b->proc_fd, err);
	d.key = key;
	if (rc == 0)
		rc = step_commit(b, &d, by, err);
	return rc < 0 ? rc : drop(b, json_bool_or(b->spec, "rm", true), err);
}

int step_run(struct build *b, const struct step *s, struct err *err)
{
	cleanup_json json_object *cmd = change_command(b->config, s->args);
	cleanup_json json_object *args = scope_args(b, false);
	cleanup_free char *by = join(args, cmd);
	cleanup_strbuf struct strbuf key_text = STRBUF_INIT;
	char key[DIGEST_SIZE];
	if (!*b->id)
		return err_set(err, EINVAL, "RUN on scratch: there is nothing to run yet");
	strbuf_puts(&key_text, "RUN ");
	strbuf_puts(&key_text, json_object_to_json_string_ext(args, JSON_C_TO_STRING_PLAIN));
	strbuf_puts(&key_text, json_object_to_json_string_ext(cmd, JSON_C_TO_STRING_PLAIN));
	if (!by || !strbuf_ok(&key_text))
		return err_set(err, ENOMEM, "out of memory");
	int rc = step_cached(b, key_text.text, key, err);
	return rc != 0 ? (rc < 0 ? rc : 0) : run_and_commit(b, cmd, by, key, err);
}

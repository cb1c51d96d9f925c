/* SPDX-License-Identifier: Apache-2.0 */
/* body - see body.h. Runs in the CLIs. */
#include "body.h"

#include "isola/fd.h"
#include "isola/json.h"
#include "isola/num.h"
#include "isola/strbuf.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

json_object *body_list(struct args *args, const char *flag)
{
	json_object *list = json_object_new_array();
	const char *text;
	for (size_t i = 0; (text = args_list(args, flag, i)); i++)
		json_object_array_add(list, json_object_new_string(text));
	return list;
}

static void add_row(struct args *args, const struct arg_value *v, json_object *o, const char *field)
{
	const char *flag = v->flag->name;
	switch (v->flag->kind) {
	case FLAG_BOOL:
		json_add_bool(o, field, args_bool(args, flag));
		return;
	case FLAG_INT:
		json_add_i64(o, field, args_int(args, flag, 0));
		return;
	case FLAG_SIZE:
		json_add_i64(o, field, args_size(args, flag, 0));
		return;
	case FLAG_STR:
		json_add_str(o, field, args_str(args, flag, ""));
		return;
	case FLAG_LIST:
		json_add(o, field, body_list(args, flag));
		return;
	}
}

void body_rows(struct args *args, const struct body_row *rows, json_object *const *to)
{
	for (size_t i = 0; i < args->n_values; i++)
		for (const struct body_row *r = rows; r->flag; r++)
			if (to[r->to] && !strcmp(r->flag, args->values[i].flag->name))
				add_row(args, &args->values[i], to[r->to], r->field);
}

/* Adds "k=v" to @map; a bare key has an empty value. */
static void add_pair(json_object *map, const char *text)
{
	const char *eq = strchr(text, '=');
	cleanup_free char *key = eq ? strndup(text, (size_t)(eq - text)) : strdup(text);
	if (key)
		json_add_str(map, key, eq ? eq + 1 : "");
}

json_object *body_map(struct args *args, const char *flag)
{
	json_object *map = json_object_new_object();
	const char *text;
	for (size_t i = 0; (text = args_list(args, flag, i)); i++)
		add_pair(map, text);
	return map;
}

char *body_read_text(const char *path, struct err *err)
{
	char *text = NULL;
	cleanup_fd int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0) {
		(void)err_sys(err, "cannot open %s", path);
		return NULL;
	}
	size_t max = 4 << 20;
	text = malloc(max + 1);
	ssize_t n = text ? fd_read_all(fd, text, max) : -ENOMEM;
	if (n < 0 || (size_t)n == max) {
		free(text);
		(void)err_set(err, EFBIG, "cannot read %s: %s", path,
			      n < 0 ? strerror((int)-n) : "more than 4 MiB");
		return NULL;
	}
	text[n] = '\0';
	return text;
}

/* Calls @each for every line of the files of @flag but empty ones and comments. */
static int each_line(struct args *args, const char *flag, json_object *to,
		     void (*each)(json_object *to, const char *line), struct err *err)
{
	const char *path;
	for (size_t i = 0; (path = args_list(args, flag, i)); i++) {
		cleanup_free char *text = body_read_text(path, err);
		if (!text)
			return err_prefix(err, "--%s", flag);
		char *save = NULL;
		for (char *l = strtok_r(text, "\n", &save); l; l = strtok_r(NULL, "\n", &save)) {
			while (isspace((unsigned char)*l))
				l++;
			size_t n = strlen(l);
			if (n && l[n - 1] == '\r')
				l[n - 1] = '\0';
			if (*l && *l != '#')
				each(to, l);
		}
	}
	return 0;
}

/* "NAME" alone passes our own value on, and nothing when we have none. */
static void add_env(json_object *env, const char *text)
{
	if (strchr(text, '=')) {
		json_object_array_add(env, json_object_new_string(text));
		return;
	}
	const char *value = getenv(text);
	if (!value)
		return;
	cleanup_strbuf struct strbuf b = STRBUF_INIT;
	strbuf_printf(&b, "%s=%s", text, value);
	if (strbuf_ok(&b))
		json_object_array_add(env, json_object_new_string(b.text));
}

int body_environment(struct args *args, json_object *to, struct err *err)
{
	json_object *env = json_object_new_array();
	json_add(to, "Env", env);
	int rc = each_line(args, "env-file", env, add_env, err);
	const char *text;
	for (size_t i = 0; rc == 0 && (text = args_list(args, "env", i)); i++) {
		if (!*text || *text == '=')
			return err_set(err, EINVAL, "--env \"%s\": a name is missing", text);
		add_env(env, text);
	}
	return rc;
}

int body_labels(struct args *args, json_object *to, struct err *err)
{
	json_object *labels = json_object_new_object();
	json_add(to, "Labels", labels);
	int rc = each_line(args, "label-file", labels, add_pair, err);
	const char *text;
	for (size_t i = 0; rc == 0 && (text = args_list(args, "label", i)); i++)
		add_pair(labels, text);
	return rc;
}

int body_restart(struct args *args, json_object *to, struct err *err)
{
	const char *text = args_str(args, "restart", NULL);
	if (!text)
		return 0;
	const char *colon = strchr(text, ':');
	int64_t n = 0;
	if (colon && num_parse_range(colon + 1, 0, INT32_MAX, &n) < 0)
		return err_set(err, EINVAL, "--restart %s: the count must be a number", text);
	cleanup_free char *name = colon ? strndup(text, (size_t)(colon - text)) : strdup(text);
	json_object *o = json_object_new_object();
	json_add_str(o, "Name", name);
	json_add_i64(o, "MaximumRetryCount", n);
	json_add(to, "RestartPolicy", o);
	return 0;
}

void body_logging(struct args *args, json_object *to)
{
	json_object *log = json_object_new_object();
	json_add_str(log, "Type", args_str(args, "log-driver", ""));
	json_add(log, "Config", body_map(args, "log-opt"));
	json_add(to, "LogConfig", log);
}

char *body_path(const char *path)
{
	if (path[0] == '/')
		return strdup(path);
	char cwd[PATH_MAX];
	if (!getcwd(cwd, sizeof(cwd)))
		return NULL;
	struct strbuf b = STRBUF_INIT;
	strbuf_printf(&b, "%s/%s", cwd, path);
	return strbuf_take(&b);
}

int body_cpus(struct args *args, const char *flag, json_object *to, struct err *err)
{
	const char *cpus = args_str(args, flag, NULL);
	int64_t nano;
	if (!cpus)
		return 0;
	if (num_parse_nano(cpus, &nano) < 0)
		return err_set(err, EINVAL, "--%s takes a number such as 1.5, not \"%s\"", flag,
			       cpus);
	json_add_i64(to, "NanoCpus", nano);
	return 0;
}

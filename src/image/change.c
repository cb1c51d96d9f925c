/* SPDX-License-Identifier: Apache-2.0 */
/* change - see change.h. One row an instruction. The text is the client's; runs
 * in isola-image. Grammar: Docker's Dockerfile reference. */
#include "change.h"

#include "isola/fd.h"
#include "isola/json.h"
#include "isola/num.h"
#include "isola/path.h"
#include "isola/signo.h"
#include "isola/strbuf.h"
#include "words.h"

#include <ctype.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

typedef int apply_fn(json_object *config, const char *args, const struct words_scope *scope,
		     struct err *err);

static json_object *member(json_object *config, const char *key, json_object *(*new_fn)(void))
{
	json_object *o = json_get(config, key);
	if (!o) {
		o = new_fn();
		json_add(config, key, o);
	}
	return o;
}

/* ["a", "b"], or NULL when @args has not that form. */
static json_object *exec_form(const char *args)
{
	json_object *list = NULL;
	if (*args != '[' || json_parse(args, strlen(args), "arguments", &list, NULL) < 0)
		return NULL;
	for (size_t i = 0; i < json_len(list); i++)
		if (!json_object_is_type(json_object_array_get_idx(list, i), json_type_string)) {
			json_object_put(list);
			return NULL;
		}
	return list;
}

static json_object *new_list(const char *const *items, size_t n)
{
	json_object *list = json_object_new_array();
	for (size_t i = 0; i < n; i++)
		(void)json_object_array_add(list, json_object_new_string(items[i]));
	return list;
}

json_object *change_command(json_object *config, const char *args)
{
	json_object *list = exec_form(args), *shell = json_get(config, "Shell");
	const char *const sh[] = { "/bin/sh", "-c" };
	if (list)
		return list;
	list = json_len(shell) ? json_copy(shell) : new_list(sh, 2);
	(void)json_object_array_add(list, json_object_new_string(args));
	return list;
}

static int on_cmd(json_object *config, const char *args, const struct words_scope *scope,
		  struct err *err)
{
	(void)scope;
	(void)err;
	json_add(config, "Cmd", change_command(config, args));
	return 0;
}

static int on_entrypoint(json_object *config, const char *args, const struct words_scope *scope,
			 struct err *err)
{
	(void)scope;
	(void)err;
	json_add(config, "Entrypoint", change_command(config, args));
	return 0;
}

/* Replaces NAME's item in the config's Env, or adds one. */
static void set_env(json_object *env, const char *item)
{
	size_t n = strcspn(item, "=") + 1;
	for (size_t i = 0; i < json_len(env); i++)
		if (!strncmp(json_item_str(env, i), item, n)) {
			(void)json_object_array_put_idx(env, i, json_object_new_string(item));
			return;
		}
	(void)json_object_array_add(env, json_object_new_string(item));
}

/* NAME=VALUE words, or the old form NAME VALUE; an array of "NAME=VALUE". */
static int pairs(const struct words_scope *scope, const char *args, const char *what,
		 json_object **ret, struct err *err)
{
	cleanup_json json_object *words = NULL;
	int rc = words_split(args, scope, &words, err);
	if (rc < 0)
		return rc;
	if (json_len(words) == 0)
		return err_set(err, EINVAL, "%s needs NAME=VALUE", what);
	if (!strchr(json_item_str(words, 0), '=')) {
		cleanup_json json_object *rest = NULL;
		size_t n = strcspn(args, " \t");
		const char *value = args + n + strspn(args + n, " \t");
		if (!*value)
			return err_set(err, EINVAL, "%s %s: must be NAME=VALUE", what, args);
		rc = words_expand(value, scope, &rest, err);
		if (rc < 0)
			return rc;
		cleanup_strbuf struct strbuf b = STRBUF_INIT;
		strbuf_printf(&b, "%s=%s", json_item_str(words, 0), json_object_get_string(rest));
		const char *const one[] = { b.text ? b.text : "" };
		*ret = new_list(one, 1);
		return 0;
	}
	for (size_t i = 0; i < json_len(words); i++) {
		const char *eq = strchr(json_item_str(words, i), '=');
		if (!eq || eq == json_item_str(words, i))
			return err_set(err, EINVAL, "%s: \"%s\" must be NAME=VALUE", what,
				       json_item_str(words, i));
	}
	*ret = take_ptr(words);
	return 0;
}

static int on_env(json_object *config, const char *args, const struct words_scope *scope,
		  struct err *err)
{
	cleanup_json json_object *list = NULL;
	int rc = pairs(scope, args, "ENV", &list, err);
	json_object *env = rc < 0 ? NULL : member(config, "Env", json_object_new_array);
	for (size_t i = 0; i < json_len(list); i++)
		set_env(env, json_item_str(list, i));
	return rc;
}

static int on_label(json_object *config, const char *args, const struct words_scope *scope,
		    struct err *err)
{
	cleanup_json json_object *list = NULL;
	int rc = pairs(scope, args, "LABEL", &list, err);
	json_object *labels = rc < 0 ? NULL : member(config, "Labels", json_object_new_object);
	for (size_t i = 0; i < json_len(list); i++) {
		const char *item = json_item_str(list, i);
		cleanup_free char *name = strndup(item, strcspn(item, "="));
		if (!name)
			return err_set(err, ENOMEM, "out of memory");
		json_add_str(labels, name, item + strlen(name) + 1);
	}
	return rc;
}

static bool is_port(const char *text, size_t n)
{
	char buf[8];
	int64_t v = 0;
	if (n == 0 || n >= sizeof(buf))
		return false;
	memcpy(buf, text, n);
	buf[n] = '\0';
	return num_parse_range(buf, 1, 65535, &v) == 0;
}

/* "80", "80/udp", "8000-8010/tcp" */
static int expose_one(json_object *ports, const char *text, struct err *err)
{
	size_t n = strcspn(text, "/"), first = strcspn(text, "-/");
	const char *proto = text[n] ? text + n + 1 : "tcp";
	bool range = first < n;
	char key[64];
	if (!is_port(text, first) || (range && !is_port(text + first + 1, n - first - 1)) ||
	    (strcasecmp(proto, "tcp") && strcasecmp(proto, "udp") && strcasecmp(proto, "sctp")))
		return err_set(err, EINVAL, "EXPOSE: \"%.100s\" must be PORT[-PORT][/tcp|udp|sctp]",
			       text);
	(void)snprintf(key, sizeof(key), "%.*s/%s", (int)n, text, proto);
	for (char *p = key; *p; p++)
		*p = (char)tolower((unsigned char)*p);
	json_add(ports, key, json_object_new_object());
	return 0;
}

static int words_of(const struct words_scope *scope, const char *args, const char *what,
		    json_object **ret, struct err *err)
{
	int rc = words_split(args, scope, ret, err);
	if (rc == 0 && json_len(*ret) == 0)
		rc = err_set(err, EINVAL, "%s needs an argument", what);
	return rc;
}

static int on_expose(json_object *config, const char *args, const struct words_scope *scope,
		     struct err *err)
{
	cleanup_json json_object *list = NULL;
	struct words_scope ports = *scope;
	ports.split = true;
	int rc = words_of(&ports, args, "EXPOSE", &list, err);
	for (size_t i = 0; rc == 0 && i < json_len(list); i++)
		rc = expose_one(member(config, "ExposedPorts", json_object_new_object),
				json_item_str(list, i), err);
	return rc;
}

int change_list(const char *args, const struct words_scope *scope, json_object **ret,
		struct err *err)
{
	cleanup_json json_object *list = exec_form(args), *out = json_object_new_array();
	for (size_t i = 0; i < json_len(list); i++) {
		json_object *word = NULL;
		int rc = words_expand(json_item_str(list, i), scope, &word, err);
		if (rc < 0)
			return rc;
		(void)json_object_array_add(out, word);
	}
	if (!list)
		return 0;
	*ret = take_ptr(out);
	return 1;
}

static int on_volume(json_object *config, const char *args, const struct words_scope *scope,
		     struct err *err)
{
	cleanup_json json_object *list = NULL;
	int rc = change_list(args, scope, &list, err);
	if (rc == 0)
		rc = words_of(scope, args, "VOLUME", &list, err);
	for (size_t i = 0; rc >= 0 && i < json_len(list); i++) {
		if (!*json_item_str(list, i))
			return err_set(err, EINVAL, "VOLUME: a path is empty");
		json_add(member(config, "Volumes", json_object_new_object), json_item_str(list, i),
			 json_object_new_object());
	}
	return rc < 0 ? rc : 0;
}

static int one_word(const struct words_scope *scope, const char *args, const char *what,
		    json_object **ret, struct err *err)
{
	int rc = words_of(scope, args, what, ret, err);
	if (rc == 0 && json_len(*ret) != 1)
		rc = err_set(err, EINVAL, "%s takes one argument", what);
	return rc;
}

static int on_user(json_object *config, const char *args, const struct words_scope *scope,
		   struct err *err)
{
	cleanup_json json_object *list = NULL;
	int rc = one_word(scope, args, "USER", &list, err);
	if (rc == 0)
		json_add_str(config, "User", json_item_str(list, 0));
	return rc;
}

static int on_workdir(json_object *config, const char *args, const struct words_scope *scope,
		      struct err *err)
{
	cleanup_json json_object *dir = NULL;
	char joined[2 * PATH_MAX], clean[PATH_MAX];
	int rc = words_expand(args, scope, &dir, err);
	if (rc < 0)
		return rc;
	const char *text = json_object_get_string(dir);
	if (!*text)
		return err_set(err, EINVAL, "WORKDIR needs an argument");
	int n = snprintf(joined, sizeof(joined), "%s/%s",
			 *text == '/' ? "" : json_str_or(config, "WorkingDir", ""), text);
	if (joined[0] != '/' && n > 0 && n < (int)sizeof(joined) - 1) {
		memmove(joined + 1, joined, (size_t)n + 1);
		joined[0] = '/';
	}
	if (n >= (int)sizeof(joined) - 1 || path_clean(joined, clean, sizeof(clean)) < 0)
		return err_set(err, EINVAL, "WORKDIR: the path is too long");
	json_add_str(config, "WorkingDir", clean);
	return 0;
}

static int on_stopsignal(json_object *config, const char *args, const struct words_scope *scope,
			 struct err *err)
{
	cleanup_json json_object *list = NULL;
	int rc = one_word(scope, args, "STOPSIGNAL", &list, err);
	if (rc < 0)
		return rc;
	if (signo_parse(json_item_str(list, 0)) <= 0)
		return err_set(err, EINVAL, "STOPSIGNAL: unknown signal \"%.50s\"",
			       json_item_str(list, 0));
	json_add_str(config, "StopSignal", json_item_str(list, 0));
	return 0;
}

/* One "--name=value" of HEALTHCHECK. */
static int health_flag(json_object *health, const char *flag, size_t size, struct err *err)
{
	static const struct {
		const char *name, *key;
		bool number;
	} rows[] = {
		{ "--interval=", "Interval", false },
		{ "--timeout=", "Timeout", false },
		{ "--start-period=", "StartPeriod", false },
		{ "--start-interval=", "StartInterval", false },
		{ "--retries=", "Retries", true },
	};
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		size_t n = strlen(rows[i].name);
		if (size < n || strncmp(flag, rows[i].name, n) != 0)
			continue;
		cleanup_free char *value = strndup(flag + n, size - n);
		int64_t v = 0;
		if (!value)
			return err_set(err, ENOMEM, "out of memory");
		if ((rows[i].number ? num_parse_range(value, 0, INT_MAX, &v)
				    : num_parse_duration(value, &v)) < 0 ||
		    v < 0)
			return err_set(err, EINVAL, "HEALTHCHECK: bad value in %.*s", (int)size,
				       flag);
		json_add_i64(health, rows[i].key, v);
		return 0;
	}
	return err_set(err, EINVAL, "HEALTHCHECK: unknown flag %.*s", (int)size, flag);
}

static json_object *health_test(const char *kind, const char *args)
{
	json_object *list = *args ? exec_form(args) : NULL;
	const char *const shell[] = { "CMD-SHELL", args };
	const char *const one[] = { kind };
	if (!*args)
		return new_list(one, 1);
	if (!list)
		return new_list(shell, 2);
	json_object *test = new_list(one, 1);
	for (size_t i = 0; i < json_len(list); i++)
		(void)json_object_array_add(test, json_object_new_string(json_item_str(list, i)));
	json_object_put(list);
	return test;
}

static int on_healthcheck(json_object *config, const char *args, const struct words_scope *scope,
			  struct err *err)
{
	(void)scope;
	cleanup_json json_object *health = json_object_new_object();
	while (!strncmp(args, "--", 2)) {
		size_t n = strcspn(args, " \t");
		int rc = health_flag(health, args, n, err);
		if (rc < 0)
			return rc;
		args += n;
		args += strspn(args, " \t");
	}
	if (!strcasecmp(args, "NONE")) {
		json_add(health, "Test", health_test("NONE", ""));
	} else if (!strncasecmp(args, "CMD", 3) && isspace((unsigned char)args[3])) {
		args += 3;
		args += strspn(args, " \t");
		if (!*args)
			return err_set(err, EINVAL, "HEALTHCHECK CMD needs a command");
		json_add(health, "Test", health_test("CMD", args));
	} else {
		return err_set(err, EINVAL, "HEALTHCHECK: must be NONE or [FLAGS] CMD command");
	}
	json_add(config, "Healthcheck", json_object_get(health));
	return 0;
}

/* Kept as it stands, for whoever builds on the image. */
static int on_onbuild(json_object *config, const char *args, const struct words_scope *scope,
		      struct err *err)
{
	(void)scope;
	static const char *const refused[] = { "ONBUILD", "FROM", "MAINTAINER" };
	size_t n = strcspn(args, " \t");
	for (size_t i = 0; i < sizeof(refused) / sizeof(refused[0]); i++)
		if (strlen(refused[i]) == n && !strncasecmp(args, refused[i], n))
			return err_set(err, EINVAL, "ONBUILD %s is not allowed", refused[i]);
	(void)json_object_array_add(member(config, "OnBuild", json_object_new_array),
				    json_object_new_string(args));
	return 0;
}

static const struct {
	const char *name;
	apply_fn *apply;
} rows[] = {
	{ "CMD", on_cmd },         { "ENTRYPOINT", on_entrypoint },   { "ENV", on_env },
	{ "EXPOSE", on_expose },   { "HEALTHCHECK", on_healthcheck }, { "LABEL", on_label },
	{ "ONBUILD", on_onbuild }, { "STOPSIGNAL", on_stopsignal },   { "USER", on_user },
	{ "VOLUME", on_volume },   { "WORKDIR", on_workdir },
};

int change_instruction(json_object *config, const char *name, const char *args,
		       const struct words_scope *scope, struct err *err)
{
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		if (strcasecmp(name, rows[i].name) != 0)
			continue;
		if (!*args)
			return err_set(err, EINVAL, "%s needs an argument", rows[i].name);
		return rows[i].apply(config, args, scope, err);
	}
	return err_set(err, EINVAL,
		       "\"%.50s\" is not a supported instruction (CMD ENTRYPOINT ENV EXPOSE "
		       "HEALTHCHECK LABEL ONBUILD STOPSIGNAL USER VOLUME WORKDIR)",
		       name);
}

int change_apply(json_object *config, const char *instruction, struct err *err)
{
	const char *p = instruction + strspn(instruction, " \t");
	size_t n = strcspn(p, " \t");
	const char *args = p + n + strspn(p + n, " \t");
	const struct words_scope scope = { .env = json_get(config, "Env") };
	cleanup_free char *name = strndup(p, n);
	if (!name)
		return err_set(err, ENOMEM, "out of memory");
	int rc = change_instruction(config, name, args, &scope, err);
	return rc < 0 ? err_prefix(err, "--change") : 0;
}

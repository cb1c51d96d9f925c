/* SPDX-License-Identifier: Apache-2.0 */
/* build_scope - variables of a build: ENV before ARG, an ARG's value from the client
 * before its default, one from before the first FROM when a stage declares it without
 * (Docker's Dockerfile reference, "ARG"). Runs in isola-image. */
#include "build_priv.h"

#include "isola/fd.h"
#include "isola/json.h"

#include <ctype.h>
#include <errno.h>
#include <string.h>

static const char *const proxies[] = {
	"HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy", "FTP_PROXY",
	"ftp_proxy",  "NO_PROXY",   "no_proxy",    "ALL_PROXY",   "all_proxy",
};

static const char *given(const struct build *b, const char *name)
{
	return json_str_or(json_get(b->spec, "args"), name, NULL);
}

static bool in_env(const struct build *b, const char *name)
{
	json_object *env = json_get(b->config, "Env");
	size_t n = strlen(name);
	for (size_t i = 0; i < json_len(env); i++)
		if (!strncmp(json_item_str(env, i), name, n) && json_item_str(env, i)[n] == '=')
			return true;
	return false;
}

static void add_pair(json_object *list, const char *name, const char *value)
{
	cleanup_strbuf struct strbuf b = STRBUF_INIT;
	strbuf_printf(&b, "%s=%s", name, value);
	if (strbuf_ok(&b))
		(void)json_object_array_add(list, json_object_new_string(b.text));
}

static void add_args(json_object *list, json_object *args)
{
	json_object_object_foreach (args, name, value)
		if (value)
			add_pair(list, name, json_object_get_string(value));
}

void scope_of(const struct build *b, struct words_scope *ret)
{
	json_object *env = json_object_new_array(), *own = json_get(b->config, "Env");
	*ret = (struct words_scope){ .env = env, .escape = b->file.escape };
	if (!b->staged) {
		add_args(env, b->globals);
		return;
	}
	for (size_t i = 0; i < json_len(own); i++)
		(void)json_object_array_add(env, json_object_new_string(json_item_str(own, i)));
	add_args(env, b->args);
	for (size_t i = 0; i < sizeof(proxies) / sizeof(proxies[0]); i++)
		if (given(b, proxies[i]))
			add_pair(env, proxies[i], given(b, proxies[i]));
}

int scope_expand(const struct build *b, const char *text, char **ret, struct err *err)
{
	struct words_scope scope;
	json_object *word = NULL;
	scope_of(b, &scope);
	int rc = words_expand(text, &scope, &word, err);
	json_object_put(scope.env);
	if (rc < 0)
		return rc;
	*ret = strdup(json_object_get_string(word));
	json_object_put(word);
	return *ret ? 0 : err_set(err, ENOMEM, "out of memory");
}

/* ---- ARG ---- */

static bool is_name(const char *text)
{
	if (!isalpha((unsigned char)*text) && *text != '_')
		return false;
	for (; *text; text++)
		if (!isalnum((unsigned char)*text) && *text != '_')
			return false;
	return true;
}

/* "NAME" or "NAME=DEFAULT". */
static int declare(struct build *b, const char *word, struct err *err)
{
	size_t n = strcspn(word, "=");
	cleanup_free char *name = strndup(word, n);
	if (!name)
		return err_set(err, ENOMEM, "out of memory");
	if (!is_name(name))
		return err_set(err, EINVAL, "ARG: \"%.100s\" is no name of a variable", name);
	json_object *to = b->staged ? b->args : b->globals;
	const char *value = given(b, name);
	if (value)
		json_add_bool(b->used, name, true);
	if (!value && word[n])
		value = word + n + 1;
	if (!value && b->staged)
		value = json_str_or(b->globals, name, NULL);
	/* Declared again without a value it keeps the one it has. */
	if (!value && json_get(to, name))
		return 0;
	json_add(to, name, value ? json_object_new_string(value) : NULL);
	return 0;
}

int scope_arg(struct build *b, const struct step *s, char **ret_text, struct err *err)
{
	cleanup_strbuf struct strbuf text = STRBUF_INIT;
	cleanup_json json_object *words = NULL;
	struct words_scope scope;
	scope_of(b, &scope);
	int rc = words_split(s->args, &scope, &words, err);
	json_object_put(scope.env);
	strbuf_puts(&text, "ARG");
	for (size_t i = 0; rc == 0 && i < json_len(words); i++) {
		strbuf_printf(&text, " %s", json_item_str(words, i));
		rc = declare(b, json_item_str(words, i), err);
	}
	if (rc < 0)
		return rc;
	*ret_text = strbuf_take(&text);
	return *ret_text ? 0 : err_set(err, ENOMEM, "out of memory");
}

static int by_text(const void *a, const void *b)
{
	json_object *const *x = a, *const *y = b;
	return strcmp(json_object_get_string(*x), json_object_get_string(*y));
}

json_object *scope_args(struct build *b, bool all)
{
	json_object *list = json_object_new_array();
	json_object_object_foreach (b->args, name, value)
		if (value && !in_env(b, name))
			add_pair(list, name, json_object_get_string(value));
	for (size_t i = 0; i < sizeof(proxies) / sizeof(proxies[0]); i++) {
		const char *proxy = proxies[i];
		if (!given(b, proxy))
			continue;
		json_add_bool(b->used, proxy, true);
		if (all && !json_get(b->args, proxy) && !in_env(b, proxy))
			add_pair(list, proxy, given(b, proxy));
	}
	json_object_array_sort(list, by_text);
	return list;
}

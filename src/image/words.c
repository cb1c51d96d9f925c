/* SPDX-License-Identifier: Apache-2.0 */
/* words - see words.h. Foreign text: bounded in depth and in what comes out. */
#include "words.h"

#include "isola/fd.h"
#include "isola/json.h"
#include "isola/strbuf.h"

#include <ctype.h>
#include <errno.h>
#include <stdbool.h>
#include <string.h>

#define DEPTH_MAX 16                /* of ${a:-${b:-...}} */
#define BYTES_MAX (4 * 1024 * 1024) /* of all words */

struct reader {
	const char *p;
	const struct words_scope *scope;
	struct strbuf word;
	bool in_word;      /* also for "" */
	json_object *list; /* NULL: all is one word */
	unsigned int depth;
	size_t bytes; /* in list */
};

static bool is_name(char c)
{
	return isalnum((unsigned char)c) || c == '_';
}

static char escape_of(const struct reader *r)
{
	return r->scope->escape ? r->scope->escape : '\\';
}

/* NULL: there is none. */
static const char *env_value(json_object *env, const char *name, size_t n)
{
	for (size_t i = 0; i < json_len(env); i++) {
		const char *item = json_item_str(env, i);
		if (!strncmp(item, name, n) && item[n] == '=')
			return item + n + 1;
	}
	return NULL;
}

static int take_word(struct reader *r, json_object **ret, struct err *err)
{
	size_t size = r->word.len;
	char *text = strbuf_take(&r->word);
	if (!text)
		return err_set(err, ENOMEM, "out of memory");
	*ret = json_object_new_string_len(text, (int)size);
	free(text);
	r->bytes += size + 1;
	r->in_word = false;
	return 0;
}

static int end_word(struct reader *r, struct err *err)
{
	json_object *word = NULL;
	if (!r->in_word)
		return 0;
	int rc = take_word(r, &word, err);
	if (rc == 0)
		(void)json_object_array_add(r->list, word);
	return rc;
}

static int check_size(const struct reader *r, struct err *err)
{
	if (r->word.len + r->bytes > BYTES_MAX)
		return err_set(err, E2BIG, "its variables become more than %d bytes", BYTES_MAX);
	return 0;
}

static int add_value(struct reader *r, const char *value, bool quoted, struct err *err)
{
	int rc = 0;
	if (!r->scope->split || !r->list || quoted || r->depth) {
		strbuf_puts(&r->word, value);
		return check_size(r, err);
	}
	for (; rc == 0 && *value; value++) {
		if (isspace((unsigned char)*value)) {
			rc = end_word(r, err);
		} else {
			strbuf_putc(&r->word, *value);
			r->in_word = true;
		}
	}
	return rc < 0 ? rc : check_size(r, err);
}

static int step(struct reader *r, struct err *err);

/* The word of ${NAME:-word}, up to the brace, which stays; @keep: it counts. */
static int word_of(struct reader *r, bool keep, char **ret_text, struct err *err)
{
	struct strbuf outer = r->word;
	bool in_word = r->in_word;
	int rc = 0;
	r->word = (struct strbuf)STRBUF_INIT;
	if (++r->depth > DEPTH_MAX)
		rc = err_set(err, EINVAL, "${...} is nested more than %d times", DEPTH_MAX);
	while (rc == 0 && *r->p && *r->p != '}')
		rc = step(r, err);
	if (rc == 0 && !*r->p)
		rc = err_set(err, EINVAL, "a ${...} is not closed");
	r->depth--;
	char *text = strbuf_take(&r->word);
	r->word = outer;
	r->in_word = in_word;
	if (rc == 0 && !text)
		rc = err_set(err, ENOMEM, "out of memory");
	if (rc == 0 && keep)
		*ret_text = take_ptr(text);
	free(text);
	return rc;
}

/* Behind the name in ${NAME: a modifier and a word. */
static int modified(struct reader *r, const char *name, size_t n, bool quoted, struct err *err)
{
	const char *value = env_value(r->scope->env, name, n), *start = r->p;
	bool colon = *r->p == ':';
	r->p += colon;
	char modifier = *r->p;
	if (!modifier)
		return err_set(err, EINVAL, "a ${...} is not closed");
	if (!strchr("-+?", modifier))
		return err_set(err, EINVAL, "unsupported modifier in substitution: ${%.*s%.20s",
			       (int)(n > 50 ? 50 : n), name, start);
	r->p++;
	bool set = value && (!colon || *value);
	cleanup_free char *word = NULL;
	int rc = word_of(r, true, &word, err);
	if (rc < 0)
		return rc;
	r->p++;
	if (modifier == '?' && !set)
		return err_set(err, EINVAL, "%.*s: %.200s", (int)(n > 50 ? 50 : n), name,
			       *word ? word : "not set");
	const char *result = modifier == '+' ? (set ? word : "") : (set ? value : word);
	return add_value(r, modifier == '?' ? value : result, quoted, err);
}

/* At a '$'. */
static int variable(struct reader *r, bool quoted, struct err *err)
{
	const char *name = r->p + 1;
	bool braces = *name == '{';
	size_t n = 0;
	name += braces;
	/* "$1" is the first argument, of which there is none. */
	if (isdigit((unsigned char)*name))
		n = 1;
	else
		while (is_name(name[n]))
			n++;
	if (braces && n == 0)
		return err_set(err, EINVAL, "\"%.50s\": bad substitution", r->p);
	if (n == 0) {
		strbuf_putc(&r->word, *r->p++);
		return 0;
	}
	r->p = name + n;
	if (braces && *r->p != '}')
		return modified(r, name, n, quoted, err);
	r->p += braces;
	const char *value = env_value(r->scope->env, name, n);
	return value ? add_value(r, value, quoted, err) : 0;
}

static int quoted(struct reader *r, struct err *err)
{
	char quote = *r->p++, escape = escape_of(r);
	r->in_word = true;
	while (*r->p != quote) {
		int rc = 0;
		if (!*r->p)
			return err_set(err, EINVAL, "a quote (%c) is not closed", quote);
		if (quote == '"' && *r->p == '$') {
			rc = variable(r, true, err);
		} else {
			if (quote == '"' && *r->p == escape && r->p[1] &&
			    (strchr("\"$", r->p[1]) || r->p[1] == escape))
				r->p++;
			strbuf_putc(&r->word, *r->p++);
		}
		if (rc < 0)
			return rc;
	}
	r->p++;
	return 0;
}

/* One character or more of a word. */
static int step(struct reader *r, struct err *err)
{
	if (*r->p == '\'' || *r->p == '"')
		return quoted(r, err);
	if (*r->p == '$') {
		/* Without splitting "$EMPTY" is a word, too. */
		r->in_word |= !r->scope->split;
		return variable(r, false, err);
	}
	r->in_word = true;
	if (*r->p == escape_of(r) && r->p[1])
		r->p++;
	strbuf_putc(&r->word, *r->p++);
	return 0;
}

int words_split(const char *text, const struct words_scope *scope, json_object **ret,
		struct err *err)
{
	cleanup_json json_object *list = json_object_new_array();
	struct reader r = { .p = text, .scope = scope, .list = list };
	int rc = 0;
	while (rc == 0 && *r.p) {
		if (isspace((unsigned char)*r.p)) {
			rc = end_word(&r, err);
			r.p++;
		} else {
			rc = step(&r, err);
		}
	}
	if (rc == 0)
		rc = end_word(&r, err);
	strbuf_fini(&r.word);
	if (rc == 0)
		*ret = take_ptr(list);
	return rc;
}

int words_expand(const char *text, const struct words_scope *scope, json_object **ret,
		 struct err *err)
{
	struct reader r = { .p = text, .scope = scope };
	int rc = 0;
	while (rc == 0 && *r.p)
		rc = step(&r, err);
	if (rc == 0)
		rc = take_word(&r, ret, err);
	strbuf_fini(&r.word);
	return rc;
}

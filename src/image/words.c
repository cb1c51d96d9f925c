/* SPDX-License-Identifier: Apache-2.0 */
/* words - see words.h. */
#include "words.h"

#include "isola/fd.h"
#include "isola/json.h"
#include "isola/strbuf.h"

#include <ctype.h>
#include <errno.h>
#include <stdbool.h>
#include <string.h>

struct reader {
	const char *p;
	json_object *env;
	struct strbuf word;
	bool in_word; /* also for "" */
};

static bool is_name(char c)
{
	return isalnum((unsigned char)c) || c == '_';
}

static const char *env_value(json_object *env, const char *name, size_t n)
{
	for (size_t i = 0; i < json_len(env); i++) {
		const char *item = json_item_str(env, i);
		if (!strncmp(item, name, n) && item[n] == '=')
			return item + n + 1;
	}
	return "";
}

/* At a '$'. */
static int variable(struct reader *r, struct err *err)
{
	const char *name = r->p + 1;
	bool braces = *name == '{';
	size_t n = 0;
	name += braces;
	while (is_name(name[n]))
		n++;
	if (braces && (n == 0 || name[n] != '}'))
		return err_set(err, EINVAL, "\"%.50s\": only $NAME and ${NAME} are replaced", r->p);
	if (n == 0) {
		strbuf_putc(&r->word, *r->p++);
		return 0;
	}
	strbuf_puts(&r->word, env_value(r->env, name, n));
	r->p = name + n + (braces ? 1 : 0);
	return 0;
}

static int quoted(struct reader *r, struct err *err)
{
	char quote = *r->p++;
	while (*r->p != quote) {
		int rc = 0;
		if (!*r->p)
			return err_set(err, EINVAL, "a quote (%c) is not closed", quote);
		if (quote == '"' && *r->p == '$') {
			rc = variable(r, err);
		} else {
			if (quote == '"' && *r->p == '\\' && r->p[1] && strchr("\"$\\", r->p[1]))
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
	r->in_word = true;
	switch (*r->p) {
	case '\'':
	case '"':
		return quoted(r, err);
	case '$':
		return variable(r, err);
	case '\\':
		if (r->p[1])
			r->p++;
		break;
	default:
		break;
	}
	strbuf_putc(&r->word, *r->p++);
	return 0;
}

static int take_word(struct reader *r, json_object **ret, struct err *err)
{
	char *text = strbuf_take(&r->word);
	if (!text)
		return err_set(err, ENOMEM, "out of memory");
	*ret = json_object_new_string(text);
	free(text);
	r->in_word = false;
	return 0;
}

int words_split(const char *text, json_object *env, json_object **ret, struct err *err)
{
	struct reader r = { .p = text, .env = env };
	cleanup_json json_object *list = json_object_new_array();
	int rc = 0;
	for (;;) {
		bool space = isspace((unsigned char)*r.p);
		if ((space || !*r.p) && r.in_word) {
			json_object *word = NULL;
			rc = take_word(&r, &word, err);
			(void)json_object_array_add(list, word);
		}
		if (rc < 0 || !*r.p)
			break;
		if (space)
			r.p++;
		else
			rc = step(&r, err);
		if (rc < 0)
			break;
	}
	strbuf_fini(&r.word);
	if (rc == 0)
		*ret = take_ptr(list);
	return rc;
}

int words_expand(const char *text, json_object *env, json_object **ret, struct err *err)
{
	struct reader r = { .p = text, .env = env };
	int rc = 0;
	while (rc == 0 && *r.p)
		rc = step(&r, err);
	if (rc == 0)
		rc = take_word(&r, ret, err);
	strbuf_fini(&r.word);
	return rc;
}

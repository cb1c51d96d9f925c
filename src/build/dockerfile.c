/* SPDX-License-Identifier: Apache-2.0 */
/* dockerfile - see isola/dockerfile.h. Foreign text: runs in isola-image's jail.
 * Rules: Docker's Dockerfile reference, "Format" and "Parser directives". */
#include "isola/dockerfile.h"

#include "isola/fd.h"
#include "isola/strbuf.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum { F_FROM = 1, F_CHOWN = 2, F_CHMOD = 4, F_PLATFORM = 8, F_OWN = 16 };

static const struct {
	const char *name;
	unsigned int flags; /* F_OWN: the instruction reads them itself */
	bool heredoc;       /* where BuildKit would read a here document */
} rows[] = {
	[INSTR_ADD] = { "ADD", F_CHOWN | F_CHMOD, true },
	[INSTR_ARG] = { "ARG", 0, false },
	[INSTR_CMD] = { "CMD", F_OWN, false },
	[INSTR_COPY] = { "COPY", F_FROM | F_CHOWN | F_CHMOD, true },
	[INSTR_ENTRYPOINT] = { "ENTRYPOINT", F_OWN, false },
	[INSTR_ENV] = { "ENV", 0, false },
	[INSTR_EXPOSE] = { "EXPOSE", 0, false },
	[INSTR_FROM] = { "FROM", F_PLATFORM, false },
	[INSTR_HEALTHCHECK] = { "HEALTHCHECK", F_OWN, false },
	[INSTR_LABEL] = { "LABEL", 0, false },
	[INSTR_MAINTAINER] = { "MAINTAINER", 0, false },
	[INSTR_ONBUILD] = { "ONBUILD", F_OWN, false },
	[INSTR_RUN] = { "RUN", 0, true },
	[INSTR_SHELL] = { "SHELL", 0, false },
	[INSTR_STOPSIGNAL] = { "STOPSIGNAL", 0, false },
	[INSTR_USER] = { "USER", 0, false },
	[INSTR_VOLUME] = { "VOLUME", 0, false },
	[INSTR_WORKDIR] = { "WORKDIR", 0, false },
};

#define N_ROWS (sizeof(rows) / sizeof(rows[0]))

struct reader {
	const char *p, *end;
	unsigned int line; /* of the line read last */
	const char *name;
	bool trigger;
	struct dockerfile *d;
};

/* ---- lines ---- */

/* The next line without its end: its bytes are borrowed. */
static bool next_line(struct reader *r, const char **ret, size_t *ret_size)
{
	if (r->p == r->end)
		return false;
	const char *nl = memchr(r->p, '\n', (size_t)(r->end - r->p));
	const char *stop = nl ? nl : r->end;
	*ret = r->p;
	*ret_size = (size_t)(stop - r->p);
	if (*ret_size > 0 && (*ret)[*ret_size - 1] == '\r')
		(*ret_size)--;
	r->p = nl ? nl + 1 : r->end;
	r->line++;
	return true;
}

static void trim_left(const char **text, size_t *size)
{
	while (*size > 0 && isspace((unsigned char)**text)) {
		(*text)++;
		(*size)--;
	}
}

static bool is_comment(const char *text, size_t size)
{
	trim_left(&text, &size);
	return size > 0 && *text == '#';
}

static bool is_blank(const char *text, size_t size)
{
	trim_left(&text, &size);
	return size == 0;
}

/* Does the line go on? Then *@size is what stands before the escape. */
static bool continues(char escape, const char *text, size_t *size)
{
	size_t n = *size;
	while (n > 0 && (text[n - 1] == ' ' || text[n - 1] == '\t'))
		n--;
	if (n == 0 || text[n - 1] != escape || (n > 1 && text[n - 2] == escape))
		return false;
	*size = n - 1;
	return true;
}

/* ---- directives ---- */

static bool is_word(const char *text, size_t size, const char *word)
{
	return size == strlen(word) && !strncasecmp(text, word, size);
}

/* "# key=value": 1, 0 when the line is no directive, which ends them. */
static int directive(struct reader *r, const char *text, size_t size, bool *seen, struct err *err)
{
	trim_left(&text, &size);
	if (size == 0 || *text != '#')
		return 0;
	text++;
	size--;
	trim_left(&text, &size);
	size_t n = 0;
	while (n < size && (isalnum((unsigned char)text[n]) || text[n] == '_' || text[n] == '-'))
		n++;
	const char *value = text + n;
	size_t left = size - n;
	trim_left(&value, &left);
	if (n == 0 || left == 0 || *value != '=')
		return 0;
	value++;
	left--;
	trim_left(&value, &left);
	while (left > 0 && isspace((unsigned char)value[left - 1]))
		left--;
	if (!is_word(text, n, "escape"))
		return 1;
	if (*seen)
		return err_set(err, EINVAL, "%s:%u: only one escape parser directive can be used",
			       r->name, r->line);
	if (left != 1 || (*value != '\\' && *value != '`'))
		return err_set(err, EINVAL, "%s:%u: invalid escape \"%.*s\": it must be \\ or `",
			       r->name, r->line, (int)(left > 20 ? 20 : left), value);
	*seen = true;
	r->d->escape = *value;
	return 1;
}

static int directives(struct reader *r, struct err *err)
{
	bool seen = false;
	for (;;) {
		struct reader before = *r;
		const char *text = NULL;
		size_t size = 0;
		if (!next_line(r, &text, &size))
			return 0;
		int rc = directive(r, text, size, &seen, err);
		if (rc < 0)
			return rc;
		if (rc == 0) {
			r->p = before.p;
			r->line = before.line;
			return 0;
		}
	}
}

/* ---- flags ---- */

static char **flag_place(struct step *s, const char *name, size_t size)
{
	const struct {
		const char *name;
		unsigned int bit;
		char **place;
	} flags[] = {
		{ "from", F_FROM, &s->from },
		{ "chown", F_CHOWN, &s->chown },
		{ "chmod", F_CHMOD, &s->chmod },
		{ "platform", F_PLATFORM, &s->platform },
	};
	for (size_t i = 0; i < sizeof(flags) / sizeof(flags[0]); i++)
		if (rows[s->kind].flags & flags[i].bit && is_word(name, size, flags[i].name))
			return flags[i].place;
	return NULL;
}

/* At "--": takes one off. */
static int flag(struct step *s, const char **p, struct err *err)
{
	const char *name = *p + 2;
	size_t size = strcspn(name, " \t"), n = strcspn(name, "= \t");
	char **place = flag_place(s, name, n);
	if (!place)
		return err_set(err, EINVAL, "%s --%.*s is not supported", s->name,
			       (int)(n > 50 ? 50 : n), name);
	if (*place)
		return err_set(err, EINVAL, "%s --%.*s is given twice", s->name, (int)n, name);
	if (n + 1 >= size)
		return err_set(err, EINVAL, "%s --%.*s needs a value: --%.*s=...", s->name, (int)n,
			       name, (int)n, name);
	*place = strndup(name + n + 1, size - n - 1);
	if (!*place)
		return err_set(err, ENOMEM, "out of memory");
	*p = name + size;
	*p += strspn(*p, " \t");
	return 0;
}

static int flags(struct step *s, const char **p, struct err *err)
{
	if (rows[s->kind].flags & F_OWN)
		return 0;
	while (!strncmp(*p, "--", 2) && (*p)[2]) {
		if (isspace((unsigned char)(*p)[2])) {
			*p += 2;
			*p += strspn(*p, " \t");
			return 0;
		}
		int rc = flag(s, p, err);
		if (rc < 0)
			return rc;
	}
	return 0;
}

/* ---- what may come where ---- */

/* A word "<<EOF", "<<-EOF", "3<<EOF" outside of quotes. */
static bool has_heredoc(const char *text, char escape)
{
	char quote = '\0';
	bool start = true;
	for (const char *p = text; *p; p++) {
		if (quote) {
			quote = *p == quote ? '\0' : quote;
			continue;
		}
		if (start) {
			const char *q = p + strspn(p, "0123456789");
			if (!strncmp(q, "<<", 2) && q[2] != '<') {
				q += q[2] == '-' ? 3 : 2;
				q += *q == '"' || *q == '\'';
				if (isalpha((unsigned char)*q) || *q == '_')
					return true;
			}
		}
		start = isspace((unsigned char)*p);
		if (*p == '\'' || *p == '"')
			quote = *p;
		else if (*p == escape && p[1])
			p++;
	}
	return false;
}

static int check_place(const struct reader *r, const struct step *s, struct err *err)
{
	bool staged = r->trigger;
	for (size_t i = 0; !staged && i < r->d->n; i++)
		staged = r->d->steps[i].kind == INSTR_FROM;
	if (!staged && s->kind != INSTR_FROM && s->kind != INSTR_ARG)
		return err_set(err, EINVAL,
			       "no build stage in current context: the first instruction must be "
			       "FROM (or ARG)");
	if (r->trigger &&
	    (s->kind == INSTR_FROM || s->kind == INSTR_MAINTAINER || s->kind == INSTR_ONBUILD))
		return err_set(err, EINVAL, "ONBUILD %s is not allowed", s->name);
	return 0;
}

static int check_args(const struct reader *r, const struct step *s, struct err *err)
{
	if (!*s->args)
		return err_set(err, EINVAL, "%s requires at least one argument", s->name);
	if (rows[s->kind].heredoc && has_heredoc(s->args, r->d->escape))
		return err_set(err, EINVAL,
			       "%s: here documents (<<EOF) are not supported: put the text in a "
			       "file, or in a quoted argument",
			       s->name);
	if (s->kind == INSTR_FROM) {
		char *image = NULL, *as = NULL;
		int rc = dockerfile_from(s->args, &image, &as, err);
		free(image);
		free(as);
		return rc;
	}
	return 0;
}

/* ---- one instruction ---- */

static int find_row(const char *text, size_t size)
{
	for (size_t i = 0; i < N_ROWS; i++)
		if (is_word(text, size, rows[i].name))
			return (int)i;
	return -1;
}

static void step_fini(struct step *s)
{
	free(s->text);
	free(s->args);
	free(s->from);
	free(s->chown);
	free(s->chmod);
	free(s->platform);
}

static int fill_step(const struct reader *r, struct step *s, const char *text, struct err *err)
{
	size_t n = strcspn(text, " \t");
	int row = find_row(text, n);
	if (row < 0)
		return err_set(err, EINVAL, "unknown instruction: %.*s", (int)(n > 50 ? 50 : n),
			       text);
	s->kind = (enum instruction)row;
	s->name = rows[row].name;
	const char *p = text + n + strspn(text + n, " \t");
	int rc = flags(s, &p, err);
	if (rc < 0)
		return rc;
	s->text = strdup(text);
	s->args = strdup(p);
	if (!s->text || !s->args)
		return err_set(err, ENOMEM, "out of memory");
	rc = check_place(r, s, err);
	return rc < 0 ? rc : check_args(r, s, err);
}

static int add_step(struct reader *r, char *text, unsigned int line, struct err *err)
{
	struct dockerfile *d = r->d;
	struct step s = { .line = line };
	size_t n = strlen(text);
	while (n > 0 && isspace((unsigned char)text[n - 1]))
		text[--n] = '\0';
	if (n == 0)
		return 0;
	if (d->n == DOCKERFILE_STEPS_MAX)
		return err_set(err, E2BIG, "%s:%u: more than %d instructions", r->name, line,
			       DOCKERFILE_STEPS_MAX);
	int rc = fill_step(r, &s, text, err);
	struct step *more = rc < 0 ? NULL : realloc(d->steps, (d->n + 1) * sizeof(*more));
	if (rc == 0 && !more)
		rc = err_set(err, ENOMEM, "out of memory");
	if (rc < 0) {
		step_fini(&s);
		return err_prefix(err, "%s:%u", r->name, line);
	}
	d->steps = more;
	d->steps[d->n++] = s;
	return 0;
}

/* From its first line to the one that does not go on. Comments and blank lines in
 * between are no part of it. */
static int read_instruction(struct reader *r, const char *text, size_t size, struct err *err)
{
	cleanup_strbuf struct strbuf b = STRBUF_INIT;
	unsigned int first = r->line;
	trim_left(&text, &size);
	for (;;) {
		bool more = continues(r->d->escape, text, &size);
		strbuf_add(&b, text, size);
		while (more && (more = next_line(r, &text, &size)))
			if (!is_comment(text, size) && !is_blank(text, size))
				break;
		if (!more)
			break;
	}
	char *whole = strbuf_take(&b);
	if (!whole)
		return err_set(err, ENOMEM, "out of memory");
	int rc = add_step(r, whole, first, err);
	free(whole);
	return rc;
}

static int read_all(struct reader *r, struct err *err)
{
	const char *text = NULL;
	size_t size = 0;
	int rc = 0;
	while (rc == 0 && next_line(r, &text, &size))
		if (!is_comment(text, size) && !is_blank(text, size))
			rc = read_instruction(r, text, size, err);
	return rc;
}

int dockerfile_parse(const char *text, size_t size, const char *name, struct dockerfile *ret,
		     struct err *err)
{
	struct reader r = { .p = text, .end = text + size, .name = name, .d = ret };
	ret->escape = '\\';
	if (size > DOCKERFILE_BYTES_MAX)
		return err_set(err, EFBIG, "%s: it has more than %lu bytes", name,
			       DOCKERFILE_BYTES_MAX);
	if (memchr(text, '\0', size))
		return err_set(err, EINVAL, "%s: it is not a text: there is a NUL byte", name);
	if (size >= 3 && !memcmp(text, "\xef\xbb\xbf", 3))
		r.p += 3;
	int rc = directives(&r, err);
	if (rc == 0)
		rc = read_all(&r, err);
	bool staged = false;
	for (size_t i = 0; i < ret->n; i++)
		staged |= ret->steps[i].kind == INSTR_FROM;
	if (rc == 0 && ret->n == 0)
		rc = err_set(err, EINVAL, "the Dockerfile (%s) cannot be empty", name);
	else if (rc == 0 && !staged)
		rc = err_set(err, EINVAL, "%s: it has no FROM: there is nothing to build", name);
	return rc;
}

int dockerfile_parse_trigger(const char *text, const char *name, char escape,
			     struct dockerfile *ret, struct err *err)
{
	struct reader r = { .name = name, .trigger = true, .d = ret };
	cleanup_free char *copy = strdup(text);
	ret->escape = escape;
	if (!copy)
		return err_set(err, ENOMEM, "out of memory");
	for (char *p = copy; *p; p++)
		if (*p == '\n')
			*p = ' ';
	int rc = add_step(&r, copy, 1, err);
	return rc == 0 && ret->n == 0 ? err_set(err, EINVAL, "%s: an ONBUILD is empty", name) : rc;
}

void dockerfile_fini(struct dockerfile *d)
{
	for (size_t i = 0; i < d->n; i++)
		step_fini(&d->steps[i]);
	free(d->steps);
	*d = (struct dockerfile){ 0 };
}

/* ---- FROM ---- */

static bool is_stage_name(const char *text, size_t size)
{
	if (size == 0 || !isalpha((unsigned char)*text))
		return false;
	for (size_t i = 0; i < size; i++)
		if (!isalnum((unsigned char)text[i]) && !strchr("-_.", text[i]))
			return false;
	return true;
}

int dockerfile_from(const char *args, char **ret_image, char **ret_as, struct err *err)
{
	const char *word[4];
	size_t size[4], n = 0;
	for (const char *p = args; *p && n < 4; p += strspn(p, " \t")) {
		word[n] = p;
		size[n] = strcspn(p, " \t");
		p += size[n++];
	}
	if (n != 1 && (n != 3 || !is_word(word[1], size[1], "as")))
		return err_set(err, EINVAL,
			       "FROM requires either one or three arguments: FROM "
			       "IMAGE [AS NAME]");
	if (n == 3 && !is_stage_name(word[2], size[2]))
		return err_set(err, EINVAL,
			       "invalid name for build stage: \"%.*s\", name can't start with a "
			       "number or contain symbols",
			       (int)(size[2] > 100 ? 100 : size[2]), word[2]);
	char *image = strndup(word[0], size[0]), *as = n == 3 ? strndup(word[2], size[2]) : NULL;
	if (!image || (n == 3 && !as)) {
		free(image);
		free(as);
		return err_set(err, ENOMEM, "out of memory");
	}
	for (char *p = as; p && *p; p++)
		*p = (char)tolower((unsigned char)*p);
	*ret_image = image;
	*ret_as = as;
	return 0;
}

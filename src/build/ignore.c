/* SPDX-License-Identifier: Apache-2.0 */
/* ignore - see isola/ignore.h. Foreign text: bounded, and the time for a match too:
 * a pattern is walked with the set of its places that the text so far can be at,
 * not by trying. */
#include "isola/ignore.h"

#include "isola/fd.h"
#include "isola/path.h"

#include <ctype.h>
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#define PATTERNS_MAX 10000
#define TOKENS_MAX   1024

enum token_kind { CHAR, ANY, STAR, DEEP, SET };

struct token {
	enum token_kind kind;
	unsigned char c;
	const char *set; /* behind the '[' */
	/* DEEP: also the slash behind it may be missing ("**" + "/x" matches "x"). */
	bool slash;
};

struct pattern {
	char *text; /* clean; owned */
	bool back;
};

struct ignore {
	struct pattern *items;
	size_t n;
	bool back;
};

/* ---- one pattern ---- */

/* Behind '[': the place behind ']', NULL when there is none. */
static const char *set_end(const char *p)
{
	if (*p == '^')
		p++;
	bool any = false;
	while (*p && (*p != ']' || !any)) {
		/* An empty set and a range without an end are malformed in Go. */
		if (*p == ']' || *p == '-')
			return NULL;
		for (int i = 0; i < 2; i++) {
			if (*p == '\\' && p[1])
				p++;
			if (!*p || (*p == ']' && i))
				return NULL;
			p++;
			if (i || *p != '-')
				break;
			p++;
		}
		any = true;
	}
	return *p == ']' ? p + 1 : NULL;
}

static unsigned char set_char(const char **p)
{
	if (**p == '\\')
		(*p)++;
	return (unsigned char)*(*p)++;
}

static bool in_set(const char *p, unsigned char c)
{
	bool negated = *p == '^', found = false;
	if (negated)
		p++;
	while (*p && *p != ']') {
		unsigned char low = set_char(&p), high = low;
		if (*p == '-') {
			p++;
			high = set_char(&p);
		}
		found |= c >= low && c <= high;
	}
	return found != negated && c != '/';
}

static int tokens_of(const char *pattern, bool deep, struct token *ret)
{
	size_t n = 0;
	for (const char *p = pattern; *p;) {
		struct token t = { .kind = CHAR };
		if (n == TOKENS_MAX)
			return -EINVAL;
		if (deep && p[0] == '*' && p[1] == '*') {
			t.kind = DEEP;
			while (*p == '*')
				p++;
			t.slash = *p == '/';
			p += t.slash;
		} else if (*p == '*') {
			t.kind = STAR;
			p++;
		} else if (*p == '?') {
			t.kind = ANY;
			p++;
		} else if (*p == '[') {
			t.kind = SET;
			t.set = p + 1;
			p = set_end(p + 1);
			if (!p)
				return -EINVAL;
		} else {
			if (*p == '\\' && !*++p)
				return -EINVAL;
			t.c = (unsigned char)*p++;
		}
		ret[n++] = t;
	}
	return (int)n;
}

/* A star matches nothing, too: what is behind it is reached with it. */
static void reach(const struct token *t, size_t n, bool *at, size_t i)
{
	while (!at[i]) {
		at[i] = true;
		if (i == n || (t[i].kind != STAR && t[i].kind != DEEP))
			return;
		i++;
	}
}

static void advance(const struct token *t, size_t n, const bool *at, bool *next, unsigned char c)
{
	for (size_t i = 0; i < n; i++) {
		if (!at[i])
			continue;
		switch (t[i].kind) {
		case CHAR:
			if (t[i].c == c)
				reach(t, n, next, i + 1);
			break;
		case ANY:
			if (c != '/')
				reach(t, n, next, i + 1);
			break;
		case SET:
			if (in_set(t[i].set, c))
				reach(t, n, next, i + 1);
			break;
		case STAR:
			if (c != '/')
				reach(t, n, next, i);
			break;
		case DEEP:
			/* Inside of it the next token waits for a slash. */
			next[i] = true;
			if (!t[i].slash || c == '/')
				reach(t, n, next, i + 1);
			break;
		}
	}
}

int ignore_glob(const char *pattern, const char *text, bool deep)
{
	struct token t[TOKENS_MAX];
	bool sets[2][TOKENS_MAX + 1] = { { false } };
	bool *at = sets[0], *next = sets[1];
	int n = tokens_of(pattern, deep, t);
	if (n < 0)
		return n;
	reach(t, (size_t)n, at, 0);
	for (; *text; text++) {
		bool *swap = at;
		memset(next, 0, (size_t)n + 1);
		advance(t, (size_t)n, at, next, (unsigned char)*text);
		at = next;
		next = swap;
	}

	return at[n];
}

/* ---- the file ---- */

static int add(struct ignore *ignore, const char *line, size_t size, struct err *err)
{
	char joined[PATH_MAX + 2], clean[PATH_MAX];
	bool back = size > 0 && *line == '!';
	if (back) {
		line++;
		size--;
		while (size > 0 && isspace((unsigned char)*line)) {
			line++;
			size--;
		}
	}
	if (size >= PATH_MAX - 1)
		return err_set(err, EINVAL, "the pattern is too long");
	if (size == 0)
		return back ? err_set(err, EINVAL, "illegal exclusion pattern: \"!\"") : 0;
	joined[0] = '/';
	memcpy(joined + 1, line, size);
	joined[size + 1] = '\0';
	if (path_clean(joined, clean, sizeof(clean)) < 0)
		return err_set(err, EINVAL, "the pattern is too long");
	if (!clean[1])
		return 0;
	if (ignore_glob(clean + 1, "", true) < 0)
		return err_set(err, EINVAL, "malformed pattern \"%.100s\"", clean + 1);
	if (ignore->n == PATTERNS_MAX)
		return err_set(err, E2BIG, "more than %d patterns", PATTERNS_MAX);
	struct pattern *more = realloc(ignore->items, (ignore->n + 1) * sizeof(*more));
	if (!more)
		return err_set(err, ENOMEM, "out of memory");
	ignore->items = more;
	more[ignore->n] = (struct pattern){ .text = strdup(clean + 1), .back = back };
	if (!more[ignore->n].text)
		return err_set(err, ENOMEM, "out of memory");
	ignore->n++;
	ignore->back |= back;
	return 0;
}

static int read_lines(struct ignore *ignore, const char *p, const char *end, struct err *err)
{
	int rc = 0;
	if (end - p >= 3 && !memcmp(p, "\xef\xbb\xbf", 3))
		p += 3;
	for (unsigned int line = 1; rc == 0 && p < end; line++) {
		const char *nl = memchr(p, '\n', (size_t)(end - p)), *stop = nl ? nl : end;
		const char *next = nl ? nl + 1 : end;
		if (*p != '#') {
			while (p < stop && isspace((unsigned char)*p))
				p++;
			while (stop > p && isspace((unsigned char)stop[-1]))
				stop--;
			rc = add(ignore, p, (size_t)(stop - p), err);
		}
		if (rc < 0)
			(void)err_prefix(err, ".dockerignore:%u", line);
		p = next;
	}
	return rc;
}

int ignore_parse(const char *text, size_t size, struct ignore **ret, struct err *err)
{
	cleanup_ignore struct ignore *ignore = calloc(1, sizeof(*ignore));
	if (!ignore)
		return err_set(err, ENOMEM, "out of memory");
	if (memchr(text, '\0', size))
		return err_set(err, EINVAL, ".dockerignore is not a text: there is a NUL byte");
	int rc = read_lines(ignore, text, text + size, err);
	if (rc == 0)
		*ret = take_ptr(ignore);
	return rc;
}

void ignore_free(struct ignore *ignore)
{
	if (!ignore)
		return;
	for (size_t i = 0; i < ignore->n; i++)
		free(ignore->items[i].text);
	free(ignore->items);
	free(ignore);
}

/* The name itself or a folder it is in. */
static bool hits(const struct pattern *p, const char *path)
{
	char part[PATH_MAX];
	size_t n = strlen(path);
	if (n >= sizeof(part))
		return false;
	memcpy(part, path, n + 1);
	for (;;) {
		if (ignore_glob(p->text, part, true) > 0)
			return true;
		char *slash = strrchr(part, '/');
		if (!slash)
			return false;
		*slash = '\0';
	}
}

bool ignore_matches(const struct ignore *ignore, const char *path)
{
	/* From the end: the last one that matches decides. */
	for (size_t i = ignore ? ignore->n : 0; i-- > 0;)
		if (hits(&ignore->items[i], path))
			return !ignore->items[i].back;
	return false;
}

bool ignore_takes_back(const struct ignore *ignore)
{
	return ignore && ignore->back;
}

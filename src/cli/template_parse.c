/* SPDX-License-Identifier: Apache-2.0 */
/* template_parse - text to nodes; see template.h. Recursive descent with a
 * bounded depth. Runs in the CLIs. */
#include "template_ast.h"

#include "isola/fd.h"
#include "isola/strbuf.h"

#include <ctype.h>
#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#define DEPTH_MAX 32

struct parser {
	const char *text, *p;
	int depth;
	bool trim_next; /* "-}}" was seen: the next text loses its leading space */
	struct err *err;
};

static int fail(struct parser *ps, const char *what)
{
	return err_set(ps->err, EINVAL, "template: %s at byte %zu", what,
		       (size_t)(ps->p - ps->text));
}

static void pipe_free(struct pipe *pipe);

static void term_free(struct term *t)
{
	while (t) {
		struct term *next = t->next;
		free(t->name);
		for (size_t i = 0; i < t->n_path; i++)
			free(t->path[i]);
		free(t->path);
		json_object_put(t->literal);
		pipe_free(t->pipe);
		free(t);
		t = next;
	}
}

static void pipe_free(struct pipe *pipe)
{
	if (!pipe)
		return;
	for (struct command *c = pipe->commands; c;) {
		struct command *next = c->next;
		term_free(c->terms);
		free(c);
		c = next;
	}
	free(pipe->key_var);
	free(pipe->value_var);
	free(pipe);
}

void node_free(struct node *node)
{
	while (node) {
		struct node *next = node->next;
		free(node->text);
		pipe_free(node->pipe);
		node_free(node->body);
		node_free(node->other);
		free(node);
		node = next;
	}
}

static void skip_space(struct parser *ps)
{
	while (isspace((unsigned char)*ps->p))
		ps->p++;
}

static bool at_end(struct parser *ps)
{
	skip_space(ps);
	return !strncmp(ps->p, "}}", 2) || !strncmp(ps->p, "-}}", 3);
}

static size_t word_len(const char *p)
{
	size_t n = 0;
	while (isalnum((unsigned char)p[n]) || p[n] == '_')
		n++;
	return n;
}

static int parse_path(struct parser *ps, struct term *t)
{
	while (*ps->p == '.') {
		size_t n = word_len(ps->p + 1);
		if (n == 0) {
			ps->p++;
			return t->n_path ? fail(ps, "field name expected") : 0;
		}
		char **path = realloc(t->path, (t->n_path + 1) * sizeof(char *));
		if (!path)
			return fail(ps, "out of memory");
		t->path = path;
		path[t->n_path] = strndup(ps->p + 1, n);
		if (!path[t->n_path])
			return fail(ps, "out of memory");
		t->n_path++;
		ps->p += n + 1;
	}
	return 0;
}

static int parse_string(struct parser *ps, struct term *t)
{
	cleanup_strbuf struct strbuf b = STRBUF_INIT;
	char quote = *ps->p++;
	for (; *ps->p && *ps->p != quote; ps->p++) {
		char c = *ps->p;
		if (c == '\\' && quote == '"' && ps->p[1]) {
			c = *++ps->p;
			c = c == 'n' ? '\n' : c == 't' ? '\t' : c;
		}
		strbuf_putc(&b, c);
	}
	if (*ps->p++ != quote)
		return fail(ps, "unterminated string");
	t->kind = TERM_LITERAL;
	t->literal = json_object_new_string_len(b.text ? b.text : "", (int)b.len);
	return t->literal ? 0 : fail(ps, "out of memory");
}

static int parse_number(struct parser *ps, struct term *t)
{
	char *end;
	long long v = strtoll(ps->p, &end, 10);
	t->kind = TERM_LITERAL;
	t->literal = json_object_new_int64(v);
	ps->p = end;
	return t->literal ? 0 : fail(ps, "out of memory");
}

static int parse_pipe(struct parser *ps, struct pipe **ret);

static int parse_parens(struct parser *ps, struct term *t)
{
	ps->p++;
	if (++ps->depth > DEPTH_MAX)
		return fail(ps, "too deep");
	t->kind = TERM_PIPE;
	int rc = parse_pipe(ps, &t->pipe);
	ps->depth--;
	if (rc < 0)
		return rc;
	skip_space(ps);
	if (*ps->p++ != ')')
		return fail(ps, "missing )");
	return parse_path(ps, t);
}

static int parse_word(struct parser *ps, struct term *t)
{
	size_t n = word_len(ps->p);
	if (n == 0)
		return fail(ps, "unexpected character");
	bool yes = n == 4 && !strncmp(ps->p, "true", 4);
	if (yes || (n == 5 && !strncmp(ps->p, "false", 5))) {
		t->kind = TERM_LITERAL;
		t->literal = json_object_new_boolean(yes);
	} else {
		t->kind = TERM_FUNC;
		t->name = strndup(ps->p, n);
	}
	ps->p += n;
	return t->literal || t->name ? 0 : fail(ps, "out of memory");
}

static int parse_term_into(struct parser *ps, struct term *t)
{
	char c = *ps->p;
	if (c == '.') {
		t->kind = TERM_FIELD;
		return parse_path(ps, t);
	}
	if (c == '$') {
		size_t n = word_len(++ps->p);
		t->kind = TERM_VARIABLE;
		t->name = strndup(ps->p, n);
		ps->p += n;
		return t->name ? parse_path(ps, t) : fail(ps, "out of memory");
	}
	if (c == '"' || c == '`')
		return parse_string(ps, t);
	if (c == '(')
		return parse_parens(ps, t);
	if (isdigit((unsigned char)c) || (c == '-' && isdigit((unsigned char)ps->p[1])))
		return parse_number(ps, t);
	return parse_word(ps, t);
}

static int parse_command(struct parser *ps, struct command **ret)
{
	struct command *cmd = calloc(1, sizeof(*cmd));
	if (!cmd)
		return fail(ps, "out of memory");
	*ret = cmd;
	struct term **tail = &cmd->terms;
	while (!at_end(ps) && *ps->p && *ps->p != '|' && *ps->p != ')') {
		*tail = calloc(1, sizeof(**tail));
		if (!*tail)
			return fail(ps, "out of memory");
		int rc = parse_term_into(ps, *tail);
		if (rc < 0)
			return rc;
		tail = &(*tail)->next;
	}
	return cmd->terms ? 0 : fail(ps, "missing value");
}

/* "$v :=" or "$k, $v :=" before a pipeline. */
static int parse_declaration(struct parser *ps, struct pipe *pipe)
{
	const char *p = ps->p;
	char *names[2] = { NULL, NULL };
	size_t n = 0;
	while (*p == '$' && n < 2) {
		size_t len = word_len(p + 1);
		names[n++] = strndup(p + 1, len);
		p += 1 + len;
		while (*p == ' ' || *p == ',')
			p++;
	}
	if (n == 0 || strncmp(p, ":=", 2)) {
		free(names[0]);
		free(names[1]);
		return 0;
	}
	ps->p = p + 2;
	pipe->key_var = n == 2 ? names[0] : NULL;
	pipe->value_var = n == 2 ? names[1] : names[0];
	return 0;
}

static int parse_pipe(struct parser *ps, struct pipe **ret)
{
	struct pipe *pipe = calloc(1, sizeof(*pipe));
	if (!pipe)
		return fail(ps, "out of memory");
	*ret = pipe;
	skip_space(ps);
	(void)parse_declaration(ps, pipe);
	struct command **tail = &pipe->commands;
	for (;;) {
		skip_space(ps);
		int rc = parse_command(ps, tail);
		if (rc < 0)
			return rc;
		tail = &(*tail)->next;
		skip_space(ps);
		if (*ps->p != '|')
			return 0;
		ps->p++;
	}
}

static int close_action(struct parser *ps)
{
	skip_space(ps);
	ps->trim_next = *ps->p == '-';
	ps->p += ps->trim_next;
	if (strncmp(ps->p, "}}", 2))
		return fail(ps, "missing }}");
	ps->p += 2;
	return 0;
}

static int parse_text(struct parser *ps, struct node *node)
{
	const char *start = ps->p, *end = strstr(start, "{{");
	if (!end)
		end = start + strlen(start);
	ps->p = end;
	if (ps->trim_next)
		while (start < end && isspace((unsigned char)*start))
			start++;
	if (!strncmp(end, "{{-", 3))
		while (end > start && isspace((unsigned char)end[-1]))
			end--;
	ps->trim_next = false;
	node->kind = NODE_TEXT;
	node->text = strndup(start, (size_t)(end - start));
	return node->text ? 0 : fail(ps, "out of memory");
}

enum stop { STOP_EOF, STOP_END, STOP_ELSE };

static int parse_nodes(struct parser *ps, struct node **tail, enum stop *ret_stop);

static bool is_word(struct parser *ps, const char *word)
{
	size_t n = strlen(word);
	if (strncmp(ps->p, word, n) || isalnum((unsigned char)ps->p[n]))
		return false;
	ps->p += n;
	return true;
}

/* Behind "if", "range" or "with": pipeline, body, else part, end. */
static int parse_block(struct parser *ps, struct node *node)
{
	if (++ps->depth > DEPTH_MAX)
		return fail(ps, "too deep");
	int rc = parse_pipe(ps, &node->pipe);
	if (rc == 0)
		rc = close_action(ps);
	enum stop stop = STOP_EOF;
	if (rc == 0)
		rc = parse_nodes(ps, &node->body, &stop);
	if (rc == 0 && stop == STOP_ELSE) {
		skip_space(ps);
		if (is_word(ps, "if")) { /* else if: one "end" closes both */
			node->other = calloc(1, sizeof(*node->other));
			if (!node->other)
				return fail(ps, "out of memory");
			node->other->kind = NODE_IF;
			rc = parse_block(ps, node->other);
			ps->depth--;
			return rc;
		}
		rc = close_action(ps);
		if (rc == 0)
			rc = parse_nodes(ps, &node->other, &stop);
	}
	if (rc == 0 && stop != STOP_END)
		rc = fail(ps, "missing {{end}}");
	ps->depth--;
	return rc;
}

static int parse_action(struct parser *ps, struct node *node, enum stop *ret_stop)
{
	ps->p += 2;
	if (*ps->p == '-' && isspace((unsigned char)ps->p[1]))
		ps->p++;
	skip_space(ps);
	if (is_word(ps, "end")) {
		*ret_stop = STOP_END;
		return close_action(ps) < 0 ? -EINVAL : 1;
	}
	if (is_word(ps, "else")) {
		*ret_stop = STOP_ELSE;
		return 1;
	}
	node->kind = is_word(ps, "if")      ? NODE_IF
		     : is_word(ps, "range") ? NODE_RANGE
		     : is_word(ps, "with")  ? NODE_WITH
					    : NODE_PRINT;
	if (node->kind != NODE_PRINT) {
		int rc = parse_block(ps, node);
		return rc;
	}
	int rc = parse_pipe(ps, &node->pipe);
	return rc < 0 ? rc : close_action(ps);
}

static int parse_nodes(struct parser *ps, struct node **tail, enum stop *ret_stop)
{
	*ret_stop = STOP_EOF;
	while (*ps->p) {
		struct node *node = calloc(1, sizeof(*node));
		if (!node)
			return fail(ps, "out of memory");
		int rc = !strncmp(ps->p, "{{", 2) ? parse_action(ps, node, ret_stop)
						  : parse_text(ps, node);
		if (rc != 0) {
			node_free(node);
			return rc < 0 ? rc : 0;
		}
		*tail = node;
		tail = &node->next;
	}
	return 0;
}

int template_parse_nodes(const char *text, struct node **ret, struct err *err)
{
	struct parser ps = { .text = text, .p = text, .err = err };
	struct node *nodes = NULL;
	enum stop stop;
	int rc = parse_nodes(&ps, &nodes, &stop);
	if (rc == 0 && stop != STOP_EOF)
		rc = fail(&ps, "unexpected {{end}} or {{else}}");
	if (rc < 0) {
		node_free(nodes);
		return rc;
	}
	*ret = nodes;
	return 0;
}

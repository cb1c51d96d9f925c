/* SPDX-License-Identifier: Apache-2.0 */
/* template - evaluates the nodes of template_parse.c; see template.h. */
#include "template.h"

#include "isola/json.h"
#include "template_ast.h"
#include "template_funcs.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct template
{
	struct node *nodes;
};

/* A variable of an enclosing range; "$" alone is the whole data. */
struct scope {
	const struct scope *up;
	const char *name;
	json_object *value;
};

struct eval {
	json_object *dot;
	const struct scope *scope;
	struct strbuf *out;
	struct err *err;
};

int template_parse(const char *text, struct template **ret, struct err *err)
{
	struct template *t = calloc(1, sizeof(*t));
	if (!t)
		return err_set(err, ENOMEM, "out of memory");
	int rc = template_parse_nodes(text, &t->nodes, err);
	if (rc < 0) {
		free(t);
		return rc;
	}
	*ret = t;
	return 0;
}

void template_free(struct template *t)
{
	if (!t)
		return;
	node_free(t->nodes);
	free(t);
}

static int walk_path(const struct term *t, json_object *v, json_object **ret, struct err *err)
{
	for (size_t i = 0; i < t->n_path; i++) {
		json_object *next = NULL;
		if (!json_object_is_type(v, json_type_object) ||
		    !json_object_object_get_ex(v, t->path[i], &next))
			return err_set(err, EINVAL, "template: no field \"%s\" here", t->path[i]);
		v = next;
	}
	*ret = json_object_get(v);
	return 0;
}

static int eval_pipe(const struct eval *ev, const struct pipe *pipe, json_object **ret);

static int eval_term(const struct eval *ev, const struct term *t, json_object **ret)
{
	switch (t->kind) {
	case TERM_LITERAL:
		*ret = json_object_get(t->literal);
		return 0;
	case TERM_FIELD:
		return walk_path(t, ev->dot, ret, ev->err);
	case TERM_VARIABLE:
		for (const struct scope *s = ev->scope; s; s = s->up)
			if (!strcmp(s->name, t->name))
				return walk_path(t, s->value, ret, ev->err);
		return err_set(ev->err, EINVAL, "template: undefined variable $%s", t->name);
	case TERM_PIPE: {
		cleanup_json json_object *v = NULL;
		int rc = eval_pipe(ev, t->pipe, &v);
		return rc < 0 ? rc : walk_path(t, v, ret, ev->err);
	}
	case TERM_FUNC:
		return template_call(t->name, NULL, 0, ret, ev->err);
	}
	return -EINVAL;
}

#define ARGS_MAX 16

/* @piped: result of the command to the left, or NULL; it becomes the last
 * argument. @has_piped tells null from absent. */
static int eval_command(const struct eval *ev, const struct command *cmd, json_object *piped,
			bool has_piped, json_object **ret)
{
	const struct term *first = cmd->terms;
	if (first->kind != TERM_FUNC) {
		if (first->next || has_piped)
			return err_set(ev->err, EINVAL,
				       "template: only a function takes arguments");
		return eval_term(ev, first, ret);
	}
	json_object *argv[ARGS_MAX];
	size_t argc = 0;
	int rc = 0;
	for (const struct term *t = first->next; t && rc == 0; t = t->next) {
		if (argc == ARGS_MAX - 1)
			rc = err_set(ev->err, EINVAL, "template: too many arguments");
		else if ((rc = eval_term(ev, t, &argv[argc])) == 0)
			argc++;
	}
	if (rc == 0 && has_piped)
		argv[argc++] = json_object_get(piped);
	if (rc == 0)
		rc = template_call(first->name, argv, argc, ret, ev->err);
	while (argc > 0)
		json_object_put(argv[--argc]);
	return rc;
}

static int eval_pipe(const struct eval *ev, const struct pipe *pipe, json_object **ret)
{
	json_object *v = NULL;
	bool has = false;
	for (const struct command *c = pipe->commands; c; c = c->next) {
		json_object *next = NULL;
		int rc = eval_command(ev, c, v, has, &next);
		json_object_put(v);
		if (rc < 0)
			return rc;
		v = next;
		has = true;
	}
	*ret = v;
	return 0;
}

static int eval_nodes(const struct eval *ev, const struct node *node);

static int range_item(const struct eval *ev, const struct node *node, json_object *key,
		      json_object *value)
{
	const char *kn = node->pipe->key_var, *vn = node->pipe->value_var;
	struct scope ks = { .up = ev->scope, .name = kn, .value = key };
	struct scope vs = { .up = kn ? &ks : ev->scope, .name = vn, .value = value };
	struct eval inner = *ev;
	inner.dot = value;
	inner.scope = vn ? &vs : ev->scope;
	return eval_nodes(&inner, node->body);
}

static int eval_range(const struct eval *ev, const struct node *node, json_object *v)
{
	int rc = 0;
	if (json_object_is_type(v, json_type_object)) {
		json_object_object_foreach (v, key, val) {
			cleanup_json json_object *k = json_object_new_string(key);
			if (rc == 0)
				rc = range_item(ev, node, k, val);
		}
		return rc;
	}
	for (size_t i = 0; i < json_len(v) && rc == 0; i++) {
		cleanup_json json_object *k = json_object_new_int64((int64_t)i);
		rc = range_item(ev, node, k, json_object_array_get_idx(v, i));
	}
	return rc;
}

static int eval_block(const struct eval *ev, const struct node *node)
{
	cleanup_json json_object *v = NULL;
	int rc = eval_pipe(ev, node->pipe, &v);
	if (rc < 0)
		return rc;
	if (node->kind == NODE_PRINT) {
		template_print_value(v, ev->out);
		return 0;
	}
	if (!template_is_true(v))
		return eval_nodes(ev, node->other);
	if (node->kind == NODE_RANGE)
		return eval_range(ev, node, v);
	if (node->kind == NODE_IF)
		return eval_nodes(ev, node->body);
	return range_item(ev, node, NULL, v); /* with: one turn, dot = value */
}

static int eval_nodes(const struct eval *ev, const struct node *node)
{
	for (; node; node = node->next) {
		if (node->kind == NODE_TEXT) {
			strbuf_puts(ev->out, node->text);
			continue;
		}
		int rc = eval_block(ev, node);
		if (rc < 0)
			return rc;
	}
	return 0;
}

int template_run(const struct template *t, json_object *data, struct strbuf *out, struct err *err)
{
	struct scope root = { .name = "", .value = data };
	struct eval ev = { .dot = data, .scope = &root, .out = out, .err = err };
	return eval_nodes(&ev, t->nodes);
}

void template_fields(const struct template *t, void (*each)(void *arg, const char *name), void *arg)
{
	for (const struct node *n = t->nodes; n; n = n->next) {
		if (!n->pipe)
			continue;
		for (const struct command *c = n->pipe->commands; c; c = c->next)
			for (const struct term *term = c->terms; term; term = term->next)
				if (term->kind == TERM_FIELD && term->n_path)
					each(arg, term->path[term->n_path - 1]);
	}
}

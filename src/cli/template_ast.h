/* SPDX-License-Identifier: Apache-2.0 */
/* template_ast - what the template parser hands to the evaluator. */
#pragma once

#include "isola/err.h"

#include <json-c/json.h>

enum node_kind { NODE_TEXT, NODE_PRINT, NODE_IF, NODE_RANGE, NODE_WITH };

enum term_kind { TERM_FIELD, TERM_VARIABLE, TERM_LITERAL, TERM_FUNC, TERM_PIPE };

/* One operand: ".a.b", "$v.a", "text", 12, true, name of a function, (pipe). */
struct term {
	struct term *next;
	enum term_kind kind;
	char *name;  /* variable or function */
	char **path; /* field names behind it */
	size_t n_path;
	json_object *literal;
	struct pipe *pipe;
};

/* "f a b | g c": commands from left to right, each a list of terms. */
struct command {
	struct command *next;
	struct term *terms;
};

struct pipe {
	char *key_var, *value_var; /* "$k, $v :=" */
	struct command *commands;
};

struct node {
	struct node *next;
	enum node_kind kind;
	char *text;
	struct pipe *pipe;
	struct node *body, *other; /* else branch */
};

void node_free(struct node *node);
int template_parse_nodes(const char *text, struct node **ret, struct err *err);

/* SPDX-License-Identifier: Apache-2.0 */
/* args - command lines as rows: a verb is a row, a flag is a row, and help,
 * parsing and error messages all come from the rows. Runs in the CLIs. */
#pragma once

#include "isola/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum flag_kind {
	FLAG_BOOL, /* --x, --x=false */
	FLAG_STR,  /* the last one wins */
	FLAG_LIST, /* may be repeated */
	FLAG_INT,
	FLAG_SIZE, /* 64m; -1 where the row allows it is given as text */
};

struct flag {
	const char *name; /* long name, without dashes */
	char letter;      /* short form, or 0 */
	enum flag_kind kind;
	const char *metavar;
	const char *help;
};

struct args;
struct cli;

/* One verb. @flags of several groups can be shared between verbs: groups is
 * NULL-terminated list of flag tables, each ended by a row without a name. */
struct verb {
	const char *name;
	const char *alias; /* further names, separated by spaces, or NULL */
	const char *usage; /* positional arguments as help shows them */
	const char *help;  /* one line */
	const char *examples;
	const struct flag *const *groups;
	int min_args, max_args; /* -1 = any */
	bool stop_at_first_arg; /* what follows the first argument belongs to the payload */
	int (*run)(struct cli *cli, struct args *args);
};

/* What a user may try and we have not: a flag of @verbs (names separated by
 * spaces), or with @verbs "" a command. Tables end with a row without a name. */
struct refused {
	const char *verbs;
	const char *name;
	char letter;
	const char *why;
};

/* A parsed command line; borrows argv. */
struct args {
	const struct verb *verb;
	const struct refused *refused; /* asked for unknown flags; may be NULL */
	char **argv;
	int argc;
	struct arg_value {
		const struct flag *flag;
		const char *text;
	} * values;
	size_t n_values;
};

/* Parses what follows the verb. -EINVAL with a sentence that names the flag. */
int args_parse(const struct verb *verb, const struct refused *refused, int argc, char **argv,
	       struct args *ret, struct err *err);
void args_fini(struct args *args);
/* Whether the command line is one of @verb that has an argument, and not behind "--". */
bool args_have_argument(const struct verb *verb, int argc, char **argv);

/* Whether the verb has the flag at all. */
bool args_knows(const struct args *args, const char *flag);
bool args_given(const struct args *args, const char *flag);
bool args_bool(const struct args *args, const char *flag);
/* Last value, or @fallback when the flag was not given. */
const char *args_str(const struct args *args, const char *flag, const char *fallback);
/* Checked by args_parse() already. */
int64_t args_int(const struct args *args, const char *flag, int64_t fallback);
int64_t args_size(const struct args *args, const char *flag, int64_t fallback);
/* The @i-th value of a repeated flag, NULL behind the last. */
const char *args_list(const struct args *args, const char *flag, size_t i);

/* Whether @word is one of @words, which spaces separate; "" is only in "". */
bool args_is_word(const char *words, const char *word);

/* Finds a verb by name or alias; NULL when there is none. */
const struct verb *verb_find(const struct verb *verbs, const char *name);
/* Why a flag of @verb ("" = a command) is not there: a short reason, NULL when the
 * table does not know it. @name borrowed, of @len bytes. */
const char *refused_why(const struct refused *table, const char *verb, const char *name,
			size_t len);
/* The long name of such a flag by its letter, or NULL. */
const char *refused_letter(const struct refused *table, const char *verb, char letter);

/* The nearest verb's name for "did you mean", or NULL. */
const char *verb_nearest(const struct verb *verbs, const char *name);

/* Prints @text in lines, each but the first after @indent spaces; the cursor is
 * there already. */
void help_wrap(const char *text, size_t indent);

/* @group: the command the verb belongs to ("image"), or NULL. */
void help_verb(const char *program, const char *group, const struct verb *verb);
void help_program(const char *program, const char *intro, const struct verb *verbs,
		  const struct flag *globals);

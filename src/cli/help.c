/* SPDX-License-Identifier: Apache-2.0 */
/* help - usage texts made from the rows of verbs and flags, and the nearest
 * verb for a mistyped one. Runs in the CLIs. */
#include "args.h"

#include <stdio.h>
#include <string.h>

#define HELP_COLUMNS 96

const struct verb *verb_find(const struct verb *verbs, const char *name)
{
	for (const struct verb *v = verbs; v->name; v++)
		if (!strcmp(v->name, name) || (v->alias && args_is_word(v->alias, name)))
			return v;
	return NULL;
}

/* Edit distance, for short words only. */
static size_t distance(const char *a, const char *b)
{
	size_t n = strlen(b), row[32];
	if (n >= 32 || strlen(a) >= 32)
		return 99;
	for (size_t j = 0; j <= n; j++)
		row[j] = j;
	for (size_t i = 1; a[i - 1]; i++) {
		size_t diag = row[0];
		row[0] = i;
		for (size_t j = 1; j <= n; j++) {
			size_t best = diag + (a[i - 1] != b[j - 1]);
			if (row[j] + 1 < best)
				best = row[j] + 1;
			if (row[j - 1] + 1 < best)
				best = row[j - 1] + 1;
			diag = row[j];
			row[j] = best;
		}
	}
	return row[n];
}

const char *verb_nearest(const struct verb *verbs, const char *name)
{
	const char *best = NULL;
	size_t least = 3;
	for (const struct verb *v = verbs; v->name; v++) {
		size_t d = distance(name, v->name);
		if (d < least) {
			least = d;
			best = v->name;
		}
	}
	return best;
}

void help_wrap(const char *text, size_t indent)
{
	size_t col = indent;
	for (const char *p = text; *p;) {
		size_t n = strcspn(p, " ");
		if (col > indent && col + 1 + n > HELP_COLUMNS) {
			printf("\n%*s", (int)indent, "");
			col = indent;
		} else if (col > indent) {
			(void)putchar(' ');
			col++;
		}
		printf("%.*s", (int)n, p);
		col += n;
		p += n + (p[n] == ' ');
	}
	(void)putchar('\n');
}

static void print_flag(const struct flag *f)
{
	char left[64];
	const char *meta = f->kind == FLAG_BOOL ? "" : f->metavar ? f->metavar : "value";
	if (f->letter)
		(void)snprintf(left, sizeof(left), "-%c, --%s %s", f->letter, f->name, meta);
	else
		(void)snprintf(left, sizeof(left), "    --%s %s", f->name, meta);
	printf("  %-34s ", left);
	if (strlen(left) > 34)
		printf("\n%*s", 37, "");
	help_wrap(f->help, 37);
}

static void print_aliases(const char *program, const char *group, const char *space,
			  const char *names)
{
	char copy[64], *save = NULL;
	const char *sep = "";
	(void)snprintf(copy, sizeof(copy), "%s", names);
	(void)fputs("\nAlias:", stdout);
	for (char *p = strtok_r(copy, " ", &save); p; p = strtok_r(NULL, " ", &save)) {
		printf("%s %s %s%s%s", sep, program, group, space, p);
		sep = ",";
	}
	(void)fputc('\n', stdout);
}

void help_verb(const char *program, const char *group, const struct verb *verb)
{
	bool any = false;
	for (const struct flag *const *g = verb->groups; g && *g; g++)
		any = any || (*g)->name;
	const char *space = group ? " " : "";
	group = group ? group : "";
	printf("Usage: %s %s%s%s %s%s\n\n%s\n", program, group, space, verb->name,
	       any ? "[OPTIONS] " : "", verb->usage, verb->help);
	if (verb->alias)
		print_aliases(program, group, space, verb->alias);
	if (any)
		puts("\nOptions:");
	for (const struct flag *const *g = verb->groups; g && *g; g++)
		for (const struct flag *f = *g; f->name; f++)
			print_flag(f);
	if (verb->examples)
		printf("\nExamples:\n%s", verb->examples);
}

void help_program(const char *program, const char *intro, const struct verb *verbs,
		  const struct flag *globals)
{
	printf("Usage: %s [OPTIONS] COMMAND\n\n%s\n\nOptions:\n", program, intro);
	for (const struct flag *f = globals; f->name; f++)
		print_flag(f);
	puts("\nCommands:");
	for (const struct verb *v = verbs; v->name; v++)
		printf("  %-10s %s\n", v->name, v->help);
	printf("\n\"%s COMMAND --help\" tells more about a command.\n", program);
}

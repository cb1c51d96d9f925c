/* SPDX-License-Identifier: Apache-2.0 */
/* oci_cli - see oci_cli.h. */
#include "oci_cli.h"

#include "isola/num.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define COUNT_MAX 65536

static const struct oci_opt *find_long(const struct oci_opt *rows, const char *name, size_t len)
{
	for (const struct oci_opt *o = rows; o && o->name; o++)
		if (strlen(o->name) == len && !strncmp(o->name, name, len))
			return o;
	return NULL;
}

static const struct oci_opt *find_letter(const struct oci_opt *rows, char letter)
{
	for (const struct oci_opt *o = rows; o && o->name; o++)
		if (o->letter && o->letter == letter)
			return o;
	return NULL;
}

static int add_item(struct oci_list *list, const char *text, struct err *err)
{
	const char **more = realloc(list->items, (list->n + 1) * sizeof(*more));
	if (!more)
		return err_set(err, ENOMEM, "out of memory");
	list->items = more;
	more[list->n++] = text;
	return 0;
}

static int store(const struct oci_opt *o, const char *text, void *opts, struct err *err)
{
	void *place = (char *)opts + o->offset;
	int64_t n;
	switch (o->kind) {
	case OCI_FLAG:
		if (strcmp(text, "true") && strcmp(text, "false"))
			return err_set(err, EINVAL, "--%s takes true or false, not \"%s\"", o->name,
				       text);
		*(bool *)place = *text == 't';
		return 0;
	case OCI_TEXT:
		*(const char **)place = text;
		return 0;
	case OCI_COUNT:
		if (num_parse_range(text, 0, COUNT_MAX, &n) < 0)
			return err_set(err, EINVAL, "--%s takes a number up to %d, not \"%s\"",
				       o->name, COUNT_MAX, text);
		*(int *)place = (int)n;
		return 0;
	case OCI_LIST:
		return add_item(place, text, err);
	}
	return 0;
}

/* "--name", "--name=value", and, as Go's flag package has it, with one dash. */
static int parse_one(const struct oci_opt *rows, char **argv, size_t *i, void *opts,
		     struct err *err)
{
	const char *word = argv[*i], *name = word + 1 + (word[1] == '-');
	size_t len = strcspn(name, "=");
	const struct oci_opt *o = find_long(rows, name, len);
	const char *value = name[len] ? name + len + 1 : NULL;
	if (!o && word[1] != '-') {
		o = find_letter(rows, word[1]);
		value = word[2] ? word + 2 + (word[2] == '=') : NULL;
		if (o && o->kind == OCI_FLAG && value)
			o = NULL;
	}
	if (!o)
		return err_set(err, EINVAL, "unknown option %s", word);
	if (!value && o->kind == OCI_FLAG)
		value = "true";
	if (!value)
		value = argv[++*i];
	if (!value)
		return err_set(err, EINVAL, "option --%s needs a value (%s)", o->name, o->metavar);
	return store(o, value, opts, err);
}

int oci_parse(const struct oci_opt *rows, char **argv, bool in_order, void *opts, struct err *err)
{
	int n = 0;
	bool plain = false;
	for (size_t i = 0; argv[i]; i++) {
		if (!plain && !strcmp(argv[i], "--")) {
			plain = true;
			continue;
		}
		if (plain || argv[i][0] != '-' || !argv[i][1]) {
			plain = plain || in_order;
			argv[n++] = argv[i];
			continue;
		}
		int rc = parse_one(rows, argv, &i, opts, err);
		if (rc < 0)
			return rc;
	}
	argv[n] = NULL;
	return n;
}

void oci_opts_fini(const struct oci_opt *rows, void *opts)
{
	for (const struct oci_opt *o = rows; o && o->name; o++)
		if (o->kind == OCI_LIST)
			free(((struct oci_list *)((char *)opts + o->offset))->items);
}

static void print_options(const struct oci_opt *rows)
{
	for (const struct oci_opt *o = rows; o && o->name; o++) {
		char left[64], letter[8] = "    ";
		if (o->letter)
			(void)snprintf(letter, sizeof(letter), "-%c, ", o->letter);
		(void)snprintf(left, sizeof(left), "%s--%s%s%s", letter, o->name,
			       o->metavar ? " " : "", o->metavar ? o->metavar : "");
		printf("  %-32s %s\n", left, o->help);
	}
}

void oci_help_verb(const struct oci_verb *verb)
{
	printf("usage: isola-oci [global options] %s%s %s\n\n%s\n", verb->name,
	       verb->opts ? " [options]" : "", verb->args, verb->help);
	if (verb->opts) {
		printf("\noptions:\n");
		print_options(verb->opts);
	}
	if (verb->examples)
		printf("\nexamples:\n%s", verb->examples);
}

void oci_help(const struct oci_verb *verbs, const struct oci_opt *globals)
{
	for (; verbs->name; verbs++)
		printf("  %-10s %s\n", verbs->name, verbs->help);
	if (!globals)
		return;
	printf("\nglobal options:\n");
	print_options(globals);
}

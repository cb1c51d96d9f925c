/* SPDX-License-Identifier: Apache-2.0 */
/* args - see args.h. The grammar is that of Docker's CLI (pflag): --flag value,
 * --flag=value, -f value, -fvalue, -f=value, grouped booleans (-it), "--". */
#include "args.h"

#include "isola/num.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static const struct flag *find_long(const struct verb *verb, const char *name, size_t len)
{
	for (const struct flag *const *g = verb->groups; g && *g; g++)
		for (const struct flag *f = *g; f->name; f++)
			if (strlen(f->name) == len && !strncmp(f->name, name, len))
				return f;
	return NULL;
}

static const struct flag *find_letter(const struct verb *verb, char letter)
{
	for (const struct flag *const *g = verb->groups; g && *g; g++)
		for (const struct flag *f = *g; f->name; f++)
			if (f->letter == letter)
				return f;
	return NULL;
}

static bool is_true(const char *text)
{
	return !strcmp(text, "true") || !strcmp(text, "1") || !strcmp(text, "t");
}

static int check_value(const struct flag *f, const char *text, struct err *err)
{
	int64_t n;
	switch (f->kind) {
	case FLAG_BOOL:
		if (is_true(text) || !strcmp(text, "false") || !strcmp(text, "0") ||
		    !strcmp(text, "f"))
			return 0;
		return err_set(err, EINVAL, "--%s takes true or false, not \"%s\"", f->name, text);
	case FLAG_INT:
		if (num_parse_i64(text, &n) == 0)
			return 0;
		return err_set(err, EINVAL, "--%s takes a whole number, not \"%s\"", f->name, text);
	case FLAG_SIZE:
		if (num_parse_size(text, true, &n) == 0)
			return 0;
		return err_set(err, EINVAL, "--%s takes a size such as 64m, not \"%s\"", f->name,
			       text);
	case FLAG_STR:
	case FLAG_LIST:
		return 0;
	}
	return 0;
}

static int add_value(struct args *args, const struct flag *f, const char *text, struct err *err)
{
	int rc = check_value(f, text, err);
	if (rc < 0)
		return rc;
	struct arg_value *v = realloc(args->values, (args->n_values + 1) * sizeof(args->values[0]));
	if (!v)
		return err_set(err, ENOMEM, "out of memory");
	args->values = v;
	v[args->n_values++] = (struct arg_value){ .flag = f, .text = text };
	return 0;
}

/* argv walked by one token; the value may be the next token. */
struct cursor {
	int i, argc;
	char **argv;
};

static int need_value(struct cursor *c, const char *shown, const char **ret, struct err *err)
{
	if (c->i + 1 >= c->argc)
		return err_set(err, EINVAL, "flag needs an argument: %s", shown);
	*ret = c->argv[++c->i];
	return 0;
}

static int no_such_flag(const struct args *args, const char *name, size_t len, struct err *err)
{
	const char *why = refused_why(args->refused, args->verb->name, name, len);
	return why ? err_set(err, EINVAL, "--%.*s is not supported yet: %s", (int)len, name, why)
		   : err_set(err, EINVAL, "unknown flag: --%.*s", (int)len, name);
}

static int parse_long(struct args *args, struct cursor *c, struct err *err)
{
	const char *token = c->argv[c->i], *name = token + 2;
	size_t len = strcspn(name, "=");
	const struct flag *f = find_long(args->verb, name, len);
	if (!f)
		return no_such_flag(args, name, len, err);
	const char *value = "true";
	if (name[len] == '=')
		value = name + len + 1;
	else if (f->kind != FLAG_BOOL && need_value(c, token, &value, err) < 0)
		return -EINVAL;
	return add_value(args, f, value, err);
}

static int parse_short(struct args *args, struct cursor *c, struct err *err)
{
	const char *token = c->argv[c->i];
	for (const char *p = token + 1; *p; p++) {
		const struct flag *f = find_letter(args->verb, *p);
		const char *name = f ? NULL : refused_letter(args->refused, args->verb->name, *p);
		if (name)
			return no_such_flag(args, name, strlen(name), err);
		if (!f)
			return err_set(err, EINVAL, "unknown shorthand flag: '%c' in %s", *p,
				       token);
		const char *value = "true";
		bool rest = p[1] == '=' || (p[1] && f->kind != FLAG_BOOL);
		if (rest)
			value = p + 1 + (p[1] == '=');
		else if (f->kind != FLAG_BOOL && need_value(c, token, &value, err) < 0)
			return -EINVAL;
		int rc = add_value(args, f, value, err);
		if (rc < 0 || rest || f->kind != FLAG_BOOL)
			return rc;
	}
	return 0;
}

static int check_count(const struct args *args, struct err *err)
{
	const struct verb *v = args->verb;
	if (args->argc < v->min_args)
		return err_set(err, EINVAL, "\"%s\" requires at least %d argument%s", v->name,
			       v->min_args, v->min_args == 1 ? "" : "s");
	if (v->max_args >= 0 && args->argc > v->max_args)
		return v->max_args == 0
			       ? err_set(err, EINVAL, "\"%s\" accepts no arguments, got \"%s\"",
					 v->name, args->argv[0])
			       : err_set(err, EINVAL, "\"%s\" accepts at most %d argument%s",
					 v->name, v->max_args, v->max_args == 1 ? "" : "s");
	return 0;
}

int args_parse(const struct verb *verb, const struct refused *refused, int argc, char **argv,
	       struct args *ret, struct err *err)
{
	struct args args = { .verb = verb, .refused = refused };
	args.argv = calloc((size_t)argc + 1, sizeof(char *));
	if (!args.argv)
		return err_set(err, ENOMEM, "out of memory");
	struct cursor c = { .argc = argc, .argv = argv };
	int rc = 0;
	bool plain = false; /* everything from here on is an argument */
	for (; c.i < argc && rc == 0; c.i++) {
		const char *token = argv[c.i];
		if (plain || token[0] != '-' || !token[1]) {
			args.argv[args.argc++] = argv[c.i];
			plain = plain || verb->stop_at_first_arg;
		} else if (!strcmp(token, "--")) {
			plain = true;
		} else if (token[1] == '-') {
			rc = parse_long(&args, &c, err);
		} else {
			rc = parse_short(&args, &c, err);
		}
	}
	if (rc == 0)
		rc = check_count(&args, err);
	if (rc < 0) {
		args_fini(&args);
		return rc;
	}
	*ret = args;
	return 0;
}

void args_fini(struct args *args)
{
	free(args->argv);
	free(args->values);
	args->argv = NULL;
	args->values = NULL;
}

bool args_have_argument(const struct verb *verb, int argc, char **argv)
{
	struct args args;
	if (args_parse(verb, NULL, argc, argv, &args, NULL) < 0)
		return false;
	int i = 0;
	while (args.argc && argv[i] != args.argv[0] && strcmp(argv[i], "--") != 0)
		i++;
	bool has = args.argc && argv[i] == args.argv[0];
	args_fini(&args);
	return has;
}

static const char *last_value(const struct args *args, const char *flag)
{
	for (size_t i = args->n_values; i > 0; i--)
		if (!strcmp(args->values[i - 1].flag->name, flag))
			return args->values[i - 1].text;
	return NULL;
}

bool args_knows(const struct args *args, const char *flag)
{
	return find_long(args->verb, flag, strlen(flag)) != NULL;
}

bool args_given(const struct args *args, const char *flag)
{
	return last_value(args, flag) != NULL;
}

bool args_bool(const struct args *args, const char *flag)
{
	const char *text = last_value(args, flag);
	return text && is_true(text);
}

const char *args_str(const struct args *args, const char *flag, const char *fallback)
{
	const char *text = last_value(args, flag);
	return text ? text : fallback;
}

int64_t args_int(const struct args *args, const char *flag, int64_t fallback)
{
	const char *text = last_value(args, flag);
	int64_t n = fallback;
	if (text)
		(void)num_parse_i64(text, &n);
	return n;
}

int64_t args_size(const struct args *args, const char *flag, int64_t fallback)
{
	const char *text = last_value(args, flag);
	int64_t n = fallback;
	if (text)
		(void)num_parse_size(text, true, &n);
	return n;
}

const char *args_list(const struct args *args, const char *flag, size_t i)
{
	for (size_t k = 0; k < args->n_values; k++)
		if (!strcmp(args->values[k].flag->name, flag) && i-- == 0)
			return args->values[k].text;
	return NULL;
}

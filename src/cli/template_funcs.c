/* SPDX-License-Identifier: Apache-2.0 */
/* template_funcs - the functions a --format template may call, as rows. Runs in
 * the CLIs. */
#include "template_funcs.h"

#include "isola/fd.h"
#include "isola/json.h"

#include <ctype.h>
#include <errno.h>
#include <string.h>

void template_print_value(json_object *v, struct strbuf *out)
{
	switch (json_object_get_type(v)) {
	case json_type_null:
		strbuf_puts(out, "<nil>");
		return;
	case json_type_array:
		strbuf_putc(out, '[');
		for (size_t i = 0; i < json_len(v); i++) {
			if (i)
				strbuf_putc(out, ' ');
			template_print_value(json_object_array_get_idx(v, i), out);
		}
		strbuf_putc(out, ']');
		return;
	case json_type_object: {
		bool first = true;
		strbuf_puts(out, "map[");
		json_object_object_foreach (v, key, val) {
			if (!first)
				strbuf_putc(out, ' ');
			first = false;
			strbuf_printf(out, "%s:", key);
			template_print_value(val, out);
		}
		strbuf_putc(out, ']');
		return;
	}
	default:
		strbuf_puts(out, json_object_get_string(v));
	}
}

bool template_is_true(json_object *v)
{
	switch (json_object_get_type(v)) {
	case json_type_null:
		return false;
	case json_type_boolean:
		return json_object_get_boolean(v);
	case json_type_int:
		return json_object_get_int64(v) != 0;
	case json_type_double:
		return json_object_get_double(v) != 0;
	case json_type_string:
		return json_object_get_string_len(v) > 0;
	case json_type_array:
		return json_len(v) > 0;
	case json_type_object:
		return json_object_object_length(v) > 0;
	}
	return false;
}

/* Every function: borrowed arguments, owned result in @ret (NULL = null). */
typedef int func_fn(json_object **argv, size_t argc, json_object **ret, struct err *err);

static json_object *take_text(struct strbuf *b)
{
	json_object *o = json_object_new_string_len(b->text ? b->text : "", (int)b->len);
	strbuf_fini(b);
	return o;
}

static const char *text_of(json_object *v)
{
	return json_object_is_type(v, json_type_string) ? json_object_get_string(v) : "";
}

static int f_json(json_object **argv, size_t argc, json_object **ret, struct err *err)
{
	(void)argc;
	(void)err;
	*ret = json_object_new_string(json_object_to_json_string_ext(
		argv[0], JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE));
	return 0;
}

static json_object *map_chars(json_object *v, int (*fn)(int), bool words_only)
{
	struct strbuf b = STRBUF_INIT;
	bool start = true;
	for (const char *p = text_of(v); *p; p++) {
		int c = (unsigned char)*p;
		strbuf_putc(&b, (char)(!words_only || start ? fn(c) : c));
		start = c == ' ';
	}
	return take_text(&b);
}

static int f_upper(json_object **argv, size_t argc, json_object **ret, struct err *err)
{
	(void)argc;
	(void)err;
	*ret = map_chars(argv[0], toupper, false);
	return 0;
}

static int f_lower(json_object **argv, size_t argc, json_object **ret, struct err *err)
{
	(void)argc;
	(void)err;
	*ret = map_chars(argv[0], tolower, false);
	return 0;
}

static int f_title(json_object **argv, size_t argc, json_object **ret, struct err *err)
{
	(void)argc;
	(void)err;
	*ret = map_chars(argv[0], toupper, true);
	return 0;
}

static int f_len(json_object **argv, size_t argc, json_object **ret, struct err *err)
{
	(void)argc;
	int64_t n;
	switch (json_object_get_type(argv[0])) {
	case json_type_string:
		n = json_object_get_string_len(argv[0]);
		break;
	case json_type_array:
		n = (int64_t)json_len(argv[0]);
		break;
	case json_type_object:
		n = json_object_object_length(argv[0]);
		break;
	case json_type_null:
		n = 0;
		break;
	default:
		return err_set(err, EINVAL, "template: len of a number or boolean");
	}
	*ret = json_object_new_int64(n);
	return 0;
}

static int f_index(json_object **argv, size_t argc, json_object **ret, struct err *err)
{
	json_object *v = argv[0];
	for (size_t i = 1; i < argc; i++) {
		if (json_object_is_type(v, json_type_array)) {
			int64_t n = json_object_get_int64(argv[i]);
			if (!json_object_is_type(argv[i], json_type_int) || n < 0 ||
			    n >= (int64_t)json_len(v))
				return err_set(err, EINVAL, "template: index out of range");
			v = json_object_array_get_idx(v, (size_t)n);
		} else {
			v = json_get(v, text_of(argv[i])); /* a missing key is empty */
		}
	}
	*ret = v ? json_object_get(v) : json_object_new_string("");
	return 0;
}

static int f_join(json_object **argv, size_t argc, json_object **ret, struct err *err)
{
	(void)argc;
	(void)err;
	/* "join .List sep", or ".List | join sep" */
	bool swapped = json_object_is_type(argv[1], json_type_array);
	json_object *list = argv[swapped], *sep = argv[!swapped];
	struct strbuf b = STRBUF_INIT;
	for (size_t i = 0; i < json_len(list); i++) {
		if (i)
			strbuf_puts(&b, text_of(sep));
		template_print_value(json_object_array_get_idx(list, i), &b);
	}
	*ret = take_text(&b);
	return 0;
}

static int f_split(json_object **argv, size_t argc, json_object **ret, struct err *err)
{
	(void)argc;
	const char *text = text_of(argv[0]), *sep = text_of(argv[1]), *at;
	if (!*sep)
		return err_set(err, EINVAL, "template: split by an empty string");
	json_object *list = json_object_new_array();
	for (; (at = strstr(text, sep)); text = at + strlen(sep))
		json_object_array_add(list, json_object_new_string_len(text, (int)(at - text)));
	json_object_array_add(list, json_object_new_string(text));
	*ret = list;
	return 0;
}

static int f_truncate(json_object **argv, size_t argc, json_object **ret, struct err *err)
{
	(void)argc;
	(void)err;
	const char *text = text_of(argv[0]);
	int64_t n = json_object_get_int64(argv[1]);
	size_t len = strlen(text);
	if (n >= 0 && (size_t)n < len)
		len = (size_t)n;
	*ret = json_object_new_string_len(text, (int)len);
	return 0;
}

static int f_print(json_object **argv, size_t argc, json_object **ret, struct err *err)
{
	(void)err;
	struct strbuf b = STRBUF_INIT;
	for (size_t i = 0; i < argc; i++)
		template_print_value(argv[i], &b);
	*ret = take_text(&b);
	return 0;
}

static int f_println(json_object **argv, size_t argc, json_object **ret, struct err *err)
{
	(void)err;
	struct strbuf b = STRBUF_INIT;
	for (size_t i = 0; i < argc; i++) {
		if (i)
			strbuf_putc(&b, ' ');
		template_print_value(argv[i], &b);
	}
	strbuf_putc(&b, '\n');
	*ret = take_text(&b);
	return 0;
}

static int f_printf(json_object **argv, size_t argc, json_object **ret, struct err *err)
{
	struct strbuf b = STRBUF_INIT;
	size_t next = 1;
	for (const char *p = text_of(argv[0]); *p; p++) {
		if (*p != '%') {
			strbuf_putc(&b, *p);
			continue;
		}
		p++;
		if (*p == '%') {
			strbuf_putc(&b, '%');
		} else if (*p && strchr("svdqt", *p) && next < argc) {
			if (*p == 'q')
				strbuf_puts(&b, json_object_to_json_string(argv[next++]));
			else
				template_print_value(argv[next++], &b);
		} else {
			strbuf_fini(&b);
			return err_set(err, EINVAL,
				       "template: printf knows %%s %%v %%d %%q %%t and needs a "
				       "value for each");
		}
	}
	*ret = take_text(&b);
	return 0;
}

static int compare(json_object *a, json_object *b)
{
	if (json_object_is_type(a, json_type_string) && json_object_is_type(b, json_type_string))
		return strcmp(json_object_get_string(a), json_object_get_string(b));
	double x = json_object_get_double(a), y = json_object_get_double(b);
	return x < y ? -1 : x > y;
}

static int f_eq(json_object **argv, size_t argc, json_object **ret, struct err *err)
{
	(void)err;
	bool any = false;
	for (size_t i = 1; i < argc; i++)
		any = any || json_object_equal(argv[0], argv[i]);
	*ret = json_object_new_boolean(any);
	return 0;
}

static int f_ne(json_object **argv, size_t argc, json_object **ret, struct err *err)
{
	(void)argc;
	(void)err;
	*ret = json_object_new_boolean(!json_object_equal(argv[0], argv[1]));
	return 0;
}

#define ORDER(name, op)                                                                            \
	static int f_##name(json_object **argv, size_t argc, json_object **ret, struct err *err)   \
	{                                                                                          \
		(void)argc;                                                                        \
		(void)err;                                                                         \
		*ret = json_object_new_boolean(compare(argv[0], argv[1]) op 0);                    \
		return 0;                                                                          \
	}
ORDER(lt, <)
ORDER(le, <=)
ORDER(gt, >)
ORDER(ge, >=)

static int f_not(json_object **argv, size_t argc, json_object **ret, struct err *err)
{
	(void)argc;
	(void)err;
	*ret = json_object_new_boolean(!template_is_true(argv[0]));
	return 0;
}

static int f_and(json_object **argv, size_t argc, json_object **ret, struct err *err)
{
	(void)err;
	size_t i = 0;
	while (i + 1 < argc && template_is_true(argv[i]))
		i++;
	*ret = json_object_get(argv[i]);
	return 0;
}

static int f_or(json_object **argv, size_t argc, json_object **ret, struct err *err)
{
	(void)err;
	size_t i = 0;
	while (i + 1 < argc && !template_is_true(argv[i]))
		i++;
	*ret = json_object_get(argv[i]);
	return 0;
}

static const struct {
	const char *name;
	func_fn *fn;
	size_t min, max;
} funcs[] = {
	{ "and", f_and, 1, 99 },
	{ "eq", f_eq, 2, 99 },
	{ "ge", f_ge, 2, 2 },
	{ "gt", f_gt, 2, 2 },
	{ "index", f_index, 1, 99 },
	{ "join", f_join, 2, 2 },
	{ "json", f_json, 1, 1 },
	{ "le", f_le, 2, 2 },
	{ "len", f_len, 1, 1 },
	{ "lower", f_lower, 1, 1 },
	{ "lt", f_lt, 2, 2 },
	{ "ne", f_ne, 2, 2 },
	{ "not", f_not, 1, 1 },
	{ "or", f_or, 1, 99 },
	{ "print", f_print, 0, 99 },
	{ "printf", f_printf, 1, 99 },
	{ "println", f_println, 0, 99 },
	{ "split", f_split, 2, 2 },
	{ "title", f_title, 1, 1 },
	{ "truncate", f_truncate, 2, 2 },
	{ "upper", f_upper, 1, 1 },
};

int template_call(const char *name, json_object **argv, size_t argc, json_object **ret,
		  struct err *err)
{
	for (size_t i = 0; i < sizeof(funcs) / sizeof(funcs[0]); i++) {
		if (strcmp(funcs[i].name, name) != 0)
			continue;
		if (argc < funcs[i].min || argc > funcs[i].max)
			return err_set(err, EINVAL, "template: %s: wrong number of arguments",
				       name);
		return funcs[i].fn(argv, argc, ret, err);
	}
	return err_set(err, EINVAL, "template: function \"%s\" not defined", name);
}

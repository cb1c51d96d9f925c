/* SPDX-License-Identifier: Apache-2.0 */
/* opts - see opts.h. Runs in vmctl. */
#include "opts.h"

#include "args.h"
#include "body.h"
#include "isola/fd.h"
#include "isola/json.h"
#include "isola/num.h"
#include "isola/strbuf.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Host CPUs are numbered below this in every Linux. */
#define CPU_MAX 8192

/* The object of a dotted field, made where it is missing, and its last part. */
static json_object *reach(json_object *o, const char *field, const char **ret_last)
{
	const char *dot;
	while ((dot = strchr(field, '.'))) {
		char name[32];
		(void)snprintf(name, sizeof(name), "%.*s", (int)(dot - field), field);
		json_object *next = json_get(o, name);
		if (!next) {
			next = json_object_new_object();
			json_add(o, name, next);
		}
		o = next;
		field = dot + 1;
	}
	*ret_last = field;
	return o;
}

static int number(const char *text, bool is_size, int64_t *ret)
{
	int rc = is_size ? num_parse_size(text, false, ret) : num_parse_i64(text, ret);
	return rc < 0 || *ret < 0 ? -EINVAL : 0;
}

/* "10m" or "10m:100m": so much a second, and so much at once in the beginning. */
static int add_bucket(json_object *o, const char *name, const char *text, bool is_size)
{
	char copy[64];
	int64_t size, burst = 0;
	if (snprintf(copy, sizeof(copy), "%s", text) >= (int)sizeof(copy))
		return -EINVAL;
	char *colon = strchr(copy, ':');
	if (colon)
		*colon++ = '\0';
	if (number(copy, is_size, &size) < 0 || (colon && number(colon, is_size, &burst) < 0))
		return -EINVAL;
	if (size == 0)
		return 0; /* no bucket, no limit */
	json_object *bucket = json_object_new_object();
	json_add_i64(bucket, "Size", size);
	json_add_i64(bucket, "RefillMs", 1000);
	if (burst > 0)
		json_add_i64(bucket, "Burst", burst);
	json_add(o, name, bucket);
	return 0;
}

static int add_bool(json_object *o, const char *name, const char *value, bool yes)
{
	if (value && strcmp(value, "true") != 0 && strcmp(value, "1") != 0) {
		if (strcmp(value, "false") != 0 && strcmp(value, "0") != 0)
			return -EINVAL;
		yes = !yes;
	}
	json_add_bool(o, name, yes);
	return 0;
}

static int add_value(const struct opt *row, const char *value, json_object *to)
{
	const char *name;
	int64_t n;
	json_object *o = reach(to, row->field, &name);
	cleanup_free char *path = NULL;
	if (row->kind == OPT_BOOL || row->kind == OPT_NOT)
		return add_bool(o, name, value, row->kind == OPT_BOOL);
	if (!value || !*value)
		return -EINVAL;
	switch (row->kind) {
	case OPT_STR:
		json_add_str(o, name, value);
		return 0;
	case OPT_PATH:
		path = body_path(value);
		json_add_str(o, name, path);
		return path ? 0 : -ENOMEM;
	case OPT_INT:
	case OPT_SIZE:
		if (number(value, row->kind == OPT_SIZE, &n) < 0)
			return -EINVAL;
		json_add_i64(o, name, n);
		return 0;
	case OPT_RATE:
	case OPT_OPS:
		return add_bucket(o, name, value, row->kind == OPT_RATE);
	default:
		return -EINVAL;
	}
}

static const struct opt *find(const struct opt *rows, const char *key)
{
	for (const struct opt *r = rows; r->key; r++)
		if (!strcmp(r->key, key))
			return r;
	return NULL;
}

static int unknown(const char *flag, const struct opt *rows, const char *key, struct err *err)
{
	cleanup_strbuf struct strbuf known = STRBUF_INIT;
	for (const struct opt *r = rows; r->key; r++)
		strbuf_printf(&known, "%s%s", known.len ? ", " : "", r->key);
	return err_set(err, EINVAL, "--%s: unknown option \"%s\" (there are %s)", flag, key,
		       known.text ? known.text : "none");
}

/* One part; the first one of a value may do without its key. */
static int add_part(const char *flag, const struct opt *rows, char *part, bool first,
		    json_object *to, struct err *err)
{
	const struct opt *row = NULL;
	char *eq = strchr(part, '='), *value = part;
	if (eq) {
		*eq = '\0';
		row = find(rows, part);
		value = eq + 1;
		if (!row)
			*eq = '='; /* a path may hold one */
	} else if ((row = find(rows, part))) {
		value = NULL;
	}
	if (!row && first) {
		row = rows;
		value = part;
	}
	if (!row)
		return unknown(flag, rows, part, err);
	int rc = add_value(row, value, to);
	if (rc == -ENOMEM)
		return err_set(err, ENOMEM, "out of memory");
	return rc < 0 ? err_set(err, EINVAL, "--%s: \"%s\" is no value for %s", flag,
				value ? value : "", row->key)
		      : 0;
}

int opts_parse(const char *flag, const char *text, const struct opt *rows, json_object *to,
	       struct err *err)
{
	cleanup_strbuf struct strbuf part = STRBUF_INIT;
	bool first = true;
	for (const char *p = text;; p++) {
		if (*p == ',' && p[1] == ',') {
			strbuf_putc(&part, *++p);
			continue;
		}
		if (*p && *p != ',') {
			strbuf_putc(&part, *p);
			continue;
		}
		if (!strbuf_ok(&part))
			return err_set(err, ENOMEM, "out of memory");
		if (part.len == 0)
			return err_set(err, EINVAL, "--%s \"%s\": a part is empty", flag, text);
		int rc = add_part(flag, rows, part.text, first, to, err);
		if (rc < 0 || !*p)
			return rc;
		strbuf_reset(&part);
		first = false;
	}
}

int opts_list(struct args *args, const char *flag, const struct opt *rows, json_object *to,
	      const char *field, struct err *err)
{
	const char *text;
	for (size_t i = 0; (text = args_list(args, flag, i)); i++) {
		json_object *list = json_get(to, field), *o = json_object_new_object();
		if (!list) {
			list = json_object_new_array();
			json_add(to, field, list);
		}
		json_object_array_add(list, o);
		int rc = opts_parse(flag, text, rows, o, err);
		if (rc < 0)
			return rc;
	}
	return 0;
}

json_object *opts_cpu_list(const char *flag, const char *text, struct err *err)
{
	json_object *list = json_object_new_array();
	const char *p = text;
	while (*p) {
		char *end;
		unsigned long first = strtoul(p, &end, 10), last = first;
		bool digits = *p >= '0' && *p <= '9';
		if (digits && *end == '-') {
			digits = end[1] >= '0' && end[1] <= '9';
			last = strtoul(end + 1, &end, 10);
		}
		if (!digits || last < first || last >= CPU_MAX || (*end && *end != ',')) {
			json_object_put(list);
			(void)err_set(err, EINVAL, "--%s: \"%s\" is no list of CPUs such as 0-3,5",
				      flag, text);
			return NULL;
		}
		for (; first <= last; first++)
			json_object_array_add(list, json_object_new_int((int)first));
		p = *end ? end + 1 : end;
	}
	return list;
}

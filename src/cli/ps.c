/* SPDX-License-Identifier: Apache-2.0 */
/* ps - the list of instances, with Docker's flags. Runs in the CLIs. */
#include "cells.h"
#include "format.h"
#include "isola/fd.h"
#include "isola/json.h"
#include "verbs.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

const struct flag flags_ps[] = {
	{ "all", 'a', FLAG_BOOL, NULL, "also those that do not run" },
	{ "filter", 'f', FLAG_LIST, "key=value", "only these (status=, name=, label=, id=...)" },
	{ "format", 0, FLAG_STR, "template", "table, json, or a Go template" },
	{ "last", 'n', FLAG_INT, "n", "the n newest, running or not" },
	{ "latest", 'l', FLAG_BOOL, NULL, "the newest" },
	{ "no-trunc", 0, FLAG_BOOL, NULL, "do not shorten" },
	{ "quiet", 'q', FLAG_BOOL, NULL, "ids only" },
	{ .name = NULL },
};

static const char *last_n(struct args *args)
{
	return args_str(args, "last", args_bool(args, "latest") ? "1" : NULL);
}

static int add_filters(struct strbuf *target, struct args *args, bool guests, struct err *err)
{
	if (!guests)
		return cli_add_filters(target, args, err);
	cleanup_json json_object *filters = cli_filters(args, err);
	if (!filters)
		return -EINVAL;
	json_object *vm = json_object_new_array();
	(void)json_object_array_add(vm, json_object_new_string("vm"));
	json_add(filters, "isolation", vm);
	client_target_query(target, "filters",
			    json_object_to_json_string_ext(filters, JSON_C_TO_STRING_PLAIN));
	return 0;
}

/* @guests: of the containers in microVMs, instead of the program's own kind. */
static int ps_target(struct cli *cli, struct args *args, bool guests, struct strbuf *target,
		     struct err *err)
{
	const char *last = last_n(args);
	client_target_path(target, guests ? "containers" : cli->kind->collection);
	strbuf_puts(target, "/json");
	if (args_bool(args, "all") || last)
		client_target_query(target, "all", "1");
	if (last)
		client_target_query(target, "limit", last);
	const char *format = args_str(args, "format", "");
	if (args_bool(args, "size") || strstr(format, ".Size"))
		client_target_query(target, "size", "1");
	return add_filters(target, args, guests, err);
}

static int get_list(struct cli *cli, struct args *args, bool guests, json_object **ret,
		    struct err *err)
{
	cleanup_strbuf struct strbuf target = STRBUF_INIT;
	int rc = ps_target(cli, args, guests, &target, err);
	return rc < 0 ? rc : client_call(cli_client(cli), "GET", target.text, NULL, ret, err);
}

static int64_t age_of(json_object *list, size_t i)
{
	return i < json_len(list) ? json_i64_or(json_object_array_get_idx(list, i), "Created", 0)
				  : INT64_MIN;
}

/* Both lists are newest first, and so is what becomes of them. */
static void fill_rows(struct cli *cli, struct args *args, json_object *own, json_object *guests,
		      json_object *rows)
{
	bool trunc = !args_bool(args, "no-trunc");
	int64_t most = args_bool(args, "latest") ? 1 : args_int(args, "last", -1);
	size_t n = json_len(own) + json_len(guests), a = 0, b = 0;
	if (last_n(args) && most > 0 && (size_t)most < n)
		n = (size_t)most;
	while (a + b < n) {
		json_object *row = json_object_new_object();
		if (age_of(own, a) >= age_of(guests, b))
			cli->kind->ps.fill(row, json_object_array_get_idx(own, a++), trunc);
		else
			cli->kind->fill_container(row, json_object_array_get_idx(guests, b++),
						  trunc);
		json_object_array_add(rows, row);
	}
}

int verb_ps(struct cli *cli, struct args *args)
{
	struct err err = ERR_INIT;
	cleanup_json json_object *own = NULL, *guests = NULL, *rows = json_object_new_array();
	const struct listing *ps = &cli->kind->ps;
	if (get_list(cli, args, false, &own, &err) < 0 ||
	    (cli->kind->fill_container && get_list(cli, args, true, &guests, &err) < 0))
		return cli_fail(cli, 1, &err);
	fill_rows(cli, args, own, guests, rows);
	const char *format = args_str(args, "format", NULL);
	if (args_bool(args, "quiet") && !format)
		format = "{{.ID}}";
	return format_rows(cli, format, ps->columns, ps->n_default + args_bool(args, "size"), rows);
}

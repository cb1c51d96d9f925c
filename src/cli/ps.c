/* SPDX-License-Identifier: Apache-2.0 */
/* ps - the list of instances, with Docker's flags. Runs in the CLIs. */
#include "cells.h"
#include "format.h"
#include "isola/fd.h"
#include "isola/json.h"
#include "verbs.h"

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

static int ps_target(struct cli *cli, struct args *args, struct strbuf *target, struct err *err)
{
	const char *last = args_str(args, "last", args_bool(args, "latest") ? "1" : NULL);
	client_target_path(target, cli->kind->collection);
	strbuf_puts(target, "/json");
	if (args_bool(args, "all") || last)
		client_target_query(target, "all", "1");
	if (last)
		client_target_query(target, "limit", last);
	const char *format = args_str(args, "format", "");
	if (args_bool(args, "size") || strstr(format, ".Size"))
		client_target_query(target, "size", "1");
	return cli_add_filters(target, args, err);
}

int verb_ps(struct cli *cli, struct args *args)
{
	struct err err = ERR_INIT;
	cleanup_strbuf struct strbuf target = STRBUF_INIT;
	cleanup_json json_object *list = NULL, *rows = json_object_new_array();
	if (ps_target(cli, args, &target, &err) < 0 ||
	    client_call(cli_client(cli), "GET", target.text, NULL, &list, &err) < 0)
		return cli_fail(cli, 1, &err);
	bool trunc = !args_bool(args, "no-trunc");
	const struct listing *ps = &cli->kind->ps;
	for (size_t i = 0; i < json_len(list); i++) {
		json_object *row = json_object_new_object();
		ps->fill(row, json_object_array_get_idx(list, i), trunc);
		json_object_array_add(rows, row);
	}
	const char *format = args_str(args, "format", NULL);
	if (args_bool(args, "quiet") && !format)
		format = "{{.ID}}";
	return format_rows(cli, format, ps->columns, ps->n_default + args_bool(args, "size"), rows);
}

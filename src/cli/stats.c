/* SPDX-License-Identifier: Apache-2.0 */
/* stats - use of resources, one line an instance: a snapshot, or every second
 * until interrupted. Runs in the CLIs. */
#include "format.h"
#include "isola/json.h"
#include "verbs.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

const struct flag flags_stats[] = {
	{ "all", 'a', FLAG_BOOL, NULL, "also those that do not run" },
	{ "format", 0, FLAG_STR, "template", "table, json, or a Go template" },
	{ "no-stream", 0, FLAG_BOOL, NULL, "one snapshot" },
	{ "no-trunc", 0, FLAG_BOOL, NULL, "do not shorten ids" },
	{ .name = NULL },
};

/* Those to show: those named, or all that run. */
static json_object *targets(struct cli *cli, struct args *args, struct err *err)
{
	json_object *refs = json_object_new_array();
	for (int i = 0; i < args->argc; i++)
		json_object_array_add(refs, json_object_new_string(args->argv[i]));
	if (args->argc > 0)
		return refs;
	cleanup_json json_object *list = NULL;
	char target[64];
	(void)snprintf(target, sizeof(target), "/%s/json%s", cli->kind->collection,
		       args_bool(args, "all") ? "?all=1" : "");
	if (client_call(cli_client(cli), "GET", target, NULL, &list, err) < 0) {
		json_object_put(refs);
		return NULL;
	}
	for (size_t i = 0; i < json_len(list); i++)
		json_object_array_add(refs, json_object_new_string(json_str_or(
						    json_object_array_get_idx(list, i), "Id", "")));
	return refs;
}

/* One sample of each; the daemon takes two a second apart for the CPU share
 * unless @prev holds the last round. */
static int sample(struct cli *cli, json_object *refs, bool named, bool trunc, json_object *rows,
		  struct err *err)
{
	for (size_t i = 0; i < json_len(refs); i++) {
		cleanup_json json_object *doc = NULL;
		const char *ref = json_item_str(refs, i);
		int rc = cli_call(cli, "GET", ref, "/stats?stream=0", NULL, &doc, err);
		if (rc < 0 && named)
			return rc;
		if (rc < 0)
			continue; /* it ended meanwhile */
		json_object *row = json_object_new_object();
		cli->kind->stats.fill(row, doc, trunc);
		json_add_str(row, "Container", ref);
		json_object_array_add(rows, row);
	}
	return 0;
}

int verb_stats(struct cli *cli, struct args *args)
{
	bool once = args_bool(args, "no-stream");
	const char *format = args_str(args, "format", NULL);
	bool screen = !once && !format && isatty(STDOUT_FILENO);
	for (;;) {
		struct err err = ERR_INIT;
		cleanup_json json_object *refs = targets(cli, args, &err);
		cleanup_json json_object *rows = json_object_new_array();
		if (!refs ||
		    sample(cli, refs, args->argc > 0, !args_bool(args, "no-trunc"), rows, &err) < 0)
			return cli_fail(cli, 1, &err);
		if (screen)
			(void)fputs("\033[2J\033[H", stdout);
		int code = format_rows(cli, format, cli->kind->stats.columns,
				       cli->kind->stats.n_default, rows);
		if (code || once || fflush(stdout) != 0)
			return code;
		if (json_len(refs) == 0)
			(void)sleep(1);
	}
}

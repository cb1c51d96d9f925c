/* SPDX-License-Identifier: Apache-2.0 */
/* commit - images out of containers, out of the store, and how they came to be:
 * commit, save, history. Runs in ctrctl. */
#include "format.h"
#include "isola/json.h"
#include "isola/num.h"
#include "verbs.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

const struct flag flags_commit[] = {
	{ "author", 'a', FLAG_STR, "text", "who made it" },
	{ "change", 'c', FLAG_LIST, "instruction", "CMD, ENTRYPOINT, ENV, USER, WORKDIR..." },
	{ "message", 'm', FLAG_STR, "text", "comment of the image" },
	{ "pause", 'p', FLAG_BOOL, NULL, "freeze the container meanwhile (the default)" },
	{ .name = NULL },
};

const struct flag flags_save[] = {
	{ "output", 'o', FLAG_STR, "file", "write to a file (default: stdout)" },
	{ "format", 0, FLAG_STR, "form",
	  "docker-archive (default; is an OCI layout, too) or "
	  "oci-archive" },
	{ .name = NULL },
};

const struct flag flags_history[] = {
	{ "format", 0, FLAG_STR, "template", "table, json, or a Go template" },
	{ "human", 'H', FLAG_BOOL, NULL, "sizes and times for people (the default)" },
	{ "no-trunc", 0, FLAG_BOOL, NULL, "do not shorten" },
	{ "quiet", 'q', FLAG_BOOL, NULL, "ids only" },
	{ .name = NULL },
};

int verb_commit(struct cli *cli, struct args *args)
{
	struct err err = ERR_INIT;
	cleanup_strbuf struct strbuf target = STRBUF_INIT;
	cleanup_json json_object *result = NULL;
	bool pause = !args_given(args, "pause") || args_bool(args, "pause");
	const char *text;
	strbuf_puts(&target, "/commit");
	client_target_query(&target, "container", args->argv[0]);
	if (args->argc > 1)
		client_target_query(&target, "repo", args->argv[1]);
	if ((text = args_str(args, "author", NULL)))
		client_target_query(&target, "author", text);
	if ((text = args_str(args, "message", NULL)))
		client_target_query(&target, "comment", text);
	for (size_t i = 0; (text = args_list(args, "change", i)); i++)
		client_target_query(&target, "changes", text);
	client_target_query(&target, "pause", pause ? "1" : "0");
	if (client_call(cli_client(cli), "POST", target.text, NULL, &result, &err) < 0)
		return cli_fail(cli, 1, &err);
	puts(json_str_or(result, "Id", ""));
	return 0;
}

int verb_save(struct cli *cli, struct args *args)
{
	struct err err = ERR_INIT;
	cleanup_strbuf struct strbuf target = STRBUF_INIT;
	const char *format = args_str(args, "format", NULL);
	strbuf_puts(&target, "/images/get");
	for (int i = 0; i < args->argc; i++)
		client_target_query(&target, "names", args->argv[i]);
	if (format)
		client_target_query(&target, "format", format);
	if (cli_save_body(cli, target.text, args_str(args, "output", NULL), &err) < 0)
		return cli_fail(cli, 1, &err);
	return 0;
}

/* ---- history ---- */

static const struct column columns[] = {
	{ "IMAGE", "ID" },  { "CREATED", "CreatedSince" }, { "CREATED BY", "CreatedBy" },
	{ "SIZE", "Size" }, { "COMMENT", "Comment" },      { "CREATED AT", "CreatedAt" },
	{ NULL, NULL },
};
#define N_DEFAULT       5
#define CREATED_BY_SHOW 45 /* bytes, as Docker cuts them */

static json_object *history_row(json_object *step, bool trunc, bool human)
{
	json_object *row = json_object_new_object();
	const char *id = json_str_or(step, "Id", ""), *by = json_str_or(step, "CreatedBy", "");
	char text[96], span[64], at[40];
	bool digest = !strncmp(id, "sha256:", 7);
	(void)snprintf(text, sizeof(text), trunc && digest ? "%.12s" : "%s",
		       trunc && digest ? id + 7 : id);
	json_add_str(row, "ID", text);
	int64_t created = json_i64_or(step, "Created", 0), size = json_i64_or(step, "Size", 0);
	(void)num_format_time(created * 1000000000, at, sizeof(at));
	format_span((int64_t)time(NULL) - created, span, sizeof(span));
	(void)snprintf(text, sizeof(text), "%s ago", span);
	json_add_str(row, "CreatedSince", human ? text : at);
	json_add_str(row, "CreatedAt", at);
	(void)snprintf(text, sizeof(text), "%.*s...", CREATED_BY_SHOW - 3, by);
	json_add_str(row, "CreatedBy", trunc && strlen(by) > CREATED_BY_SHOW ? text : by);
	if (human)
		format_size(size, text, sizeof(text));
	else
		(void)snprintf(text, sizeof(text), "%lld", (long long)size);
	json_add_str(row, "Size", text);
	json_add_str(row, "Comment", json_str_or(step, "Comment", ""));
	return row;
}

int verb_history(struct cli *cli, struct args *args)
{
	struct err err = ERR_INIT;
	cleanup_strbuf struct strbuf target = STRBUF_INIT;
	cleanup_json json_object *list = NULL, *rows = json_object_new_array();
	bool human = !args_given(args, "human") || args_bool(args, "human");
	const char *format = args_str(args, "format", NULL);
	client_target_path(&target, "images");
	client_target_path(&target, args->argv[0]);
	strbuf_puts(&target, "/history");
	if (client_call(cli_client(cli), "GET", target.text, NULL, &list, &err) < 0)
		return cli_fail(cli, 1, &err);
	for (size_t i = 0; i < json_len(list); i++)
		json_object_array_add(rows, history_row(json_object_array_get_idx(list, i),
							!args_bool(args, "no-trunc"), human));
	return format_rows(cli, args_bool(args, "quiet") && !format ? "{{.ID}}" : format, columns,
			   N_DEFAULT, rows);
}

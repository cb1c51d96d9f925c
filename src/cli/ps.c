/* SPDX-License-Identifier: Apache-2.0 */
/* ps - the list of containers, with Docker's columns. Runs in ctrctl. */
#include "format.h"
#include "isola/fd.h"
#include "isola/json.h"
#include "verbs.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

const struct flag flags_ps[] = {
	{ "all", 'a', FLAG_BOOL, NULL, "also those that do not run" },
	{ "filter", 'f', FLAG_LIST, "key=value", "only these (status=, name=, label=, id=...)" },
	{ "format", 0, FLAG_STR, "template", "table, json, or a Go template" },
	{ "last", 'n', FLAG_INT, "n", "the n newest, running or not" },
	{ "latest", 'l', FLAG_BOOL, NULL, "the newest" },
	{ "no-trunc", 0, FLAG_BOOL, NULL, "do not shorten" },
	{ "quiet", 'q', FLAG_BOOL, NULL, "ids only" },
	{ "size", 's', FLAG_BOOL, NULL, "show sizes" },
	{ .name = NULL },
};

static const struct column ps_columns[] = {
	{ "CONTAINER ID", "ID" },      { "IMAGE", "Image" },       { "COMMAND", "Command" },
	{ "CREATED", "RunningFor" },   { "STATUS", "Status" },     { "PORTS", "Ports" },
	{ "NAMES", "Names" },          { "SIZE", "Size" }, /* last by default when asked for */
	{ "CREATED AT", "CreatedAt" }, { "STATE", "State" },       { "LABELS", "Labels" },
	{ "MOUNTS", "Mounts" },        { "NETWORKS", "Networks" }, { NULL, NULL },
};
#define PS_DEFAULT 7

static void shorten(char *text, size_t max)
{
	if (strlen(text) > max)
		(void)strcpy(text + max - 3, "\u2026"); /* one character, three bytes */
}

static void add_labels(json_object *row, json_object *labels)
{
	cleanup_strbuf struct strbuf b = STRBUF_INIT;
	if (labels) {
		json_object_object_foreach (labels, key, val) {
			strbuf_printf(&b, "%s%s=%s", b.len ? "," : "", key,
				      json_object_get_string(val));
		}
	}
	json_add_str(row, "Labels", b.text ? b.text : "");
}

static void add_mounts(json_object *row, json_object *mounts)
{
	cleanup_strbuf struct strbuf b = STRBUF_INIT;
	for (size_t i = 0; i < json_len(mounts); i++)
		strbuf_printf(&b, "%s%s", i ? "," : "",
			      json_str_or(json_object_array_get_idx(mounts, i), "Source", ""));
	json_add_str(row, "Mounts", b.text ? b.text : "");
}

static void add_networks(json_object *row, json_object *c)
{
	cleanup_strbuf struct strbuf b = STRBUF_INIT;
	json_object *nets = json_get(json_get(c, "NetworkSettings"), "Networks");
	if (nets) {
		json_object_object_foreach (nets, key, val) {
			(void)val;
			strbuf_printf(&b, "%s%s", b.len ? "," : "", key);
		}
	}
	json_add_str(row, "Networks", b.text ? b.text : "");
}

static void add_names(json_object *row, json_object *names)
{
	cleanup_strbuf struct strbuf b = STRBUF_INIT;
	for (size_t i = 0; i < json_len(names); i++) {
		const char *name = json_item_str(names, i);
		strbuf_printf(&b, "%s%s", i ? "," : "", name + (name[0] == '/'));
	}
	json_add_str(row, "Names", b.text ? b.text : "");
}

static void add_times(json_object *row, int64_t created)
{
	char span[64], text[80];
	format_span((int64_t)time(NULL) - created, span, sizeof(span));
	(void)snprintf(text, sizeof(text), "%s ago", span);
	json_add_str(row, "RunningFor", text);
	time_t t = (time_t)created;
	struct tm tm;
	(void)localtime_r(&t, &tm);
	(void)strftime(text, sizeof(text), "%Y-%m-%d %H:%M:%S %z %Z", &tm);
	json_add_str(row, "CreatedAt", text);
}

static void add_size(json_object *row, json_object *c)
{
	char rw[32], root[32], text[80] = "";
	format_size(json_i64_or(c, "SizeRw", 0), rw, sizeof(rw));
	format_size(json_i64_or(c, "SizeRootFs", 0), root, sizeof(root));
	(void)snprintf(text, sizeof(text), "%s (virtual %s)", rw, root);
	json_add_str(row, "Size", text);
}

static json_object *ps_row(json_object *c, bool trunc)
{
	json_object *row = json_object_new_object();
	char id[80], command[512];
	(void)snprintf(id, sizeof(id), trunc ? "%.12s" : "%s", json_str_or(c, "Id", ""));
	json_add_str(row, "ID", id);
	char image[512];
	(void)snprintf(image, sizeof(image), "%s", json_str_or(c, "Image", ""));
	if (trunc && !strncmp(image, "sha256:", 7))
		(void)snprintf(image, sizeof(image), "%.12s", json_str_or(c, "Image", "") + 7);
	json_add_str(row, "Image", image);
	(void)snprintf(command, sizeof(command), "%s", json_str_or(c, "Command", ""));
	if (trunc)
		shorten(command, 20);
	cleanup_strbuf struct strbuf quoted = STRBUF_INIT;
	strbuf_printf(&quoted, "\"%s\"", command);
	json_add_str(row, "Command", quoted.text);
	add_times(row, json_i64_or(c, "Created", 0));
	json_add_str(row, "Status", json_str_or(c, "Status", ""));
	json_add_str(row, "State", json_str_or(c, "State", ""));
	json_add_str(row, "Ports", "");
	add_names(row, json_get(c, "Names"));
	add_labels(row, json_get(c, "Labels"));
	add_mounts(row, json_get(c, "Mounts"));
	add_networks(row, c);
	add_size(row, c);
	return row;
}

static int ps_target(struct args *args, struct strbuf *target, struct err *err)
{
	const char *last = args_str(args, "last", args_bool(args, "latest") ? "1" : NULL);
	strbuf_puts(target, "/containers/json");
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
	if (ps_target(args, &target, &err) < 0 ||
	    client_call(cli_client(cli), "GET", target.text, NULL, &list, &err) < 0)
		return cli_fail(cli, 1, &err);
	bool trunc = !args_bool(args, "no-trunc");
	for (size_t i = 0; i < json_len(list); i++)
		json_object_array_add(rows, ps_row(json_object_array_get_idx(list, i), trunc));
	const char *format = args_str(args, "format", NULL);
	if (args_bool(args, "quiet") && !format)
		format = "{{.ID}}";
	return format_rows(cli, format, ps_columns, PS_DEFAULT + args_bool(args, "size"), rows);
}

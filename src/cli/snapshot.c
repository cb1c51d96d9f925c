/* SPDX-License-Identifier: Apache-2.0 */
/* snapshot - volume snapshot, restore and clone: second copies of a volume's files. Runs in
 * ctrctl. */
#include "body.h"
#include "format.h"
#include "isola/fd.h"
#include "isola/json.h"
#include "verbs.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

const struct flag flags_volume_snapshot[] = {
	{ "pause", 'p', FLAG_BOOL, NULL, "pause who uses the volume meanwhile (default true)" },
	{ "format", 0, FLAG_STR, "template", "of ls: table, json, or a Go template" },
	{ "quiet", 'q', FLAG_BOOL, NULL, "of ls: names only" },
	{ .name = NULL },
};

const struct flag flags_volume_clone[] = {
	{ "label", 'l', FLAG_LIST, "key=value", "label of the new volume" },
	{ "pause", 'p', FLAG_BOOL, NULL, "pause who uses the volume meanwhile (default true)" },
	{ "snapshot", 0, FLAG_STR, "name", "the files of this snapshot" },
	{ .name = NULL },
};

static const struct column columns[] = {
	{ "NAME", "Name" },     { "CREATED", "CreatedAt" }, { "SIZE", "Size" },
	{ "SHARED", "Shared" }, { "VOLUME", "Volume" },     { NULL, NULL },
};
#define COLUMNS_DEFAULT 4

static int call(struct cli *cli, const char *method, const char *volume, const char *what,
		const char *name, json_object *body, json_object **ret, struct err *err)
{
	cleanup_strbuf struct strbuf target = STRBUF_INIT;
	client_target_path(&target, "volumes");
	client_target_path(&target, volume);
	client_target_path(&target, what);
	if (name)
		client_target_query(&target, "name", name);
	return client_call(cli_client(cli), method, target.text, body, ret, err);
}

static json_object *row_of(json_object *o)
{
	static const char *const same[] = { "Name", "CreatedAt", "Volume" };
	char size[32];
	json_object *row = json_object_new_object();
	for (size_t i = 0; i < sizeof(same) / sizeof(same[0]); i++)
		json_add_str(row, same[i], json_str_or(o, same[i], ""));
	format_size(json_i64_or(o, "Size", 0), size, sizeof(size));
	json_add_str(row, "Size", size);
	format_size(json_i64_or(o, "SharedBytes", 0), size, sizeof(size));
	json_add_str(row, "Shared", size);
	return row;
}

static int list(struct cli *cli, struct args *args, const char *volume)
{
	struct err err = ERR_INIT;
	cleanup_json json_object *result = NULL, *rows = json_object_new_array();
	if (call(cli, "GET", volume, "snapshots", NULL, NULL, &result, &err) < 0)
		return cli_fail(cli, 1, &err);
	json_object *all = json_get(result, "Snapshots");
	for (size_t i = 0; i < json_len(all); i++)
		(void)json_object_array_add(rows, row_of(json_object_array_get_idx(all, i)));
	const char *format = args_str(args, "format", NULL);
	bool quiet = args_bool(args, "quiet") && !format;
	return format_rows(cli, quiet ? "{{.Name}}" : format, columns, COLUMNS_DEFAULT, rows);
}

static int remove_all(struct cli *cli, struct args *args)
{
	int code = 0;
	for (int i = 2; i < args->argc; i++) {
		struct err err = ERR_INIT;
		if (call(cli, "DELETE", args->argv[1], "snapshots", args->argv[i], NULL, NULL,
			 &err) < 0)
			code = cli_fail(cli, 1, &err);
		else
			puts(args->argv[i]);
	}
	return code;
}

static void add_pause(json_object *body, struct args *args)
{
	if (args_given(args, "pause"))
		json_add_bool(body, "Pause", args_bool(args, "pause"));
}

int verb_volume_snapshot(struct cli *cli, struct args *args)
{
	struct err err = ERR_INIT;
	if (args->argc == 2 && !strcmp(args->argv[0], "ls"))
		return list(cli, args, args->argv[1]);
	if (args->argc >= 3 && !strcmp(args->argv[0], "rm"))
		return remove_all(cli, args);
	if (args->argc != 2) {
		(void)err_set(&err, EINVAL,
			      "say: volume snapshot VOLUME NAME, snapshot ls VOLUME, or snapshot "
			      "rm VOLUME NAME...");
		return cli_fail(cli, 125, &err);
	}
	cleanup_json json_object *body = json_object_new_object();
	json_add_str(body, "Name", args->argv[1]);
	add_pause(body, args);
	if (call(cli, "POST", args->argv[0], "snapshots", NULL, body, NULL, &err) < 0)
		return cli_fail(cli, 1, &err);
	puts(args->argv[1]);
	return 0;
}

int verb_volume_restore(struct cli *cli, struct args *args)
{
	struct err err = ERR_INIT;
	cleanup_json json_object *body = json_object_new_object();
	json_add_str(body, "Snapshot", args->argv[1]);
	if (call(cli, "POST", args->argv[0], "restore", NULL, body, NULL, &err) < 0)
		return cli_fail(cli, 1, &err);
	puts(args->argv[0]);
	return 0;
}

int verb_volume_clone(struct cli *cli, struct args *args)
{
	struct err err = ERR_INIT;
	cleanup_json json_object *body = json_object_new_object();
	json_add_str(body, "Name", args->argv[1]);
	json_add_str(body, "Snapshot", args_str(args, "snapshot", ""));
	json_add(body, "Labels", body_map(args, "label"));
	add_pause(body, args);
	if (call(cli, "POST", args->argv[0], "clone", NULL, body, NULL, &err) < 0)
		return cli_fail(cli, 1, &err);
	puts(args->argv[1]);
	return 0;
}

/* SPDX-License-Identifier: Apache-2.0 */
/* volume - create, ls, inspect, rm and prune volumes: Docker's flags, columns and
 * output. Runs in ctrctl. */
#include "body.h"
#include "cells.h"
#include "format.h"
#include "isola/fd.h"
#include "isola/json.h"
#include "prune.h"
#include "verbs.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

const struct flag flags_volume_create[] = {
	{ "driver", 'd', FLAG_STR, "name", "local, the only one" },
	{ "label", 'l', FLAG_LIST, "key=value", "label" },
	{ "opt", 'o', FLAG_LIST, "key=value",
	  "size=BYTES: a limit, where the file system has project quotas" },
	{ .name = NULL },
};

const struct flag flags_volume_ls[] = {
	{ "filter", 'f', FLAG_LIST, "key=value", "only these (name=, label=, driver=, dangling=)" },
	{ "format", 0, FLAG_STR, "template", "table, json, or a Go template" },
	{ "quiet", 'q', FLAG_BOOL, NULL, "names only" },
	{ .name = NULL },
};

const struct flag flags_volume_rm[] = {
	{ "force", 'f', FLAG_BOOL, NULL, "one that is missing is fine" },
	{ .name = NULL },
};

const struct flag flags_volume_prune[] = {
	{ "all", 'a', FLAG_BOOL, NULL, "also those with a name" },
	{ .name = NULL },
};

static const struct column volume_columns[] = {
	{ "DRIVER", "Driver" },
	{ "VOLUME NAME", "Name" },
	{ "AVAILABILITY", "Availability" },
	{ "GROUP", "Group" },
	{ "LABELS", "Labels" },
	{ "LINKS", "Links" },
	{ "MOUNTPOINT", "Mountpoint" },
	{ "SCOPE", "Scope" },
	{ "SIZE", "Size" },
	{ "STATUS", "Status" },
	{ NULL, NULL },
};
#define VOLUMES_DEFAULT 2

int verb_volume_create(struct cli *cli, struct args *args)
{
	struct err err = ERR_INIT;
	cleanup_json json_object *body = json_object_new_object(), *result = NULL;
	json_add_str(body, "Name", args->argc ? args->argv[0] : "");
	json_add_str(body, "Driver", args_str(args, "driver", "local"));
	json_add(body, "DriverOpts", body_map(args, "opt"));
	json_add(body, "Labels", body_map(args, "label"));
	if (client_call(cli_client(cli), "POST", "/volumes/create", body, &result, &err) < 0)
		return cli_fail(cli, 1, &err);
	puts(json_str_or(result, "Name", ""));
	return 0;
}

static json_object *volume_row(json_object *v)
{
	static const char *const same[] = { "Driver", "Name", "Mountpoint", "Scope" };
	static const char *const unknown[] = { "Availability", "Group", "Links", "Size", "Status" };
	json_object *row = json_object_new_object();
	for (size_t i = 0; i < sizeof(same) / sizeof(same[0]); i++)
		json_add_str(row, same[i], json_str_or(v, same[i], ""));
	for (size_t i = 0; i < sizeof(unknown) / sizeof(unknown[0]); i++)
		json_add_str(row, unknown[i], "N/A");
	cell_labels(row, json_get(v, "Labels"));
	return row;
}

static int compare_names(const void *a, const void *b)
{
	return strcmp(json_str_or(*(json_object *const *)a, "Name", ""),
		      json_str_or(*(json_object *const *)b, "Name", ""));
}

int verb_volume_ls(struct cli *cli, struct args *args)
{
	struct err err = ERR_INIT;
	cleanup_strbuf struct strbuf target = STRBUF_INIT;
	cleanup_json json_object *result = NULL, *rows = json_object_new_array();
	strbuf_puts(&target, "/volumes");
	if (cli_add_filters(&target, args, &err) < 0 ||
	    client_call(cli_client(cli), "GET", target.text, NULL, &result, &err) < 0)
		return cli_fail(cli, 1, &err);
	json_object *list = json_get(result, "Volumes");
	for (size_t i = 0; i < json_len(list); i++)
		(void)json_object_array_add(rows, volume_row(json_object_array_get_idx(list, i)));
	json_object_array_sort(rows, compare_names);
	const char *format = args_str(args, "format", NULL);
	bool quiet = args_bool(args, "quiet") && !format;
	return format_rows(cli, quiet ? "{{.Name}}" : format, volume_columns, VOLUMES_DEFAULT,
			   rows);
}

static int call(struct cli *cli, const char *method, const char *name, bool force,
		json_object **ret, struct err *err)
{
	cleanup_strbuf struct strbuf target = STRBUF_INIT;
	client_target_path(&target, "volumes");
	client_target_path(&target, name);
	if (force)
		client_target_query(&target, "force", "1");
	return client_call(cli_client(cli), method, target.text, NULL, ret, err);
}

int verb_volume_inspect(struct cli *cli, struct args *args)
{
	cleanup_json json_object *docs = json_object_new_array();
	int code = 0;
	for (int i = 0; i < args->argc; i++) {
		struct err err = ERR_INIT;
		json_object *doc = NULL;
		if (call(cli, "GET", args->argv[i], false, &doc, &err) < 0)
			code = cli_fail(cli, 1, &err);
		else
			(void)json_object_array_add(docs, doc);
	}
	int printed = format_documents(cli, args_str(args, "format", NULL), docs);
	return code ? code : printed;
}

static int rm_one(struct cli *cli, struct args *args, const char *name, struct err *err)
{
	return call(cli, "DELETE", name, args_bool(args, "force"), NULL, err);
}

int verb_volume_rm(struct cli *cli, struct args *args)
{
	return cli_each(cli, args, rm_one, true);
}

int verb_volume_prune(struct cli *cli, struct args *args)
{
	struct err err = ERR_INIT;
	cleanup_json json_object *result = NULL;
	if (!prune_confirmed(cli, args,
			     args_bool(args, "all")
				     ? "all volumes that no container uses"
				     : "all anonymous volumes that no container uses"))
		return 1;
	if (prune_call(cli, args, "/volumes/prune", "all=true", &result, &err) < 0)
		return cli_fail(cli, 1, &err);
	if (json_len(json_get(result, "VolumesDeleted")))
		puts("Deleted Volumes:");
	prune_print(result, "VolumesDeleted");
	if (json_len(json_get(result, "VolumesDeleted")))
		puts("");
	prune_print_total(json_i64_or(result, "SpaceReclaimed", 0));
	return 0;
}

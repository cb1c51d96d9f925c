/* SPDX-License-Identifier: Apache-2.0 */
/* system - what the disk is used for, the check of the image store, and removing
 * all that is not in use. Runs in ctrctl. */
#include "format.h"
#include "isola/fd.h"
#include "isola/json.h"
#include "prune.h"
#include "verbs.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

const struct flag flags_df[] = {
	{ "verbose", 'v', FLAG_BOOL, NULL, "each image and container" },
	{ "format", 0, FLAG_STR, "template", "table, json, or a Go template" },
	{ .name = NULL },
};

const struct flag flags_check[] = {
	{ "deep", 0, FLAG_BOOL, NULL, "read each file of each layer, too: takes its time" },
	{ "repair", 0, FLAG_BOOL, NULL,
	  "mend what can be, move the broken to quarantine/, remove what no image needs" },
	{ .name = NULL },
};

/* ---- df ---- */

static const struct column df_columns[] = {
	{ "TYPE", "Type" }, { "TOTAL", "TotalCount" },        { "ACTIVE", "Active" },
	{ "SIZE", "Size" }, { "RECLAIMABLE", "Reclaimable" }, { NULL, NULL },
};

/* What one line of the table says. */
struct usage {
	int64_t total, active, bytes, reclaimable;
};

static void add_usage(json_object *rows, const char *type, const struct usage *u)
{
	json_object *row = json_object_new_object();
	char text[64], size[32];
	json_add_str(row, "Type", type);
	(void)snprintf(text, sizeof(text), "%lld", (long long)u->total);
	json_add_str(row, "TotalCount", text);
	(void)snprintf(text, sizeof(text), "%lld", (long long)u->active);
	json_add_str(row, "Active", text);
	format_size(u->bytes, size, sizeof(size));
	json_add_str(row, "Size", size);
	format_size(u->reclaimable, size, sizeof(size));
	if (u->bytes > 0)
		(void)snprintf(text, sizeof(text), "%s (%lld%%)", size,
			       (long long)(u->reclaimable * 100 / u->bytes));
	else
		(void)snprintf(text, sizeof(text), "%s", size);
	json_add_str(row, "Reclaimable", text);
	(void)json_object_array_add(rows, row);
}

static struct usage use_of_images(json_object *df)
{
	json_object *list = json_get(df, "Images");
	struct usage u = { .total = (int64_t)json_len(list),
			   .bytes = json_i64_or(df, "LayersSize", 0) };
	int64_t used = 0;
	for (size_t i = 0; i < json_len(list); i++) {
		json_object *o = json_object_array_get_idx(list, i);
		if (json_i64_or(o, "Containers", 0) <= 0)
			continue;
		u.active++;
		used += json_i64_or(o, "Size", 0) - json_i64_or(o, "SharedSize", 0);
	}
	u.reclaimable = used < u.bytes ? u.bytes - used : 0;
	return u;
}

static struct usage use_of_containers(json_object *df)
{
	static const char *const active[] = { "running", "paused", "restarting" };
	json_object *list = json_get(df, "Containers");
	struct usage u = { .total = (int64_t)json_len(list) };
	for (size_t i = 0; i < json_len(list); i++) {
		json_object *o = json_object_array_get_idx(list, i);
		int64_t bytes = json_i64_or(o, "SizeRw", 0);
		bool is_active = false;
		for (size_t k = 0; k < sizeof(active) / sizeof(active[0]); k++)
			is_active |= !strcmp(json_str_or(o, "State", ""), active[k]);
		u.active += is_active;
		u.bytes += bytes;
		u.reclaimable += is_active ? 0 : bytes;
	}
	return u;
}

static struct usage use_of_volumes(json_object *df)
{
	json_object *list = json_get(df, "Volumes");
	struct usage u = { .total = (int64_t)json_len(list) };
	for (size_t i = 0; i < json_len(list); i++) {
		json_object *usage = json_get(json_object_array_get_idx(list, i), "UsageData");
		int64_t bytes = json_i64_or(usage, "Size", 0);
		bool is_active = json_i64_or(usage, "RefCount", 0) > 0;
		u.active += is_active;
		u.bytes += bytes;
		u.reclaimable += is_active ? 0 : bytes;
	}
	return u;
}

static int print_summary(struct cli *cli, struct args *args, json_object *df)
{
	cleanup_json json_object *rows = json_object_new_array();
	const struct usage images = use_of_images(df), containers = use_of_containers(df);
	const struct usage volumes = use_of_volumes(df), none = { 0 };
	/* As they came: what push and save send. They go with their images. */
	const struct usage blobs = { .total = json_i64_or(df, "BlobsCount", 0),
				     .active = json_i64_or(df, "BlobsCount", 0),
				     .bytes = json_i64_or(df, "BlobsSize", 0) };
	/* For microVMs; they go with their images, too. */
	const struct usage roots = { .total = json_i64_or(df, "RootsCount", 0),
				     .active = json_i64_or(df, "RootsCount", 0),
				     .bytes = json_i64_or(df, "RootsSize", 0) };
	add_usage(rows, "Images", &images);
	add_usage(rows, "Image Blobs", &blobs);
	add_usage(rows, "Root Images", &roots);
	add_usage(rows, "Containers", &containers);
	add_usage(rows, "Local Volumes", &volumes);
	add_usage(rows, "Build Cache", &none);
	return format_rows(cli, args_str(args, "format", NULL), df_columns, 5, rows);
}

static const struct column df_image_columns[] = {
	{ "REPOSITORY", "Repository" },
	{ "TAG", "Tag" },
	{ "IMAGE ID", "ID" },
	{ "CREATED", "CreatedSince" },
	{ "SIZE", "Size" },
	{ "SHARED SIZE", "SharedSize" },
	{ "UNIQUE SIZE", "UniqueSize" },
	{ "CONTAINERS", "Containers" },
	{ NULL, NULL },
};

static void add_size(json_object *row, const char *key, int64_t bytes)
{
	char text[32];
	format_size(bytes, text, sizeof(text));
	json_add_str(row, key, text);
}

static void add_since(json_object *row, int64_t created)
{
	char span[64], text[80];
	format_span((int64_t)time(NULL) - created, span, sizeof(span));
	(void)snprintf(text, sizeof(text), "%s ago", span);
	json_add_str(row, "CreatedSince", text);
}

static int print_images(struct cli *cli, json_object *df)
{
	cleanup_json json_object *rows = json_object_new_array();
	json_object *list = json_get(df, "Images");
	for (size_t i = 0; i < json_len(list); i++) {
		json_object *o = json_object_array_get_idx(list, i);
		json_object *row = json_object_new_object();
		int64_t size = json_i64_or(o, "Size", 0), shared = json_i64_or(o, "SharedSize", 0);
		const char *ref = json_len(json_get(o, "RepoTags"))
					  ? json_item_str(json_get(o, "RepoTags"), 0)
					  : "<none>:<none>";
		const char *colon = strrchr(ref, ':'), *id = json_str_or(o, "Id", "");
		char text[32];
		json_add(row, "Repository",
			 json_object_new_string_len(ref, (int)(colon ? colon - ref : 0)));
		json_add_str(row, "Tag", colon ? colon + 1 : "");
		(void)snprintf(text, sizeof(text), "%.12s",
			       strncmp(id, "sha256:", 7) ? id : id + 7);
		json_add_str(row, "ID", text);
		add_since(row, json_i64_or(o, "Created", 0));
		add_size(row, "Size", size);
		add_size(row, "SharedSize", shared);
		add_size(row, "UniqueSize", size > shared ? size - shared : 0);
		(void)snprintf(text, sizeof(text), "%lld",
			       (long long)json_i64_or(o, "Containers", 0));
		json_add_str(row, "Containers", text);
		(void)json_object_array_add(rows, row);
	}
	puts("Images space usage:\n");
	return format_rows(cli, "table", df_image_columns, 8, rows);
}

static const struct column df_container_columns[] = {
	{ "CONTAINER ID", "ID" },      { "IMAGE", "Image" },
	{ "COMMAND", "Command" },      { "SIZE", "Size" },
	{ "CREATED", "CreatedSince" }, { "STATUS", "Status" },
	{ "NAMES", "Names" },          { NULL, NULL },
};

static int print_containers(struct cli *cli, json_object *df)
{
	cleanup_json json_object *rows = json_object_new_array();
	json_object *list = json_get(df, "Containers");
	for (size_t i = 0; i < json_len(list); i++) {
		json_object *o = json_object_array_get_idx(list, i);
		json_object *row = json_object_new_object();
		const char *name = json_item_str(json_get(o, "Names"), 0);
		char text[32];
		(void)snprintf(text, sizeof(text), "%.12s", json_str_or(o, "Id", ""));
		json_add_str(row, "ID", text);
		json_add_str(row, "Image", json_str_or(o, "Image", ""));
		(void)snprintf(text, sizeof(text), "\"%.18s\"", json_str_or(o, "Command", ""));
		json_add_str(row, "Command", text);
		add_size(row, "Size", json_i64_or(o, "SizeRw", 0));
		add_since(row, json_i64_or(o, "Created", 0));
		json_add_str(row, "Status", json_str_or(o, "Status", ""));
		json_add_str(row, "Names", *name == '/' ? name + 1 : name);
		(void)json_object_array_add(rows, row);
	}
	puts("\nContainers space usage:\n");
	return format_rows(cli, "table", df_container_columns, 7, rows);
}

static const struct column df_volume_columns[] = {
	{ "VOLUME NAME", "Name" },
	{ "LINKS", "Links" },
	{ "SIZE", "Size" },
	{ NULL, NULL },
};

static int print_volumes(struct cli *cli, json_object *df)
{
	cleanup_json json_object *rows = json_object_new_array();
	json_object *list = json_get(df, "Volumes");
	for (size_t i = 0; i < json_len(list); i++) {
		json_object *o = json_object_array_get_idx(list, i);
		json_object *row = json_object_new_object(), *usage = json_get(o, "UsageData");
		char text[32];
		json_add_str(row, "Name", json_str_or(o, "Name", ""));
		(void)snprintf(text, sizeof(text), "%lld",
			       (long long)json_i64_or(usage, "RefCount", 0));
		json_add_str(row, "Links", text);
		add_size(row, "Size", json_i64_or(usage, "Size", 0));
		(void)json_object_array_add(rows, row);
	}
	puts("\nLocal Volumes space usage:\n");
	return format_rows(cli, "table", df_volume_columns, 3, rows);
}

int verb_system_df(struct cli *cli, struct args *args)
{
	struct err err = ERR_INIT;
	cleanup_json json_object *df = NULL;
	if (args_bool(args, "verbose") && args_str(args, "format", NULL)) {
		(void)err_set(&err, EINVAL, "--verbose has tables of its own: leave out --format");
		return cli_fail(cli, 1, &err);
	}
	if (client_call(cli_client(cli), "GET", "/system/df", NULL, &df, &err) < 0)
		return cli_fail(cli, 1, &err);
	if (!args_bool(args, "verbose"))
		return print_summary(cli, args, df);
	int code = print_images(cli, df);
	if (code == 0)
		code = print_containers(cli, df);
	return code ? code : print_volumes(cli, df);
}

/* ---- check ---- */

int verb_system_check(struct cli *cli, struct args *args)
{
	struct err err = ERR_INIT;
	cleanup_json json_object *result = NULL;
	cleanup_strbuf struct strbuf target = STRBUF_INIT;
	strbuf_puts(&target, "/system/check");
	if (args_bool(args, "repair"))
		client_target_query(&target, "repair", "1");
	if (args_bool(args, "deep"))
		client_target_query(&target, "deep", "1");
	if (client_call(cli_client(cli), "POST", target.text, NULL, &result, &err) < 0)
		return cli_fail(cli, 1, &err);
	json_object *list = json_get(result, "Problems");
	int64_t found = json_i64_or(result, "Found", 0), left = json_i64_or(result, "Left", 0);
	for (size_t i = 0; i < json_len(list); i++) {
		json_object *p = json_object_array_get_idx(list, i);
		printf("%s%s\n", json_bool_or(p, "Repaired", false) ? "Repaired: " : "",
		       json_str_or(p, "Text", ""));
	}
	if (found > (int64_t)json_len(list))
		printf("... and %lld more.\n", (long long)(found - (int64_t)json_len(list)));
	char size[32];
	format_size(json_i64_or(result, "BlobBytes", 0), size, sizeof(size));
	printf("Checked: %lld images, %lld layers, %lld blobs of %s. ",
	       (long long)json_i64_or(result, "Images", 0),
	       (long long)json_i64_or(result, "Layers", 0),
	       (long long)json_i64_or(result, "Blobs", 0), size);
	if (found == 0)
		puts("The store is good.");
	else
		printf("Problems: %lld, repaired: %lld.\n", (long long)found,
		       (long long)(found - left));
	return left > 0;
}

/* ---- prune ---- */

const struct flag flags_system_prune[] = {
	{ "volumes", 0, FLAG_BOOL, NULL, "also anonymous volumes that no container uses" },
	{ .name = NULL },
};

int verb_system_prune(struct cli *cli, struct args *args)
{
	char what[160];
	(void)snprintf(what, sizeof(what),
		       "all stopped containers, networks no container is in, and all images %s%s",
		       args_bool(args, "all") ? "no container uses" : "without a name",
		       args_bool(args, "volumes") ? ", and anonymous volumes no container uses"
						  : "");
	if (!prune_confirmed(cli, args, what))
		return 1;
	static const struct {
		const char *path, *list, *title, *wide;
	} rows[] = {
		{ "/containers/prune", "ContainersDeleted", "Deleted Containers:", NULL },
		{ "/networks/prune", "NetworksDeleted", "Deleted Networks:", NULL },
		{ "/volumes/prune", "VolumesDeleted", "Deleted Volumes:", NULL },
		{ "/images/prune", "ImagesDeleted", "Deleted Images:", "dangling=false" },
	};
	int64_t bytes = 0;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct err err = ERR_INIT;
		cleanup_json json_object *result = NULL;
		if (!strncmp(rows[i].path, "/volumes", 8) && !args_bool(args, "volumes"))
			continue;
		if (prune_call(cli, args, rows[i].path, rows[i].wide, &result, &err) < 0)
			return cli_fail(cli, 1, &err);
		if (json_len(json_get(result, rows[i].list)))
			puts(rows[i].title);
		prune_print(result, rows[i].list);
		bytes += json_i64_or(result, "SpaceReclaimed", 0);
		if (json_len(json_get(result, rows[i].list)))
			puts("");
	}
	prune_print_total(bytes);
	return 0;
}

/* SPDX-License-Identifier: Apache-2.0 */
/* vm_template - see vm_template.h. The administrator's templates come before those
 * beside vmctl (in a build folder), and these before those that were installed. */
#include "vm_template.h"

#include "format.h"
#include "isola/fd.h"
#include "isola/json.h"
#include "isola/strbuf.h"
#include "place.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TEMPLATE_BYTES_MAX (256 * 1024)
#define TEMPLATES_MAX      256 /* what a folder may hold before we stop to look */
#define ADMIN_FOLDER       "/etc/isola/cpu-templates"
#define INSTALLED_FOLDER   ISOLA_DATADIR "/cpu-templates"

enum { FOLDERS = 3 };

/* @beside: a buffer for the one whose place is not fixed; "" when there is none. */
static void folders(char beside[PATH_MAX], const char *ret[FOLDERS])
{
	struct err ignored = ERR_INIT;
	if (place_find("packaging/cpu-templates", beside, PATH_MAX, &ignored) < 0)
		beside[0] = '\0';
	ret[0] = ADMIN_FOLDER;
	ret[1] = beside;
	ret[2] = INSTALLED_FOLDER;
}

static int add_file(const char *path, json_object *cpus, struct err *err)
{
	json_object *doc = NULL;
	int rc = json_read_file(AT_FDCWD, path, TEMPLATE_BYTES_MAX, &doc, err);
	if (rc < 0)
		return rc;
	json_add(cpus, "Template", doc);
	return 0;
}

/* ---- the list ---- */

static json_object *make_row(const char *name, const char *description, const char *path)
{
	json_object *row = json_object_new_object();
	json_add_str(row, "Name", name);
	json_add_str(row, "Description", description);
	json_add_str(row, "File", path);
	return row;
}

static bool has_name(json_object *rows, const char *name)
{
	for (size_t i = 0; i < json_len(rows); i++)
		if (!strcmp(json_str_or(json_object_array_get_idx(rows, i), "Name", ""), name))
			return true;
	return false;
}

static void add_template(json_object *rows, const char *folder, const char *file)
{
	char name[NAME_MAX + 1], path[PATH_MAX];
	cleanup_json json_object *doc = NULL;
	size_t n = strlen(file);
	if (n <= 5 || strcmp(file + n - 5, ".json") != 0)
		return;
	(void)snprintf(name, sizeof(name), "%.*s", (int)(n - 5), file);
	if (has_name(rows, name) ||
	    snprintf(path, sizeof(path), "%s/%s", folder, file) >= (int)sizeof(path))
		return;
	struct err err = ERR_INIT;
	if (json_read_file(AT_FDCWD, path, TEMPLATE_BYTES_MAX, &doc, &err) < 0)
		(void)json_object_array_add(rows, make_row(name, err.text, path));
	else
		(void)json_object_array_add(
			rows, make_row(name, json_str_or(doc, "description", ""), path));
}

static int by_name(const void *a, const void *b)
{
	return strcmp(json_str_or(*(json_object *const *)a, "Name", ""),
		      json_str_or(*(json_object *const *)b, "Name", ""));
}

/* What names there are, each once, of the folder that counts. Owned. */
static json_object *list_templates(void)
{
	char beside[PATH_MAX];
	const char *places[FOLDERS];
	json_object *rows = json_object_new_array();
	folders(beside, places);
	for (size_t i = 0; i < FOLDERS; i++) {
		DIR *dir = *places[i] ? opendir(places[i]) : NULL;
		struct dirent *entry;
		for (int n = 0; dir && n < TEMPLATES_MAX && (entry = readdir(dir)); n++)
			add_template(rows, places[i], entry->d_name);
		if (dir)
			(void)closedir(dir);
	}
	if (!has_name(rows, "host"))
		(void)json_object_array_add(
			rows,
			make_row("host", "All that KVM here offers and can do; the default.", ""));
	json_object_array_sort(rows, by_name);
	return rows;
}

/* ---- --cpu-template ---- */

static int unknown(const char *text, struct err *err)
{
	cleanup_json json_object *rows = list_templates();
	cleanup_strbuf struct strbuf b = STRBUF_INIT;
	for (size_t i = 0; i < json_len(rows); i++)
		strbuf_printf(&b, "%s%s", i ? ", " : "",
			      json_str_or(json_object_array_get_idx(rows, i), "Name", ""));
	return err_set(err, ENOENT,
		       "--cpu-template %s: there is no such template; known are: %s. Others are "
		       "files in " ADMIN_FOLDER ", or named by their path",
		       text, b.text ? b.text : "");
}

int vm_template(const char *text, json_object *cpus, struct err *err)
{
	char beside[PATH_MAX], path[PATH_MAX];
	const char *places[FOLDERS];
	if (!text)
		return 0;
	if (!strcmp(text, "host")) {
		json_add_str(cpus, "Template", text);
		return 0;
	}
	if (strchr(text, '/') || strstr(text, ".json")) {
		int rc = add_file(text, cpus, err);
		return rc < 0 ? err_prefix(err, "--cpu-template") : 0;
	}
	folders(beside, places);
	for (size_t i = 0; i < FOLDERS; i++) {
		if (!*places[i] || !*text ||
		    snprintf(path, sizeof(path), "%s/%s.json", places[i], text) >=
			    (int)sizeof(path) ||
		    access(path, F_OK) < 0)
			continue;
		int rc = add_file(path, cpus, err);
		return rc < 0 ? err_prefix(err, "--cpu-template") : 0;
	}
	return unknown(text, err);
}

/* ---- vmctl templates ---- */

const struct flag flags_cpu_templates[] = {
	{ "format", 0, FLAG_STR, "template", "table, json, or a Go template" },
	{ "quiet", 'q', FLAG_BOOL, NULL, "names only" },
	{ .name = NULL },
};

static const struct column columns[] = {
	{ "NAME", "Name" },
	{ "DESCRIPTION", "Description" },
	{ "FILE", "File" },
	{ NULL, NULL },
};

int verb_cpu_templates(struct cli *cli, struct args *args)
{
	cleanup_json json_object *rows = list_templates();
	const char *format = args_str(args, "format", NULL);
	if (args_bool(args, "quiet") && !format)
		format = "{{.Name}}";
	return format_rows(cli, format, columns, 2, rows);
}

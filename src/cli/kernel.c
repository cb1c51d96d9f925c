/* SPDX-License-Identifier: Apache-2.0 */
/* kernel - see kernel.h. Fetching and building is the work of two scripts beside us
 * (guest/kernel/fetch and build), which print the folder of their result; here it is
 * put into the store. Runs in vmctl. */
#include "kernel.h"

#include "cells.h"
#include "format.h"
#include "isola/fd.h"
#include "isola/json.h"
#include "kernel_store.h"
#include "place.h"
#include "program.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define STATE_DEFAULT "/var/lib/isola"

static const struct flag flags_state[] = {
	{ "state", 0, FLAG_STR, "dir", "folder that holds kernels/ (isolad's state folder)" },
	{ .name = NULL },
};

static const struct flag flags_fetch[] = {
	{ "package", 0, FLAG_STR, "file", "this Debian package in place of the newest" },
	{ "use", 0, FLAG_BOOL, NULL, "make it the default, though there is one" },
	{ .name = NULL },
};

static const struct flag flags_build[] = {
	{ "jobs", 'j', FLAG_INT, "n", "compilers at a time (as many as CPUs)" },
	{ .name = NULL },
};

static const struct flag flags_add[] = {
	{ "use", 0, FLAG_BOOL, NULL, "make it the default, though there is one" },
	{ .name = NULL },
};

static const struct flag flags_ls[] = {
	{ "format", 0, FLAG_STR, "template", "table, json, or a Go template" },
	{ "quiet", 'q', FLAG_BOOL, NULL, "names only" },
	{ .name = NULL },
};

static const struct flag flags_kernel_rm[] = {
	{ "force", 'f', FLAG_BOOL, NULL, "though a VM needs it" },
	{ .name = NULL },
};

/* isolad's own state folder; "" when it does not answer. */
static void ask_state(struct cli *cli, char *ret, size_t size)
{
	struct err err = ERR_INIT;
	cleanup_json json_object *doc = NULL;
	ret[0] = '\0';
	if (client_call(cli_client(cli), "GET", "/info", NULL, &doc, &err) == 200)
		(void)snprintf(ret, size, "%s", json_str_or(doc, "DockerRootDir", ""));
}

int kernel_store(struct cli *cli, struct args *args, char *ret, size_t size, struct err *err)
{
	char asked[PATH_MAX];
	const char *state = args_str(args, "state", getenv("ISOLA_STATE"));
	if (!state || !*state) {
		ask_state(cli, asked, sizeof(asked));
		state = *asked ? asked : STATE_DEFAULT;
	}
	char full[PATH_MAX];
	if (state[0] != '/' && realpath(state, full))
		state = full;
	if (snprintf(ret, size, "%s/kernels", state) >= (int)size)
		return err_set(err, ENAMETOOLONG, "the state folder's name is too long");
	return 0;
}

/* ---- fetch, build ---- */

/* The last line is the folder; nothing else is printed. */
static int cut_line(char *folder, struct err *err)
{
	folder[strcspn(folder, "\n")] = '\0';
	return *folder ? 0 : err_set(err, EIO, "the script named no folder");
}

static int make(struct cli *cli, struct args *args, const char *script)
{
	struct err err = ERR_INIT;
	struct kernel k;
	char store[PATH_MAX], path[PATH_MAX], folder[PATH_MAX], name[64];
	const char *package = args_str(args, "package", NULL), *jobs = args_str(args, "jobs", NULL);
	char *argv[8] = { path };
	int argc = 1;
	if (package) {
		argv[argc++] = (char *)(uintptr_t) "--package";
		argv[argc++] = (char *)(uintptr_t)package;
	}
	if (jobs) {
		argv[argc++] = (char *)(uintptr_t) "--jobs";
		argv[argc++] = (char *)(uintptr_t)jobs;
	}
	(void)snprintf(name, sizeof(name), "guest/kernel/%s", script);
	if (kernel_store(cli, args, store, sizeof(store), &err) < 0 ||
	    place_find(name, path, sizeof(path), &err) < 0 ||
	    program_output(argv, folder, sizeof(folder), &err) < 0 || cut_line(folder, &err) < 0 ||
	    kernel_install(store, folder, &k, &err) < 0)
		return cli_fail(cli, 1, &err);
	if (args_bool(args, "use") && kernel_use(store, k.name, &err) < 0)
		return cli_fail(cli, 1, &err);
	puts(k.name);
	return 0;
}

static int verb_fetch(struct cli *cli, struct args *args)
{
	return make(cli, args, "fetch");
}

static int verb_build(struct cli *cli, struct args *args)
{
	return make(cli, args, "build");
}

static int verb_add(struct cli *cli, struct args *args)
{
	struct err err = ERR_INIT;
	struct kernel k;
	char store[PATH_MAX];
	if (kernel_store(cli, args, store, sizeof(store), &err) < 0 ||
	    kernel_install(store, args->argv[0], &k, &err) < 0 ||
	    (args_bool(args, "use") && kernel_use(store, k.name, &err) < 0))
		return cli_fail(cli, 1, &err);
	puts(k.name);
	return 0;
}

/* ---- ls, use, rm ---- */

static const struct column ls_columns[] = {
	{ "NAME", "Name" },     { "RELEASE", "Release" }, { "KIND", "Kind" },
	{ "SIZE", "Size" },     { "DEFAULT", "Default" }, { "SOURCE", "Source" },
	{ "KERNEL", "Kernel" }, { "INITRD", "Initrd" },   { NULL, NULL },
};

static void add_path(json_object *row, const char *field, const char *store, json_object *doc,
		     const char *key)
{
	char path[PATH_MAX] = "";
	const char *file = json_str_or(doc, key, NULL);
	if (file)
		(void)snprintf(path, sizeof(path), "%s/%s/%s", store, json_str_or(doc, "name", ""),
			       file);
	json_add_str(row, field, path);
}

static json_object *ls_row(const char *store, json_object *doc)
{
	json_object *row = json_object_new_object();
	char size[32];
	json_add_str(row, "Name", json_str_or(doc, "name", ""));
	json_add_str(row, "Release", json_str_or(doc, "release", ""));
	json_add_str(row, "Kind", json_str_or(doc, "kind", ""));
	format_size(json_i64_or(doc, "size", 0), size, sizeof(size));
	json_add_str(row, "Size", size);
	json_add_str(row, "Default", json_bool_or(doc, "default", false) ? "*" : "");
	json_add_str(row, "Source", json_str_or(doc, "source", ""));
	add_path(row, "Kernel", store, doc, "kernel");
	add_path(row, "Initrd", store, doc, "initrd");
	return row;
}

static int verb_ls(struct cli *cli, struct args *args)
{
	struct err err = ERR_INIT;
	char store[PATH_MAX];
	if (kernel_store(cli, args, store, sizeof(store), &err) < 0)
		return cli_fail(cli, 1, &err);
	cleanup_json json_object *list = kernel_list(store, &err), *rows = json_object_new_array();
	if (!list)
		return cli_fail(cli, 1, &err);
	for (size_t i = 0; i < json_len(list); i++)
		json_object_array_add(rows, ls_row(store, json_object_array_get_idx(list, i)));
	const char *format = args_str(args, "format", NULL);
	if (args_bool(args, "quiet") && !format)
		format = "{{.Name}}";
	return format_rows(cli, format, ls_columns, 5, rows);
}

static int verb_use(struct cli *cli, struct args *args)
{
	struct err err = ERR_INIT;
	char store[PATH_MAX];
	if (kernel_store(cli, args, store, sizeof(store), &err) < 0 ||
	    kernel_use(store, args->argv[0], &err) < 0)
		return cli_fail(cli, 1, &err);
	puts(args->argv[0]);
	return 0;
}

/* A VM that was created with it could not start any more. */
static int check_unused(struct cli *cli, const char *store, const char *name, struct err *err)
{
	struct err ignored = ERR_INIT;
	cleanup_json json_object *list = NULL;
	char prefix[PATH_MAX];
	(void)snprintf(prefix, sizeof(prefix), "%s/%s/", store, name);
	if (client_call(cli_client(cli), "GET", "/vms/json?all=1", NULL, &list, &ignored) != 200)
		return 0; /* no daemon, no VM that runs */
	for (size_t i = 0; i < json_len(list); i++) {
		json_object *vm = json_object_array_get_idx(list, i);
		if (!strncmp(json_str_or(vm, "Kernel", ""), prefix, strlen(prefix)))
			return err_set(err, EBUSY,
				       "kernel %s is needed by VM %.12s: remove that first, or say "
				       "-f",
				       name, json_str_or(vm, "Id", ""));
	}
	return 0;
}

static int rm_one(struct cli *cli, struct args *args, const char *name, struct err *err)
{
	char store[PATH_MAX];
	struct kernel k;
	int rc = kernel_store(cli, args, store, sizeof(store), err);
	if (rc == 0)
		rc = kernel_find(store, name, &k, err);
	if (rc == 0 && !args_bool(args, "force"))
		rc = check_unused(cli, store, k.name, err);
	return rc < 0 ? rc : kernel_remove(store, name, err);
}

static int verb_kernel_rm(struct cli *cli, struct args *args)
{
	return cli_each(cli, args, rm_one, true);
}

#define FLAGS(...)                                                                                 \
	(const struct flag *const[])                                                               \
	{                                                                                          \
		__VA_ARGS__, NULL                                                                  \
	}

static const struct verb kernel_verbs[] = {
	{ "fetch", NULL, "", "bring Debian's cloud kernel into the store", "  vmctl kernel fetch\n",
	  FLAGS(flags_state, flags_fetch), 0, 0, false, verb_fetch },
	{ "build", NULL, "", "build Isola's own kernel from Debian's sources (minutes, once)",
	  "  vmctl kernel build --use\n", FLAGS(flags_state, flags_fetch, flags_build), 0, 0, false,
	  verb_build },
	{ "add", NULL, "FOLDER", "put a kernel that was fetched or built elsewhere into the store",
	  "  vmctl kernel add ~/.cache/isola/kernels/533e6a6fea52f751\n",
	  FLAGS(flags_state, flags_add), 1, 1, false, verb_add },
	{ "ls", "list", "", "list the kernels in the store", NULL, FLAGS(flags_state, flags_ls), 0,
	  0, false, verb_ls },
	{ "use", NULL, "NAME", "make a kernel the default", NULL, FLAGS(flags_state), 1, 1, false,
	  verb_use },
	{ "rm", "remove", "NAME...", "remove kernels", NULL, FLAGS(flags_state, flags_kernel_rm), 1,
	  -1, false, verb_kernel_rm },
	{ .name = NULL },
};

int verb_kernel(struct cli *cli, struct args *args)
{
	return cli_dispatch(cli, "kernel", kernel_verbs, args->argc, args->argv);
}

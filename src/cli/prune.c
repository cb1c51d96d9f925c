/* SPDX-License-Identifier: Apache-2.0 */
/* prune - removes what is not in use: containers, VMs, images. Runs in the CLIs. */
#include "prune.h"

#include "format.h"
#include "isola/fd.h"
#include "isola/json.h"
#include "verbs.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

const struct flag flags_prune[] = {
	{ "force", 'f', FLAG_BOOL, NULL, "do not ask" },
	{ "filter", 0, FLAG_LIST, "key=value", "only these (until=, label=)" },
	{ .name = NULL },
};

const struct flag flags_prune_all[] = {
	{ "all", 'a', FLAG_BOOL, NULL, "also images with a name that no container uses" },
	{ .name = NULL },
};

bool prune_confirmed(struct cli *cli, struct args *args, const char *what)
{
	if (args_bool(args, "force"))
		return true;
	if (!isatty(STDIN_FILENO)) {
		(void)fprintf(stderr, "%s: this removes %s; say -f where no one can be asked\n",
			      cli->program, what);
		return false;
	}
	char line[16] = "";
	(void)fprintf(stderr, "This removes %s. Go on? [y/N] ", what);
	return fgets(line, sizeof(line), stdin) && (line[0] == 'y' || line[0] == 'Y');
}

static int make_target(struct args *args, const char *path, const char *wide, struct strbuf *target,
		       struct err *err)
{
	cleanup_json json_object *filters = cli_filters(args, err);
	if (!filters)
		return -EINVAL;
	if (wide && args_bool(args, "all")) {
		const char *equals = strchr(wide, '=');
		cleanup_free char *key = strndup(wide, equals ? (size_t)(equals - wide) : 0);
		json_object *values = json_object_new_array();
		json_object_array_add(values, json_object_new_string(equals ? equals + 1 : ""));
		json_add(filters, key ? key : "", values);
	}
	strbuf_puts(target, path);
	client_target_query(target, "filters",
			    json_object_to_json_string_ext(filters, JSON_C_TO_STRING_PLAIN));
	return 0;
}

int prune_call(struct cli *cli, struct args *args, const char *path, const char *wide,
	       json_object **ret, struct err *err)
{
	cleanup_strbuf struct strbuf target = STRBUF_INIT;
	int rc = make_target(args, path, wide, &target, err);
	return rc < 0 ? rc : client_call(cli_client(cli), "POST", target.text, NULL, ret, err);
}

void prune_print(json_object *result, const char *list)
{
	json_object *deleted = json_get(result, list);
	for (size_t i = 0; i < json_len(deleted); i++) {
		json_object *item = json_object_array_get_idx(deleted, i);
		if (json_object_is_type(item, json_type_string))
			puts(json_object_get_string(item));
		else
			puts(json_str_or(item, "Deleted", json_str_or(item, "Untagged", "")));
	}
}

void prune_print_total(int64_t bytes)
{
	char size[32];
	format_size(bytes, size, sizeof(size));
	printf("Total reclaimed space: %s\n", size);
}

static int prune(struct cli *cli, struct args *args, const char *path, const char *wide,
		 const char *what, const char *list)
{
	struct err err = ERR_INIT;
	cleanup_json json_object *result = NULL;
	if (!prune_confirmed(cli, args, what))
		return 1;
	if (prune_call(cli, args, path, wide, &result, &err) < 0)
		return cli_fail(cli, 1, &err);
	prune_print(result, list);
	prune_print_total(json_i64_or(result, "SpaceReclaimed", 0));
	return 0;
}

int verb_prune(struct cli *cli, struct args *args)
{
	char path[64], what[64];
	(void)snprintf(path, sizeof(path), "/%s/prune", cli->kind->collection);
	(void)snprintf(what, sizeof(what), "all stopped %ss", cli->kind->noun);
	return prune(cli, args, path, NULL, what, cli->kind->deleted);
}

int verb_image_prune(struct cli *cli, struct args *args)
{
	return prune(cli, args, "/images/prune", "dangling=false",
		     args_bool(args, "all") ? "all images no container uses"
					    : "all images without a name",
		     "ImagesDeleted");
}

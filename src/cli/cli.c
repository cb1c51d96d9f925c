/* SPDX-License-Identifier: Apache-2.0 */
/* cli - global flags, dispatch of verbs, and the calls many verbs share. Runs
 * in ctrctl and vmctl, with the rights of its caller. */
#include "cli.h"

#include "isola/fd.h"
#include "isola/json.h"
#include "plain.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const struct flag flags_none[] = { { .name = NULL } };

static const struct flag flags_global[] = {
	{ "host", 'H', FLAG_STR, "socket",
	  "the daemon's socket: a path or unix:///path (else ISOLA_SOCKET, DOCKER_HOST)" },
	{ "help", 'h', FLAG_BOOL, NULL, "this text" },
	{ "version", 'v', FLAG_BOOL, NULL, "print the version" },
	{ .name = NULL },
};

int cli_fail(struct cli *cli, int code, const struct err *err)
{
	/* It may quote a registry, an image, a guest. */
	cleanup_strbuf struct strbuf plain = STRBUF_INIT;
	plain_text(&plain, err->text, true);
	(void)fflush(stdout);
	(void)fprintf(stderr, "%s: %s\n", cli->program, plain.text ? plain.text : "");
	return code;
}

struct client *cli_client(struct cli *cli)
{
	if (!cli->client)
		cli->client = client_new(&cli->host);
	if (!cli->client) {
		(void)fprintf(stderr, "%s: out of memory\n", cli->program);
		exit(1);
	}
	return cli->client;
}

static int unknown_verb(struct cli *cli, const char *group, const struct verb *verbs,
			const char *name)
{
	const char *why = group ? NULL : refused_why(cli->kind->refused, "", name, strlen(name));
	if (why) {
		(void)fprintf(stderr, "%s: \"%s\" is not supported yet: %s\n", cli->program, name,
			      why);
		return EXIT_USAGE;
	}
	const char *near = verb_nearest(verbs, name);
	(void)fprintf(stderr, "%s: \"%s%s%s\" is not a command%s%s%s (see %s --help)\n",
		      cli->program, group ? group : "", group ? " " : "", name,
		      near ? "; did you mean \"" : "", near ? near : "", near ? "\"?" : "",
		      cli->program);
	return EXIT_USAGE;
}

/* --help counts before the payload's own words only. */
static bool wants_help(const struct verb *verb, int argc, char **argv)
{
	for (int i = 0; i < argc; i++) {
		if (!strcmp(argv[i], "--help"))
			return true;
		if (!strcmp(argv[i], "--") || (verb->stop_at_first_arg && argv[i][0] != '-'))
			return false;
	}
	return false;
}

int cli_dispatch(struct cli *cli, const char *group, const struct verb *verbs, int argc,
		 char **argv)
{
	if (argc < 1) {
		(void)fprintf(stderr, "%s: \"%s\" needs a command:", cli->program, group);
		for (const struct verb *v = verbs; v->name; v++)
			(void)fprintf(stderr, " %s", v->name);
		(void)fputc('\n', stderr);
		return EXIT_USAGE;
	}
	const struct verb *verb = verb_find(verbs, argv[0]);
	if (!verb)
		return unknown_verb(cli, group, verbs, argv[0]);
	if (wants_help(verb, argc - 1, argv + 1)) {
		help_verb(cli->program, group, verb);
		return 0;
	}
	const struct verb *image =
		cli->kind->image_verbs ? verb_find(cli->kind->image_verbs, verb->name) : NULL;
	if (image && args_have_argument(image, argc - 1, argv + 1)) {
		verb = image;
		cli->kind = cli->kind->image_kind;
	}
	struct err err = ERR_INIT;
	struct args args;
	if (args_parse(verb, cli->kind->refused, argc - 1, argv + 1, &args, &err) < 0) {
		(void)cli_fail(cli, 0, &err);
		(void)fprintf(stderr, "See \"%s %s%s%s --help\".\n", cli->program,
			      group ? group : "", group ? " " : "", verb->name);
		return EXIT_USAGE;
	}
	int code = verb->run(cli, &args);
	args_fini(&args);
	return code;
}

int cli_main(const char *program, const char *intro, const struct kind *kind,
	     const struct verb *verbs, int argc, char **argv)
{
	static const struct flag *const groups[] = { flags_global, NULL };
	static const struct verb top = { .name = "",
					 .groups = groups,
					 .min_args = 0,
					 .max_args = -1,
					 .stop_at_first_arg = true };
	struct cli cli = { .program = program, .kind = kind, .own = kind, .verbs = verbs };
	struct err err = ERR_INIT;
	struct args args;
	if (args_parse(&top, NULL, argc - 1, argv + 1, &args, &err) < 0)
		return cli_fail(&cli, EXIT_USAGE, &err);
	int code = 0;
	if (args_bool(&args, "version")) {
		printf("%s version %s\n", program, ISOLA_VERSION);
	} else if (args_bool(&args, "help") || args.argc == 0) {
		help_program(program, intro, verbs, flags_global);
		code = args_bool(&args, "help") ? 0 : 1;
	} else if (client_host_parse(args_str(&args, "host", NULL), &cli.host, &err) < 0) {
		code = cli_fail(&cli, EXIT_USAGE, &err);
	} else {
		code = cli_dispatch(&cli, NULL, verbs, args.argc, args.argv);
	}
	args_fini(&args);
	client_free(cli.client);
	if (fflush(stdout) != 0 && code == 0)
		code = 1;
	return code;
}

int cli_call(struct cli *cli, const char *method, const char *ref, const char *tail,
	     json_object *body, json_object **ret_result, struct err *err)
{
	cleanup_strbuf struct strbuf target = STRBUF_INIT;
	client_target_path(&target, cli->kind->collection);
	client_target_path(&target, ref);
	strbuf_puts(&target, tail);
	if (!strbuf_ok(&target))
		return err_set(err, ENOMEM, "out of memory");
	return client_call(cli_client(cli), method, target.text, body, ret_result, err);
}

void cli_choose(struct cli *cli, const char *ref)
{
	cleanup_json json_object *doc = NULL, *image = NULL;
	struct err ignored = ERR_INIT;
	cli->kind = cli->own;
	if (!cli->own->image_kind ||
	    cli_call(cli, "GET", ref, "/json", NULL, &doc, &ignored) != -ENOENT)
		return;
	cli->kind = cli->own->image_kind;
	if (cli_call(cli, "GET", ref, "/json", NULL, &image, &ignored) < 0 ||
	    strcmp(json_str_or(json_get(image, "HostConfig"), "Isolation", ""), "vm") != 0)
		cli->kind = cli->own;
}

int cli_each(struct cli *cli, struct args *args, each_fn *each, bool print)
{
	int code = 0;
	for (int i = 0; i < args->argc; i++) {
		struct err err = ERR_INIT;
		cli_choose(cli, args->argv[i]);
		if (each(cli, args, args->argv[i], &err) < 0)
			code = cli_fail(cli, 1, &err);
		else if (print)
			puts(args->argv[i]);
	}
	return code;
}

json_object *cli_filters(struct args *args, struct err *err)
{
	json_object *all = json_object_new_object();
	const char *text;
	for (size_t i = 0; (text = args_list(args, "filter", i)); i++) {
		const char *eq = strchr(text, '=');
		char key[64];
		if (!eq || eq == text || (size_t)(eq - text) >= sizeof(key)) {
			json_object_put(all);
			(void)err_set(err, EINVAL, "--filter takes key=value, not \"%s\"", text);
			return NULL;
		}
		(void)snprintf(key, sizeof(key), "%.*s", (int)(eq - text), text);
		json_object *list = json_get(all, key);
		if (!list) {
			list = json_object_new_array();
			json_add(all, key, list);
		}
		json_object_array_add(list, json_object_new_string(eq + 1));
	}
	return all;
}

int cli_add_filters(struct strbuf *target, struct args *args, struct err *err)
{
	if (!args_given(args, "filter"))
		return 0;
	cleanup_json json_object *filters = cli_filters(args, err);
	if (!filters)
		return -EINVAL;
	client_target_query(target, "filters",
			    json_object_to_json_string_ext(filters, JSON_C_TO_STRING_PLAIN));
	return 0;
}

/* SPDX-License-Identifier: Apache-2.0 */
/* show - verbs that only look: inspect, logs, events, info, version.
 * Runs in
 * the CLIs. */
#include "format.h"
#include "isola/fd.h"
#include "isola/json.h"
#include "isola/num.h"
#include "stream.h"
#include "verbs.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

const struct flag flags_format[] = {
	{ "format", 'f', FLAG_STR, "template", "Go template, or json" },
	{ .name = NULL },
};

const struct flag flags_inspect[] = {
	{ "format", 'f', FLAG_STR, "template", "Go template, or json" },
	{ "size", 's', FLAG_BOOL, NULL, "containers: add sizes" },
	{ "type", 0, FLAG_STR, "kind", "container or image (default: what there is)" },
	{ .name = NULL },
};

const struct flag flags_logs[] = {
	{ "details", 0, FLAG_BOOL, NULL, "show extra attributes" },
	{ "follow", 'f', FLAG_BOOL, NULL, "go on as lines come" },
	{ "since", 0, FLAG_STR, "time", "RFC 3339, seconds, or a span back (10m)" },
	{ "tail", 'n', FLAG_STR, "n", "the last n lines (all)" },
	{ "timestamps", 't', FLAG_BOOL, NULL, "show times" },
	{ "until", 0, FLAG_STR, "time", "as --since" },
	{ .name = NULL },
};

const struct flag flags_events[] = {
	{ "filter", 'f', FLAG_LIST, "key=value", "only these (type=, event=, container=...)" },
	{ "format", 0, FLAG_STR, "template", "json, or a Go template" },
	{ "since", 0, FLAG_STR, "time", "RFC 3339, seconds, or a span back (10m)" },
	{ "until", 0, FLAG_STR, "time", "as --since" },
	{ .name = NULL },
};

/* ---- inspect ---- */

static int inspect_one(struct cli *cli, struct args *args, const char *ref, json_object **ret,
		       struct err *err)
{
	const char *type = args_str(args, "type", "");
	if (*type && strcmp(type, "container") != 0 && strcmp(type, "image") != 0)
		return err_set(err, EINVAL, "--type takes container or image, not \"%s\"", type);
	int rc = -ENOENT;
	if (strcmp(type, "image") != 0)
		rc = cli_call(cli, "GET", ref, args_bool(args, "size") ? "/json?size=1" : "/json",
			      NULL, ret, err);
	if (rc != -ENOENT || !strcmp(type, "container") || !cli->kind->images)
		return rc;
	cleanup_strbuf struct strbuf target = STRBUF_INIT;
	client_target_path(&target, "images");
	client_target_path(&target, ref);
	strbuf_puts(&target, "/json");
	rc = client_call(cli_client(cli), "GET", target.text, NULL, ret, err);
	if (rc == -ENOENT && !*type)
		return err_set(err, ENOENT, "No such container or image: %s", ref);
	return rc;
}

int verb_inspect(struct cli *cli, struct args *args)
{
	cleanup_json json_object *docs = json_object_new_array();
	int code = 0;
	for (int i = 0; i < args->argc; i++) {
		struct err err = ERR_INIT;
		json_object *doc = NULL;
		cli_choose(cli, args->argv[i]);
		if (inspect_one(cli, args, args->argv[i], &doc, &err) < 0)
			code = cli_fail(cli, 1, &err);
		else
			json_object_array_add(docs, doc);
	}
	int printed = format_documents(cli, args_str(args, "format", NULL), docs);
	return code ? code : printed;
}

/* ---- logs, events ---- */

/* A span ("10m") counts back from now; the daemon gets seconds. */
static int add_time(struct strbuf *target, struct args *args, const char *flag, struct err *err)
{
	const char *text = args_str(args, flag, NULL);
	int64_t ns;
	char buf[48];
	if (!text)
		return 0;
	if (num_parse_time(text, &ns) < 0) {
		if (num_parse_duration(text, &ns) < 0)
			return err_set(err, EINVAL,
				       "--%s %s: want RFC 3339, seconds, or a span such as 10m",
				       flag, text);
		ns = num_now_ns() - ns;
	}
	(void)snprintf(buf, sizeof(buf), "%lld.%09lld", (long long)(ns / 1000000000),
		       (long long)(ns % 1000000000));
	client_target_query(target, flag, buf);
	return 0;
}

static int logs_target(const struct kind *kind, struct args *args, struct strbuf *target,
		       struct err *err)
{
	client_target_path(target, kind->collection);
	client_target_path(target, args->argv[0]);
	strbuf_puts(target, "/logs?stdout=1&stderr=1");
	static const char *const flags[] = { "follow", "timestamps", "details" };
	for (size_t i = 0; i < sizeof(flags) / sizeof(flags[0]); i++)
		if (args_bool(args, flags[i]))
			client_target_query(target, flags[i], "1");
	client_target_query(target, "tail", args_str(args, "tail", "all"));
	int rc = add_time(target, args, "since", err);
	return rc < 0 ? rc : add_time(target, args, "until", err);
}

static int copy_answer(struct cli *cli, const struct strbuf *target, bool tty, struct err *err)
{
	struct client *c = cli_client(cli);
	int rc = client_send(c, "GET", target->text, NULL, err);
	if (rc == 0)
		rc = client_receive(c, err);
	if (rc >= 400)
		rc = client_fail(c, err);
	struct stream_demux demux = { 0 };
	char buf[32768];
	while (rc >= 0) {
		ssize_t n = client_read(c, buf, sizeof(buf), err);
		if (n <= 0)
			return (int)n;
		rc = tty ? fd_write_all(STDOUT_FILENO, buf, (size_t)n)
			 : stream_demux(&demux, buf, (size_t)n, err);
		if (tty && rc < 0)
			(void)err_rc(err, rc, "cannot write the output");
	}
	return rc;
}

int verb_logs(struct cli *cli, struct args *args)
{
	struct err err = ERR_INIT;
	cleanup_strbuf struct strbuf target = STRBUF_INIT;
	cleanup_json json_object *doc = NULL;
	cli_choose(cli, args->argv[0]);
	if (cli_call(cli, "GET", args->argv[0], "/json", NULL, &doc, &err) < 0 ||
	    logs_target(cli->kind, args, &target, &err) < 0)
		return cli_fail(cli, 1, &err);
	bool tty = json_bool_or(json_get(doc, "Config"), "Tty", false);
	int rc = copy_answer(cli, &target, tty, &err);
	return rc < 0 ? cli_fail(cli, 1, &err) : 0;
}

static void print_event(json_object *e)
{
	char when[48];
	(void)num_format_time(json_i64_or(e, "timeNano", 0), when, sizeof(when));
	json_object *actor = json_get(e, "Actor"), *attrs = json_get(actor, "Attributes");
	printf("%s %s %s %s", when, json_str_or(e, "Type", ""), json_str_or(e, "Action", ""),
	       json_str_or(actor, "ID", ""));
	const char *sep = " (";
	if (attrs) {
		json_object_object_foreach (attrs, key, val) {
			printf("%s%s=%s", sep, key, json_object_get_string(val));
			sep = ", ";
		}
	}
	puts(*sep == ',' ? ")" : "");
	(void)fflush(stdout);
}

static int event_filters(struct strbuf *target, const struct kind *kind, struct args *args,
			 struct err *err)
{
	cleanup_json json_object *filters = cli_filters(args, err);
	if (!filters)
		return -EINVAL;
	if (kind->own_events && !json_get(filters, "type")) {
		json_object *type = json_object_new_array();
		json_object_array_add(type, json_object_new_string(kind->event));
		json_add(filters, "type", type);
	}
	if (json_object_object_length(filters) > 0)
		client_target_query(
			target, "filters",
			json_object_to_json_string_ext(filters, JSON_C_TO_STRING_PLAIN));
	return 0;
}

int verb_events(struct cli *cli, struct args *args)
{
	struct err err = ERR_INIT;
	cleanup_strbuf struct strbuf target = STRBUF_INIT;
	strbuf_puts(&target, "/events");
	struct client *c = cli_client(cli);
	int rc = event_filters(&target, cli->kind, args, &err);
	if (rc == 0)
		rc = add_time(&target, args, "since", &err);
	if (rc == 0)
		rc = add_time(&target, args, "until", &err);
	if (rc == 0)
		rc = client_send(c, "GET", target.text, NULL, &err);
	if (rc == 0)
		rc = client_receive(c, &err);
	if (rc >= 400)
		rc = client_fail(c, &err);
	const char *format = args_str(args, "format", NULL);
	int code = 0;
	while (rc >= 0 && code == 0) {
		cleanup_json json_object *event = NULL;
		rc = client_next_json(c, &event, &err);
		if (rc == 0)
			return 0;
		if (rc < 0)
			break;
		if (!format)
			print_event(event);
		else
			code = format_document(cli, format, event);
		(void)fflush(stdout);
	}
	return rc < 0 ? cli_fail(cli, 1, &err) : code;
}

/* ---- info, version ---- */

static int get_document(struct cli *cli, const char *target, json_object **ret)
{
	struct err err = ERR_INIT;
	if (client_call(cli_client(cli), "GET", target, NULL, ret, &err) < 0)
		return cli_fail(cli, 1, &err);
	return 0;
}

static void print_pair(const char *title, json_object *doc, const char *key)
{
	json_object *v = json_get(doc, key);
	if (v)
		printf(" %s: %s\n", title, json_object_get_string(v));
}

static const char *const info_rows[][2] = {
	{ "Containers", "Containers" },
	{ " Running", "ContainersRunning" },
	{ " Paused", "ContainersPaused" },
	{ " Stopped", "ContainersStopped" },
	{ "Images", "Images" },
	{ "Server Version", "ServerVersion" },
	{ "Storage Driver", "Driver" },
	{ "Logging Driver", "LoggingDriver" },
	{ "Cgroup Driver", "CgroupDriver" },
	{ "Cgroup Version", "CgroupVersion" },
	{ "Kernel Version", "KernelVersion" },
	{ "Operating System", "OperatingSystem" },
	{ "Architecture", "Architecture" },
	{ "CPUs", "NCPU" },
	{ "Total Memory", "MemTotal" },
	{ "Name", "Name" },
	{ "State Folder", "DockerRootDir" },
};

int verb_info(struct cli *cli, struct args *args)
{
	cleanup_json json_object *doc = NULL;
	int code = get_document(cli, "/info", &doc);
	if (code)
		return code;
	const char *format = args_str(args, "format", NULL);
	if (format)
		return format_document(cli, format, doc);
	puts("Server:");
	for (size_t i = 0; i < sizeof(info_rows) / sizeof(info_rows[0]); i++)
		print_pair(info_rows[i][0], doc, info_rows[i][1]);
	json_object *warnings = json_get(doc, "Warnings");
	for (size_t i = 0; i < json_len(warnings); i++)
		(void)fprintf(stderr, "%s\n", json_item_str(warnings, i));
	return 0;
}

static const char *const version_rows[][2] = {
	{ "Version", "Version" },           { "API version", "ApiVersion" },
	{ "Minimum API", "MinAPIVersion" }, { "OS", "Os" },
	{ "Architecture", "Arch" },         { "Kernel", "KernelVersion" },
};

int verb_version(struct cli *cli, struct args *args)
{
	cleanup_json json_object *doc = json_object_new_object(), *server = NULL;
	json_object *client = json_object_new_object();
	json_add_str(client, "Version", ISOLA_VERSION);
	json_add(doc, "Client", client);
	const char *format = args_str(args, "format", NULL);
	if (!format)
		printf("Client:\n Version: %s\n", ISOLA_VERSION);
	(void)fflush(stdout);
	int code = get_document(cli, "/version", &server);
	if (code)
		return code;
	json_add(doc, "Server", json_object_get(server));
	if (format)
		return format_document(cli, format, doc);
	puts("Server:");
	for (size_t i = 0; i < sizeof(version_rows) / sizeof(version_rows[0]); i++)
		print_pair(version_rows[i][0], server, version_rows[i][1]);
	return 0;
}

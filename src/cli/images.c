/* SPDX-License-Identifier: Apache-2.0 */
/* images - load, import, list, tag and remove images. Runs in ctrctl. */
#include "format.h"
#include "isola/fd.h"
#include "isola/json.h"
#include "isola/num.h"
#include "plain.h"
#include "tarball.h"
#include "verbs.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

const struct flag flags_images[] = {
	{ "all", 'a', FLAG_BOOL, NULL, "all images" },
	{ "digests", 0, FLAG_BOOL, NULL, "show digests" },
	{ "filter", 'f', FLAG_LIST, "key=value", "only these (reference=, label=, dangling=)" },
	{ "format", 0, FLAG_STR, "template", "table, json, or a Go template" },
	{ "no-trunc", 0, FLAG_BOOL, NULL, "do not shorten ids" },
	{ "quiet", 'q', FLAG_BOOL, NULL, "ids only" },
	{ .name = NULL },
};

const struct flag flags_load[] = {
	{ "input", 'i', FLAG_STR, "file", "archive or OCI layout folder (default: stdin)" },
	{ "quiet", 'q', FLAG_BOOL, NULL, "no progress" },
	{ .name = NULL },
};

const struct flag flags_import[] = {
	{ "change", 'c', FLAG_LIST, "instruction", "CMD, ENTRYPOINT, ENV, USER, WORKDIR..." },
	{ "message", 'm', FLAG_STR, "text", "comment of the image" },
	{ "platform", 0, FLAG_STR, "os/arch", "platform of the image" },
	{ .name = NULL },
};

const struct flag flags_rmi[] = {
	{ "force", 'f', FLAG_BOOL, NULL, "remove all its names" },
	{ "no-prune", 0, FLAG_BOOL, NULL, "keep the images of steps that its build made it from" },
	{ .name = NULL },
};

/* ---- list ---- */

static const struct column image_columns[] = {
	{ "REPOSITORY", "Repository" }, { "TAG", "Tag" },   { "IMAGE ID", "ID" },
	{ "CREATED", "CreatedSince" },  { "SIZE", "Size" }, { "DIGEST", "Digest" },
	{ "CREATED AT", "CreatedAt" },  { NULL, NULL },
};
#define IMAGES_DEFAULT 5

static const struct column digest_columns[] = {
	{ "REPOSITORY", "Repository" },
	{ "TAG", "Tag" },
	{ "DIGEST", "Digest" },
	{ "IMAGE ID", "ID" },
	{ "CREATED", "CreatedSince" },
	{ "SIZE", "Size" },
	{ NULL, NULL },
};
#define DIGESTS_DEFAULT 6

static void add_name(json_object *row, const char *ref)
{
	const char *colon = ref ? strrchr(ref, ':') : NULL;
	if (!colon || strchr(colon, '/')) {
		json_add_str(row, "Repository", "<none>");
		json_add_str(row, "Tag", "<none>");
		return;
	}
	json_add(row, "Repository", json_object_new_string_len(ref, (int)(colon - ref)));
	json_add_str(row, "Tag", colon + 1);
}

static void add_digest(json_object *row, json_object *image)
{
	const char *digest = json_item_str(json_get(image, "RepoDigests"), 0);
	const char *at = strchr(digest, '@');
	json_add_str(row, "Digest", at ? at + 1 : "<none>");
}

static json_object *image_row(json_object *image, const char *ref, bool trunc)
{
	json_object *row = json_object_new_object();
	const char *id = json_str_or(image, "Id", "");
	char text[96], span[64];
	(void)snprintf(text, sizeof(text), trunc ? "%.12s" : "%s",
		       trunc && !strncmp(id, "sha256:", 7) ? id + 7 : id);
	json_add_str(row, "ID", text);
	add_name(row, ref);
	if (json_len(json_get(image, "RepoDigests")))
		add_digest(row, image);
	else
		json_add_str(row, "Digest", "<none>");
	time_t created = (time_t)json_i64_or(image, "Created", 0);
	format_span((int64_t)(time(NULL) - created), span, sizeof(span));
	(void)snprintf(text, sizeof(text), "%s ago", span);
	json_add_str(row, "CreatedSince", text);
	struct tm tm;
	(void)localtime_r(&created, &tm);
	(void)strftime(text, sizeof(text), "%Y-%m-%d %H:%M:%S %z %Z", &tm);
	json_add_str(row, "CreatedAt", text);
	format_size(json_i64_or(image, "Size", 0), text, sizeof(text));
	json_add_str(row, "Size", text);
	return row;
}

/* One row a name; a nameless image has one too. With @ids_only one an image. */
static json_object *image_rows(json_object *list, bool trunc, bool ids_only)
{
	json_object *rows = json_object_new_array();
	for (size_t i = 0; i < json_len(list); i++) {
		json_object *image = json_object_array_get_idx(list, i);
		json_object *tags = json_get(image, "RepoTags");
		size_t n = json_len(tags);
		for (size_t t = 0; t < (n && !ids_only ? n : 1); t++)
			json_object_array_add(
				rows, image_row(image, n ? json_item_str(tags, t) : NULL, trunc));
	}
	return rows;
}

int verb_images(struct cli *cli, struct args *args)
{
	struct err err = ERR_INIT;
	cleanup_strbuf struct strbuf target = STRBUF_INIT;
	cleanup_json json_object *filters = cli_filters(args, &err), *list = NULL;
	if (!filters)
		return cli_fail(cli, 1, &err);
	if (args->argc == 1) { /* images NAME */
		json_object *names = json_object_new_array();
		json_object_array_add(names, json_object_new_string(args->argv[0]));
		json_add(filters, "reference", names);
	}
	strbuf_puts(&target, "/images/json");
	if (args_bool(args, "all"))
		client_target_query(&target, "all", "1");
	if (json_object_object_length(filters))
		client_target_query(
			&target, "filters",
			json_object_to_json_string_ext(filters, JSON_C_TO_STRING_PLAIN));
	if (client_call(cli_client(cli), "GET", target.text, NULL, &list, &err) < 0)
		return cli_fail(cli, 1, &err);
	const char *format = args_str(args, "format", NULL);
	bool quiet = args_bool(args, "quiet") && !format;
	cleanup_json json_object *rows = image_rows(list, !args_bool(args, "no-trunc"), quiet);
	bool digests = args_bool(args, "digests");
	return format_rows(cli, quiet ? "{{.ID}}" : format,
			   digests ? digest_columns : image_columns,
			   digests ? DIGESTS_DEFAULT : IMAGES_DEFAULT, rows);
}

int verb_image_inspect(struct cli *cli, struct args *args)
{
	cleanup_json json_object *docs = json_object_new_array();
	int code = 0;
	for (int i = 0; i < args->argc; i++) {
		struct err err = ERR_INIT;
		cleanup_strbuf struct strbuf target = STRBUF_INIT;
		json_object *doc = NULL;
		client_target_path(&target, "images");
		client_target_path(&target, args->argv[i]);
		strbuf_puts(&target, "/json");
		if (client_call(cli_client(cli), "GET", target.text, NULL, &doc, &err) < 0)
			code = cli_fail(cli, 1, &err);
		else
			json_object_array_add(docs, doc);
	}
	int printed = format_documents(cli, args_str(args, "format", NULL), docs);
	return code ? code : printed;
}

/* ---- load, import ---- */

/* Progress goes to standard error, on one line a layer, and only to people. */
static void print_progress(json_object *line, bool quiet)
{
	json_object *detail = json_get(line, "progressDetail");
	int64_t current = json_i64_or(detail, "current", -1),
		total = json_i64_or(detail, "total", 0);
	const char *status = json_str_or(line, "status", NULL);
	if (quiet || !status || !isatty(STDERR_FILENO))
		return;
	char a[32], b[32];
	format_size(current, a, sizeof(a));
	format_size(total, b, sizeof(b));
	char id[80], shown[160];
	plain_ascii(id, sizeof(id), json_str_or(line, "id", ""));
	plain_ascii(shown, sizeof(shown), status);
	if (current >= 0)
		(void)fprintf(stderr, "\r\033[K%s%s%s  %s%s%s", id, *id ? ": " : "", shown, a,
			      total > 0 ? "/" : "", total > 0 ? b : "");
	else
		(void)fprintf(stderr, "\r\033[K%s%s%s", id, *id ? ": " : "", shown);
}

static void print_plain(const char *text)
{
	cleanup_strbuf struct strbuf plain = STRBUF_INIT;
	plain_text(&plain, text, true);
	(void)fputs(strbuf_ok(&plain) && plain.text ? plain.text : "", stdout);
	(void)fflush(stdout);
}

/* Reads the progress stream to its end. 0, or -errno with the job's error. */
static int read_progress(struct client *c, bool quiet, struct err *err)
{
	bool any = false;
	int rc;
	json_object *line = NULL;
	while ((rc = client_next_json(c, &line, err)) == 1) {
		const char *text = json_str_or(line, "error", NULL);
		if (text)
			rc = err_set(err, EIO, "%s", text);
		text = json_str_or(line, "stream", NULL);
		if (any && (text || rc < 0) && isatty(STDERR_FILENO) && !quiet)
			(void)fputs("\r\033[K", stderr);
		if (text) {
			print_plain(text);
		} else if (rc == 1) {
			print_progress(line, quiet);
			any = true;
		}
		/* import answers with the id in "status" */
		if (rc == 1 && !strncmp(json_str_or(line, "status", ""), "sha256:", 7))
			puts(json_str_or(line, "status", ""));
		json_object_put(line);
		line = NULL;
		if (rc < 0)
			return rc;
	}
	return rc;
}

static int post_archive(struct cli *cli, const char *target, int fd, bool quiet, struct err *err)
{
	struct client *c = cli_client(cli);
	int rc = client_send_fd(c, "POST", target, "application/x-tar", fd, err);
	if (rc == 0)
		rc = client_receive(c, err);
	if (rc >= 400)
		return client_fail(c, err);
	return rc < 0 ? rc : read_progress(c, quiet, err);
}

/* Standard input for NULL or "-"; a folder is packed by a child (@ret_pid > 0). */
static int open_input(const char *path, pid_t *ret_pid, struct err *err)
{
	if (!path || !strcmp(path, "-")) {
		if (isatty(STDIN_FILENO))
			return err_set(err, EINVAL,
				       "name an archive, or send one to standard input");
		return fd_dup(STDIN_FILENO);
	}
	struct stat st;
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return err_sys(err, "cannot open %s", path);
	if (fstat(fd, &st) == 0 && S_ISDIR(st.st_mode)) {
		(void)close(fd);
		return tarball_open(path, ret_pid, err);
	}
	return fd;
}

static int send_archive(struct cli *cli, const char *path, const char *target, bool quiet)
{
	struct err err = ERR_INIT;
	pid_t packer = 0;
	cleanup_fd int fd = open_input(path, &packer, &err);
	if (fd < 0)
		return cli_fail(cli, 1, &err);
	int rc = post_archive(cli, target, fd, quiet, &err);
	client_free(cli->client); /* it borrows fd */
	cli->client = NULL;
	fd_close(&fd);
	struct err packing = ERR_INIT;
	if (packer > 0 && tarball_close(packer, &packing) < 0 && rc >= 0)
		rc = err_copy(&err, &packing);
	return rc < 0 ? cli_fail(cli, 1, &err) : 0;
}

int verb_load(struct cli *cli, struct args *args)
{
	bool quiet = args_bool(args, "quiet");
	return send_archive(cli, args_str(args, "input", NULL),
			    quiet ? "/images/load?quiet=1" : "/images/load?quiet=0", quiet);
}

int verb_import(struct cli *cli, struct args *args)
{
	cleanup_strbuf struct strbuf target = STRBUF_INIT;
	strbuf_puts(&target, "/images/create?fromSrc=-");
	if (args->argc > 1)
		client_target_query(&target, "repo", args->argv[1]);
	const char *text;
	for (size_t i = 0; (text = args_list(args, "change", i)); i++)
		client_target_query(&target, "changes", text);
	if ((text = args_str(args, "message", NULL)))
		client_target_query(&target, "message", text);
	if ((text = args_str(args, "platform", NULL)))
		client_target_query(&target, "platform", text);
	return send_archive(cli, args->argv[0], target.text, false);
}

/* ---- tag, rmi ---- */

/* "repo:tag" in two parts; a colon before a slash belongs to the host. */
static void split_tag(const char *ref, char *repo, size_t size, const char **ret_tag)
{
	const char *colon = strrchr(ref, ':');
	if (colon && strchr(colon, '/'))
		colon = NULL;
	(void)snprintf(repo, size, "%.*s", colon ? (int)(colon - ref) : (int)strlen(ref), ref);
	*ret_tag = colon ? colon + 1 : "";
}

int verb_tag(struct cli *cli, struct args *args)
{
	struct err err = ERR_INIT;
	cleanup_strbuf struct strbuf target = STRBUF_INIT;
	char repo[512];
	const char *tag;
	split_tag(args->argv[1], repo, sizeof(repo), &tag);
	client_target_path(&target, "images");
	client_target_path(&target, args->argv[0]);
	strbuf_puts(&target, "/tag");
	client_target_query(&target, "repo", repo);
	client_target_query(&target, "tag", tag);
	if (client_call(cli_client(cli), "POST", target.text, NULL, NULL, &err) < 0)
		return cli_fail(cli, 1, &err);
	return 0;
}

static int rmi_one(struct cli *cli, struct args *args, const char *ref, struct err *err)
{
	cleanup_strbuf struct strbuf target = STRBUF_INIT;
	cleanup_json json_object *result = NULL;
	client_target_path(&target, "images");
	client_target_path(&target, ref);
	if (args_bool(args, "force"))
		client_target_query(&target, "force", "1");
	if (args_bool(args, "no-prune"))
		client_target_query(&target, "noprune", "1");
	int rc = client_call(cli_client(cli), "DELETE", target.text, NULL, &result, err);
	for (size_t i = 0; rc >= 0 && i < json_len(result); i++) {
		json_object *item = json_object_array_get_idx(result, i);
		const char *gone = json_str_or(item, "Deleted", NULL);
		printf("%s: %s\n", gone ? "Deleted" : "Untagged",
		       gone ? gone : json_str_or(item, "Untagged", ""));
	}
	return rc;
}

int verb_rmi(struct cli *cli, struct args *args)
{
	return cli_each(cli, args, rmi_one, false);
}

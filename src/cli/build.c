/* SPDX-License-Identifier: Apache-2.0 */
/* build - an image from a Dockerfile: sends the context, shows what comes back. The
 * building is isolad's. Runs in ctrctl. */
#include "build_context.h"
#include "isola/fd.h"
#include "isola/json.h"
#include "login.h"
#include "verbs.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

const struct flag flags_build[] = {
	{ "build-arg", 0, FLAG_LIST, "name[=value]", "value of an ARG; alone: of our environment" },
	{ "cpu-period", 0, FLAG_INT, "microseconds", "limit of RUN: period" },
	{ "cpu-quota", 0, FLAG_INT, "microseconds", "limit of RUN: time in a period" },
	{ "cpu-shares", 'c', FLAG_INT, "number", "weight of RUN" },
	{ "cpuset-cpus", 0, FLAG_STR, "list", "CPUs of RUN" },
	{ "cpuset-mems", 0, FLAG_STR, "list", "memory nodes of RUN" },
	{ "file", 'f', FLAG_STR, "path",
	  "the Dockerfile (default CONTEXT/Dockerfile; - is stdin)" },
	{ "force-rm", 0, FLAG_BOOL, NULL, "also remove the container of a RUN that failed" },
	{ "iidfile", 0, FLAG_STR, "file", "write the image's id to it" },
	{ "label", 0, FLAG_LIST, "name=value", "label of the image" },
	{ "memory", 'm', FLAG_SIZE, "size", "limit of RUN" },
	{ "memory-swap", 0, FLAG_SIZE, "size", "limit of RUN, with swap" },
	{ "network", 0, FLAG_STR, "name", "network of RUN: bridge, none, host, or another" },
	{ "no-cache", 0, FLAG_BOOL, NULL, "carry out every step" },
	{ "platform", 0, FLAG_STR, "os/arch", "of base images" },
	{ "pull", 0, FLAG_BOOL, NULL, "get base images anew" },
	{ "quiet", 'q', FLAG_BOOL, NULL, "print the image's id alone" },
	{ "rm", 0, FLAG_BOOL, NULL, "remove containers of RUN (default; --rm=false keeps them)" },
	{ "shm-size", 0, FLAG_SIZE, "size", "size of /dev/shm of RUN" },
	{ "tag", 't', FLAG_LIST, "name[:tag]", "name of the image" },
	{ "target", 0, FLAG_STR, "stage", "build up to this stage" },
	{ .name = NULL },
};

/* ---- the request ---- */

static void add_flags(struct strbuf *target, struct args *args)
{
	static const struct {
		const char *flag, *key;
		enum flag_kind kind;
	} rows[] = {
		{ "cpu-period", "cpuperiod", FLAG_INT },
		{ "cpu-quota", "cpuquota", FLAG_INT },
		{ "cpu-shares", "cpushares", FLAG_INT },
		{ "cpuset-cpus", "cpusetcpus", FLAG_STR },
		{ "cpuset-mems", "cpusetmems", FLAG_STR },
		{ "force-rm", "forcerm", FLAG_BOOL },
		{ "memory", "memory", FLAG_SIZE },
		{ "memory-swap", "memswap", FLAG_SIZE },
		{ "network", "networkmode", FLAG_STR },
		{ "no-cache", "nocache", FLAG_BOOL },
		{ "platform", "platform", FLAG_STR },
		{ "pull", "pull", FLAG_BOOL },
		{ "quiet", "q", FLAG_BOOL },
		{ "rm", "rm", FLAG_BOOL },
		{ "shm-size", "shmsize", FLAG_SIZE },
		{ "target", "target", FLAG_STR },
	};
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		char number[32];
		const char *text = number;
		if (!args_given(args, rows[i].flag))
			continue;
		if (rows[i].kind == FLAG_STR)
			text = args_str(args, rows[i].flag, "");
		else if (rows[i].kind == FLAG_BOOL)
			text = args_bool(args, rows[i].flag) ? "1" : "0";
		else
			(void)snprintf(number, sizeof(number), "%lld",
				       (long long)(rows[i].kind == FLAG_INT
							   ? args_int(args, rows[i].flag, 0)
							   : args_size(args, rows[i].flag, 0)));
		client_target_query(target, rows[i].key, text);
	}
}

/* "NAME=VALUE"; without a value it is our environment's, if that has one. */
static int add_map(struct strbuf *target, struct args *args, const char *flag, const char *key,
		   bool environment, struct err *err)
{
	cleanup_json json_object *map = json_object_new_object();
	const char *text;
	for (size_t i = 0; (text = args_list(args, flag, i)); i++) {
		size_t n = strcspn(text, "=");
		cleanup_free char *name = strndup(text, n);
		if (!name)
			return err_set(err, ENOMEM, "out of memory");
		if (!n)
			return err_set(err, EINVAL, "--%s %s: must be NAME=VALUE", flag, text);
		json_add_str(map, name, text[n] ? text + n + 1 : environment ? getenv(name) : "");
	}
	if (json_object_object_length(map))
		client_target_query(target, key,
				    json_object_to_json_string_ext(map, JSON_C_TO_STRING_PLAIN));
	return 0;
}

static int make_target(struct strbuf *target, struct args *args, const struct build_context *c,
		       struct err *err)
{
	const char *text;
	strbuf_puts(target, "/build");
	client_target_query(target, "dockerfile", c->dockerfile);
	for (size_t i = 0; (text = args_list(args, "tag", i)); i++)
		client_target_query(target, "t", text);
	add_flags(target, args);
	int rc = add_map(target, args, "build-arg", "buildargs", true, err);
	if (rc == 0)
		rc = add_map(target, args, "label", "labels", false, err);
	return rc == 0 && !strbuf_ok(target) ? err_set(err, ENOMEM, "out of memory") : rc;
}

/* ---- the answer ---- */

struct answer {
	char id[80];
	int code; /* a command's exit status */
};

static void show(json_object *line, struct answer *a)
{
	const char *text = json_str_or(line, "stream", NULL);
	const char *id = json_str_or(json_get(line, "aux"), "ID", NULL);
	const char *status = json_str_or(line, "status", NULL);
	if (id)
		(void)snprintf(a->id, sizeof(a->id), "%s", id);
	if (text && !strncmp(text, "sha256:", 7))
		(void)snprintf(a->id, sizeof(a->id), "%.71s", text);
	if (text)
		(void)fputs(text, stdout);
	/* Of a pull: what is final alone. */
	else if (status && json_i64_or(json_get(line, "progressDetail"), "total", 0) == 0)
		printf("%s%s%s\n", json_str_or(line, "id", ""), json_get(line, "id") ? ": " : "",
		       status);
	(void)fflush(stdout);
}

static int read_answer(struct client *c, struct answer *a, struct err *err)
{
	json_object *line = NULL;
	int rc;
	while ((rc = client_next_json(c, &line, err)) == 1) {
		const char *text = json_str_or(line, "error", NULL);
		if (text) {
			a->code = (int)json_i64_or(json_get(line, "errorDetail"), "code", 0);
			rc = err_set(err, EIO, "%s", text);
		} else {
			show(line, a);
		}
		json_object_put(line);
		line = NULL;
		if (rc < 0)
			break;
	}
	if (rc == 0 && !*a->id)
		rc = err_set(err, EPROTO, "the build ended without an image");
	return rc;
}

static int send_context(struct cli *cli, const char *target, const struct build_context *context,
			struct answer *a, struct err *err)
{
	struct err packing = ERR_INIT;
	struct client *c = cli_client(cli);
	pid_t packer = 0;
	cleanup_fd int fd = build_context_open(context, &packer, err);
	if (fd < 0)
		return fd;
	int rc = login_attach_all(c, err);
	if (rc == 0)
		rc = client_send_fd(c, "POST", target, "application/x-tar", fd, err);
	if (rc == 0)
		rc = client_receive(c, err);
	if (rc >= 400)
		rc = client_fail(c, err);
	else if (rc >= 0)
		rc = read_answer(c, a, err);
	client_free(cli->client); /* it borrows fd */
	cli->client = NULL;
	fd_close(&fd);
	if (build_context_close(packer, &packing) < 0 && rc >= 0)
		rc = err_copy(err, &packing);
	return rc;
}

static int write_id(const char *file, const char *id, struct err *err)
{
	cleanup_fd int fd = open(file, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
	if (fd < 0)
		return err_sys(err, "--iidfile: cannot write %s", file);
	int rc = fd_write_all(fd, id, strlen(id));
	return rc < 0 ? err_rc(err, rc, "--iidfile: cannot write %s", file) : 0;
}

static int build(struct cli *cli, struct args *args, struct answer *a, struct err *err)
{
	cleanup_strbuf struct strbuf target = STRBUF_INIT;
	struct build_context context = { .folder = NULL };
	const char *file = args_str(args, "iidfile", NULL);
	/* An old one must not pass for this build's. */
	if (file && unlink(file) < 0 && errno != ENOENT)
		return err_sys(err, "--iidfile: cannot remove %s", file);
	int rc = build_context_read(args->argv[0], args_str(args, "file", NULL), &context, err);
	if (rc == 0)
		rc = make_target(&target, args, &context, err);
	if (rc == 0)
		rc = send_context(cli, target.text, &context, a, err);
	build_context_fini(&context);
	if (rc == 0 && file)
		rc = write_id(file, a->id, err);
	return rc;
}

int verb_build(struct cli *cli, struct args *args)
{
	struct err err = ERR_INIT;
	struct answer a = { .code = 0 };
	int rc = build(cli, args, &a, &err);
	return rc < 0 ? cli_fail(cli, a.code ? a.code : 1, &err) : 0;
}

/* SPDX-License-Identifier: Apache-2.0 */
/* run - create, run, start and attach: making a payload go and staying with it.
 *
 * The order of calls is Docker's, because it loses nothing: attach first, then
 * ask for the exit code ("wait" answers later), then start. Runs in the CLIs. */
#include "create_flags.h"
#include "isola/fd.h"
#include "isola/json.h"
#include "session.h"
#include "verbs.h"
#include "waiter.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

const struct flag flags_run[] = {
	{ "detach", 'd', FLAG_BOOL, NULL, "run in the background and print the id" },
	{ "detach-keys", 0, FLAG_STR, "keys", "sequence that detaches (ctrl-p,ctrl-q)" },
	{ "sig-proxy", 0, FLAG_BOOL, NULL, "forward signals to the payload (default true)" },
	{ .name = NULL },
};

const struct flag flags_start[] = {
	{ "attach", 'a', FLAG_BOOL, NULL, "attach output, and exit with the payload's code" },
	{ "interactive", 'i', FLAG_BOOL, NULL, "attach standard input too" },
	{ "detach-keys", 0, FLAG_STR, "keys", "sequence that detaches (ctrl-p,ctrl-q)" },
	{ "sig-proxy", 0, FLAG_BOOL, NULL, "forward signals to the payload (default true)" },
	{ .name = NULL },
};

const struct flag flags_attach[] = {
	{ "no-stdin", 0, FLAG_BOOL, NULL, "do not attach standard input" },
	{ "detach-keys", 0, FLAG_STR, "keys", "sequence that detaches (ctrl-p,ctrl-q)" },
	{ "sig-proxy", 0, FLAG_BOOL, NULL, "forward signals to the payload (default true)" },
	{ .name = NULL },
};

static bool wants_proxy(struct args *args)
{
	return args_knows(args, "sig-proxy") &&
	       (!args_given(args, "sig-proxy") || args_bool(args, "sig-proxy"));
}

/* ---- create ---- */

static int write_cidfile(struct args *args, const char *id, struct err *err)
{
	const char *path = args_str(args, "cidfile", NULL);
	if (!path)
		return 0;
	cleanup_fd int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
	if (fd < 0)
		return err_sys(err, "cannot make --cidfile %s", path);
	int rc = fd_write_all(fd, id, strlen(id));
	return rc < 0 ? err_rc(err, rc, "cannot write --cidfile %s", path) : 0;
}

/* The request, with a pull before it, or a second one behind a pull. */
static int post_create(struct cli *cli, struct args *args, const char *target, json_object *body,
		       json_object **ret, struct err *err)
{
	const struct kind *kind = cli->kind;
	int rc = kind->pull ? kind->pull(cli, args, 0, err) : 0;
	if (rc < 0)
		return rc;
	rc = client_call(cli_client(cli), "POST", target, body, ret, err);
	if (rc >= 0)
		return rc;
	int pulled = kind->pull ? kind->pull(cli, args, rc, err) : 0;
	if (pulled > 0)
		return client_call(cli_client(cli), "POST", target, body, ret, err);
	/* A container of --volumes-from or a network may be what is missing. */
	if (pulled == 0 && rc == -ENOENT && kind->missing &&
	    !strncmp(err->text, "No such image", 13)) {
		struct err cause = *err;
		return err_set(err, ENOENT, "%s (%s)", cause.text, kind->missing);
	}
	return pulled < 0 ? pulled : rc;
}

static int create(struct cli *cli, struct args *args, char *ret_id, size_t size, struct err *err)
{
	const char *cidfile = args_str(args, "cidfile", NULL);
	if (cidfile && access(cidfile, F_OK) == 0)
		return err_set(err, EEXIST,
			       "--cidfile %s: the file exists already; remove it first", cidfile);
	cleanup_json json_object *body = cli->kind->create_body(cli, args, err), *result = NULL;
	if (!body)
		return -EINVAL;
	cleanup_strbuf struct strbuf target = STRBUF_INIT;
	client_target_path(&target, cli->kind->collection);
	strbuf_puts(&target, "/create");
	const char *name = args_str(args, "name", NULL);
	if (name)
		client_target_query(&target, "name", name);
	const char *platform =
		args_knows(args, "platform") ? args_str(args, "platform", NULL) : NULL;
	if (platform)
		client_target_query(&target, "platform", platform);
	int rc = post_create(cli, args, target.text, body, &result, err);
	if (rc < 0)
		return rc;
	(void)snprintf(ret_id, size, "%s", json_str_or(result, "Id", ""));
	json_object *warnings = json_get(result, "Warnings");
	for (size_t i = 0; i < json_len(warnings); i++)
		(void)fprintf(stderr, "WARNING: %s\n", json_item_str(warnings, i));
	return write_cidfile(args, ret_id, err);
}

int verb_create(struct cli *cli, struct args *args)
{
	struct err err = ERR_INIT;
	char id[80];
	if (create(cli, args, id, sizeof(id), &err) < 0)
		return cli_fail(cli, EXIT_DAEMON, &err);
	puts(id);
	return 0;
}

/* ---- staying with it ---- */

struct attachment {
	struct session session; /* first: on_hangup() */
	struct waiter waiter;
	const char *id;
	char resize_path[128];
};

static int attach_open(struct attachment *a, const char *keys, struct err *err)
{
	struct stream *s = &a->session.stream;
	cleanup_strbuf struct strbuf target = STRBUF_INIT;
	strbuf_printf(&target, "/%s/%s/attach?stream=1&stdout=1&stderr=1%s",
		      a->session.cli->kind->collection, a->id, s->stdin_ ? "&stdin=1" : "");
	if (keys)
		client_target_query(&target, "detachKeys", keys);
	cleanup_client struct client *c = client_new(&a->session.cli->host);
	if (!c || !strbuf_ok(&target))
		return err_set(err, ENOMEM, "out of memory");
	bool mux = !s->tty;
	int rc = client_hijack(c, target.text, NULL, &s->sock, &mux, err);
	s->mux = !s->tty; /* older media types do not tell; the tty does */
	return rc < 0 ? rc : 0;
}

/* isolad went away and may come back: the payload goes on meanwhile. */
static int on_hangup(void *arg)
{
	struct session *s = arg;
	struct attachment *a = (struct attachment *)s; /* its first member */
	int next = waiter_again(&a->waiter);
	return next == WAITER_DONE    ? STREAM_WATCH_NONE
	       : next == WAITER_RETRY ? STREAM_WATCH_RETRY
				      : next;
}

static int wait_begin(struct attachment *a, const char *condition, struct err *err)
{
	int rc = waiter_open(&a->waiter, a->session.cli, a->id, condition, err);
	if (rc < 0)
		return rc;
	a->session.stream.watch_fd = waiter_fd(&a->waiter);
	a->session.stream.on_hangup = on_hangup;
	return 0;
}

static void set_resize_path(struct attachment *a)
{
	(void)snprintf(a->resize_path, sizeof(a->resize_path), "/%s/%s/resize",
		       a->session.cli->kind->collection, a->id);
}

static int attach_init(struct attachment *a, struct cli *cli, struct args *args, const char *id,
		       bool tty, bool input, struct err *err)
{
	*a = (struct attachment){ .id = id };
	int rc = session_init(&a->session, cli, tty, input, wants_proxy(args),
			      args_str(args, "detach-keys", NULL), err);
	set_resize_path(a);
	a->session.resize_path = a->resize_path;
	a->session.kill_id = id;
	return rc;
}

static void attach_fini(struct attachment *a)
{
	waiter_fini(&a->waiter);
	session_fini(&a->session);
}

/* Copies until the end; the exit code of the program. */
static int attach_finish(struct attachment *a, struct err *err)
{
	int rc = stream_pump(&a->session.stream, err);
	if (rc == STREAM_DETACHED) {
		(void)fputs("\r\nread escape sequence\n", stderr);
		return 0;
	}
	if (rc == STREAM_EOF)
		rc = waiter_receive(&a->waiter, err);
	return rc < 0 ? cli_fail(a->session.cli, EXIT_DAEMON, err) : rc;
}

static int start(struct cli *cli, const char *id, struct err *err)
{
	return cli_call(cli, "POST", id, "/start", NULL, NULL, err);
}

/* Attach, wait, start, copy: the whole of a foreground run. */
static int attached_start(struct attachment *a, struct args *args, bool removed)
{
	struct cli *cli = a->session.cli;
	struct err err = ERR_INIT;
	stream_block_signals(a->session.stream.proxy);
	if (attach_open(a, args_str(args, "detach-keys", NULL), &err) < 0 ||
	    wait_begin(a, removed ? "removed" : "next-exit", &err) < 0)
		return cli_fail(cli, EXIT_DAEMON, &err);
	if (start(cli, a->id, &err) < 0)
		return cli_fail(cli, cli->kind->start_failure(&err), &err);
	return attach_finish(a, &err);
}

int verb_run(struct cli *cli, struct args *args)
{
	struct err err = ERR_INIT;
	bool detach = args_bool(args, "detach"), tty = args_bool(args, "tty");
	bool input = args_bool(args, "interactive");
	char id[80];
	if (!detach && tty && input && !isatty(STDIN_FILENO)) {
		(void)err_set(&err, ENOTTY, "the input device is not a TTY (leave out -t)");
		return cli_fail(cli, 1, &err);
	}
	struct attachment a;
	if (attach_init(&a, cli, args, id, tty, input, &err) < 0 ||
	    create(cli, args, id, sizeof(id), &err) < 0)
		return cli_fail(cli, EXIT_DAEMON, &err);
	if (detach) {
		if (start(cli, id, &err) < 0)
			return cli_fail(cli, cli->kind->start_failure(&err), &err);
		puts(id);
		return 0;
	}
	set_resize_path(&a); /* the id is known now */
	int code = attached_start(&a, args, args_bool(args, "rm"));
	attach_fini(&a);
	return code;
}

/* ---- start, attach ---- */

struct target_info {
	char id[80];
	bool tty, open_stdin, running, paused;
};

static int look_up(struct cli *cli, const char *ref, struct target_info *ret, struct err *err)
{
	cleanup_json json_object *doc = NULL;
	cli_choose(cli, ref);
	int rc = cli_call(cli, "GET", ref, "/json", NULL, &doc, err);
	if (rc < 0)
		return rc;
	json_object *config = json_get(doc, "Config"), *state = json_get(doc, "State");
	(void)snprintf(ret->id, sizeof(ret->id), "%s", json_str_or(doc, "Id", ""));
	ret->tty = json_bool_or(config, "Tty", false);
	ret->open_stdin = json_bool_or(config, "OpenStdin", false);
	ret->running = json_bool_or(state, "Running", false);
	ret->paused = json_bool_or(state, "Paused", false);
	return 0;
}

static int start_one(struct cli *cli, struct args *args, const char *ref, struct err *err)
{
	(void)args;
	return start(cli, ref, err);
}

int verb_start(struct cli *cli, struct args *args)
{
	bool input = args_bool(args, "interactive");
	if (!args_bool(args, "attach") && !input)
		return cli_each(cli, args, start_one, true);
	struct err err = ERR_INIT;
	struct target_info info;
	struct attachment a;
	if (args->argc != 1) {
		(void)err_set(&err, EINVAL, "start -a takes one %s", cli->kind->noun);
		return cli_fail(cli, EXIT_USAGE, &err);
	}
	if (look_up(cli, args->argv[0], &info, &err) < 0 ||
	    attach_init(&a, cli, args, info.id, info.tty, input && info.open_stdin, &err) < 0)
		return cli_fail(cli, 1, &err);
	int code = attached_start(&a, args, false);
	attach_fini(&a);
	return code;
}

int verb_attach(struct cli *cli, struct args *args)
{
	struct err err = ERR_INIT;
	struct target_info info;
	struct attachment a;
	if (look_up(cli, args->argv[0], &info, &err) < 0)
		return cli_fail(cli, 1, &err);
	if (!info.running || info.paused) {
		(void)err_set(&err, EINVAL, "cannot attach to a %s %s, %s it first",
			      info.paused ? "paused" : "stopped", cli->kind->noun,
			      info.paused ? cli->kind->resume : "start");
		return cli_fail(cli, 1, &err);
	}
	bool input = info.open_stdin && !args_bool(args, "no-stdin");
	if (attach_init(&a, cli, args, info.id, info.tty, input, &err) < 0)
		return cli_fail(cli, 1, &err);
	stream_block_signals(a.session.stream.proxy);
	int code;
	if (wait_begin(&a, "not-running", &err) < 0 ||
	    attach_open(&a, args_str(args, "detach-keys", NULL), &err) < 0)
		code = cli_fail(cli, 1, &err);
	else
		code = attach_finish(&a, &err);
	attach_fini(&a);
	return code;
}

/* SPDX-License-Identifier: Apache-2.0 */
/* exec - one more process in a running container. Runs in ctrctl. */
#include "body.h"
#include "isola/fd.h"
#include "isola/json.h"
#include "session.h"
#include "verbs.h"
#include "waiter.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

const struct flag flags_exec[] = {
	{ "detach", 'd', FLAG_BOOL, NULL, "run in the background" },
	{ "detach-keys", 0, FLAG_STR, "keys", "sequence that detaches (ctrl-p,ctrl-q)" },
	{ "env", 'e', FLAG_LIST, "name[=value]", "set a variable, or pass ours" },
	{ "env-file", 0, FLAG_LIST, "file", "variables from a file" },
	{ "interactive", 'i', FLAG_BOOL, NULL, "keep standard input open" },
	{ "privileged", 0, FLAG_BOOL, NULL, "give it all capabilities" },
	{ "tty", 't', FLAG_BOOL, NULL, "give it a terminal" },
	{ "user", 'u', FLAG_STR, "user[:group]", "name or id" },
	{ "workdir", 'w', FLAG_STR, "path", "working folder inside" },
	{ .name = NULL },
};

/* NULL with @err for a bad variable. */
static json_object *exec_body(struct args *args, struct err *err)
{
	cleanup_json json_object *o = json_object_new_object();
	json_object *cmd = json_object_new_array();
	bool attach = !args_bool(args, "detach");
	for (int i = 1; i < args->argc; i++)
		json_object_array_add(cmd, json_object_new_string(args->argv[i]));
	json_add(o, "Cmd", cmd);
	json_add_bool(o, "AttachStdin", attach && args_bool(args, "interactive"));
	json_add_bool(o, "AttachStdout", attach);
	json_add_bool(o, "AttachStderr", attach);
	json_add_bool(o, "Detach", !attach);
	json_add_bool(o, "Tty", args_bool(args, "tty"));
	json_add_bool(o, "Privileged", args_bool(args, "privileged"));
	json_add_str(o, "User", args_str(args, "user", ""));
	json_add_str(o, "WorkingDir", args_str(args, "workdir", ""));
	json_add_str(o, "DetachKeys", args_str(args, "detach-keys", ""));
	return body_environment(args, o, err) < 0 ? NULL : take_ptr(o);
}

static int exec_code(struct cli *cli, const char *id, struct err *err)
{
	char target[128];
	cleanup_json json_object *doc = NULL;
	(void)snprintf(target, sizeof(target), "/exec/%s/json", id);
	int rc = waiter_get(cli, target, &doc, err);
	if (rc < 0)
		return rc;
	return (int)(json_i64_or(doc, "ExitCode", EXIT_DAEMON) & 0xff);
}

static int exec_detached(struct cli *cli, const char *id, bool tty, struct err *err)
{
	char target[128];
	cleanup_json json_object *body = json_object_new_object();
	json_add_bool(body, "Detach", true);
	json_add_bool(body, "Tty", tty);
	(void)snprintf(target, sizeof(target), "/exec/%s/start", id);
	int rc = client_call(cli_client(cli), "POST", target, body, NULL, err);
	return rc < 0 ? rc : 0;
}

static int exec_attached(struct cli *cli, struct args *args, const char *id, struct err *err)
{
	bool tty = args_bool(args, "tty");
	struct session s;
	int rc = session_init(&s, cli, tty, args_bool(args, "interactive"), false,
			      args_str(args, "detach-keys", NULL), err);
	if (rc < 0)
		return rc;
	char target[128], resize[128];
	cleanup_json json_object *body = json_object_new_object();
	json_add_bool(body, "Detach", false);
	json_add_bool(body, "Tty", tty);
	(void)snprintf(target, sizeof(target), "/exec/%s/start", id);
	(void)snprintf(resize, sizeof(resize), "/exec/%s/resize", id);
	s.resize_path = resize;
	bool mux;
	rc = client_hijack(cli_client(cli), target, body, &s.stream.sock, &mux, err);
	if (rc >= 0) {
		s.stream.mux = !tty;
		rc = stream_pump(&s.stream, err);
	}
	session_fini(&s);
	return rc < 0 ? rc : rc == STREAM_DETACHED ? 0 : exec_code(cli, id, err);
}

int verb_exec(struct cli *cli, struct args *args)
{
	struct err err = ERR_INIT;
	if (args_bool(args, "tty") && args_bool(args, "interactive") && !isatty(STDIN_FILENO) &&
	    !args_bool(args, "detach")) {
		(void)err_set(&err, ENOTTY, "the input device is not a TTY (leave out -t)");
		return cli_fail(cli, 1, &err);
	}
	cleanup_json json_object *body = exec_body(args, &err), *result = NULL;
	if (!body || cli_call(cli, "POST", args->argv[0], "/exec", body, &result, &err) < 0)
		return cli_fail(cli, 1, &err);
	const char *id = json_str_or(result, "Id", "");
	int rc = args_bool(args, "detach") ? exec_detached(cli, id, args_bool(args, "tty"), &err)
					   : exec_attached(cli, args, id, &err);
	return rc < 0 ? cli_fail(cli, EXIT_NOT_EXECUTABLE, &err) : rc;
}

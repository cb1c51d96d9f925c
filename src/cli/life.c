/* SPDX-License-Identifier: Apache-2.0 */
/* life - verbs that change an existing instance and print its name. Runs in the
 * CLIs. */
#include "format.h"
#include "isola/fd.h"
#include "isola/json.h"
#include "publish.h"
#include "verbs.h"
#include "waiter.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

const struct flag flags_stop[] = {
	{ "time", 't', FLAG_INT, "seconds", "wait this long before killing; -1 = for ever" },
	{ "timeout", 0, FLAG_INT, "seconds", "same as --time" },
	{ "signal", 's', FLAG_STR, "signal", "signal in place of the container's own" },
	{ .name = NULL },
};

const struct flag flags_kill[] = {
	{ "signal", 's', FLAG_STR, "signal", "signal to send (KILL)" },
	{ .name = NULL },
};

const struct flag flags_rm[] = {
	{ "force", 'f', FLAG_BOOL, NULL, "kill it first when it runs" },
	{ "volumes", 'v', FLAG_BOOL, NULL, "with its anonymous volumes" },
	{ .name = NULL },
};

static int post(struct cli *cli, const char *ref, const char *tail, struct err *err)
{
	return cli_call(cli, "POST", ref, tail, NULL, NULL, err);
}

/* "/stop?t=..&signal=.." */
static int post_stop(struct cli *cli, struct args *args, const char *ref, const char *verb,
		     struct err *err)
{
	cleanup_strbuf struct strbuf tail = STRBUF_INIT;
	strbuf_puts(&tail, verb);
	const char *t = args_str(args, "time", args_str(args, "timeout", NULL));
	if (t)
		client_target_query(&tail, "t", t);
	const char *signal = args_str(args, "signal", NULL);
	if (signal)
		client_target_query(&tail, "signal", signal);
	return post(cli, ref, tail.text, err);
}

static int stop_one(struct cli *cli, struct args *args, const char *ref, struct err *err)
{
	return post_stop(cli, args, ref, "/stop", err);
}

int verb_stop(struct cli *cli, struct args *args)
{
	return cli_each(cli, args, stop_one, true);
}

static int restart_one(struct cli *cli, struct args *args, const char *ref, struct err *err)
{
	return post_stop(cli, args, ref, "/restart", err);
}

int verb_restart(struct cli *cli, struct args *args)
{
	return cli_each(cli, args, restart_one, true);
}

static int kill_one(struct cli *cli, struct args *args, const char *ref, struct err *err)
{
	return post_stop(cli, args, ref, "/kill", err);
}

int verb_kill(struct cli *cli, struct args *args)
{
	return cli_each(cli, args, kill_one, true);
}

static int rm_one(struct cli *cli, struct args *args, const char *ref, struct err *err)
{
	char tail[32];
	(void)snprintf(tail, sizeof(tail), "?force=%d&v=%d", args_bool(args, "force"),
		       args_bool(args, "volumes"));
	return cli_call(cli, "DELETE", ref, tail, NULL, NULL, err);
}

int verb_rm(struct cli *cli, struct args *args)
{
	return cli_each(cli, args, rm_one, true);
}

static int pause_one(struct cli *cli, struct args *args, const char *ref, struct err *err)
{
	(void)args;
	return post(cli, ref, "/pause", err);
}

int verb_pause(struct cli *cli, struct args *args)
{
	return cli_each(cli, args, pause_one, true);
}

static int unpause_one(struct cli *cli, struct args *args, const char *ref, struct err *err)
{
	char tail[16];
	(void)args;
	(void)snprintf(tail, sizeof(tail), "/%s", cli->kind->resume);
	return post(cli, ref, tail, err);
}

int verb_unpause(struct cli *cli, struct args *args)
{
	return cli_each(cli, args, unpause_one, true);
}

/* A wait may last for days, so it outlives an isolad that is started anew. */
static int wait_one(struct cli *cli, struct args *args, const char *ref, struct err *err)
{
	(void)args;
	struct waiter w;
	int rc = waiter_open(&w, cli, ref, "not-running", err);
	if (rc >= 0)
		rc = waiter_receive(&w, err);
	if (rc >= 0)
		printf("%d\n", rc);
	waiter_fini(&w);
	return rc;
}

int verb_wait(struct cli *cli, struct args *args)
{
	return cli_each(cli, args, wait_one, false);
}

int verb_rename(struct cli *cli, struct args *args)
{
	struct err err = ERR_INIT;
	cleanup_strbuf struct strbuf tail = STRBUF_INIT;
	strbuf_puts(&tail, "/rename");
	client_target_query(&tail, "name", args->argv[1]);
	cli_choose(cli, args->argv[0]);
	return post(cli, args->argv[0], tail.text, &err) < 0 ? cli_fail(cli, 1, &err) : 0;
}

static int update_one(struct cli *cli, struct args *args, const char *ref, struct err *err)
{
	if (cli->kind != cli->own)
		return err_set(err, EINVAL, "%s runs an image: ctrctl update changes it", ref);
	if (args->n_values == 0)
		return err_set(err, EINVAL, "update needs at least one flag (see --help)");
	cleanup_json json_object *body = cli->kind->update_body(args, err), *result = NULL;
	cleanup_json json_object *mounts =
		body && cli->kind->mounts_body ? cli->kind->mounts_body(args, err) : NULL;
	cleanup_json json_object *ports = body && !err->code ? publish_changes(args, err) : NULL;
	if (!body || err->code)
		return -EINVAL;
	int rc = 0;
	if (mounts)
		rc = cli_call(cli, "POST", ref, "/mounts", mounts, NULL, err);
	if (rc >= 0 && ports)
		rc = cli_call(cli, "POST", ref, "/update", ports, NULL, err);
	if (rc < 0 || ((mounts || ports) && !json_object_object_length(body)))
		return rc;
	rc = cli_call(cli, "POST", ref, "/update", body, &result, err);
	json_object *warnings = json_get(result, "Warnings");
	for (size_t i = 0; i < json_len(warnings); i++)
		(void)fprintf(stderr, "WARNING: %s\n", json_item_str(warnings, i));
	return rc;
}

int verb_update(struct cli *cli, struct args *args)
{
	return cli_each(cli, args, update_one, true);
}

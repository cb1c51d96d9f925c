/* SPDX-License-Identifier: Apache-2.0 */
/* ctr_kind - containers as the verbs see them: where isolad's API has them, and what their
 * flags become. Runs in the CLIs. */
#include "ctr_kind.h"

#include "create_flags.h"
#include "pull.h"
#include "verbs.h"

#include "isola/json.h"

#include <stdio.h>
#include <string.h>

static json_object *new_body(struct cli *cli, struct args *args, struct err *err)
{
	(void)cli;
	return create_body(args, err);
}

static json_object *update_body(struct args *args, struct err *err)
{
	json_object *body = json_object_new_object();
	if (create_resources(args, body, err) == 0)
		return body;
	json_object_put(body);
	return NULL;
}

/* The exit code Docker's client gives a failed start, by what the text says. */
static int start_failure(const struct err *err)
{
	/* A mount's source may be missing, too, or a folder: that is no exec. */
	if (!strstr(err->text, "exec: ") && !strstr(err->text, "cannot execute"))
		return EXIT_DAEMON;
	if (strstr(err->text, "not found in $PATH") || strstr(err->text, "No such file") ||
	    strstr(err->text, "no such file"))
		return EXIT_NOT_FOUND;
	if (strstr(err->text, "ermission denied") || strstr(err->text, "xec format error") ||
	    strstr(err->text, "s a directory"))
		return EXIT_NOT_EXECUTABLE;
	return EXIT_DAEMON;
}

static void signal_tail(int nth, int signo, char *buf, size_t size)
{
	(void)nth;
	(void)snprintf(buf, size, "/kill?signal=%d", signo);
}

struct kind ctr_kind(void)
{
	return (struct kind){
		.noun = "container",
		.collection = "containers",
		.event = "container",
		.resume = "unpause",
		.deleted = "ContainersDeleted",
		.missing = "images on this host: ctrctl images; add one: ctrctl pull NAME",
		.pull = pull_for_create,
		.images = true,
		.ps = ctr_ps,
		.stats = ctr_stats,
		.refused = ctr_refused,
		.create_body = new_body,
		.update_body = update_body,
		.mounts_body = mount_changes,
		.start_failure = start_failure,
		.signal_tail = signal_tail,
	};
}

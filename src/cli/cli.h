/* SPDX-License-Identifier: Apache-2.0 */
/* cli - what every verb of ctrctl has in hand, and the exit codes it may use. */
#pragma once

#include "args.h"
#include "isola/client.h"
#include "isola/err.h"

#include <json-c/json.h>
#include <stdbool.h>
#include <stdint.h>

/* Docker's exit codes: 125 the daemon refused, 126 not executable, 127 not
 * found, else the payload's own; 1 for everything else. */
#define EXIT_USAGE          125
#define EXIT_DAEMON         125
#define EXIT_NOT_EXECUTABLE 126
#define EXIT_NOT_FOUND      127

struct cli {
	const char *program;
	const struct verb *verbs;
	struct client_host host;
	struct client *client; /* made at first use */
};

/* Runs the verb that argv names; returns the exit code. */
int cli_main(const char *program, const char *intro, const struct verb *verbs, int argc,
	     char **argv);

/* Runs the verb argv[0] of @verbs with the rest as its command line. @group is
 * shown in errors ("image"), or NULL. */
int cli_dispatch(struct cli *cli, const char *group, const struct verb *verbs, int argc,
		 char **argv);

/* The connection for ordinary calls. */
struct client *cli_client(struct cli *cli);

/* Prints "program: text" on standard error; returns @code. */
int cli_fail(struct cli *cli, int code, const struct err *err);

/* client_call() on "/containers/<ref><tail>" (@tail with its query, or "").
 * Returns the status or -errno. */
int cli_container_call(struct cli *cli, const char *method, const char *ref, const char *tail,
		       json_object *body, json_object **ret_result, struct err *err);

/* Runs @each for every argument; prints the name after each success when
 * @print, an error line after each failure. Returns 0 or 1. */
typedef int each_fn(struct cli *cli, struct args *args, const char *ref, struct err *err);
int cli_each(struct cli *cli, struct args *args, each_fn *each, bool print);

/* {"key":["value",...],...} out of repeated --filter key=value; owned. */
json_object *cli_filters(struct args *args, struct err *err);
/* Appends "filters=<json>" to @target when --filter was given. 0 or -EINVAL. */
int cli_add_filters(struct strbuf *target, struct args *args, struct err *err);

extern const struct flag flags_none[];

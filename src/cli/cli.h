/* SPDX-License-Identifier: Apache-2.0 */
/* cli - what every verb of ctrctl and vmctl has in hand, and the exit codes it may
 * use. */
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

struct cli;
struct column;
struct verb;

/* How ps and stats show an instance: columns (format.h), the first @n_default of
 * them unless --format says else, and what fills a row from the daemon's document. */
struct listing {
	const struct column *columns;
	size_t n_default;
	void (*fill)(json_object *row, json_object *doc, bool trunc);
};

/* What a program's instances are, and where isolad's API differs for them. */
struct kind {
	const char *noun;       /* "container": in sentences */
	const char *collection; /* "containers": in paths */
	const char *event;      /* "container": key of event filters */
	const char *resume;     /* "unpause": the verb that undoes a pause */
	const char *deleted;    /* "ContainersDeleted": list in the answer of a prune */
	const char *missing;    /* what to do when a create finds something missing, or NULL */
	/* Called before a create (@created 0) and after one that failed (< 0, @err says
	 * why): 1 = an image was pulled, 0 = none, or -errno. NULL = there are no images. */
	int (*pull)(struct cli *cli, struct args *args, int created, struct err *err);
	bool images;     /* inspect knows images, too */
	bool own_events; /* events shows this kind's alone unless told else */
	struct listing ps, stats;
	/* ps lists the containers in microVMs, too, as this shows them; NULL: it does not. */
	void (*fill_container)(json_object *row, json_object *doc, bool trunc);
	/* A verb of these, when its command line is one with an argument where ours has
	 * none, is for @image_kind: `vmctl run IMAGE`. NULL: there are none. */
	const struct verb *image_verbs;
	const struct kind *image_kind;
	const struct refused *refused;
	/* The body of a create request; owned, NULL with @err. */
	json_object *(*create_body)(struct cli *cli, struct args *args, struct err *err);
	/* The body of an update request; as above. */
	json_object *(*update_body)(struct args *args, struct err *err);
	/* And of the one that changes mounts; NULL without an error: nothing is asked. */
	json_object *(*mounts_body)(struct args *args, struct err *err);
	/* The exit code for a start that failed, by what the text says. */
	int (*start_failure)(const struct err *err);
	/* Where the @nth signal of the user goes: "/kill?signal=15". */
	void (*signal_tail)(int nth, int signo, char *buf, size_t size);
};

struct cli {
	const char *program;
	const struct kind *kind; /* what is worked on: the program's own, or its images' */
	const struct kind *own;
	const struct verb *verbs;
	struct client_host host;
	struct client *client; /* made at first use */
};

/* Runs the verb that argv names; returns the exit code. */
int cli_main(const char *program, const char *intro, const struct kind *kind,
	     const struct verb *verbs, int argc, char **argv);

/* Runs the verb argv[0] of @verbs with the rest as its command line. @group is
 * shown in errors ("image"), or NULL. */
int cli_dispatch(struct cli *cli, const char *group, const struct verb *verbs, int argc,
		 char **argv);

/* The connection for ordinary calls. */
struct client *cli_client(struct cli *cli);

/* Prints "program: text" on standard error; returns @code. */
int cli_fail(struct cli *cli, int code, const struct err *err);

/* client_call() on "/<collection>/<ref><tail>" (@tail with its query, or "").
 * Returns the status or -errno. */
int cli_call(struct cli *cli, const char *method, const char *ref, const char *tail,
	     json_object *body, json_object **ret_result, struct err *err);

/* An image's microVM is one of vmctl's, too: where @ref is one, @cli->kind is the images' from
 * now on, else the own. What else may be wrong with @ref is for the call that comes next. */
void cli_choose(struct cli *cli, const char *ref);

/* Runs @each for every argument, with the kind that it is of; prints the name after each success when
 * @print, an error line after each failure. Returns 0 or 1. */
typedef int each_fn(struct cli *cli, struct args *args, const char *ref, struct err *err);
int cli_each(struct cli *cli, struct args *args, each_fn *each, bool print);

/* {"key":["value",...],...} out of repeated --filter key=value; owned. */
json_object *cli_filters(struct args *args, struct err *err);
/* Appends "filters=<json>" to @target when --filter was given. 0 or -EINVAL. */
int cli_add_filters(struct strbuf *target, struct args *args, struct err *err);

extern const struct flag flags_none[];

/* SPDX-License-Identifier: Apache-2.0 */
/* build - what isola-image's build job (src/image/build.h) asks of isolad: images by
 * name, pulls, and containers for RUN. isolad reads no Dockerfile. Loop thread.
 *
 *   job asks "run" -> create -> attach, wait, start -> ended, output's end, run over
 *     -> answer -> job commits the layer -> "drop" -> removed -> answer
 *
 * However the job ends, what it began is ended first: a pull is cancelled, the
 * container removed; then the requester hears. One that a dead isolad left behind has
 * "building" in its record, by which the next one knows it (recover.c). */
#pragma once

#include "images_priv.h"

struct build {
	struct isolad *d;
	unsigned int refs; /* the job, callbacks under way, handles */
	image_progress_fn *progress;
	op_done_fn *done;
	bool (*full)(void *arg);
	void *arg;
	bool quiet;
	json_object *tags, *host_config; /* owned */
	char *auth;                      /* for pulls, owned, or NULL */

	struct image_job *job; /* NULL once it has ended */
	uv_pipe_t talk;        /* to its descriptor 3 */
	bool talk_open;

	struct image_job *pull; /* of a missing image, while it runs */
	bool pull_cancelled;
	char *pulling; /* its reference, owned */

	/* The container of the present RUN. */
	char id[ID_SIZE]; /* "" = none */
	bool creating, removing, running;
	struct waiter *waiter;
	uv_pipe_t out; /* its output */
	bool out_open;
	struct timer *pause; /* the client is behind */
	char tail[4];        /* of it, not whole characters yet */
	size_t n_tail;
	int status;
	bool ended; /* status is known */

	/* How the job ended. */
	bool over, told;
	struct err err;
	json_object *result; /* owned */
};

struct build *build_ref(struct build *b);
void build_unref(struct build *b);

/* A line for the client; nothing when the build is quiet. */
void build_say(struct build *b, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* The answer to what the job asked; takes @answer. */
void build_answer(struct build *b, json_object *answer);
void build_answer_error(struct build *b, const struct err *err);
/* Goes on with the end, if it has begun. */
void build_settle(struct build *b);

/* ---- build_run.c ---- */

/* @run: {"image","cmd","env"}. */
void build_run(struct build *b, json_object *run);
void build_drop(struct build *b, bool remove);
/* The build is over: removes what runs. false when there is nothing (left). */
bool build_run_end(struct build *b);

/* SPDX-License-Identifier: Apache-2.0 */
/* build_priv - what the files build*.c share. */
#pragma once

#include "build.h"
#include "derive.h"
#include "stack.h"
#include "words.h"

#include "isola/dockerfile.h"
#include "isola/pack.h"
#include "isola/strbuf.h"

struct stage {
	char *name; /* NULL: only its number; owned */
	char id[DIGEST_SIZE];
};

struct build {
	const struct job *job;
	const struct limits *limits;
	json_object *spec; /* owned */
	int talk_fd, proc_fd;
	struct strbuf heard;
	struct stack context;
	struct dockerfile file;
	const char *file_name;
	size_t end; /* steps from here on are not the target's */
	struct stage *stages;
	size_t n_stages;
	unsigned int step_no, n_steps;

	/* Variables: objects NAME -> text, or null when declared without one. */
	json_object *globals; /* ARG before the first FROM */
	json_object *args;    /* of this stage */
	json_object *used;    /* of those the client gave */

	/* This stage, so far. */
	char id[DIGEST_SIZE]; /* "" = nothing yet, on scratch */
	json_object *config;  /* what Docker calls the config; owned */
	char *author;         /* of MAINTAINER, owned */
	bool staged, cmd_set, cache;
};

/* ---- build.c ---- */

/* One question and its answer, owned. */
int build_ask(struct build *b, json_object *taken, json_object **ret, struct err *err);
/* By name, or what the store has no name for: *@ret_id, and *@ret_record (owned) held
 * for the job. @pull: also when there is one. */
int build_find_image(struct build *b, const char *ref, bool pull, const char *platform,
		     char ret_id[DIGEST_SIZE], json_object **ret_record, struct err *err);
/* A stage by name or number, NULL. */
const struct stage *build_find_stage(const struct build *b, const char *name);
/* The image so far, as files. @ret must be STACK_INIT. */
int build_root(const struct build *b, struct stack *ret, struct err *err);

/* ---- build_scope.c: variables ---- */

/* What $NAME means now; @ret->env is owned by the caller. */
void scope_of(const struct build *b, struct words_scope *ret);
/* Notes an ARG instruction. *@ret_text (owned): "ARG a=b". */
int scope_arg(struct build *b, const struct step *s, char **ret_text, struct err *err);
/* For a RUN: "NAME=TEXT" of what is declared and not in Env, sorted. @all: also the
 * proxies, which count for no cache. Owned. */
json_object *scope_args(struct build *b, bool all);
/* @text with variables replaced, owned. */
int scope_expand(const struct build *b, const char *text, char **ret, struct err *err);

/* ---- build_step.c ---- */

/* 1 when an earlier build did the same on the same image, which becomes b's; 0 when
 * not. @ret_key gets the key of @text. */
int step_cached(struct build *b, const char *text, char ret_key[DIGEST_SIZE], struct err *err);
/* The new image becomes b's. @created_by: its history. */
int step_commit(struct build *b, struct derive *d, const char *created_by, struct err *err);
/* What "#(nop)" instructions look like in a history: owned. */
char *step_nop(const struct build *b, const char *text);
/* Anything but FROM, COPY and ADD. */
int step_config(struct build *b, const struct step *s, struct err *err);
int step_run(struct build *b, const struct step *s, struct err *err);
/* Takes over the image @id ("" = none) as b's. */
int step_enter(struct build *b, const char *id, struct err *err);

/* ---- build_copy.c ---- */

int step_copy(struct build *b, const struct step *s, struct err *err);

/* ---- build_files.c: what lies in a source goes into a layer ---- */

struct copying {
	struct build *b;
	const struct stack *from, *onto;
	struct layer_out *out;
	struct pack_options *pack;
	struct pack *packer;
	const char *base;      /* of the source that is copied: paths below it */
	char to[PATH_MAX];     /* where that goes; "" = the root */
	struct hasher *hasher; /* instead of a layer: what would be copied */
	uint64_t entries;
	bool chowned; /* also what lies in archives gets pack's owner */
};

/* The folders of @path (without links), as they are on c->onto, else made. @with_last:
 * also itself. */
int files_parents(struct copying *c, const char *path, bool with_last, struct err *err);
/* The entry @path of c->from becomes @as. */
int files_one(struct copying *c, const char *path, const char *as, struct err *err);
/* All below the folder @path goes below @as. */
int files_below(struct copying *c, const char *path, const char *as, struct err *err);
/* Adds to c->hasher what is at @path. */
int files_hash(struct copying *c, const char *path, struct err *err);
/* In a layer such a name would hide what is below it. */
bool files_is_mark(const char *path);

/* ---- build_archive.c: what ADD unpacks, in a process without rights ---- */

/* Is the file @path of c->from a tar archive? 1, 0; an error for one in a form that is
 * known and not supported. */
int archive_is_one(struct copying *c, const char *path, struct err *err);
/* Unpacks it below @as. */
int archive_below(struct copying *c, const char *path, const char *as, struct err *err);

/* SPDX-License-Identifier: Apache-2.0 */
/* change - Dockerfile instructions given to an import (`--change "CMD true"`),
 * applied to a config object: CMD ENTRYPOINT ENV EXPOSE HEALTHCHECK LABEL
 * ONBUILD STOPSIGNAL USER VOLUME WORKDIR, as Docker's commit and import take them.
 * ENV values and the like may use $NAME and ${NAME} of the config's own Env. The
 * steps of a build that only change the configuration are the same (build.c). */
#pragma once

#include "isola/err.h"

#include "words.h"

#include <json-c/json.h>

/* Changes @config (Docker's Config object) in place. -EINVAL says what is wrong
 * with the instruction. */
int change_apply(json_object *config, const char *instruction, struct err *err);

/* One instruction of a Dockerfile; variables are @scope's. As change_apply() else. */
int change_instruction(json_object *config, const char *name, const char *args,
		       const struct words_scope *scope, struct err *err);

/* The command that @args of CMD, ENTRYPOINT or RUN mean: ["a", "b"] as it stands, else
 * a text for the shell of @config. Owned. */
json_object *change_command(json_object *config, const char *args);

/* @args of the form ["a", "b"], each expanded: 1 and *@ret (owned); 0 when they have
 * not that form; -EINVAL. */
int change_list(const char *args, const struct words_scope *scope, json_object **ret,
		struct err *err);

/* SPDX-License-Identifier: Apache-2.0 */
/* change - Dockerfile instructions given to an import (`--change "CMD true"`),
 * applied to a config object: CMD ENTRYPOINT ENV EXPOSE HEALTHCHECK LABEL
 * ONBUILD STOPSIGNAL USER VOLUME WORKDIR, as Docker's commit and import take them.
 * ENV values and the like may use $NAME and ${NAME} of the config's own Env. */
#pragma once

#include "isola/err.h"

#include <json-c/json.h>

/* Changes @config (Docker's Config object) in place. -EINVAL says what is wrong
 * with the instruction. */
int change_apply(json_object *config, const char *instruction, struct err *err);

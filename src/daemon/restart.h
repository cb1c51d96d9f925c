/* SPDX-License-Identifier: Apache-2.0 */
/* restart - restart policies in Docker's sense: whether, and after how long, an
 * instance that ended begins again. Loop thread. */
#pragma once

#include "isola/instance.h"

#define RESTART_BACKOFF_MIN_MS 100
#define RESTART_BACKOFF_MAX_MS 60000
#define RESTART_RESET_NS       10000000000LL /* ran that long: it was healthy */

/* HostConfig.RestartPolicy; absent = no. -EINVAL names the field. */
int restart_policy_parse(json_object *host_config, enum restart_mode *ret_mode,
			 unsigned int *ret_max, struct err *err);

/* The name, as in HostConfig. */
const char *restart_mode_name(enum restart_mode mode);

/* Whether the policy wants it again after the end that @inst records. Pure. */
bool restart_wanted(const struct instance *inst);
/* The same at isolad's start, for an instance that is not running: "always" also
 * brings back what a user stopped. Pure. */
bool restart_wanted_at_start(const struct instance *inst);

/* The pause before the next start: sets inst->restart_backoff_ms and returns it. */
unsigned int restart_backoff(struct instance *inst);

/* SPDX-License-Identifier: Apache-2.0 */
/* health - a container's health check: a command that is executed in it again and
 * again, and what its results say (Engine API, State.Health).
 *
 *              success                       Retries failures in a row
 *   starting -----------> healthy <--------------------> unhealthy
 *      |                               success               ^
 *      +---- Retries failures in a row, behind StartPeriod --+
 *
 *   health.c        when to ask, and what an answer means
 *   health_probe.c  one question: an exec, what it prints, its time-out
 *
 * Nothing of it is on the disk: an isolad that begins asks anew, from "starting".
 * Whoever restarted meanwhile has no probe of the old one beside it, as the keeper
 * ends what isolad holds (isola/keeper.h, exec's "held"). Loop thread. */
#pragma once

#include "isola/daemon.h"

#include <stdbool.h>
#include <stdint.h>

#define HEALTH_OUTPUT_MAX 4096 /* of one probe, kept */
#define HEALTH_LOG_MAX    5    /* results kept */

enum health_status { HEALTH_NONE, HEALTH_STARTING, HEALTH_HEALTHY, HEALTH_UNHEALTHY };

/* "none", "starting", "healthy", "unhealthy". */
const char *health_name(enum health_status status);

/* What a container's Healthcheck asks for; 0 in there is a default. */
struct health_config {
	int64_t interval_ns, timeout_ns, start_period_ns, start_interval_ns;
	int64_t retries;
	json_object *test; /* borrowed */
};
/* False when there is none ("NONE", or no Test). */
bool health_config_of(const struct instance *inst, struct health_config *ret);

/* What a result makes of status and streak. @early: it was begun within the start
 * period, and there was no success yet. */
void health_judge(enum health_status *status, unsigned int *streak, bool success, bool early,
		  int64_t retries);

/* The instance's state is another now: begins, rests or ends asking. */
void health_follow(struct instance *inst);
enum health_status health_of(const struct instance *inst);
/* State.Health; NULL without a check. Owned. */
json_object *health_view(const struct instance *inst);
/* Frees what hangs on the instance. */
void health_fini(struct instance *inst);

/* ---- health_probe.c ---- */

struct probe;
struct probe_result {
	int64_t start_ns, end_ns;
	int exit_code; /* -1: it did not run, or not to its end */
	const char *output;
};
typedef void probe_done_fn(struct instance *inst, const struct probe_result *result);

/* Asks once. @done exactly once and from a later turn, unless it was dropped before;
 * the probe is gone then. NULL with memory out. */
struct probe *probe_start(struct instance *inst, const struct health_config *config,
			  probe_done_fn *done);
/* Ends it; @done does not come any more. */
void probe_drop(struct probe *probe);

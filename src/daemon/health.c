/* SPDX-License-Identifier: Apache-2.0 */
/* health - see health.h. isolad, loop thread. */
#include "health.h"

#include "isola/json.h"
#include "isola/num.h"
#include "isolad.h"
#include "life.h"
#include "view.h"

#include <stdlib.h>
#include <string.h>

#define SECOND_NS         1000000000LL
#define INTERVAL_NS       (30 * SECOND_NS)
#define TIMEOUT_NS        (30 * SECOND_NS)
#define START_PERIOD_NS   0
#define START_INTERVAL_NS (5 * SECOND_NS)
#define RETRIES           3

struct health {
	enum health_status status;
	unsigned int streak; /* failures in a row */
	json_object *log;    /* array of Docker's HealthcheckResult */
	int64_t run_ns;      /* started_ns of the run that it is about */
	struct timer *timer; /* to the next probe */
	struct probe *probe; /* the one under way */
};

const char *health_name(enum health_status status)
{
	static const char *const names[] = { "none", "starting", "healthy", "unhealthy" };
	return names[status];
}

static int64_t value_of(json_object *check, const char *key, int64_t otherwise)
{
	int64_t v = json_i64_or(check, key, 0);
	return v > 0 ? v : otherwise;
}

bool health_config_of(const struct instance *inst, struct health_config *ret)
{
	json_object *check =
		inst->kind == INSTANCE_CONTAINER ? json_get(inst->config, "Healthcheck") : NULL;
	json_object *test = json_get(check, "Test");
	if (!json_len(test) || !strcmp(json_item_str(test, 0), "NONE"))
		return false;
	*ret = (struct health_config){
		.interval_ns = value_of(check, "Interval", INTERVAL_NS),
		.timeout_ns = value_of(check, "Timeout", TIMEOUT_NS),
		.start_period_ns = value_of(check, "StartPeriod", START_PERIOD_NS),
		.start_interval_ns = value_of(check, "StartInterval", START_INTERVAL_NS),
		.retries = value_of(check, "Retries", RETRIES),
		.test = test,
	};
	return true;
}

void health_judge(enum health_status *status, unsigned int *streak, bool success, bool early,
		  int64_t retries)
{
	if (success) {
		*streak = 0;
		*status = HEALTH_HEALTHY;
	} else if (!early && ++*streak >= retries) {
		*status = HEALTH_UNHEALTHY;
	}
}

/* ---- results ---- */

static bool is_early(const struct health *h, const struct health_config *c, int64_t at_ns)
{
	return h->status == HEALTH_STARTING && at_ns - h->run_ns < c->start_period_ns;
}

static void note(struct health *h, const struct probe_result *r)
{
	json_object *item = json_object_new_object();
	if (!h->log)
		h->log = json_object_new_array();
	view_add_time(item, "Start", r->start_ns);
	view_add_time(item, "End", r->end_ns);
	json_add_i64(item, "ExitCode", r->exit_code);
	json_add_str(item, "Output", r->output);
	if (json_len(h->log) >= HEALTH_LOG_MAX)
		(void)json_object_array_del_idx(h->log, 0, 1);
	(void)json_object_array_add(h->log, item);
}

static void emit(struct instance *inst, enum health_status status)
{
	char action[40];
	(void)snprintf(action, sizeof(action), "health_status: %s", health_name(status));
	events_emit_instance(inst, action, NULL);
}

static void wait_for_next(struct instance *inst, const struct health_config *c);

static void on_result(struct instance *inst, const struct probe_result *r)
{
	struct health *h = life_of(inst)->health;
	struct health_config c;
	h->probe = NULL;
	if (!health_config_of(inst, &c))
		return;
	enum health_status before = h->status;
	note(h, r);
	health_judge(&h->status, &h->streak, r->exit_code == 0, is_early(h, &c, r->start_ns),
		     c.retries);
	if (h->status != before)
		emit(inst, h->status);
	if (inst->state == INSTANCE_RUNNING)
		wait_for_next(inst, &c);
}

/* ---- when ---- */

static void on_time(void *arg)
{
	struct instance *inst = arg;
	struct health *h = life_of(inst)->health;
	struct health_config c;
	timer_stop(&h->timer);
	if (health_config_of(inst, &c) && !(h->probe = probe_start(inst, &c, on_result)))
		wait_for_next(inst, &c);
}

static void wait_for_next(struct instance *inst, const struct health_config *c)
{
	struct health *h = life_of(inst)->health;
	int64_t ns = is_early(h, c, num_now_ns()) ? c->start_interval_ns : c->interval_ns;
	timer_stop(&h->timer);
	h->timer = timer_start(inst->isolad, (uint64_t)(ns + 999999) / 1000000, on_time, inst);
}

static void rest(struct health *h)
{
	timer_stop(&h->timer);
	if (h->probe)
		probe_drop(h->probe);
	h->probe = NULL;
}

void health_follow(struct instance *inst)
{
	struct life *life = life_of(inst);
	struct health_config c;
	if (!life || !health_config_of(inst, &c))
		return;
	if (!life->health && !(life->health = calloc(1, sizeof(*life->health))))
		return;
	struct health *h = life->health;
	if (inst->state != INSTANCE_RUNNING) {
		rest(h);
		/* As with Docker: what does not run is not well. A pause is no end. */
		if (inst->state != INSTANCE_PAUSED && h->status != HEALTH_NONE)
			h->status = HEALTH_UNHEALTHY;
		return;
	}
	if (h->run_ns != inst->started_ns || h->status == HEALTH_NONE) {
		h->run_ns = inst->started_ns;
		h->status = HEALTH_STARTING;
		h->streak = 0;
	}
	if (!h->timer && !h->probe)
		wait_for_next(inst, &c);
}

/* ---- views ---- */

enum health_status health_of(const struct instance *inst)
{
	struct health_config c;
	const struct life *life = life_of(inst);
	return life && life->health && health_config_of(inst, &c) ? life->health->status
								  : HEALTH_NONE;
}

json_object *health_view(const struct instance *inst)
{
	enum health_status status = health_of(inst);
	if (status == HEALTH_NONE)
		return NULL;
	const struct health *h = life_of(inst)->health;
	json_object *o = json_object_new_object();
	json_add_str(o, "Status", health_name(status));
	json_add_i64(o, "FailingStreak", h->streak);
	json_add(o, "Log", h->log ? json_object_get(h->log) : json_object_new_array());
	return o;
}

void health_fini(struct instance *inst)
{
	struct life *life = life_of(inst);
	if (!life->health)
		return;
	rest(life->health);
	json_object_put(life->health->log);
	free(life->health);
	life->health = NULL;
}

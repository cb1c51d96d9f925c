/* SPDX-License-Identifier: Apache-2.0 */
/* routes_stats - what a container uses: once, once after a second (so that the
 * sample has a predecessor), or every second. Docker Engine API 1.47, "Get
 * container stats based on resource usage". isolad, loop thread. */
#include "conn.h"
#include "routes.h"

#include "isola/fd.h"
#include "isola/json.h"

#include <errno.h>
#include <string.h>

#define STATS_PERIOD_MS      1000
#define ONE_SHOT_SINCE_MINOR 41

struct stats {
	char id[ID_SIZE];
	bool stream;
	json_object *prev;     /* the last sample, or NULL */
	json_object *counters; /* of a VM's worker, or of a guest, for the next sample */
	bool asking;           /* they are on their way */
	bool begun;
	struct exchange_timer *timer;
};

static void free_stats(void *user)
{
	struct stats *s = user;
	json_object_put(s->prev);
	json_object_put(s->counters);
	free(s);
}

static void stop(struct exchange *x)
{
	struct stats *s = x->user;
	x->on_gone = NULL;
	exchange_timer_stop(&s->timer);
}

/* A new sample, remembered as the next one's predecessor; NULL with @err. */
static json_object *sample(struct exchange *x, struct err *err)
{
	struct stats *s = x->user;
	struct instance *inst = registry_find(x->isolad, route_kind(x), s->id, err);
	cleanup_json json_object *counters = take_ptr(s->counters);
	bool is_guest = route_kind(x) == INSTANCE_CONTAINER && counters;
	json_object *o = inst ? stats_sample(inst, s->prev, is_guest ? counters : NULL, err) : NULL;
	if (!o)
		return NULL;
	if (route_kind(x) == INSTANCE_VM)
		json_add(o, "vm", take_ptr(counters));
	json_object_put(s->prev);
	s->prev = json_object_get(o);
	return o;
}

static void on_counters(void *arg, const struct err *err, json_object *result);

/* Who wants a sample of a VM waits for its worker, or for the guest; one of a container
 * with the host's kernel comes at once. */
static void ask(struct exchange *x, void (*then)(struct exchange *x))
{
	struct stats *s = x->user;
	struct instance *inst = registry_find(x->isolad, route_kind(x), s->id, NULL);
	if (s->asking)
		return;
	if (!inst || !vm_has_counters(inst) || !instance_is_running(inst)) {
		then(x);
		return;
	}
	s->asking = true;
	vm_counters(inst, on_counters, exchange_ref(x));
}

static void on_asked(struct exchange *x)
{
	struct err err = ERR_INIT;
	struct stats *s = x->user;
	cleanup_json json_object *o = sample(x, &err);
	if (o && s->stream) {
		reply_chunk_json(x, o);
		return;
	}
	stop(x);
	if (s->stream)
		reply_end(x);
	else if (o)
		reply_json(x, 200, take_ptr(o));
	else
		reply_err(x, &err);
}

static void on_tick(struct exchange *x)
{
	struct stats *s = x->user;
	/* A reader that lags misses samples instead of piling them up. */
	if (!s->stream || conn_queued(x->conn) == 0)
		ask(x, on_asked);
}

static void start(struct exchange *x, struct stats *s)
{
	s->timer =
		exchange_timer_start(x, STATS_PERIOD_MS, s->stream ? STATS_PERIOD_MS : 0, on_tick);
	if (s->timer)
		x->on_gone = stop;
	else if (x->conn && !s->stream)
		reply_error(x, 500, "out of memory");
	else
		reply_end(x);
}

static void begin(struct exchange *x)
{
	struct err err = ERR_INIT;
	struct stats *s = x->user;
	struct instance *inst = registry_find(x->isolad, route_kind(x), s->id, NULL);
	cleanup_json json_object *o = sample(x, &err);
	bool one_shot = x->api_minor >= ONE_SHOT_SINCE_MINOR && request_bool(x, "one-shot", false);
	s->begun = true;
	if (!o) {
		reply_err(x, &err);
	} else if (s->stream) {
		reply_begin(x, 200, "application/json");
		reply_chunk_json(x, o);
		start(x, s);
	} else if (one_shot || !inst || !instance_is_running(inst)) {
		reply_json(x, 200, take_ptr(o));
	} else {
		start(x, s);
	}
}

/* A worker, or guest, that does not answer leaves the sample without its part. */
static void on_counters(void *arg, const struct err *err, json_object *result)
{
	struct exchange *x = arg;
	struct stats *s = x->user;
	s->asking = false;
	json_object_put(s->counters);
	if (err) /* a guest is not there, but it is still a guest's sample */
		s->counters = route_kind(x) == INSTANCE_VM ? NULL : json_object_new_object();
	else
		s->counters = json_object_get(result);
	if (x->conn && !s->begun)
		begin(x);
	else if (x->conn && s->timer)
		on_asked(x);
	exchange_unref(x);
}

void containers_stats(struct exchange *x)
{
	struct instance *inst = route_instance(x);
	if (!inst)
		return;
	struct stats *s = calloc(1, sizeof(*s));
	if (!s) {
		reply_error(x, 500, "out of memory");
		return;
	}
	memcpy(s->id, inst->id, sizeof(s->id));
	s->stream = request_bool(x, "stream", true);
	x->user = s;
	x->free_user = free_stats;
	ask(x, begin);
}

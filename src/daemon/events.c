/* SPDX-License-Identifier: Apache-2.0 */
/* events - see events.h and include/isola/daemon.h. Engine API, GET /events.
 * isolad, loop thread. */
#include "events.h"

#include "filter.h"
#include "isola/json.h"
#include "isola/num.h"
#include "isolad.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct subscription {
	struct list node;
	struct isolad *isolad;
	json_object *filters;
	event_fn *on_event;
	void *arg;
	int64_t since_ns;
	bool replayed; /* the ring was told, if it was asked for */
	bool gone;     /* freed in a later turn: somebody may be walking the list */
};

void events_init(struct events *events)
{
	*events = (struct events){ 0 };
	list_init(&events->subscriptions);
}

void events_fini(struct events *events)
{
	for (unsigned int i = 0; i < EVENTS_RING; i++)
		free(events->ring[i]);
	events_init(events);
}

/* ---- filters ---- */

static const char *const filter_keys[] = {
	"container", "daemon", "event",  "image",   "label", "network", "node",
	"plugin",    "scope",  "secret", "service", "type",  "vm",      "volume",
};

int events_check(json_object *filters, struct err *err)
{
	return filter_check(filters, filter_keys, sizeof(filter_keys) / sizeof(filter_keys[0]),
			    err);
}

static bool is_type(const char *value, void *event)
{
	return !strcmp(value, json_str_or(event, "Type", ""));
}

static bool is_scope(const char *value, void *event)
{
	return !strcmp(value, json_str_or(event, "scope", ""));
}

/* "exec_start" also selects "exec_start: sh -c x". */
static bool is_action(const char *value, void *event)
{
	const char *action = json_str_or(event, "Action", "");
	size_t n = strlen(value);
	return !strcmp(value, action) || (!strncmp(value, action, n) && action[n] == ':');
}

static json_object *attributes(json_object *event)
{
	return json_get(json_get(event, "Actor"), "Attributes");
}

struct object_filter {
	json_object *event;
	const char *type;
};

/* A thing by id, id prefix or name. */
static bool is_object(const char *value, void *arg)
{
	const struct object_filter *f = arg;
	json_object *event = f->event;
	if (strcmp(json_str_or(event, "Type", ""), f->type))
		return false;
	const char *id = json_str_or(json_get(event, "Actor"), "ID", "");
	const char *name = json_str_or(attributes(event), "name", "");
	if (*value == '/')
		value++;
	return (*value && !strncmp(id, value, strlen(value))) || !strcmp(name, value);
}

/* Of containers, their image; of images, the image itself. With or without tag. */
static bool is_image(const char *value, void *event)
{
	bool own = !strcmp(json_str_or(event, "Type", ""), "image");
	const char *image = json_str_or(attributes(event), own ? "name" : "image", "");
	size_t n = strlen(value);
	if (!strncmp(image, value, n) && (image[n] == '\0' || image[n] == ':' || image[n] == '@'))
		return true;
	return own && !strcmp(json_str_or(json_get(event, "Actor"), "ID", ""), value);
}

static bool has_label(const char *value, void *event)
{
	return filter_label(value, attributes(event));
}

static bool never(const char *value, void *arg)
{
	(void)value;
	(void)arg;
	return false;
}

bool events_match(json_object *event, json_object *filters)
{
	static const char *const objects[] = { "container", "network", "vm", "volume" };
	/* Kinds of things that do not exist here match nothing. */
	static const char *const strangers[] = { "node", "plugin", "secret", "service", "daemon" };
	for (size_t i = 0; i < sizeof(objects) / sizeof(objects[0]); i++) {
		struct object_filter f = { event, objects[i] };
		if (!filter_any(filters, objects[i], is_object, &f))
			return false;
	}
	for (size_t i = 0; i < sizeof(strangers) / sizeof(strangers[0]); i++)
		if (!filter_any(filters, strangers[i], never, NULL))
			return false;
	return filter_any(filters, "type", is_type, event) &&
	       filter_any(filters, "scope", is_scope, event) &&
	       filter_any(filters, "event", is_action, event) &&
	       filter_any(filters, "image", is_image, event) &&
	       filter_all(filters, "label", has_label, event);
}

/* ---- subscriptions ---- */

static void deliver(struct subscription *sub, json_object *event)
{
	if (!sub->gone && events_match(event, sub->filters))
		sub->on_event(sub->arg, event);
}

/* What happens between the subscription and this call is in the ring too, so the
 * order stays. */
static void replay(void *arg)
{
	struct subscription *sub = arg;
	struct events *events = &sub->isolad->events;
	unsigned int count = events->count, first = events->next + EVENTS_RING - count;
	for (unsigned int i = 0; i < count && !sub->gone; i++) {
		const char *text = events->ring[(first + i) % EVENTS_RING];
		cleanup_json json_object *event = NULL;
		if (json_parse(text, strlen(text), "event", &event, NULL) == 0 &&
		    json_i64_or(event, "timeNano", 0) >= sub->since_ns)
			deliver(sub, event);
	}
	sub->replayed = true;
	if (!sub->gone)
		sub->on_event(sub->arg, NULL);
}

struct subscription *events_subscribe(struct isolad *d, json_object *filters, int64_t since_ns,
				      event_fn *on_event, void *arg, struct err *err)
{
	if (events_check(filters, err) < 0)
		return NULL;
	struct subscription *sub = calloc(1, sizeof(*sub));
	if (!sub) {
		(void)err_set(err, ENOMEM, "out of memory");
		return NULL;
	}
	sub->isolad = d;
	sub->filters = json_object_get(filters);
	sub->on_event = on_event;
	sub->arg = arg;
	sub->since_ns = since_ns;
	sub->replayed = since_ns == 0;
	list_add_tail(&d->events.subscriptions, &sub->node);
	if (since_ns)
		later_call(d, replay, sub);
	return sub;
}

static void subscription_free(void *arg)
{
	struct subscription *sub = arg;
	list_del(&sub->node);
	json_object_put(sub->filters);
	free(sub);
}

void events_unsubscribe(struct subscription *sub)
{
	if (!sub || sub->gone)
		return;
	sub->gone = true;
	/* Behind replay(), if that is still to come. */
	later_call(sub->isolad, subscription_free, sub);
}

/* ---- emitters ---- */

static void keep(struct events *events, json_object *event)
{
	const char *text = json_object_to_json_string_ext(
		event, JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE);
	char *copy = text ? strdup(text) : NULL;
	if (!copy)
		return;
	free(events->ring[events->next]);
	events->ring[events->next] = copy;
	events->next = (events->next + 1) % EVENTS_RING;
	if (events->count < EVENTS_RING)
		events->count++;
}

/* @attrs is taken. */
static void emit(struct isolad *d, const char *type, const char *action, const char *id,
		 const char *from, json_object *attrs)
{
	cleanup_json json_object *event = json_object_new_object();
	json_object *actor = json_object_new_object();
	if (!event || !actor || !attrs) {
		json_object_put(actor);
		json_object_put(attrs);
		return;
	}
	int64_t now = num_now_ns();
	json_add_str(event, "status", action);
	json_add_str(event, "id", id);
	if (from)
		json_add_str(event, "from", from);
	json_add_str(event, "Type", type);
	json_add_str(event, "Action", action);
	json_add_str(actor, "ID", id);
	json_add(actor, "Attributes", attrs);
	json_add(event, "Actor", actor);
	json_add_str(event, "scope", "local");
	json_add_i64(event, "time", now / 1000000000);
	json_add_i64(event, "timeNano", now);
	keep(&d->events, event);
	list_for_each (node, &d->events.subscriptions) {
		struct subscription *sub = container_of(node, struct subscription, node);
		if (sub->replayed)
			deliver(sub, event);
	}
}

static void add_all(json_object *to, json_object *from)
{
	if (!json_object_is_type(from, json_type_object))
		return;
	json_object_object_foreach (from, key, value)
		json_add(to, key, json_object_get(value));
}

void events_emit_instance(struct instance *inst, const char *action, json_object *extra)
{
	json_object *attrs = json_object_new_object();
	add_all(attrs, json_get(inst->config, "Labels"));
	if (inst->image_ref)
		json_add_str(attrs, "image", inst->image_ref);
	json_add_str(attrs, "name", inst->name);
	add_all(attrs, extra);
	json_object_put(extra);
	emit(inst->isolad, inst->kind == INSTANCE_VM ? "vm" : "container", action, inst->id,
	     inst->image_ref, attrs);
}

void events_emit_network(struct isolad *d, const char *action, const struct network *net,
			 const char *container)
{
	json_object *attrs = json_object_new_object();
	json_add_str(attrs, "name", net->name);
	json_add_str(attrs, "type", "bridge");
	if (container)
		json_add_str(attrs, "container", container);
	emit(d, "network", action, net->id, NULL, attrs);
}

void events_emit_volume(struct isolad *d, const char *action, const char *name, json_object *extra)
{
	json_object *attrs = json_object_new_object();
	json_add_str(attrs, "driver", "local");
	add_all(attrs, extra);
	json_object_put(extra);
	emit(d, "volume", action, name, NULL, attrs);
}

void events_emit_image(struct isolad *d, const char *action, const char *id, const char *ref)
{
	json_object *attrs = json_object_new_object();
	json_add_str(attrs, "name", ref ? ref : id);
	emit(d, "image", action, id, NULL, attrs);
}

/* SPDX-License-Identifier: Apache-2.0 */
/* view_filter - the filters of /containers/json (docker ps --filter). One row a
 * filter: how its values are checked, and what they match. isolad, loop thread. */
#include "endpoint.h"
#include "filter.h"
#include "health.h"
#include "isolad.h"
#include "isolation.h"
#include "life.h"
#include "mounts.h"

#include "isola/json.h"
#include "isola/num.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

/* Who asks: the list of containers, or that of VMs. */
struct asked {
	struct isolad *isolad;
	enum instance_kind kind;
};

/* One value against one instance: 1, 0, or -errno for a bad value. @inst NULL:
 * only the value is to be checked. */
typedef int match_fn(const struct asked *d, struct instance *inst, const char *value,
		     struct err *err);

static int bad_value(const char *name, const char *value, struct err *err)
{
	return err_set(err, EINVAL, "invalid filter '%s=%.64s'", name, value);
}

static int match_pattern(const char *pattern, const char *name, const char *a, const char *b,
			 struct err *err)
{
	int hit = filter_pattern(pattern, a);
	if (hit == 0)
		hit = filter_pattern(pattern, b);
	return hit < 0 ? bad_value(name, pattern, err) : hit;
}

static int match_id(const struct asked *d, struct instance *inst, const char *value,
		    struct err *err)
{
	(void)d;
	return match_pattern(value, "id", inst ? inst->id : NULL, NULL, err);
}

static int match_name(const struct asked *d, struct instance *inst, const char *value,
		      struct err *err)
{
	(void)d;
	char slashed[260] = "";
	if (inst)
		(void)snprintf(slashed, sizeof(slashed), "/%s", inst->name);
	return match_pattern(value, "name", inst ? slashed : NULL, inst ? inst->name : NULL, err);
}

static int match_label(const struct asked *d, struct instance *inst, const char *value,
		       struct err *err)
{
	(void)d;
	(void)err;
	return inst && filter_label(value, json_get(inst->config, "Labels"));
}

static int match_status(const struct asked *d, struct instance *inst, const char *value,
			struct err *err)
{
	(void)d;
	static const char *const names[] = { "created", "restarting", "running", "removing",
					     "paused",  "exited",     "dead" };
	size_t i = 0;
	while (i < sizeof(names) / sizeof(names[0]) && strcmp(names[i], value) != 0)
		i++;
	if (i == sizeof(names) / sizeof(names[0]))
		return bad_value("status", value, err);
	return inst && !strcmp(instance_state_name(inst), value);
}

static int match_exited(const struct asked *d, struct instance *inst, const char *value,
			struct err *err)
{
	(void)d;
	int64_t code;
	if (num_parse_i64(value, &code) < 0)
		return bad_value("exited", value, err);
	return inst && inst->finished_ns && !instance_is_running(inst) && inst->exit_code == code;
}

/* The image itself, or one that the container's image was built upon: then its
 * topmost layer (a chain id) is among the container's. */
static int match_ancestor(const struct asked *d, struct instance *inst, const char *value,
			  struct err *err)
{
	(void)err;
	json_object *image = inst ? image_find(d->isolad, value, NULL) : NULL;
	if (!image)
		return 0;
	if (!strcmp(json_str_or(image, "id", ""), json_str_or(inst->image, "id", "-")))
		return 1;
	json_object *theirs = json_get(image, "layers"), *ours = json_get(inst->image, "layers");
	size_t n = json_len(theirs);
	for (size_t i = 0; n && i < json_len(ours); i++) {
		if (!strcmp(json_item_str(ours, i), json_item_str(theirs, n - 1)))
			return 1;
	}
	return 0;
}

static int match_before(const struct asked *d, struct instance *inst, const char *value,
			struct err *err)
{
	struct instance *other = registry_find(d->isolad, d->kind, value, err);
	if (!other)
		return -err->code;
	return inst && inst->created_ns < other->created_ns;
}

static int match_since(const struct asked *d, struct instance *inst, const char *value,
		       struct err *err)
{
	struct instance *other = registry_find(d->isolad, d->kind, value, err);
	if (!other)
		return -err->code;
	return inst && inst->created_ns > other->created_ns;
}

static int match_network(const struct asked *d, struct instance *inst, const char *value,
			 struct err *err)
{
	(void)d;
	(void)err;
	if (!inst)
		return 0;
	list_for_each (node, &inst->endpoints) {
		const struct network *net = container_of(node, struct endpoint, node)->network;
		if (!strcmp(net->name, value) || !strncmp(net->id, value, strlen(value)))
			return 1;
	}
	return !strcmp(json_str_or(inst->host_config, "NetworkMode", ""), value);
}

static int match_volume(const struct asked *d, struct instance *inst, const char *value,
			struct err *err)
{
	(void)d;
	(void)err;
	cleanup_mounts struct mounts m = { NULL, 0 };
	if (!inst || mounts_of(inst, &m, NULL) < 0)
		return 0;
	for (size_t i = 0; i < m.n; i++) {
		const struct mount_point *p = &m.items[i];
		if (p->listed &&
		    (!strcmp(p->target, value) || (p->source && !strcmp(p->source, value)) ||
		     (p->volume && !strcmp(p->volume, value))))
			return 1;
	}
	return 0;
}

/* There is no swarm, so nothing is a task. */
static int match_is_task(const struct asked *d, struct instance *inst, const char *value,
			 struct err *err)
{
	(void)d;
	bool yes = !strcmp(value, "true") || !strcmp(value, "1");
	if (!yes && strcmp(value, "false") != 0 && strcmp(value, "0") != 0)
		return bad_value("is-task", value, err);
	return inst && !yes;
}

static int match_health(const struct asked *d, struct instance *inst, const char *value,
			struct err *err)
{
	(void)d;
	for (int i = HEALTH_NONE; i <= HEALTH_UNHEALTHY; i++) {
		if (!strcmp(health_name((enum health_status)i), value))
			return inst && health_of(inst) == (enum health_status)i;
	}
	return bad_value("health", value, err);
}

struct ports {
	int64_t low, high;
	char proto[8];
};

static int parse_ports(const char *text, struct ports *ret)
{
	char buf[32], *proto, *dash;
	if (strlen(text) >= sizeof(buf))
		return -EINVAL;
	strcpy(buf, text);
	proto = strchr(buf, '/');
	if (proto)
		*proto++ = '\0';
	dash = strchr(buf, '-');
	if (dash)
		*dash++ = '\0';
	if (num_parse_range(buf, 1, 65535, &ret->low) < 0 ||
	    num_parse_range(dash ? dash : buf, ret->low, 65535, &ret->high) < 0)
		return -EINVAL;
	(void)snprintf(ret->proto, sizeof(ret->proto), "%s", proto ? proto : "tcp");
	return 0;
}

static int match_expose(const struct asked *d, struct instance *inst, const char *value,
			struct err *err)
{
	(void)d;
	struct ports want, have;
	if (parse_ports(value, &want) < 0)
		return bad_value("expose", value, err);
	json_object *exposed = inst ? json_get(inst->config, "ExposedPorts") : NULL;
	if (!exposed)
		return 0;
	json_object_object_foreach (exposed, key, unused) {
		(void)unused;
		if (parse_ports(key, &have) == 0 && !strcmp(have.proto, want.proto) &&
		    have.low <= want.high && want.low <= have.high)
			return 1;
	}
	return 0;
}

/* By the container's port, as Docker does it. */
static int match_publish(const struct asked *d, struct instance *inst, const char *value,
			 struct err *err)
{
	(void)d;
	struct ports want;
	if (parse_ports(value, &want) < 0)
		return bad_value("publish", value, err);
	const struct bindings *b = inst ? &life_of(inst)->bindings : NULL;
	for (size_t i = 0; b && i < b->n; i++)
		if (!strcmp(net_proto_name(b->items[i].proto), want.proto) &&
		    b->items[i].port >= want.low && b->items[i].port <= want.high)
			return 1;
	return 0;
}

static int match_isolation(const struct asked *d, struct instance *inst, const char *value,
			   struct err *err)
{
	(void)d;
	bool vm = !strcmp(value, "vm");
	if (!vm && strcmp(value, "default") != 0 && strcmp(value, "container") != 0)
		return bad_value("isolation", value, err);
	return inst && isolation_is_vm(inst->host_config) == vm;
}

static const struct {
	const char *name;
	match_fn *match;
	bool all; /* every value must match, not any */
	bool vms; /* has a meaning for VMs */
} rows[] = {
	{ "ancestor", match_ancestor },
	{ "before", match_before, .vms = true },
	{ "exited", match_exited, .vms = true },
	{ "expose", match_expose },
	{ "health", match_health },
	{ "id", match_id, .vms = true },
	{ "is-task", match_is_task },
	{ "isolation", match_isolation },
	{ "label", match_label, .all = true, .vms = true },
	{ "name", match_name, .vms = true },
	{ "network", match_network },
	{ "publish", match_publish },
	{ "since", match_since, .vms = true },
	{ "status", match_status, .vms = true },
	{ "volume", match_volume, .vms = true },
};
#define N_ROWS (sizeof(rows) / sizeof(rows[0]))

static int match_row(size_t row, const struct asked *d, struct instance *inst, json_object *filters,
		     struct err *err)
{
	const char *value;
	size_t i = 0, hits = 0;
	for (; filter_value(filters, rows[row].name, i, &value) > 0; i++) {
		int rc = rows[row].match(d, inst, value, err);
		if (rc < 0)
			return rc;
		hits += rc > 0;
	}
	return i == 0 || (rows[row].all ? hits == i : hits > 0);
}

static int check_keys(enum instance_kind kind, json_object *filters, struct err *err)
{
	const char *names[N_ROWS];
	size_t n = 0;
	for (size_t i = 0; i < N_ROWS; i++)
		if (kind == INSTANCE_CONTAINER || rows[i].vms)
			names[n++] = rows[i].name;
	return filter_check(filters, names, n, err);
}

static int match_all(const struct asked *d, struct instance *inst, json_object *filters,
		     struct err *err)
{
	struct err own = ERR_INIT;
	err = err ? err : &own;
	int rc = filters ? check_keys(d->kind, filters, err) : 0, hit = 1;
	/* All rows, so that a bad value is an error whatever else is asked. */
	for (size_t i = 0; filters && i < N_ROWS && rc >= 0; i++) {
		rc = match_row(i, d, inst, filters, err);
		hit = hit && rc > 0;
	}
	return rc < 0 ? rc : hit;
}

int view_matches(struct instance *inst, json_object *filters, struct err *err)
{
	const struct asked asked = { inst->isolad, inst->kind };
	return match_all(&asked, inst, filters, err);
}

int view_filters_check(struct isolad *d, enum instance_kind kind, json_object *filters,
		       struct err *err)
{
	const struct asked asked = { d, kind };
	int rc = match_all(&asked, NULL, filters, err);
	return rc < 0 ? rc : 0;
}

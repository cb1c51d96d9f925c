/* SPDX-License-Identifier: Apache-2.0 */
/* volume_users - who uses a volume, which is looked up and not counted (volumes.h), and
 * what happens when a user leaves. isolad, loop thread. */
#include "volumes.h"

#include "isola/json.h"

#include "isolad.h"
#include "mounts.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- who uses what ---- */

static bool uses(const struct instance *inst, const char *name)
{
	cleanup_mounts struct mounts m = { NULL, 0 };
	if (mounts_of(inst, &m, NULL) < 0)
		return false;
	for (size_t i = 0; i < m.n; i++)
		if (m.items[i].kind == MOUNT_VOLUME && m.items[i].volume &&
		    !strcmp(m.items[i].volume, name))
			return true;
	return false;
}

json_object *volume_users(const struct volume *v, const struct instance *but)
{
	json_object *ids = json_object_new_array();
	list_for_each (node, registry_list(v->d)) {
		const struct instance *inst = container_of(node, struct instance, node);
		if (inst != but && uses(inst, v->name))
			(void)json_object_array_add(ids, json_object_new_string(inst->id));
	}
	return ids;
}

json_object *volume_writers(const struct volume *v)
{
	json_object *ids = json_object_new_array();
	list_for_each (node, registry_list(v->d)) {
		const struct instance *inst = container_of(node, struct instance, node);
		if ((inst->link || inst->state == INSTANCE_STARTING) && uses(inst, v->name))
			(void)json_object_array_add(ids, json_object_new_string(inst->id));
	}
	return ids;
}

json_object *volumes_count_users(struct isolad *d)
{
	json_object *counts = json_object_new_object();
	list_for_each (node, registry_list(d)) {
		const struct instance *inst = container_of(node, struct instance, node);
		cleanup_mounts struct mounts m = { NULL, 0 };
		if (mounts_of(inst, &m, NULL) < 0)
			continue;
		for (size_t i = 0; i < m.n; i++) {
			const char *name = m.items[i].volume;
			bool again = false;
			for (size_t k = 0; name && k < i; k++)
				again |= m.items[k].volume && !strcmp(m.items[k].volume, name);
			if (name && !again)
				json_add_i64(counts, name, json_i64_or(counts, name, 0) + 1);
		}
	}
	return counts;
}

bool volume_is_mounted(const struct instance *but, const char *name)
{
	list_for_each (node, registry_list(but->isolad)) {
		const struct instance *inst = container_of(node, struct instance, node);
		if (inst != but && (inst->link || inst->state == INSTANCE_STARTING) &&
		    uses(inst, name))
			return true;
	}
	return false;
}

/* ---- the end ---- */

/* A snapshot or somebody's first files are under way: once that is over. */
struct leaving {
	struct isolad *d;
	char id[ID_SIZE]; /* of who leaves; it may be in the registry for a while yet */
	char name[];
};

static void let_go(struct volume *v, struct isolad *d, const char *id);

static void on_left_alone(void *arg, const struct err *err, json_object *result)
{
	struct leaving *l = arg;
	struct volume *v = volume_find(l->d, l->name, NULL);
	(void)err;
	(void)result;
	if (v && !l->d->stopping)
		let_go(v, l->d, l->id);
	free(l);
}

/* Unless somebody but @id uses it. */
static void let_go(struct volume *v, struct isolad *d, const char *id)
{
	cleanup_json json_object *users =
		volume_users(v, registry_find(d, INSTANCE_CONTAINER, id, NULL));
	if (json_len(users))
		return;
	if (!v->making && !v->filling) {
		volume_drop(v, false, NULL, NULL);
		return;
	}
	struct leaving *l = malloc(sizeof(*l) + strlen(v->name) + 1);
	if (!l)
		abort(); /* see later.h */
	l->d = d;
	(void)snprintf(l->id, sizeof(l->id), "%s", id);
	memcpy(l->name, v->name, strlen(v->name) + 1);
	volume_wait(v, on_left_alone, l);
}

void volumes_release(struct instance *inst, bool anonymous)
{
	cleanup_mounts struct mounts m = { NULL, 0 };
	if (!anonymous || mounts_of(inst, &m, NULL) < 0)
		return;
	for (size_t i = 0; i < m.n; i++) {
		const struct mount_point *p = &m.items[i];
		struct volume *v = p->kind == MOUNT_VOLUME && p->anonymous
					   ? volume_find(inst->isolad, p->volume, NULL)
					   : NULL;
		if (v)
			let_go(v, inst->isolad, inst->id);
	}
}

void volume_emit_mount(struct instance *inst, const struct mount_point *p, const char *action)
{
	json_object *attrs = json_object_new_object();
	json_add_str(attrs, instance_noun(inst->kind), inst->id);
	if (!strcmp(action, "mount")) {
		json_add_str(attrs, "destination", p->target);
		json_add_str(attrs, "propagation", "");
		json_add_str(attrs, "read/write", p->read_only ? "false" : "true");
	}
	events_emit_volume(inst->isolad, action, p->volume, attrs);
}

void volumes_emit(struct instance *inst, const char *action)
{
	cleanup_mounts struct mounts m = { NULL, 0 };
	if (mounts_of(inst, &m, NULL) < 0)
		return;
	for (size_t i = 0; i < m.n; i++)
		if (m.items[i].kind == MOUNT_VOLUME)
			volume_emit_mount(inst, &m.items[i], action);
}

void volumes_clear_temporary(struct isolad *d)
{
	cleanup_json json_object *users = volumes_count_users(d);
	list_for_each_safe (node, &d->volumes.all) {
		struct volume *v = container_of(node, struct volume, node);
		if (*v->temporary_of && !json_get(users, v->name))
			volume_drop(v, false, NULL, NULL);
	}
}

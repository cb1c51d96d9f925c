/* SPDX-License-Identifier: Apache-2.0 */
/* registry - see registry.h and include/isola/daemon.h. isolad, loop thread. */
#include "registry.h"

#include "isolad.h"
#include "isolation.h"
#include "tap.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct list *registry_list(struct isolad *d)
{
	return &d->registry.instances;
}

void registry_init(struct registry *registry)
{
	list_init(&registry->instances);
	registry->n = 0;
}

/* Both kinds: names are one space, with those of taps. */
static struct instance *by_name(struct isolad *d, const char *name)
{
	list_for_each (node, &d->registry.instances) {
		struct instance *inst = container_of(node, struct instance, node);
		if (!strcmp(inst->name, name))
			return inst;
	}
	return NULL;
}

struct instance *registry_by_id(struct isolad *d, const char *id)
{
	list_for_each (node, &d->registry.instances) {
		struct instance *inst = container_of(node, struct instance, node);
		if (!memcmp(inst->id, id, ID_SIZE))
			return inst;
	}
	return NULL;
}

/* The instance whose id begins with @ref; -EINVAL when there are several. */
static int by_prefix(struct isolad *d, enum instance_kind kind, const char *ref,
		     struct instance **ret)
{
	size_t n = strlen(ref);
	struct instance *found = NULL;
	list_for_each (node, &d->registry.instances) {
		struct instance *inst = container_of(node, struct instance, node);
		if (inst->kind != kind || strncmp(inst->id, ref, n))
			continue;
		if (found)
			return -EINVAL;
		found = inst;
	}
	*ret = found;
	return found ? 0 : -ENOENT;
}

struct instance *registry_find(struct isolad *d, enum instance_kind kind, const char *ref,
			       struct err *err)
{
	const char *name = *ref == '/' ? ref + 1 : ref;
	struct instance *inst = NULL;
	int rc = -ENOENT;
	/* A full id wins over a name, a name over a prefix. */
	if (id_is_prefix(ref) && strlen(ref) == ID_SIZE - 1)
		inst = registry_by_id(d, ref);
	if (!inst)
		inst = by_name(d, name);
	if (inst && inst->kind == kind)
		return inst;
	if (id_is_prefix(ref))
		rc = by_prefix(d, kind, ref, &inst);
	if (rc == 0)
		return inst;
	if (rc == -EINVAL)
		(void)err_set(err, EINVAL,
			      "Multiple IDs found with provided prefix: %s: give more digits", ref);
	else
		(void)err_set(err, ENOENT, "No such %s: %.300s%s", instance_noun(kind), ref,
			      inst && isolation_is_vm(inst->host_config)
				      ? " (a container in a microVM has that name)"
				      : "");
	return NULL;
}

int registry_name_check(struct isolad *d, const char *name, struct err *err)
{
	struct instance *other = by_name(d, name);
	if (!other && tap_is_named(d, name))
		return err_set(
			err, EEXIST,
			"Conflict. The name \"/%s\" is already in use by a tap of a network. "
			"Whoever asked for it has to close it to be able to reuse that name.",
			name);
	if (!other)
		return 0;
	const char *noun = instance_noun(other->kind);
	return err_set(err, EEXIST,
		       "Conflict. The %s name \"/%s\" is already in use by %s \"%s\". You have to "
		       "remove (or rename) that %s to be able to reuse that name.",
		       noun, name, noun, other->id, noun);
}

int registry_add(struct isolad *d, struct instance *inst, struct err *err)
{
	int rc = registry_name_check(d, inst->name, err);
	if (rc < 0)
		return rc;
	list_add_tail(&d->registry.instances, &inst->node);
	d->registry.n++;
	return 0;
}

void registry_remove(struct instance *inst)
{
	list_del(&inst->node);
	inst->isolad->registry.n--;
}

int registry_rename(struct instance *inst, const char *name, struct err *err)
{
	if (*name == '/')
		name++;
	if (!*name)
		return err_set(err, EINVAL, "Neither old nor new names may be empty");
	if (!id_is_name(name))
		return err_set(err, EINVAL,
			       "Invalid %s name (%.64s), only [a-zA-Z0-9][a-zA-Z0-9_.-] are "
			       "allowed",
			       instance_noun(inst->kind), name);
	if (!strcmp(inst->name, name))
		return err_set(err, EINVAL, "Renaming a %s with the same name as its current name",
			       instance_noun(inst->kind));
	int rc = registry_name_check(inst->isolad, name, err);
	if (rc < 0) {
		(void)err_prefix(err, "Error when allocating new name");
		return rc;
	}
	char *copy = strdup(name);
	if (!copy)
		return err_set(err, ENOMEM, "out of memory");
	free(inst->name);
	inst->name = copy;
	return 0;
}

int registry_make_name(struct instance *inst, struct err *err)
{
	for (unsigned int attempt = 0; attempt < 10000; attempt++) {
		char name[128];
		id_make_name(attempt, name, sizeof(name));
		if (registry_name_check(inst->isolad, name, NULL) < 0)
			continue;
		inst->name = strdup(name);
		return inst->name ? 0 : err_set(err, ENOMEM, "out of memory");
	}
	return err_set(err, EEXIST, "no free name found: give one with --name");
}

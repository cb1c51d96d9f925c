/* SPDX-License-Identifier: Apache-2.0 */
/* guest_sync - see guest_sync.h. */
#include "guest_sync.h"

#include "isolation.h"
#include "link.h"
#include "registry.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct asking {
	struct isolad *d;
	char id[ID_SIZE];
	guest_synced_fn *done;
	void *arg;
};

/* What has ended has written what it mapped, when it let go of it; one that was paused
 * meanwhile is read as any that is paused; a keeper of an earlier isolad cannot ask. */
static bool is_no_matter(const struct asking *a, const struct err *err)
{
	const struct instance *inst = registry_find(a->d, INSTANCE_CONTAINER, a->id, NULL);
	return !inst || inst->state != INSTANCE_RUNNING || err->code == ESRCH ||
	       err->code == EBUSY || err->code == EOPNOTSUPP;
}

static void on_synced(void *arg, const struct err *err, json_object *reply)
{
	struct asking *a = arg;
	struct err e = ERR_INIT;
	(void)reply;
	if (err && !is_no_matter(a, err))
		(void)err_set(&e, err->code,
			      "the guest of container %.12s has not synced its files (%.200s): "
			      "paused or stopped, they can be read as the host has them",
			      a->id, err->text);
	a->done(a->arg, e.code ? &e : NULL);
	free(a);
}

bool guest_sync(struct instance *inst, guest_synced_fn *done, void *arg)
{
	struct asking *a = NULL;
	if (inst->state == INSTANCE_RUNNING && inst->link && isolation_is_vm(inst->host_config))
		a = malloc(sizeof(*a));
	if (!a)
		return false;
	*a = (struct asking){ .d = inst->isolad, .done = done, .arg = arg };
	memcpy(a->id, inst->id, sizeof(a->id));
	link_call(inst->link, "sync", NULL, -1, on_synced, a);
	return true;
}

/* SPDX-License-Identifier: Apache-2.0 */
/* instance - see include/isola/instance.h: making and freeing the object, its
 * paths. What it does is in life.h's files. isolad, loop thread. */
#include "isola/instance.h"

#include "isola/json.h"
#include "isola/num.h"
#include "isola/strbuf.h"
#include "endpoint.h"
#include "isolad.h"
#include "life.h"
#include "restart.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct instance *instance_new(struct isolad *d, struct err *err)
{
	struct instance *inst = calloc(1, sizeof(*inst));
	struct life *life = calloc(1, sizeof(*life));
	if (!inst || !life || id_new(inst->id) < 0) {
		free(inst);
		free(life);
		(void)err_set(err, ENOMEM, "cannot make an instance: out of memory");
		return NULL;
	}
	inst->isolad = d;
	inst->priv = life;
	inst->created_ns = num_now_ns();
	life->run_dir_fd = -1;
	list_init(&life->asides);
	list_init(&inst->node);
	list_init(&inst->waiters);
	list_init(&inst->execs);
	list_init(&inst->streams);
	list_init(&inst->ops);
	list_init(&inst->endpoints);
	return inst;
}

void instance_free(struct instance *inst)
{
	if (!inst)
		return;
	life_fini(inst);
	endpoints_free(inst);
	uidrange_put(&inst->isolad->uidrange, inst->userns_base);
	json_object_put(inst->config);
	json_object_put(inst->host_config);
	json_object_put(inst->networking);
	json_object_put(inst->mount_points);
	json_object_put(inst->image);
	free(inst->image_ref);
	free(inst->reason);
	free(inst->reason_text);
	free(inst->error);
	free(inst->name);
	free(inst->priv);
	free(inst);
}

int instance_apply_host_config(struct instance *inst, struct err *err)
{
	bool auto_remove = false;
	if (json_get_bool(inst->host_config, "AutoRemove", &auto_remove, err) < 0) {
		(void)err_prefix(err, "HostConfig");
		return -EINVAL;
	}
	int rc = restart_policy_parse(inst->host_config, &inst->restart_mode, &inst->restart_max,
				      err);
	if (rc < 0)
		return rc;
	if (auto_remove && inst->restart_mode != RESTART_NO)
		return err_set(err, EINVAL, "can't create 'AutoRemove' %s with restart policy",
			       instance_noun(inst->kind));
	inst->auto_remove = auto_remove;
	return 0;
}

static char *join(const char *a, const char *b, const char *c, const char *tail)
{
	struct strbuf s = STRBUF_INIT;
	strbuf_printf(&s, "%s%s%s%s", a, b, c, tail);
	return strbuf_take(&s);
}

char *instance_state_dir(const struct instance *inst)
{
	return join(inst->isolad->roots.state, "/instances/", inst->id, "");
}

char *instance_run_dir(const struct instance *inst)
{
	return join(inst->isolad->roots.run, "/", inst->id, "");
}

char *instance_log_path(const struct instance *inst)
{
	char tail[ID_SIZE + 16];
	(void)snprintf(tail, sizeof(tail), "/%s-json.log", inst->id);
	return join(inst->isolad->roots.state, "/instances/", inst->id, tail);
}

char *instance_cgroup(const struct instance *inst)
{
	return join(inst->isolad->place.parent, "/", inst->id, "");
}

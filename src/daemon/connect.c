/* SPDX-License-Identifier: Apache-2.0 */
/* connect - joining and leaving networks after create, running or not: ops, so that
 * neither meets a start or an end half-way. isolad, loop thread. */
#include "isola/json.h"
#include "isola/step.h"

#include "bundle.h"
#include "endpoint.h"
#include "isolad.h"
#include "isolation.h"
#include "life.h"
#include "op.h"
#include "persist.h"
#include "vm.h"

#include <errno.h>
#include <string.h>

#define VM_NETWORKS_MAX 8

/* op->name: the network's id; op->body: EndpointSettings. */

static int may_change(const struct instance *inst, struct err *err)
{
	const char *mode = json_str_or(inst->host_config, "NetworkMode", "");
	int rc = isolation_refuse(inst, "a change of networks", err);
	if (rc < 0)
		return rc;
	if (inst->state == INSTANCE_REMOVING || inst->state == INSTANCE_DEAD)
		return err_set(err, EBUSY, "%s %s is being removed", instance_noun(inst->kind),
			       inst->name);
	if (!strcmp(mode, "host"))
		return err_set(err, EINVAL,
			       "container %s has the host's network and cannot be in another",
			       inst->name);
	if (!strncmp(mode, "container:", 10))
		return err_set(err, EINVAL,
			       "container %s has another container's network and cannot be in one "
			       "of its own",
			       inst->name);
	return 0;
}

/* A VM has one network device an endpoint, and devices are found when it boots. */
static int may_connect(const struct instance *inst, struct err *err)
{
	if (endpoint_link(inst) == NET_LINK_TAP && instance_is_running(inst))
		return err_set(err, EBUSY,
			       "%s %s runs, and a VM gets no further network device while it does: "
			       "stop it first",
			       instance_noun(inst->kind), inst->name);
	size_t n = 0;
	list_for_each (node, &inst->endpoints)
		n++;
	if (endpoint_link(inst) == NET_LINK_TAP && n >= VM_NETWORKS_MAX)
		return err_set(err, EINVAL, "%s %s is in %d networks already",
			       instance_noun(inst->kind), inst->name, VM_NETWORKS_MAX);
	return may_change(inst, err);
}

static void on_saved(void *arg, const struct err *err)
{
	struct op *op = arg;
	op->pinned = false;
	step_reached("connect.saved");
	op_finish(op, err, NULL);
}

static void save(struct op *op)
{
	op->pinned = true;
	persist_save(op->inst, on_saved, op);
}

static struct endpoint *endpoint_of(struct op *op)
{
	struct network *net = network_by_id(op->inst->isolad, op->name);
	return net ? endpoint_find(op->inst, net) : NULL;
}

static void change_files(struct instance *inst)
{
	if (inst->kind == INSTANCE_CONTAINER)
		bundle_files_change(inst, life_of(inst)->run_dir_fd);
}

static void on_connected(void *arg, const struct err *err)
{
	struct op *op = arg;
	struct instance *inst = op->inst;
	op->pinned = false;
	step_reached("connect.linked");
	if (inst->isolad->stopping) {
		op_finish(op, err, NULL);
		return;
	}
	if (err) {
		endpoint_free(endpoint_of(op));
		op_finish(op, err, NULL);
		return;
	}
	/* It ended meanwhile: what the job made goes again. */
	if (!instance_is_running(inst))
		endpoints_down(inst);
	else
		change_files(inst);
	save(op);
}

static void connect_run(struct op *op)
{
	struct instance *inst = op->inst;
	struct err e = ERR_INIT;
	struct endpoint *ep = NULL;
	struct network *net = network_by_id(inst->isolad, op->name);
	int rc = may_connect(inst, &e);
	if (rc == 0 && !net)
		rc = err_set(&e, ENOENT, "network %s not found", op->name);
	if (rc == 0)
		rc = endpoint_add(inst, net, op->body, &ep, &e);
	if (rc < 0) {
		op_finish(op, &e, NULL);
		return;
	}
	step_reached("connect.leased");
	if (!instance_is_running(inst)) {
		save(op);
		return;
	}
	op->pinned = true;
	endpoint_up(ep, on_connected, op);
}

/* A failure is logged; what counts is that it is not a member any more. */
static void on_unplugged(void *arg, const struct err *err)
{
	struct op *op = arg;
	(void)err;
	op->pinned = false;
	step_reached("disconnect.unlinked");
	if (op->inst->isolad->stopping)
		op_finish(op, NULL, NULL);
	else
		save(op);
}

static void disconnect_run(struct op *op)
{
	struct instance *inst = op->inst;
	struct err e = ERR_INIT;
	struct endpoint *ep = endpoint_of(op);
	int rc = may_change(inst, &e);
	if (rc == 0 && !ep)
		rc = err_set(&e, EINVAL, "%s %s is not connected to network %.12s",
			     instance_noun(inst->kind), inst->name, op->name);
	if (rc < 0) {
		op_finish(op, &e, NULL);
		return;
	}
	bool live = ep->live;
	op->pinned = live;
	if (live)
		endpoint_down(ep, on_unplugged, op);
	endpoint_free(ep);
	step_reached("disconnect.left");
	resolver_update(inst);
	if (live)
		change_files(inst);
	/* A reset makes the machine anew: without what has gone. */
	if (live && endpoint_link(inst) == NET_LINK_TAP &&
	    vm_bundle_write(inst, life_of(inst)->run_dir_fd, &e) < 0)
		log_warn(inst->id, "%s", e.text);
	if (!live)
		save(op);
}

static const struct op_type connect_type = { .name = "connect", .run = connect_run };
static const struct op_type disconnect_type = { .name = "disconnect", .run = disconnect_run };

static void queue(const struct op_type *type, struct network *net, struct instance *inst,
		  json_object *settings, op_done_fn *done, void *arg)
{
	struct op *op = op_new(inst, type, done, arg);
	if (!op)
		return;
	op->name = strdup(net->id);
	op->body = json_object_get(settings);
	if (!op->name)
		abort(); /* see later.h */
	op_queue(op);
}

void network_connect(struct network *net, struct instance *inst, json_object *settings,
		     op_done_fn *done, void *arg)
{
	queue(&connect_type, net, inst, settings, done, arg);
}

void network_disconnect(struct network *net, struct instance *inst, op_done_fn *done, void *arg)
{
	queue(&disconnect_type, net, inst, NULL, done, arg);
}

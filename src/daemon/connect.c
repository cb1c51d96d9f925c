/* SPDX-License-Identifier: Apache-2.0 */
/* connect - joining and leaving networks after create, running or not: ops, so that
 * neither meets a start or an end half-way. isolad, loop thread. */
#include "isola/json.h"
#include "isola/mac.h"
#include "isola/step.h"

#include "bundle.h"
#include "endpoint.h"
#include "guests.h"
#include "isolad.h"
#include "isolation.h"
#include "life.h"
#include "op.h"
#include "persist.h"
#include "vm.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define VM_NETWORKS_MAX 8

/* op->name: the network's id; op->body: EndpointSettings, or the error that connect ends
 * with; op->stage: that one's code; of disconnect: it left its default route. */

static int may_change(const struct instance *inst, struct err *err)
{
	const char *mode = json_str_or(inst->host_config, "NetworkMode", "");
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

/* A VM has one network device an endpoint. One that runs gets more in places that its machine
 * has for them: of one that runs an image our own init looks there, others hear by ACPI. */
static int may_connect(const struct instance *inst, struct err *err)
{
	bool runs = instance_is_running(inst);
	if (runs && isolation_is_vm(inst->host_config) && list_is_empty(&inst->endpoints))
		return err_set(err, EBUSY,
			       "container %s runs in a VM that was started without a network "
			       "device, and gets none while it does: stop it first",
			       inst->name);
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

/* ---- a VM that runs: its guest has to see to its links ---- */

static bool is_in_vm(const struct instance *inst)
{
	return inst->kind == INSTANCE_VM || isolation_is_vm(inst->host_config);
}

/* The device that an endpoint leaves behind in a plain VM is one that its guest knows by its
 * address: the next to come without one of its own asks for it, and has it once it is there. */
static void leave_mac(const struct endpoint *e)
{
	struct life *life = life_of(e->inst);
	bool single = e->late || json_i64_or(e->inst->config, "NetworkQueues", 1) == 1;
	if (e->inst->kind != INSTANCE_VM || !instance_is_running(e->inst) || !single ||
	    life->n_macs == LIFE_MACS_MAX)
		return;
	memcpy(life->macs[life->n_macs++], e->mac, sizeof(e->mac));
}

static void ask_for_mac(struct op *op)
{
	const struct life *life = life_of(op->inst);
	char text[MAC_TEXT];
	if (op->inst->kind != INSTANCE_VM || !instance_is_running(op->inst) || life->n_macs == 0 ||
	    *json_str_or(op->body, "MacAddress", ""))
		return;
	json_object *body = op->body ? json_copy(op->body) : json_object_new_object();
	json_add_str(body, "MacAddress",
		     mac_format(life->macs[life->n_macs - 1], text, sizeof(text)));
	json_object_put(op->body);
	op->body = body;
}

static void take_mac(const struct endpoint *e)
{
	struct life *life = life_of(e->inst);
	for (size_t i = 0; i < life->n_macs; i++) {
		if (memcmp(life->macs[i], e->mac, sizeof(e->mac)) != 0)
			continue;
		memmove(life->macs[i], life->macs[--life->n_macs], sizeof(e->mac));
		return;
	}
}

/* False: nobody is there to be asked. */
static bool tell_guest(struct op *op, const char *what, const struct endpoint *e, bool is_new,
		       link_reply_fn *reply)
{
	struct instance *inst = op->inst;
	char port[NET_NAME_SIZE], name[NET_NAME_SIZE];
	if (!is_in_vm(inst) || !instance_is_running(inst) || !inst->link)
		return false;
	json_object *msg = json_object_new_object(), *args = json_object_new_object();
	endpoint_host_name(e, port);
	(void)snprintf(name, sizeof(name), "eth%u", e->index);
	json_add_str(args, "port", port);
	if (!strcmp(what, "link"))
		json_add(args, "link", guest_link(e));
	else
		json_add_str(args, "name", name);
	if (is_new)
		json_add_bool(args, "new", true);
	json_add(msg, "args", args);
	op->pinned = true;
	link_call(inst->link, what, msg, -1, reply, op);
	return true;
}

/* A reset makes the machine anew: with what has come, and without what has gone. */
static void change_machine(struct instance *inst)
{
	struct err e = ERR_INIT;
	if (inst->kind == INSTANCE_VM && vm_bundle_write(inst, life_of(inst)->run_dir_fd, &e) < 0)
		log_warn(inst->id, "%s", e.text);
}

static void joined(struct op *op)
{
	struct instance *inst = op->inst;
	/* It ended meanwhile: what the job made goes again. */
	if (!instance_is_running(inst)) {
		endpoints_down(inst);
	} else {
		change_files(inst);
		change_machine(inst);
	}
	save(op);
}

static void on_given_up(void *arg, const struct err *err)
{
	struct op *op = arg;
	struct err e = ERR_INIT;
	(void)err;
	op->pinned = false;
	(void)err_set(&e, op->stage, "%s", json_str_or(op->body, "error", ""));
	op_finish(op, &e, NULL);
}

static void on_guest_linked(void *arg, const struct err *err, json_object *reply)
{
	struct op *op = arg;
	struct instance *inst = op->inst;
	struct endpoint *ep = endpoint_of(op);
	(void)reply;
	op->pinned = false;
	step_reached("connect.guest");
	if (inst->isolad->stopping) {
		op_finish(op, err, NULL);
		return;
	}
	endpoints_settled(inst);
	if (!err || !instance_is_running(inst) || !ep || !ep->live) {
		if (ep && inst->kind == INSTANCE_VM) {
			ep->late = true;
			take_mac(ep);
		}
		joined(op);
		return;
	}
	op->stage = err->code;
	json_object_put(op->body);
	op->body = json_object_new_object();
	json_add_str(op->body, "error", err->text);
	op->pinned = true;
	endpoint_down(ep, on_given_up, op);
	endpoint_free(ep);
	resolver_update(inst);
}

static void on_connected(void *arg, const struct err *err)
{
	struct op *op = arg;
	struct instance *inst = op->inst;
	struct endpoint *ep = endpoint_of(op);
	op->pinned = false;
	step_reached("connect.linked");
	if (inst->isolad->stopping) {
		op_finish(op, err, NULL);
		return;
	}
	if (err) {
		endpoint_free(ep);
		op_finish(op, err, NULL);
		return;
	}
	if (!ep || !tell_guest(op, "link", ep, true, on_guest_linked))
		joined(op);
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
		ask_for_mac(op);
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

static void on_guest_moved(void *arg, const struct err *err, json_object *reply)
{
	struct op *op = arg;
	(void)reply;
	op->pinned = false;
	if (err)
		log_warn(op->inst->id, "its guest keeps no default route: %s", err->text);
	if (op->inst->isolad->stopping)
		op_finish(op, NULL, NULL);
	else
		save(op);
}

/* A failure is logged; what counts is that it is not a member any more. */
static void on_unplugged(void *arg, const struct err *err)
{
	struct op *op = arg;
	struct endpoint *next = endpoint_gateway(op->inst);
	(void)err;
	op->pinned = false;
	step_reached("disconnect.unlinked");
	if (op->inst->isolad->stopping)
		op_finish(op, NULL, NULL);
	else if (!op->stage || op->inst->kind == INSTANCE_VM || !next || !next->live ||
		 !tell_guest(op, "link", next, false, on_guest_moved))
		save(op);
}

static void leave_now(struct op *op, struct endpoint *ep)
{
	struct instance *inst = op->inst;
	bool live = ep->live;
	op->stage = endpoint_gateway(inst) == ep;
	op->pinned = live;
	if (live) {
		leave_mac(ep);
		endpoint_down(ep, on_unplugged, op);
	}
	endpoint_free(ep);
	step_reached("disconnect.left");
	resolver_update(inst);
	if (live) {
		change_files(inst);
		change_machine(inst);
	} else {
		save(op);
	}
}

static void on_leaving_saved(void *arg, const struct err *err)
{
	struct op *op = arg;
	struct endpoint *ep = endpoint_of(op);
	op->pinned = false;
	step_reached("disconnect.saved");
	if (ep && err)
		ep->leaving = false;
	if (err || !ep || op->inst->isolad->stopping)
		op_finish(op, err, NULL);
	else
		leave_now(op, ep);
}

/* Nobody can make the tap of a VM that runs again: so the record is without it before it
 * goes, and if isolad dies then, the next one removes it. A veth comes back instead. */
static void leave(struct op *op, struct endpoint *ep)
{
	if (!ep->live || endpoint_link(op->inst) != NET_LINK_TAP) {
		leave_now(op, ep);
		return;
	}
	ep->leaving = true;
	op->pinned = true;
	persist_save(op->inst, on_leaving_saved, op);
}

/* Whatever the guest made of it: the link goes. But one that is paused stays as it is. */
static void on_guest_unlinked(void *arg, const struct err *err, json_object *reply)
{
	struct op *op = arg;
	struct endpoint *ep = endpoint_of(op);
	(void)reply;
	op->pinned = false;
	if (op->inst->isolad->stopping || !ep || (err && err->code == EBUSY))
		op_finish(op, err, NULL);
	else
		leave(op, ep);
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
	if (rc < 0)
		op_finish(op, &e, NULL);
	else if (!ep->live || !tell_guest(op, "unlink", ep, false, on_guest_unlinked))
		leave(op, ep);
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

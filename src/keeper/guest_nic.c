/* SPDX-License-Identifier: Apache-2.0 */
/* guest_nic - network devices of a guest that runs: they come and go in places that its
 * machine has from the start (machine.json, "spare"), so that a guest needs no bus on which
 * devices can be plugged.
 *
 *   link    the port is opened -> the worker: "plug" -> the guest: LINK
 *   unlink  the guest: UNLINK -> the worker: "unplug" -> the port is closed
 *
 * One at a time; isolad asks no sooner. What the guest does not do holds nobody up: a
 * device that is to go goes. */
#include "guest.h"

#include "isola/fd.h"
#include "isola/json.h"

#include "control.h"
#include "guest_setup.h"
#include "request.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

/* A bus is looked at, a driver begins. */
#define LINK_MS 10000

int guest_nics_read(struct guest *g, struct err *err)
{
	cleanup_json json_object *machine = NULL;
	int rc = vm_machine_read(g->k, &machine, err);
	json_object *list = json_get(machine, "nets");
	for (size_t i = 0; rc == 0 && i < json_len(list) && i < GUEST_NICS_MAX; i++) {
		json_object *net = json_object_array_get_idx(list, i);
		struct guest_nic *nic = &g->nics[g->n_nics++];
		(void)snprintf(nic->id, sizeof(nic->id), "%s", json_str_or(net, "id", ""));
		(void)snprintf(nic->port, sizeof(nic->port), "%s",
			       json_str_or(json_get(net, "tap"), "port", ""));
	}
	return rc;
}

void guest_nics_end(struct guest *g)
{
	json_object_put(g->linking.link);
	g->linking = (struct guest_linking){ .busy = false };
}

static struct guest_nic *find(struct guest *g, const char *port)
{
	for (size_t i = 0; i < g->n_nics; i++)
		if (!strcmp(g->nics[i].port, port))
			return &g->nics[i];
	return NULL;
}

static void finish(struct guest *g, const struct err *err)
{
	struct asker asker = g->linking.asker;
	guest_nics_end(g);
	control_answer(g->k, &asker, NULL, err);
}

static void free_place(struct guest *g)
{
	struct guest_nic *nic = g->linking.nic;
	vm_port_drop(g->k->vm, nic->port);
	*nic->port = '\0';
}

static json_object *worker_args(const struct guest_nic *nic)
{
	json_object *o = json_object_new_object();
	json_add_str(o, "id", nic->id);
	return o;
}

/* ---- it comes ---- */

static void on_undone(struct vm *vm, const struct asker *asker, json_object *reply,
		      const struct err *err)
{
	(void)asker;
	(void)reply;
	if (err)
		vm_warn(vm, err->text);
}

static void undo_plug(struct guest *g)
{
	struct err ignored;
	(void)vm_call(g->k->vm, "unplug", worker_args(g->linking.nic), NULL, on_undone, &ignored);
	free_place(g);
}

static void on_linked(void *arg, const uint8_t *body, size_t size, const struct err *err)
{
	struct guest *g = arg;
	(void)body;
	(void)size;
	/* One that had a device before keeps it. */
	if (err && g->linking.nic)
		undo_plug(g);
	finish(g, err);
}

static int ask_link(struct guest *g, json_object *link, struct err *err)
{
	cleanup_tlv struct tlv_writer w = { 0 };
	guest_setup_put_link(&w, link);
	return guest_link_call(&g->link, GUEST_LINK, &w, LINK_MS, on_linked, g, err);
}

static void on_plugged(struct vm *vm, const struct asker *asker, json_object *reply,
		       const struct err *err)
{
	struct guest *g = vm->k->guest;
	struct err e = ERR_INIT;
	(void)asker;
	(void)reply;
	if (!err && ask_link(g, g->linking.link, &e) == 0)
		return;
	if (err)
		free_place(g);
	else
		undo_plug(g);
	finish(g, err ? err : &e);
}

static int plug(struct guest *g, struct guest_nic *nic, const char *port, json_object *link,
		struct err *err)
{
	int64_t mtu = json_i64_or(link, "mtu", 0);
	json_object *args = worker_args(nic);
	json_add_str(args, "mac", json_str_or(link, "mac", ""));
	if (mtu)
		json_add_i64(args, "mtu", mtu);
	cleanup_fd int fd = vm_port_open(g->k->vm, port, err);
	if (fd < 0) {
		json_object_put(args);
		return fd;
	}
	int rc = vm_call_fd(g->k->vm, "plug", args, fd, NULL, on_plugged, err);
	if (rc < 0)
		vm_port_drop(g->k->vm, port);
	else
		(void)snprintf(nic->port, sizeof(nic->port), "%s", port);
	return rc;
}

static void plug_anew(struct guest *g)
{
	struct err e = ERR_INIT;
	struct guest_nic *nic = find(g, "");
	if (plug(g, nic, g->linking.port, g->linking.link, &e) < 0)
		finish(g, &e);
	else
		g->linking.nic = nic;
}

/* ---- it goes ---- */

static void on_unplugged(struct vm *vm, const struct asker *asker, json_object *reply,
			 const struct err *err)
{
	struct guest *g = vm->k->guest;
	(void)asker;
	(void)reply;
	free_place(g);
	if (g->linking.link && !err)
		plug_anew(g);
	else
		finish(g, err);
}

static void unplug(struct guest *g)
{
	struct err e = ERR_INIT;
	if (vm_call(g->k->vm, "unplug", worker_args(g->linking.nic), NULL, on_unplugged, &e) < 0) {
		free_place(g);
		finish(g, &e);
	}
}

static void go_alone(struct guest *g, const struct err *why)
{
	char text[256];
	(void)snprintf(text, sizeof(text), "a network device goes without the guest: %s",
		       why->text);
	vm_warn(g->k->vm, text);
	unplug(g);
}

static void on_unlinked(void *arg, const uint8_t *body, size_t size, const struct err *err)
{
	struct guest *g = arg;
	(void)body;
	(void)size;
	if (err)
		go_alone(g, err);
	else
		unplug(g);
}

/* A guest that answers nothing any more cannot be asked, either. What is busy, and then free,
 * is answered for: also before this returns. */
static int let_go(struct guest *g, const char *name)
{
	struct err e = ERR_INIT;
	cleanup_tlv struct tlv_writer w = { 0 };
	size_t mark = tlv_open(&w, GF_LINK);
	tlv_put_text(&w, GF_NAME, name);
	tlv_close(&w, mark);
	if (guest_link_call(&g->link, GUEST_UNLINK, &w, LINK_MS, on_unlinked, g, &e) < 0)
		go_alone(g, &e);
	return -EINPROGRESS;
}

static int unlink_port(struct guest *g, json_object *args)
{
	struct guest_nic *nic = find(g, json_str_or(args, "port", " "));
	if (!nic)
		return 0;
	g->linking = (struct guest_linking){ .busy = true, .nic = nic, .asker = g->k->asker };
	return let_go(g, json_str_or(args, "name", ""));
}

/* ---- one that is asked for ---- */

/* An isolad that was killed amid a connect has left a place with a device that has no
 * network behind it: that goes first. */
static int replace(struct guest *g, struct guest_nic *nic, json_object *link)
{
	g->linking = (struct guest_linking){
		.busy = true, .nic = nic, .asker = g->k->asker, .link = json_object_get(link)
	};
	memcpy(g->linking.port, nic->port, sizeof(g->linking.port));
	return let_go(g, json_str_or(link, "name", ""));
}

static int link_port(struct guest *g, json_object *args, struct err *err)
{
	json_object *link = json_get(args, "link");
	const char *port = json_str_or(args, "port", "");
	struct guest_nic *had = find(g, port), *nic = had ? NULL : find(g, "");
	if (!*port || strlen(port) >= sizeof(nic->port))
		return err_set(err, EINVAL, "port: \"%.32s\" is no tap device's name", port);
	if (!had && !nic)
		return err_set(err, ENOSPC,
			       "its VM has no place for a further network device: it has those "
			       "for %zu networks, and at its next start as many as it needs",
			       g->n_nics);
	if (had && json_bool_or(args, "new", false))
		return replace(g, had, link);
	int rc = had ? ask_link(g, link, err) : plug(g, nic, port, link, err);
	if (rc < 0)
		return rc;
	g->linking = (struct guest_linking){
		.busy = true, .nic = nic, .asker = g->k->asker, .link = json_object_get(link)
	};
	return -EINPROGRESS;
}

int guest_nic_command(struct keeper *k, const struct request *r, struct err *err)
{
	struct guest *g = k->guest;
	if (r->op != OP_LINK && r->op != OP_UNLINK)
		return err_set(err, EOPNOTSUPP, "a container knows no \"%s\"",
			       request_op_name(r->op));
	if (k->state == STATE_PAUSED)
		return err_set(err, EBUSY,
			       "it is paused, and its guest has to see the change: unpause it "
			       "first");
	if (g->linking.busy)
		return err_set(err, EBUSY, "another network device is coming or going");
	return r->op == OP_LINK ? link_port(g, r->args, err) : unlink_port(g, r->args);
}

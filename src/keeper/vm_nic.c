/* SPDX-License-Identifier: Apache-2.0 */
/* vm_nic - network devices of a VM of the user's own, which runs: they come to places that its
 * machine has from the start, and its kernel hears of by ACPI (nets[] with "acpi"). One that
 * has lost its network stays, as a device without a cable, since no guest is asked to let go
 * of it; the next network gets it, if it has the address that the guest knows.
 *
 *   link    the port is opened -> the worker: "plug"
 *   unlink  the port is closed; isolad takes the interface away, and the worker sees it */
#include "vm.h"

#include "isola/fd.h"
#include "isola/json.h"

#include "control.h"
#include "request.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void vm_nics_read(struct vm *vm, json_object *machine)
{
	json_object *list = json_get(machine, "nets");
	vm->n_nics = 0;
	for (size_t i = 0; i < json_len(list) && vm->n_nics < VM_NICS_MAX; i++) {
		json_object *net = json_object_array_get_idx(list, i);
		const char *port = json_str_or(json_get(net, "tap"), "port", "");
		bool spare = json_bool_or(net, "acpi", false);
		/* Others are the user's own, or have more queues than one that comes. */
		if (!spare && (!*port || json_i64_or(net, "queues", 1) != 1))
			continue;
		struct vm_nic *nic = &vm->nics[vm->n_nics++];
		*nic = (struct vm_nic){ .empty = spare };
		(void)snprintf(nic->id, sizeof(nic->id), "%s", json_str_or(net, "id", ""));
		(void)snprintf(nic->port, sizeof(nic->port), "%s", port);
		(void)snprintf(nic->mac, sizeof(nic->mac), "%s", json_str_or(net, "mac", ""));
	}
}

/* The one that the guest knows by @mac, or an empty place. */
static struct vm_nic *choose(struct vm *vm, const char *mac)
{
	struct vm_nic *empty = NULL;
	for (size_t i = vm->n_nics; i-- > 0;) {
		struct vm_nic *nic = &vm->nics[i];
		if (nic->empty)
			empty = nic;
		else if (!*nic->port && !strcasecmp(nic->mac, mac))
			return nic;
	}
	return empty;
}

static struct vm_nic *find(struct vm *vm, const char *port)
{
	for (size_t i = 0; i < vm->n_nics; i++)
		if (*port && !strcmp(vm->nics[i].port, port))
			return &vm->nics[i];
	return NULL;
}

static void forget(struct vm *vm, struct vm_nic *nic)
{
	vm_port_drop(vm, nic->port);
	*nic->port = '\0';
}

static void on_plugged(struct vm *vm, const struct asker *asker, json_object *reply,
		       const struct err *err)
{
	struct vm_nic *nic = vm->plugging;
	(void)reply;
	vm->plugging = NULL;
	if (nic && err)
		forget(vm, nic);
	else if (nic)
		nic->empty = false;
	control_answer(vm->k, asker, NULL, err);
}

static int plug(struct vm *vm, struct vm_nic *nic, const char *port, json_object *link,
		struct err *err)
{
	const char *mac = json_str_or(link, "mac", "");
	int64_t mtu = json_i64_or(link, "mtu", 0);
	cleanup_fd int fd = vm_port_open(vm, port, err);
	if (fd < 0)
		return fd;
	json_object *args = json_object_new_object();
	json_add_str(args, "id", nic->id);
	json_add_str(args, "mac", mac);
	if (mtu)
		json_add_i64(args, "mtu", mtu);
	int rc = vm_call_fd(vm, "plug", args, fd, &vm->k->asker, on_plugged, err);
	if (rc < 0) {
		vm_port_drop(vm, port);
		return rc;
	}
	(void)snprintf(nic->port, sizeof(nic->port), "%s", port);
	(void)snprintf(nic->mac, sizeof(nic->mac), "%s", mac);
	vm->plugging = nic;
	return -EINPROGRESS;
}

static int link_port(struct vm *vm, json_object *args, struct err *err)
{
	json_object *link = json_get(args, "link");
	const char *port = json_str_or(args, "port", "");
	struct vm_nic *had = find(vm, port);
	if (!*port || strlen(port) >= sizeof(had->port))
		return err_set(err, EINVAL, "port: \"%.32s\" is no tap device's name", port);
	if (vm->plugging)
		return err_set(err, EBUSY, "another network device is coming");
	/* An isolad that was killed amid a disconnect has not said that it is gone. */
	if (had)
		forget(vm, had);
	struct vm_nic *nic = choose(vm, json_str_or(link, "mac", ""));
	if (!nic)
		return err_set(err, ENOSPC,
			       "the VM has no place for a further network device: those that it "
			       "had are used, and each start has as many free ones again");
	return plug(vm, nic, port, link, err);
}

static void unlink_port(struct vm *vm, json_object *args)
{
	struct vm_nic *nic = find(vm, json_str_or(args, "port", ""));
	if (nic)
		forget(vm, nic);
}

int vm_nic_command(struct vm *vm, const struct request *r, struct err *err)
{
	if (vm->k->state == STATE_PAUSED)
		return err_set(err, EBUSY,
			       "it is paused, and its guest has to see the change: unpause it "
			       "first");
	if (r->op == OP_LINK)
		return link_port(vm, r->args, err);
	unlink_port(vm, r->args);
	return 0;
}

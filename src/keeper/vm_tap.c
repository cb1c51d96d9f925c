/* SPDX-License-Identifier: Apache-2.0 */
/* vm_tap - tap devices of a VM: one of the user's, by name, or a port of an isola
 * network, which isolad has made and which lasts as long as this keeper. Each worker gets
 * queues of its own. isola-keeper. */
#include "vm.h"

#include "isola/fd.h"
#include "isola/json.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>

static int open_queue(const char *name, bool multi_queue, struct err *err)
{
	struct ifreq req = { .ifr_flags = (short)(IFF_TAP | IFF_NO_PI | IFF_VNET_HDR |
						  (multi_queue ? IFF_MULTI_QUEUE : 0)) };
	(void)snprintf(req.ifr_name, sizeof(req.ifr_name), "%s", name);
	cleanup_fd int fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC | O_NONBLOCK);
	if (fd < 0)
		return err_sys(err, "cannot open /dev/net/tun");
	if (ioctl(fd, TUNSETIFF, &req) == 0)
		return take_fd(&fd);
	if (errno == EBUSY)
		return err_set(err, EBUSY, "tap device %s is in use by another VM", name);
	if (errno == EINVAL)
		return err_set(err, EINVAL,
			       "tap device %s was made with %s multi_queue: ip tuntap add dev %s "
			       "mode tap vnet_hdr%s",
			       name, multi_queue ? "no" : "", name,
			       multi_queue ? " multi_queue" : "");
	return err_sys(err, "cannot attach to tap device %s", name);
}

/* TUNSETIFF makes one that is not there: a typing error became a network that leads
 * nowhere, and so a port whose isolad was killed just now. */
static int open_existing(const char *name, bool multi_queue, struct err *err)
{
	unsigned int index = if_nametoindex(name);
	int fd = index ? open_queue(name, multi_queue, err) : -ENODEV;
	if (fd >= 0 && if_nametoindex(name) != index) {
		(void)close(fd);
		fd = -ENODEV;
	}
	return fd;
}

/* What keeps it from this worker to the next. */
static int keep(struct vm *vm, const char *name, struct err *err)
{
	struct ifreq queue = { .ifr_flags = IFF_DETACH_QUEUE };
	for (size_t i = 0; i < vm->n_ports; i++)
		if (!strcmp(vm->ports[i].name, name))
			return 0;
	if (vm->n_ports == VM_PORTS_MAX)
		return err_set(err, EMFILE, "more than %d ports of networks", VM_PORTS_MAX);
	cleanup_fd int fd = open_existing(name, true, err);
	if (fd == -ENODEV)
		return err_set(err, ENODEV, "the VM's port %s of its network is gone", name);
	if (fd < 0)
		return fd;
	if (ioctl(fd, TUNSETQUEUE, &queue) < 0)
		return err_sys(err, "cannot detach a queue of the tap device %s", name);
	struct vm_port *port = &vm->ports[vm->n_ports++];
	(void)snprintf(port->name, sizeof(port->name), "%s", name);
	port->fd = take_fd(&fd);
	return 0;
}

void vm_ports_close(struct vm *vm)
{
	for (size_t i = 0; i < vm->n_ports; i++)
		fd_close(&vm->ports[i].fd);
	vm->n_ports = 0;
}

void vm_port_drop(struct vm *vm, const char *name)
{
	for (size_t i = 0; i < vm->n_ports; i++) {
		if (strcmp(vm->ports[i].name, name))
			continue;
		fd_close(&vm->ports[i].fd);
		vm->ports[i] = vm->ports[--vm->n_ports];
		return;
	}
}

int vm_port_open(struct vm *vm, const char *name, struct err *err)
{
	int rc = keep(vm, name, err);
	if (rc < 0)
		return rc;
	int fd = open_existing(name, true, err);
	if (fd == -ENODEV)
		(void)err_set(err, ENODEV, "the VM's port %s of its network is gone", name);
	if (fd < 0)
		vm_port_drop(vm, name);
	return fd;
}

static int no_such(const char *name, bool port, bool multi_queue, struct err *err)
{
	if (port)
		return err_set(err, ENODEV, "the VM's port %s of its network is gone", name);
	return err_set(err, ENODEV,
		       "there is no tap device %s: ip tuntap add dev %s mode tap vnet_hdr%s", name,
		       name, multi_queue ? " multi_queue" : "");
}

int vm_tap_open(struct vm *vm, json_object *net, struct vm_fds *fds, struct err *err)
{
	json_object *tap = json_get(net, "tap");
	int64_t n = json_i64_or(net, "queues", 1);
	char name[IFNAMSIZ];
	bool port = json_get(tap, "port") != NULL, multi_queue = port || n > 1;
	(void)snprintf(name, sizeof(name), "%s", json_str_or(tap, port ? "port" : "name", ""));
	int rc = port ? keep(vm, name, err) : 0;
	if (rc < 0)
		return rc;
	json_object *queues = json_object_new_array();
	json_add(net, "tap", queues);
	for (int64_t i = 0; i < n; i++) {
		int fd = open_existing(name, multi_queue, err);
		if (fd == -ENODEV)
			return no_such(name, port, multi_queue, err);
		int number = fd < 0 ? fd : vm_fds_add(fds, fd, err);
		if (number < 0)
			return number;
		json_object *source = json_object_new_object();
		json_add_i64(source, "fd", number);
		(void)json_object_array_add(queues, source);
	}
	return 0;
}

/* SPDX-License-Identifier: Apache-2.0 */
/* vm - what a VmConfig (docs/openapi.json) becomes: the machine file and the limits
 * of a cgroup. Functions of their arguments alone; isolad. */
#pragma once

#include "isola/instance.h"

#include <stdbool.h>

struct endpoint;

/* {"Bandwidth","Ops"} as RATE of isola/vmm.h; {} for none. Owned. */
json_object *vm_rate(json_object *rate);

/* @list, or when it is empty (no pinning) all CPUs of this host. Owned. */
json_object *vm_cpu_list(json_object *list);

/* The whole command line, owned; NULL when memory is out. */
char *vm_cmdline(json_object *config);

/* A "nets" item of the machine file for an endpoint whose link is a tap: its port, its
 * MAC, the id "eth0", with so many queues. Owned. */
json_object *vm_endpoint_net(const struct endpoint *e, int64_t queues);
/* Adds empty places for networks that come while it runs, at most @most, to "nets". @name:
 * their ids begin so. @acpi: the guest hears of them by ACPI. */
#define VM_SPARES 3
void vm_add_spares(json_object *list, const char *name, bool acpi, size_t most);

/* The machine file of isola/vmm.h, its SOURCEs as keeper.h has them. Owned. */
int vm_machine(const struct instance *inst, json_object **ret, struct err *err);

/* OCI linux.resources of Limits, with what they are when nothing was said; owned.
 * @controllers: what this host's cgroup has. */
int vm_resources(json_object *config, const char *controllers, json_object **ret, struct err *err);

/* Where the host's side of vsock is: the user's path, or in the run folder. Owned;
 * NULL when the VM has no vsock. */
char *vm_vsock_path(const struct instance *inst);

/* start.c's part for VMs: machine.json and keeper.json into the run folder. */
int vm_bundle_write(struct instance *inst, int run_dir_fd, struct err *err);

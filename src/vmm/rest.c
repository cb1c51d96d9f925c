/* SPDX-License-Identifier: Apache-2.0 */
/* rest - pausing a VM with its devices: first the vCPUs, so that nothing new
 * begins, then each device finishes what is under way. See vm.h. isola-vmm, loop. */
#include "vm.h"

#include "device.h"

static void on_device_rests(void *arg)
{
	struct vm_rest *r = &((struct vm *)arg)->rest;
	if (--r->left == 0)
		r->done(r->arg);
}

static void on_vcpus_rest(void *arg)
{
	struct vm *vm = arg;
	vm->rest.left = 1; /* ours, while we ask */
	for (unsigned int i = 0; i < vm->n_devices; i++) {
		struct device *dev = vm->devices[i];
		if (!dev->type->quiesce)
			continue;
		vm->rest.left++;
		dev->type->quiesce(dev, on_device_rests, vm);
	}
	on_device_rests(vm);
}

void vm_rest(struct vm *vm, void (*done)(void *arg), void *arg)
{
	vm->rest = (struct vm_rest){ .done = done, .arg = arg };
	vm_pause(vm, on_vcpus_rest, vm);
}

void vm_go_on(struct vm *vm)
{
	for (unsigned int i = 0; i < vm->n_devices; i++)
		if (vm->devices[i]->type->resume)
			vm->devices[i]->type->resume(vm->devices[i]);
	vm_resume(vm);
}

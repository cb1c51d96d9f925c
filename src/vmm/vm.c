/* SPDX-License-Identifier: Apache-2.0 */
/* vm - see vm.h: what a VM is built of, in this order; torn down in reverse.
 * isola-vmm, main thread, before the jail. */
#include "vm.h"

#include "isola/fd.h"
#include "isola/json.h"

#include "acpi.h"
#include "acpi_tables.h"
#include "boot.h"
#include "control.h"
#include "cpu.h"
#include "device.h"
#include "loader.h"
#include "platform.h"
#include "run.h"
#include "vcpu.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/kvm.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>

/* Below 4 GiB, where neither RAM nor a device is: Intel's KVM wants a page for an
 * identity map and three for a task state (kvm/api.rst, KVM_SET_TSS_ADDR). */
#define IDENTITY_MAP_ADDR 0xfffbc000ULL
#define TSS_ADDR          0xfffbd000ULL

#define CREATE_TRIES_MAX 16
#define CLOSE_TURNS_MAX  1000

int vm_init(struct vm *vm, const struct machine *machine, struct err *err)
{
	*vm = (struct vm){ .machine = machine, .kvm_fd = -1, .vm_fd = -1 };
	/* libuv's own rings have no place in the filter (libuv 1.45 and later). */
	(void)setenv("UV_USE_IO_URING", "0", 1);
	int rc = uv_loop_init(&vm->loop);
	if (rc < 0)
		return err_rc(err, rc, "cannot make the loop");
	rc = run_new(vm, err);
	if (rc < 0)
		(void)uv_loop_close(&vm->loop);
	return rc;
}

/* ---- building ---- */

static int build_kvm(struct vm *vm, struct err *err)
{
	static const struct {
		int cap;
		const char *name;
	} needed[] = {
		{ KVM_CAP_USER_MEMORY, "user memory" },
		{ KVM_CAP_IRQCHIP, "an interrupt controller" },
		{ KVM_CAP_PIT2, "a timer (PIT)" },
		{ KVM_CAP_IRQFD, "irqfd" },
		{ KVM_CAP_IOEVENTFD, "ioeventfd" },
		{ KVM_CAP_IMMEDIATE_EXIT, "immediate_exit" },
	};
	vm->kvm_fd = source_open(&vm->machine->kvm, O_RDWR, err);
	if (vm->kvm_fd < 0)
		return vm->kvm_fd;
	int version = ioctl(vm->kvm_fd, KVM_GET_API_VERSION, 0);
	if (version != KVM_API_VERSION)
		return err_set(err, ENOTSUP, "kvm: this is no /dev/kvm (API version %d, not %d)",
			       version, KVM_API_VERSION);
	for (size_t i = 0; i < sizeof(needed) / sizeof(needed[0]); i++)
		if (ioctl(vm->kvm_fd, KVM_CHECK_EXTENSION, needed[i].cap) <= 0)
			return err_set(err, ENOTSUP, "kvm: this host's KVM lacks %s",
				       needed[i].name);
	return 0;
}

static int build_vm(struct vm *vm, struct err *err)
{
	uint64_t identity = IDENTITY_MAP_ADDR;
	for (int i = 0; vm->vm_fd < 0; i++) {
		vm->vm_fd = ioctl(vm->kvm_fd, KVM_CREATE_VM, 0);
		if (vm->vm_fd < 0 && (errno != EINTR || i == CREATE_TRIES_MAX))
			return err_sys(err, "KVM makes no VM");
	}
	int most = ioctl(vm->vm_fd, KVM_CHECK_EXTENSION, KVM_CAP_MAX_VCPUS);
	if (most > 0 && vm->machine->cpus > (unsigned int)most)
		return err_set(err, EINVAL, "cpus.count: %u is more than the %d of this host's KVM",
			       vm->machine->cpus, most);
	if (ioctl(vm->vm_fd, KVM_SET_IDENTITY_MAP_ADDR, &identity) < 0 ||
	    ioctl(vm->vm_fd, KVM_SET_TSS_ADDR, TSS_ADDR) < 0)
		return err_sys(err, "KVM refuses the place of the task state");
	return 0;
}

static int build_memory(struct vm *vm, struct err *err)
{
	return memory_new(&vm->machine->memory, &vm->memory, err) < 0 ? err_prefix(err, "memory")
								      : 0;
}

static int build_irqchip(struct vm *vm, struct err *err)
{
	/* The timer without its speaker port: nobody listens. */
	struct kvm_pit_config pit = { .flags = KVM_PIT_SPEAKER_DUMMY };
	if (ioctl(vm->vm_fd, KVM_CREATE_IRQCHIP, 0) < 0)
		return err_sys(err, "KVM makes no interrupt controller");
	if (ioctl(vm->vm_fd, KVM_CREATE_PIT2, &pit) < 0)
		return err_sys(err, "KVM makes no timer");
	return 0;
}

static int build_bus(struct vm *vm, struct err *err)
{
	return bus_new(&vm->bus, err);
}

static int build_platform(struct vm *vm, struct err *err)
{
	return platform_new(vm, &vm->platform, err);
}

static int make_device(struct vm *vm, const struct device_type *type, json_object *conf,
		       struct err *err)
{
	struct device *dev = NULL;
	if (vm->n_devices == VM_DEVICES_MAX)
		return err_set(err, ENOSPC, "a VM has at most %d devices", VM_DEVICES_MAX);
	int rc = type->make(vm, conf, &dev, err);
	if (rc < 0)
		return rc;
	vm->devices[vm->n_devices++] = dev;
	return 0;
}

static int make_list(struct vm *vm, const struct device_type *type, json_object *list,
		     struct err *err)
{
	for (size_t i = 0; i < json_len(list); i++)
		if (make_device(vm, type, json_object_array_get_idx(list, i), err) < 0)
			return err_prefix(err, "%s[%zu]", type->key, i);
	return 0;
}

static int build_devices(struct vm *vm, struct err *err)
{
	for (size_t i = 0; device_types[i]; i++) {
		const struct device_type *type = device_types[i];
		json_object *part = machine_part(vm->machine, type->key);
		if (!machine_wants(vm->machine, type))
			continue;
		if (part && type->many) {
			int rc = make_list(vm, type, part, err);
			if (rc < 0)
				return rc;
		} else if (make_device(vm, type, part, err) < 0) {
			return err_prefix(err, "%s", type->key);
		}
	}
	return 0;
}

static int give_memory(struct vm *vm, struct err *err)
{
	return memory_give_to_kvm(vm->memory, vm->vm_fd, err);
}

static int start_loader(struct vm *vm, struct err *err)
{
	return loader_start(vm, ACPI_RSDP, &vm->loader, err);
}

static int end_loader(struct vm *vm, struct err *err)
{
	int rc = loader_end(take_ptr(vm->loader), &vm->entry, err);
	return rc < 0 ? rc : boot_set_registers(&vm->entry, vcpu_fd(vm->vcpus[0]), err);
}

static int build_vcpu(struct vm *vm, unsigned int index, struct err *err)
{
	struct vcpu *v = NULL;
	int rc = vcpu_new(vm, index, &v, err);
	if (rc < 0)
		return rc;
	vm->vcpus[index] = v;
	vm->n_vcpus = index + 1;
	rc = cpu_setup(vm->cpu_plan, index, vcpu_fd(v), err);
	if (rc == 0 && index < json_len(vm->machine->affinity))
		rc = vcpu_pin(v, json_object_array_get_idx(vm->machine->affinity, index), err);
	return rc;
}

static int build_vcpus(struct vm *vm, struct err *err)
{
	int rc = cpu_plan_new(vm, &vm->cpu_plan, err);
	if (rc < 0)
		return rc;
	vm->vcpus = calloc(vm->machine->cpus, sizeof(*vm->vcpus));
	if (!vm->vcpus)
		return err_set(err, ENOMEM, "out of memory");
	for (unsigned int i = 0; rc == 0 && i < vm->machine->cpus; i++)
		rc = build_vcpu(vm, i, err);
	return rc;
}

/* ---- interrupts and kicks ---- */

static int make_eventfd(struct err *err)
{
	int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	return fd < 0 ? err_sys(err, "cannot make an eventfd") : fd;
}

static int wire_interrupt(const struct vm *vm, const struct vm_wire *w, struct err *err)
{
	struct kvm_irqfd arg = { .fd = (uint32_t)w->fd, .gsi = w->gsi };
	return ioctl(vm->vm_fd, KVM_IRQFD, &arg) < 0
		       ? err_sys(err, "KVM refuses an irqfd for interrupt %u", w->gsi)
		       : 0;
}

static int wire_kick(const struct vm *vm, const struct vm_wire *w, struct err *err)
{
	struct kvm_ioeventfd arg = {
		.datamatch = w->value,
		.addr = w->addr,
		.len = 4,
		.fd = w->fd,
		.flags = KVM_IOEVENTFD_FLAG_DATAMATCH,
	};
	return ioctl(vm->vm_fd, KVM_IOEVENTFD, &arg) < 0
		       ? err_sys(err, "KVM refuses an ioeventfd at 0x%llx",
				 (unsigned long long)w->addr)
		       : 0;
}

static int wire_up(const struct vm *vm, const struct vm_wire *w, struct err *err)
{
	return w->addr ? wire_kick(vm, w, err) : wire_interrupt(vm, w, err);
}

static int build_wires(struct vm *vm, struct err *err)
{
	vm->wired = true;
	for (size_t i = 0; i < vm->n_wires; i++) {
		int rc = wire_up(vm, &vm->wires[i], err);
		if (rc < 0)
			return rc;
	}
	free(take_ptr(vm->wires));
	vm->n_wires = 0;
	return 0;
}

/* Now, or with all others when KVM has the memory. */
static int add_wire(struct vm *vm, const struct vm_wire *w, struct err *err)
{
	if (vm->wired)
		return wire_up(vm, w, err);
	if (vm->vm_fd < 0) /* in tests */
		return 0;
	struct vm_wire *more = realloc(vm->wires, (vm->n_wires + 1) * sizeof(*more));
	if (!more)
		return err_set(err, ENOMEM, "out of memory");
	vm->wires = more;
	more[vm->n_wires++] = *w;
	return 0;
}

int vm_irqfd(struct vm *vm, uint32_t gsi, struct err *err)
{
	cleanup_fd int fd = make_eventfd(err);
	int rc = fd < 0 ? fd : add_wire(vm, &(struct vm_wire){ .fd = fd, .gsi = gsi }, err);
	return rc < 0 ? rc : take_fd(&fd);
}

int vm_ioeventfd(struct vm *vm, uint64_t addr, uint32_t value, struct err *err)
{
	cleanup_fd int fd = make_eventfd(err);
	const struct vm_wire w = { .fd = fd, .addr = addr, .value = value };
	int rc = fd < 0 ? fd : add_wire(vm, &w, err);
	return rc < 0 ? rc : take_fd(&fd);
}

/* ---- in order ---- */

static int start_platform(struct vm *vm, struct err *err)
{
	return platform_start(vm->platform, err);
}

int vm_build(struct vm *vm, struct err *err)
{
	/* What ends with start_loader() comes before KVM's slow part, what needs the kernel
	 * behind it. KVM hears of the memory before anything is on one of its buses: it waits
	 * until nobody looks at the slots of before any more, which is at once then, and 7 ms
	 * otherwise (Linux 6.18: the buses wait for the same SRCU, and are in no hurry). */
	static int (*const steps[])(struct vm * vm, struct err * err) = {
		build_kvm,      build_memory,  start_loader, build_vm,       build_bus,
		build_platform, build_devices, give_memory,  build_irqchip,  build_wires,
		acpi_write,     build_vcpus,   end_loader,   start_platform,
	};
	for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]); i++) {
		int rc = steps[i](vm, err);
		if (rc < 0)
			return rc;
	}
	return 0;
}

int vm_start(struct vm *vm, struct err *err)
{
	for (unsigned int i = 0; i < vm->n_vcpus; i++) {
		int rc = vcpu_start(vm->vcpus[i], err);
		if (rc < 0)
			return rc;
	}
	return 0;
}

int vm_meet(struct vm *vm, struct err *err)
{
	for (unsigned int i = 0; i < vm->n_devices; i++) {
		struct device *dev = vm->devices[i];
		int rc = dev->type->meet ? dev->type->meet(dev, err) : 0;
		if (rc < 0)
			return err_prefix(err, "%s", dev->type->key);
	}
	return 0;
}

/* ---- the way back ---- */

/* Handles free what they belong to when they are closed, and that takes a turn. */
static void close_loop(struct vm *vm)
{
	for (int i = 0; i < CLOSE_TURNS_MAX && uv_loop_close(&vm->loop) == UV_EBUSY; i++)
		(void)uv_run(&vm->loop, UV_RUN_NOWAIT);
}

void vm_fini(struct vm *vm)
{
	struct boot_entry entry;
	struct err err = ERR_INIT;
	(void)loader_end(take_ptr(vm->loader), &entry, &err); /* what failed came before */
	if (vm->run)
		vm_end(vm, VM_QUIT, -1, "the end of the worker");
	/* Threads first, then nobody is left to touch the rest. */
	for (unsigned int i = 0; i < vm->n_vcpus; i++)
		vcpu_join(vm->vcpus[i]);
	for (unsigned int i = 0; i < vm->n_vcpus; i++)
		vcpu_free(vm->vcpus[i]);
	vm->n_vcpus = 0;
	free(vm->vcpus);
	cpu_plan_free(vm->cpu_plan);
	control_free(vm->control); /* devices wait for its answers */
	while (vm->n_devices > 0) {
		struct device *dev = vm->devices[--vm->n_devices];
		dev->type->free(dev);
	}
	platform_free(vm->platform);
	free(vm->wires);
	run_free(vm);
	close_loop(vm);
	bus_free(vm->bus);
	fd_close(&vm->vm_fd);
	memory_free(vm->memory);
	fd_close(&vm->kvm_fd);
}

struct device *vm_device(const struct vm *vm, const char *id)
{
	for (unsigned int i = 0; i < vm->n_devices; i++)
		if (!strcmp(vm->devices[i]->id, id))
			return vm->devices[i];
	return NULL;
}

/* ---- places for devices ---- */

int vm_mark_place(struct vm *vm, struct err *err)
{
	if (vm->n_places == ACPI_PLACES_MAX || vm->n_windows == 0)
		return err_set(err, ENOSPC, "a VM has at most %d places that ACPI tells of",
			       ACPI_PLACES_MAX);
	vm->windows[vm->n_windows - 1].place = ++vm->n_places;
	return (int)vm->n_places - 1;
}

int vm_take_window(struct vm *vm, uint64_t *ret_start, uint32_t *ret_gsi, struct err *err)
{
	unsigned int i = vm->n_windows;
	if (i == VM_DEVICES_MAX)
		return err_set(err, ENOSPC, "a VM has at most %d devices", VM_DEVICES_MAX);
	uint32_t gsi = VM_GSI_FIRST + i;
	if (gsi >= 9) /* ACPI's */
		gsi++;
	vm->windows[i] = (struct vm_window){ VM_MMIO_START + i * VM_MMIO_SIZE, gsi, 0 };
	vm->n_windows++;
	*ret_start = vm->windows[i].start;
	*ret_gsi = gsi;
	return 0;
}

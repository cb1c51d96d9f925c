/* SPDX-License-Identifier: Apache-2.0 */
/* vm - one virtual machine: RAM, bus, vCPUs, devices, the loop.
 *
 * Threads: the main thread runs the libuv loop and all code of devices; each vCPU
 * has a thread that runs the guest, reads and writes the bus, and touches a device
 * only through vm_call(). So devices need no locks. What a transport may do on
 * the vCPU's thread itself is said there.
 *
 * Built in the order of vm_build(), torn down in reverse. isola-vmm. */
#pragma once

#include "isola/err.h"
#include "isola/vmm.h"

#include "boot.h"
#include "bus.h"
#include "machine.h"
#include "memory.h"

#include <json-c/json.h>
#include <stdbool.h>
#include <stdint.h>
#include <uv.h>

struct vcpu;
struct device;
struct run;
struct control;
struct cpu_plan;
struct platform;
struct loader;

/* Places on the bus. */
#define VM_MMIO_START  0xd0000000ULL /* virtio-mmio windows, 4 KiB each */
#define VM_MMIO_SIZE   0x1000ULL
#define VM_GSI_FIRST   5  /* of devices; 0-4 and 9 are the platform's */
#define VM_GSI_LAST    23 /* pins of the I/O APIC */
#define VM_DEVICES_MAX VMM_DEVICES_MAX

enum vm_reason {
	VM_POWEROFF,
	VM_DEBUG_EXIT,
	VM_RESET,
	VM_PANIC,
	VM_TRIPLE_FAULT,
	VM_WATCHDOG,
	VM_KVM_ERROR,
	VM_DEVICE_ERROR,
	VM_PROTOCOL_ERROR,
	VM_QUIT,
};

struct vm {
	uv_loop_t loop;
	const struct machine *machine; /* borrowed: what was asked for */
	int kvm_fd, vm_fd;
	struct memory *memory;
	struct bus *bus;
	struct vcpu **vcpus;
	unsigned int n_vcpus;
	struct device *devices[VM_DEVICES_MAX];
	unsigned int n_devices;
	struct vm_window {
		uint64_t start;
		uint32_t gsi;
		unsigned int place; /* 1 and up: ACPI tells when it has a device; 0: it has */
	} windows[VM_DEVICES_MAX];  /* taken by devices, in order; the DSDT names them */
	unsigned int n_windows;
	unsigned int n_places; /* of ACPI */
	struct vm_wire {
		int fd; /* borrowed */
		uint32_t gsi, value;
		uint64_t addr; /* 0: an interrupt */
	} * wires;             /* that KVM does not know of yet */
	size_t n_wires;
	bool wired;                /* it knows them all, and hears of others at once */
	struct platform *platform; /* platform.h: serial, i8042, ACPI devices */
	struct cpu_plan *cpu_plan; /* cpu.h */
	struct loader *loader;     /* loader.h; NULL but while vm_build() is at work */
	struct boot_entry entry;   /* where vCPU 0 begins */
	struct control *control;   /* control.h; NULL by hand */
	struct run *run;           /* run.h: pause barrier, calls, the end */
	struct vm_rest {
		void (*done)(void *arg);
		void *arg;
		unsigned int left; /* devices that are not at rest yet */
	} rest;                    /* rest.c's own */
};

/* The loop and what threads meet at; nothing of KVM yet (@machine: borrowed, may be
 * NULL in tests). The calling thread becomes the loop's. */
int vm_init(struct vm *vm, const struct machine *machine, struct err *err);
/* Everything up to the vCPUs; paused. On failure vm_fini() cleans. */
int vm_build(struct vm *vm, struct err *err);
/* A thread for each vCPU; they wait for vm_resume(). */
int vm_start(struct vm *vm, struct err *err);
/* Waits for programs that serve devices: last, since they start beside us. */
int vm_meet(struct vm *vm, struct err *err);
/* Ends the threads, then frees in reverse order. Half-built is fine. */
void vm_fini(struct vm *vm);

/* The device with this id, or NULL. */
struct device *vm_device(const struct vm *vm, const char *id);

/* Ends the VM: stops every vCPU, then the loop. The first reason counts. Any
 * thread. @code: see VMM_EXIT; -1 = the reason's own. */
void vm_end(struct vm *vm, enum vm_reason reason, int code, const char *fmt, ...)
	__attribute__((format(printf, 4, 5)));

/* VMM_EXIT of isola/vmm.h. */
struct vm_exit {
	const char *reason; /* "poweroff"; static */
	int code;
	char text[512];
};

/* Why it ended. False while it has not. Any thread. */
bool vm_exit_get(struct vm *vm, struct vm_exit *ret);

/* Runs @fn on the loop's thread and waits for its return. From a vCPU's thread; on
 * the loop's own thread it is a plain call. A pause is complete only when every such
 * call is over and none comes during it. Once the VM ends it may return without
 * having called: the guest will not run again. */
void vm_call(struct vm *vm, void (*fn)(void *arg), void *arg);

/* A line for the operator, at most VM_WARNS_A_MINUTE: guests can cause them. Any
 * thread. */
#define VM_WARNS_A_MINUTE 10
void vm_warn(struct vm *vm, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* The window that was taken last is one whose device comes while the guest runs
 * (platform_fill_place()). Its number, from 0, or -ENOSPC. */
int vm_mark_place(struct vm *vm, struct err *err);
/* Places for a device's registers: the next MMIO window and GSI. -ENOSPC. */
int vm_take_window(struct vm *vm, uint64_t *ret_start, uint32_t *ret_gsi, struct err *err);

/* An eventfd whose writes raise @gsi (edge): KVM_IRQFD. Owned by the caller,
 * non-blocking. Without KVM (tests) it is only an eventfd, and the next likewise. */
int vm_irqfd(struct vm *vm, uint32_t gsi, struct err *err);
/* An eventfd that counts writes of @value (32 bits) to MMIO @addr without an exit:
 * KVM_IOEVENTFD with datamatch. Owned, non-blocking. */
int vm_ioeventfd(struct vm *vm, uint64_t addr, uint32_t value, struct err *err);

/* Asks for every vCPU to rest; @done on the loop once they do, never before this
 * returns. vCPU threads only leave KVM_RUN, with their last exit completed. Not
 * again before @done. Loop thread. */
void vm_pause(struct vm *vm, void (*done)(void *arg), void *arg);
void vm_resume(struct vm *vm);
bool vm_is_paused(const struct vm *vm);

/* The same with the devices: first the vCPUs, then every request under way. */
void vm_rest(struct vm *vm, void (*done)(void *arg), void *arg);
void vm_go_on(struct vm *vm);

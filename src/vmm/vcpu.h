/* SPDX-License-Identifier: Apache-2.0 */
/* vcpu - one virtual processor and its thread: KVM_RUN, exits to the bus, and why
 * the guest ended. */
#pragma once

#include "isola/err.h"

#include <json-c/json.h>
#include <stdbool.h>
#include <stdint.h>

struct vm;
struct vcpu;

/* Creates the KVM vCPU with the id cpu_apic_id(@index); no thread yet. */
int vcpu_new(struct vm *vm, unsigned int index, struct vcpu **ret, struct err *err);
int vcpu_fd(const struct vcpu *vcpu);
/* Starts the thread: it installs its seccomp filter and waits for vm_resume(). */
int vcpu_start(struct vcpu *vcpu, struct err *err);
/* Gets it out of KVM_RUN (signal + immediate_exit). Any thread. */
void vcpu_kick(struct vcpu *vcpu);
/* A non-maskable interrupt. Any thread. */
void vcpu_nmi(struct vcpu *vcpu);
/* Waits for its thread; one that never started is fine. */
void vcpu_join(struct vcpu *vcpu);
/* Where it may run: a list that machine_cpu_list() accepts. Loop thread, or before the start. */
int vcpu_pin(struct vcpu *vcpu, json_object *cpus, struct err *err);
void vcpu_free(struct vcpu *vcpu);

struct vcpu_stats {
	uint64_t exits, pio, mmio, hlt, interrupted, other;
};
/* Any thread; each number by itself is right. */
void vcpu_stats(const struct vcpu *vcpu, struct vcpu_stats *ret);

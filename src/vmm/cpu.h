/* SPDX-License-Identifier: Apache-2.0 */
/* cpu - what processor the guest sees: CPUID from KVM's supported set through a
 * template, topology, MSRs. docs/cpu-templates.md has the template format.
 * isola-vmm, before the jail. */
#pragma once

#include "isola/err.h"

#include <json-c/json.h>
#include <stdint.h>

struct machine;
struct vm;
struct cpu_plan;

/* Reads KVM's supported CPUID, applies the machine's template ("host", or an object)
 * and removes what a probe shows broken, with a warning that says why. */
int cpu_plan_new(struct vm *vm, struct cpu_plan **ret, struct err *err);
void cpu_plan_free(struct cpu_plan *plan);
/* The APIC id of vCPU @index, which is also its id for KVM_CREATE_VCPU: threads, cores
 * and sockets have whole bit fields, so ids have gaps where counts are no powers
 * of two. */
uint32_t cpu_apic_id(const struct machine *machine, unsigned int index);
/* Checks a template's form without a VM; names the field. */
int cpu_template_check(json_object *tpl, struct err *err);
/* KVM_SET_CPUID2, MSRs, LAPIC lines, MP state of vCPU @index. */
int cpu_setup(const struct cpu_plan *plan, unsigned int index, int vcpu_fd, struct err *err);

/* SPDX-License-Identifier: Apache-2.0 */
/* cpu_template - a CPU template's document (docs/cpu-templates.md) applied to what KVM
 * supports. isola-vmm, and isolad for what a user asks for. */
#pragma once

#include "isola/err.h"

#include "cpu_cpuid.h"

#include <json-c/json.h>
#include <stdint.h>

#define CPU_MSRS_MAX 64

struct cpu_msr {
	uint32_t index;
	uint64_t value;
};

struct cpu_msrs {
	struct cpu_msr list[CPU_MSRS_MAX];
	unsigned int n;
};

/* Checks the form: members, feature names, numbers. */
int template_check(json_object *tpl, struct err *err);
/* Applies a checked one. -ENOTSUP names what it requires and this host has not. */
int template_apply(json_object *tpl, struct cpuid *cpuid, struct cpu_msrs *msrs, struct err *err);

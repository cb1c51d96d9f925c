/* SPDX-License-Identifier: Apache-2.0 */
/* cgroup_devices - linux.resources.devices as an eBPF program. The compiler is
 * apart from the attaching, so that a test can run what it makes. */
#pragma once

#include "isola/err.h"

#include <json-c/json.h>
#include <linux/bpf.h>
#include <stddef.h>

#define DEVICES_RULES_MAX 1024
/* Preamble, at most ten instructions a rule, the end. */
#define DEVICES_INSNS_MAX (16 + 10 * (DEVICES_RULES_MAX + 32))

/* Compiles @devices (an array, or NULL for none) to @ret_insns. The number of
 * instructions, or -EINVAL with "resources.devices[2].type: ...". Pure. */
int devices_compile(json_object *devices, struct bpf_insn ret_insns[DEVICES_INSNS_MAX],
		    struct err *err);

/* SPDX-License-Identifier: Apache-2.0 */
/* cpu_topology - threads, cores and sockets in the CPUID leaves of one vCPU. */
#pragma once

#include "isola/err.h"

#include "cpu_cpuid.h"

struct cpu_topology {
	unsigned int threads; /* per core */
	unsigned int cores;   /* per socket */
	unsigned int cpus;    /* in the VM */
};

/* Bit fields as wide as they must be: thread, core, socket from the lowest bit. */
uint32_t topology_apic_id(const struct cpu_topology *t, unsigned int index);
/* Writes leaves 1, 4, 0xB, 0x1F, and AMD's 0x80000008, 0x8000001D and 0x8000001E. */
int topology_apply(const struct cpu_topology *t, unsigned int index, struct cpuid *cpuid,
		   struct err *err);

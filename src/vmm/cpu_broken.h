/* SPDX-License-Identifier: Apache-2.0 */
/* cpu_broken - features that KVM lists and that do not work: taken away, with a warning
 * that says why. isola-vmm, before the jail and the threads. */
#pragma once

#include "isola/err.h"

#include "cpu_cpuid.h"

struct vm;

/* By the machine file's list of broken cases; without one, by a probe where KVM is
 * not the processor's own. */
int broken_remove(struct vm *vm, struct cpuid *cpuid, struct err *err);

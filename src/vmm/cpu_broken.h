/* SPDX-License-Identifier: Apache-2.0 */
/* cpu_broken - features that KVM lists and that do not work: taken away, with a warning
 * that says why. isola-vmm, before the jail and the threads. */
#pragma once

#include "isola/err.h"

#include "cpu_cpuid.h"

#include <json-c/json.h>
#include <stddef.h>

struct machine;
struct vm;

#define BROKEN_KVM_TEXT 96

/* By the machine file's list of broken cases; without one, or when it is of another KVM
 * than this, by a probe where KVM is not the processor's own. */
int broken_remove(struct vm *vm, struct cpuid *cpuid, struct err *err);

/* Which KVM is behind @kvm_fd: another text once it was loaded anew, as it may not have been
 * before the next boot. Nothing outlives a boot that has it. */
const char *broken_kvm(int kvm_fd, char *ret, size_t size);

/* The machine file's list (borrowed), if it is of this KVM; NULL: nothing was told. */
json_object *broken_told(int kvm_fd, const struct machine *machine);

/* What that probe finds, as members of "cpus" of machine files for this host: { "broken":
 * [name, ...], "broken_kvm": text }; {} where none is made. Owned. */
int broken_report(const char *kvm_path, json_object **ret, struct err *err);

/* SPDX-License-Identifier: Apache-2.0 */
/* kvm_broken - what a KVM without the processor's help lists and cannot do, learnt once for
 * all workers (isola-vmm --broken), which saves each of them its own 3 ms of trying.
 *
 * It is asked at the first start of a VM, by a child for which nobody waits: until it has
 * answered, workers try for themselves, as they do when KVM was loaded anew since (src/vmm/
 * cpu_broken.h). isolad, loop thread. */
#pragma once

#include <json-c/json.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/stat.h>

struct child;
struct isolad;
struct timer;

struct kvm_broken {
	struct child *child; /* while it runs */
	int out;             /* what it prints; -1 */
	struct timer *limit;
	struct stat asked;   /* /dev/kvm as it was; st_ino 0: never */
	json_object *broken; /* owned; NULL: not known */
	json_object *of;     /* owned: "broken_kvm" */
};

void kvm_broken_init(struct kvm_broken *b);
/* A machine file's "cpus" gets what is known; asks if it was not. */
void kvm_broken_add(struct isolad *d, json_object *cpus);
void kvm_broken_stop(struct isolad *d);

/* What isola-vmm --broken printed (@text, @size) into @b; false: nothing that is to be passed
 * on. Pure. */
bool kvm_broken_read(struct kvm_broken *b, const char *text, size_t size);

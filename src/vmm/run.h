/* SPDX-License-Identifier: Apache-2.0 */
/* run - where the threads of a VM meet: calls to the loop, the pause barrier, the
 * end, and what is said to the operator. isola-vmm; vm.h is for devices, this for
 * vm.c, vcpu.c and the tops.
 *
 *            vm_pause()                all rest: done()
 *   running ------------> pausing ----------------------> paused
 *      ^                                                     |
 *      +------------------------ vm_resume() ----------------+
 *   any of them --vm_end()--> ending: threads leave, are joined, the loop stops
 *
 * One lock guards it all; it is never held while somebody else's code runs. vCPU
 * threads look at one atomic word before each KVM_RUN. */
#pragma once

#include "isola/err.h"

#include "vm.h"

#include <stdbool.h>
#include <stdint.h>

/* Paused from the start, until the first vm_resume(). */
int run_new(struct vm *vm, struct err *err);
/* After the threads have ended. Its handle still needs a turn of the loop. */
void run_free(struct vm *vm);

/* One more vCPU thread, which counts for the barrier from now on. Loop thread. */
void run_add_thread(struct vm *vm);

/* vCPU threads: whether to leave for run_rest(). */
bool run_is_called(const struct vm *vm);
/* Rests while the VM is paused. False: the VM ends, leave the thread. @ret_paused:
 * whether it was a pause. */
bool run_rest(struct vm *vm, bool *ret_paused);

/* vCPU 0 is about to run for the first time. */
void run_note_first(struct vm *vm);

/* What the tops want to hear, all on the loop's thread; set before the threads. */
struct run_watch {
	/* CLOCK_MONOTONIC, and the processor time of us until then. */
	void (*on_first_run)(void *arg, uint64_t when_ns, uint64_t cpu_ns);
	void (*on_warn)(void *arg, const char *text);
	void *arg;
};
void run_watch(struct vm *vm, const struct run_watch *watch);

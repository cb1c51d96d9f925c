/* SPDX-License-Identifier: Apache-2.0 */
/* guest_times - when a guest came how far on its way to its first process, for who wants
 * to know what a start took (bench/wall_start): boot.json in the run folder. */
#pragma once

#include <stdint.h>

enum guest_time {
	GUEST_TIME_CREATE, /* keeper.json is read */
	GUEST_TIME_ROOT,   /* the holder has the root */
	GUEST_TIME_WORKER, /* isola-vmm and virtiofsd are executed */
	GUEST_TIME_START,  /* the start is asked for */
	GUEST_TIME_VCPU,   /* the first KVM_RUN */
	GUEST_TIME_READY,  /* isola-init is there */
	GUEST_TIME_SETUP,  /* and has mounted the root */
	GUEST_TIME_RUN,    /* the process is executed */
	GUEST_TIMES,
};

struct guest_times {
	int64_t at_ns[GUEST_TIMES]; /* CLOCK_MONOTONIC; 0: not yet */
	uint64_t boot_us;           /* at READY, by the guest's clock: not to be believed */
};

void guest_times_mark(struct guest_times *t, enum guest_time which);

/* { "create_ns", ..., "boot_us" }. Only figures: a failure is nobody's trouble. */
void guest_times_write(const struct guest_times *t, int run_dir_fd);

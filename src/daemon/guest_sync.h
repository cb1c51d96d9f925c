/* SPDX-License-Identifier: Apache-2.0 */
/* guest_sync - before the host reads files of a running container in a VM: what its programs
 * have written through mmap(2) is in the guest's page cache only, until the guest is asked
 * for it. Loop thread. */
#pragma once

#include "isola/daemon.h"

/* @err NULL: the host has all, or nobody is there to be asked any more. The instance may be
 * gone. */
typedef void guest_synced_fn(void *arg, const struct err *err);

/* Asks @inst's guest. Returns false when there is none to be asked: no VM, or one that is
 * paused or does not run; then @done does not come. Else it comes once, later. */
bool guest_sync(struct instance *inst, guest_synced_fn *done, void *arg);

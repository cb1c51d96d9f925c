/* SPDX-License-Identifier: Apache-2.0 */
/* memslots - tells KVM of a VM's memory, beside the rest of the build: KVM waits there
 * until nobody looks at the slots of before any more, several milliseconds on a busy
 * host, and neither the kernel's image nor the vCPUs nor the jail need a slot. Most of
 * the jail's time is such a wait, too (the umount of its old root).
 *
 * A thread of its own, without signals, that does nothing else. It is not in the jail,
 * and is joined before the guest or the keeper has a say. isola-vmm. */
#pragma once

#include "isola/err.h"

#include "memory.h"

struct memslots;

/* All regions of @memory are there; both live until memslots_end(). */
int memslots_begin(struct memory *memory, int vm_fd, struct memslots **ret, struct err *err);
/* Waits for it and frees; says how it went. NULL is fine. */
int memslots_end(struct memslots *slots, struct err *err);

/* SPDX-License-Identifier: Apache-2.0 */
/* virtio_mmio - the MMIO transport, version 2 (virtio 1.2, 4.2): one window of
 * registers and one interrupt a device, one ioeventfd a queue.
 *
 * Threads: InterruptStatus and InterruptACK are atomics, and constants are answered
 * at once, both on the vCPU's thread. QueueNotify never exits; a write that does all
 * the same goes to the same eventfd. All else is the loop's, by vm_call(). */
#pragma once

#include "isola/err.h"

#include "virtio.h"

/* Takes a window and a GSI of @v's VM, puts the registers on its bus and watches
 * kicks of v->n_queues queues. @v is kept until the transport's free(). */
int virtio_mmio_new(struct virtio *v, struct virtio_transport **ret, struct err *err);

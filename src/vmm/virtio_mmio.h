/* SPDX-License-Identifier: Apache-2.0 */
/* virtio_mmio - the MMIO transport, version 2 (virtio 1.2, 4.2): one window of
 * registers and one interrupt a device, one ioeventfd a queue.
 *
 * Threads: the vCPU's does by itself what only reads, or only sets what DRIVER_OK will
 * use, under the transport's lock. QueueNotify never exits; a write that does all the
 * same goes to the same eventfd. The status and the configuration space are the
 * loop's, by vm_call(); a status is judged with a copy of what was set until then. */
#pragma once

#include "isola/err.h"

#include "virtio.h"

/* Takes a window and a GSI of @v's VM, puts the registers on its bus and watches
 * kicks of v->n_queues queues. @v is kept until the transport's free(). */
int virtio_mmio_new(struct virtio *v, struct virtio_transport **ret, struct err *err);

/* SPDX-License-Identifier: Apache-2.0 */
/* vm_tree - the root of a container, with all that is mounted in it, as what a guest has
 * for its root: the container library makes it (overlay, ids, binds, volumes), and a
 * container that waits at its gate and never executes anything holds it, until a virtiofsd
 * has a copy.
 *
 *   ctr_create() --> mounts of the holder --copy--> a mount namespace of ours
 *                          |                              |  in the user namespace
 *                    the holder may go             virtiofsd --> the guest's root
 *
 * It runs in the container's user namespace: what the guest's root makes belongs, on the
 * disk, to whom it would belong had a container made it, and of the host's ids it has none. */
#pragma once

#include "isola/ctr.h"
#include "isola/err.h"

#include "vm.h"

/* Serves the root of @holder, which waits at its gate; returns a connected vhost-user
 * socket. Once the device is active, virtiofsd has its copy. */
int vm_tree_start(struct vm *vm, const struct ctr *holder, pid_t *ret_pid, struct err *err);

/* The process of virtiofsd whose root is the tree, @pid being vm_tree_start()'s, so that
 * /proc/<it>/root is the guest's root. 0: not there yet, or gone. */
pid_t vm_tree_root_pid(pid_t pid);

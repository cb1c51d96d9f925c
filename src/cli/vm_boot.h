/* SPDX-License-Identifier: Apache-2.0 */
/* vm_boot - what a new VM boots: the kernel, initial RAM disk and command line out of
 * the flags, the store of kernels or the first disk. Runs in vmctl. */
#pragma once

#include "cli.h"

/* Adds Kernel, Initrd and Cmdline to @vm, whose Disks are there already. A command in
 * the arguments goes behind "--" of the command line. */
int vm_boot(struct cli *cli, struct args *args, json_object *vm, struct err *err);

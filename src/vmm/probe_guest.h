/* SPDX-License-Identifier: Apache-2.0 */
/* probe_guest - the memory of the probe's guest: page tables, descriptors, handlers. */
#pragma once

#include "probe.h"

#include <linux/kvm.h>
#include <stdint.h>

#define GUEST_BYTES     0x10000U
#define GUEST_DATA      0x8000 /* scratch for the cases' operands: 4 KiB */
#define GUEST_CODE      0xb000 /* the case */
#define GUEST_START     0xc000 /* enters it */
#define GUEST_SYSCALL   0xa900 /* LSTAR */
#define GUEST_STACK     0x7000
#define GUEST_KERNEL_CS 0x08
#define GUEST_USER_CS   0x23
#define GUEST_EFER      0xd01 /* SCE, LME, LMA, NXE */
#define GUEST_STAR      0x0013000800000000ULL

/* Ports by which the guest tells how far it came. */
#define PORT_EXCEPTION 0xe0 /* its vector; RSP points to error code, RIP, CS */
#define PORT_DONE      0xe1
#define PORT_SYSCALL   0xe2 /* CS in the handler */

/* Fills @memory for @c. Returns the address behind the case's own code. */
uint64_t guest_write(uint8_t memory[GUEST_BYTES], const struct probe_case *c);
/* Long mode in its own tables; @xsave: CR4 switches it on. */
void guest_sregs(struct kvm_sregs *sregs, bool xsave);

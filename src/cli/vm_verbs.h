/* SPDX-License-Identifier: Apache-2.0 */
/* vm_verbs - verbs that only VMs have; the others are in verbs.h. */
#pragma once

#include "cli.h"

extern const struct flag flags_vm_run[], flags_vm_stop[], flags_vm_rm[], flags_console[];

int verb_vm_kill(struct cli *cli, struct args *args);
/* In a microVM of an image only. */
int verb_vm_exec(struct cli *cli, struct args *args);
int verb_reset(struct cli *cli, struct args *args);
int verb_powerdown(struct cli *cli, struct args *args);
int verb_nmi(struct cli *cli, struct args *args);
/* doctor.c */
extern const struct flag flags_doctor[];
int verb_doctor(struct cli *cli, struct args *args);

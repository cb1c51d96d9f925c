/* SPDX-License-Identifier: Apache-2.0 */
/* jail - how the worker gives up all it does not need, before the first guest
 * instruction: docs/security.md. isola-vmm. */
#pragma once

#include "isola/err.h"

#include <stdbool.h>

struct machine;

/* All but the filter: own namespaces, an empty root, limits, the uid and gid of the
 * machine file (nobody's, when root gave none), no capabilities, no_new_privs. By a
 * user without rights it goes as far as a user namespace lets it. Before the threads. */
int jail_enter(const struct machine *machine, bool keeper, struct err *err);

enum jail_thread { JAIL_LOOP, JAIL_VCPU };

/* The calling thread's system calls from now on. @mode: "kill", "log", "off". */
int jail_filter(enum jail_thread thread, const char *mode, struct err *err);

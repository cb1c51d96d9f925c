/* SPDX-License-Identifier: Apache-2.0 */
/* wait - who waits for an instance to end or to go; the API's side is
 * instance_wait() in include/isola/daemon.h. Loop thread. */
#pragma once

#include "isola/instance.h"

/* The payload ended: answers those who wait for that. */
void wait_on_exit(struct instance *inst);
/* The instance is gone: answers everybody. */
void wait_on_removed(struct instance *inst);
/* isolad ends: fails everybody. */
void wait_fail_all(struct instance *inst, const struct err *err);

/* SPDX-License-Identifier: Apache-2.0 */
/* create - what ctr_create() leaves for ctr_start() and the others. */
#pragma once

#include "isola/ctr.h"

struct ctr_gate {
	int sock;      /* to init, or -1 */
	bool external; /* init waits at the caller's listening socket */
	char *bundle;  /* for hooks */
};

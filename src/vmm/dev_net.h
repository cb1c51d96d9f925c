/* SPDX-License-Identifier: Apache-2.0 */
/* dev_net - see dev_net.c; what its tests need. */
#pragma once

#include "device.h"
#include "net_backend.h"
#include "ratelimit.h"

#include <stdint.h>

struct net_args {
	const char *id;
	uint8_t mac[6];
	uint16_t mtu; /* 0: not told */
	struct ratelimit_args rx, tx;
};

/* A network device over @backend (taken, also on failure); NULL: an empty place for one. */
int net_make(struct vm *vm, const struct net_args *args, struct net_backend *backend,
	     struct device **ret, struct err *err);

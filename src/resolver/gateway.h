/* SPDX-License-Identifier: Apache-2.0 */
/* gateway - where those members of a network ask whose namespace is a guest's: at port 53
 * of its gateway. Who asks is known by his address, which the bridge's guard vouches for;
 * others on the bridge get no answer. isola-resolver. */
#pragma once

#include "client.h"

#include <json-c/json.h>

struct gateway {
	struct list node;
	struct resolver *r;
	struct watch udp, tcp; /* fds are owned */
	char network[];
};

/* Serves @network by these sockets, which are taken, in place of any it had. */
int gateway_serve(struct resolver *r, const char *network, int udp, int tcp);
/* Closes those of networks that are not in @kept, an array of ids; NULL: all. */
void gateways_keep(struct resolver *r, json_object *kept);

/* SPDX-License-Identifier: Apache-2.0 */
/* port - the guests that isola-dhcp serves: a socket and a lease each. */
#pragma once

#include "isola/list.h"

#include "message.h"

#include <json-c/json.h>

struct port {
	struct list node;
	char name[NET_NAME_SIZE];
	int fd;
	struct dhcp_lease lease;
	int64_t filled_ms; /* since when it has not been refilled */
	unsigned int left; /* answers it may have now */
};

/* What isolad's message (isola/dhcp.h) says; @fd is taken, even on failure. */
int port_new(json_object *msg, int fd, struct port **ret, struct err *err);
void port_free(struct port *p);

/* Answers what has come. -errno when the port's device is gone. */
int port_serve(struct port *p, int64_t now_ms);

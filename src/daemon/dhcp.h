/* SPDX-License-Identifier: Apache-2.0 */
/* dhcp - guests that ask for their address: isola-dhcp (isola/dhcp.h) is there while a VM
 * is in a network, and is told of each port whose link is a tap. When it dies it is
 * started again and told anew; without it a guest has to be told its address otherwise,
 * nothing else changes. Loop thread. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

struct child;
struct endpoint;
struct isolad;
struct json_object;
struct timer;

struct dhcp {
	struct child *child;
	int sock; /* -1: it does not run */
	uint64_t born_ms;
	struct timer *again;
	bool missing; /* has been complained about */
};

void dhcp_init(struct dhcp *dhcp);
/* Tells of all ports that are live and not told of yet. */
void dhcp_flush(struct isolad *d);
/* A port has gone; with the last one the process does. */
void dhcp_forget(struct endpoint *e);
/* The name servers of its lease: the gateway in a network with names, else the host's;
 * owned, or NULL. */
struct json_object *dhcp_servers(const struct endpoint *e);
/* At the end of isolad. */
void dhcp_stop(struct isolad *d);

/* SPDX-License-Identifier: Apache-2.0 */
/* message - one DHCP request of a guest, as an Ethernet frame, and the frame that answers
 * it (RFC 2131, 2132, 6842). Pure. What is read is foreign: a frame that is not whole, is
 * not from the lease's MAC or asks for what we do not know is not answered. */
#pragma once

#include "isola/net.h"

#include <stddef.h>
#include <stdint.h>

#define DHCP_FRAME_MAX 1514
#define DHCP_NAME_SIZE 64
#define DHCP_DNS_MAX   3

struct dhcp_lease {
	uint8_t mac[6];
	struct net_addr address, server;
	struct net_addr router;            /* family 0: none */
	struct net_addr dns[DHCP_DNS_MAX]; /* n_dns */
	size_t n_dns;
	uint8_t prefix;
	uint16_t mtu;
	char hostname[DHCP_NAME_SIZE]; /* "" = not told */
};

/* @ret has room for DHCP_FRAME_MAX bytes; returns how many are to be sent, 0 = none. */
size_t dhcp_answer(const struct dhcp_lease *lease, const uint8_t *frame, size_t size, uint8_t *ret);

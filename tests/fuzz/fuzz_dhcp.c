/* SPDX-License-Identifier: Apache-2.0 */
/* A guest's DHCP request, as a frame: what is answered is a frame of ours that fits. */
#include "dhcp/message.h"

#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct dhcp_lease lease = { .mac = { 2, 0x42, 10, 0xc9, 0, 3 },
				    .prefix = 16,
				    .mtu = 1500,
				    .n_dns = 2,
				    .hostname = "guest" };
	uint8_t answer[DHCP_FRAME_MAX];
	(void)net_addr_parse("10.201.0.3", &lease.address);
	(void)net_addr_parse("10.201.0.1", &lease.server);
	lease.router = lease.dns[0] = lease.dns[1] = lease.server;
	/* A copy of its own: what is read behind its end is seen. */
	uint8_t *copy = malloc(size ? size : 1);
	if (!copy)
		return 0;
	if (size)
		memcpy(copy, data, size);
	size_t n = dhcp_answer(&lease, copy, size, answer);
	free(copy);
	if (n && (n > sizeof(answer) || n < 14 + 20 + 8 + 300))
		abort();
	return 0;
}

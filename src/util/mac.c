/* SPDX-License-Identifier: Apache-2.0 */
/* mac - see include/isola/mac.h. */
#include "isola/mac.h"

#include "isola/num.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

/* By hand, for strtol() and sscanf() also take blanks and signs. */
int mac_parse(const char *text, uint8_t ret[MAC_BYTES])
{
	uint8_t mac[MAC_BYTES], all = 0;
	for (int i = 0; i < MAC_BYTES; i++) {
		int high = num_hex_digit(text[3 * i]);
		int low = high < 0 ? -1 : num_hex_digit(text[3 * i + 1]);
		if (low < 0 || text[3 * i + 2] != (i < MAC_BYTES - 1 ? ':' : '\0'))
			return -EINVAL;
		mac[i] = (uint8_t)(16 * high + low);
		all |= mac[i];
	}
	if (mac[0] & 1 || !all)
		return -EADDRNOTAVAIL;
	memcpy(ret, mac, sizeof(mac));
	return 0;
}

const char *mac_format(const uint8_t mac[MAC_BYTES], char *buf, size_t size)
{
	(void)snprintf(buf, size, "%02x:%02x:%02x:%02x:%02x:%02x", mac[0], mac[1], mac[2], mac[3],
		       mac[4], mac[5]);
	return buf;
}

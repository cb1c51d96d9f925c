/* SPDX-License-Identifier: Apache-2.0 */
/* mac - the address of one Ethernet device as a text. Pure. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#define MAC_BYTES 6
#define MAC_TEXT  18 /* "02:42:0a:c9:00:02" and its end */

/* Six pairs of hexadecimal digits. -EINVAL for another text; -EADDRNOTAVAIL for an address
 * that no single device has: a group's, or zero. */
int mac_parse(const char *text, uint8_t ret[MAC_BYTES]);
const char *mac_format(const uint8_t mac[MAC_BYTES], char *buf, size_t size);

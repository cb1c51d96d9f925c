/* SPDX-License-Identifier: Apache-2.0 */
/* dhcp - what isolad says to isola-dhcp, which answers guests that ask for their address
 * (RFC 2131, 2132).
 *
 * isolad executes `isola-dhcp` with descriptor 3 = one end of a wire_pair(), with the
 * first VM in a network, and again when it has died. A message is a port, with its
 * descriptor:
 *   { "port": "tap01234567", "mac": "02:..", "address": "10.201.0.3", "prefix": 16,
 *     "server": "10.201.0.1" (the gateway; the server's identity),
 *     "router": the same | "" (no default route by this port),
 *     "dns": ["192.0.2.53", ...] | absent (at most 3), "mtu": 1500, "hostname": "db" | "" }
 *   + net_dhcp_socket() of the port
 * A message for a port that is known replaces what was said. There is no answer. A port
 * is forgotten when its device goes; the process ends with the connection.
 *
 * Through that socket it hears what comes from this guest alone and what it sends goes to
 * this guest alone, and it answers only to the MAC of the port. So no guest gets, or can
 * ask for, another's address. */
#pragma once

#define DHCP_CONTROL_FD 3

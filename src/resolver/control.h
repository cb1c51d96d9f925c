/* SPDX-License-Identifier: Apache-2.0 */
/* control - what isolad says to isola-resolver, one JSON object a packet
 * (include/isola/wire.h), never answered:
 *
 *	{ "op": "host", "servers": "192.0.2.1,2001:db8::1" }
 *		where the host sends its own queries
 *	{ "op": "set", "id": ID, "places": [...], "forward": BOOL, "servers": "" }
 *		a member, new or changed; see names_set() and client_set(). With the
 *		descriptors of a UDP socket, a listening TCP socket and the process they are
 *		for, it is served by them from now on; with the process's alone, which is a
 *		VM's, it asks at gateways
 *	{ "op": "gone", "id": ID }
 *	{ "op": "gateway", "network": ID }
 *		with the descriptors of a UDP socket and a listening TCP socket at its gateway
 *	{ "op": "gateways", "networks": [ID, ...] }
 *		those that are left
 *
 * When isolad goes, what it said last goes on to count; see main.c. */
#pragma once

#include "client.h"

#include <json-c/json.h>

/* Obeys a message; @fds are taken. -EINVAL with a text for what is not understood. */
int control_message(struct resolver *r, json_object *msg, int *fds, size_t n_fds, struct err *err);
/* Of the connection to isolad: reads what is there; closes it at its end. */
void control_on_ready(struct watch *w, uint32_t events);

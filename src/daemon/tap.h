/* SPDX-License-Identifier: Apache-2.0 */
/* tap - a place in a network for a worker that is not ours: whoever asks gets the descriptors
 * of a tap, and the place lasts as long as his connection.
 *
 *   tap_open() -> leased, linked (endpoints_up) -> queues opened -> ready()
 *   tap_close(), or taps_stop() -> unlinked, the lease given back
 *
 * It is an instance that is in no registry and in no record, so that lease, names, guard,
 * DHCP and views need not know of it; inst->lent tells where one has to. Nothing of it
 * outlives isolad but, when that is killed, the device, while the client has it open: the
 * next isolad removes it, as no record names it (network_recover.c). Loop thread; the rest
 * is in isola/daemon.h. */
#pragma once

#include "isola/daemon.h"
#include "isola/list.h"

#define TAPS_MAX 64 /* of one isolad at once */

/* Taps' names are in one space with instances'. */
bool tap_is_named(struct isolad *d, const char *name);

/* At the end of isolad, before networks_stop(). Each is still closed by its owner. */
void taps_stop(struct isolad *d);

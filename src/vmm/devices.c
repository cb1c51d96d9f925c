/* SPDX-License-Identifier: Apache-2.0 */
/* devices - the kinds of devices that a machine file may ask for, in the order in
 * which they get their places on the bus: disks first, so that the first disk is
 * /dev/vda. A new kind is one file and one line in each of the two lists. */
#include "device.h"

#include <stddef.h>

extern const struct device_type device_blk, device_rng, device_pmem;
extern const struct device_type device_net, device_vsock, device_console, device_balloon;
extern const struct device_type device_fs;

/* clang-format off */

const struct device_type *const device_types[] = {
	&device_blk,
	&device_net,
	&device_vsock,
	&device_console,
	&device_rng,
	&device_balloon,
	&device_fs,
	&device_pmem,
	NULL,
};

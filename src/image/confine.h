/* SPDX-License-Identifier: Apache-2.0 */
/* confine - what isola-image and its layer processes may still do; the rows
 * for isola/jail.h. */
#pragma once

#include "isola/err.h"

#include <stdbool.h>
#include <stdint.h>

struct confine_options {
	const char *state; /* becomes "/" */
	uint64_t bytes_max;
	bool foreign; /* the job reads an archive */
	bool require_landlock;
};

/* Before the first foreign byte: leaves the process with the state folder as
 * its whole file system (no devices to open, no set-id, nothing to execute), no
 * network, the capabilities it needs, and a short list of system calls. */
int confine_job(const struct confine_options *options, struct err *err);

/* In a forked layer process: opens and makes files below @root_fd only (other
 * descriptors it has can be looked at), and has no CAP_SYS_ADMIN. */
int confine_layer(int root_fd, struct err *err);

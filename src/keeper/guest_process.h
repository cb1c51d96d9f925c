/* SPDX-License-Identifier: Apache-2.0 */
/* guest_process - a "process" of config.json as fields of isola/guest.h, for RUN and EXEC.
 * Pure. It has been through ctr_process_parse(): what is wrong with it was said there. */
#pragma once

#include "isola/err.h"
#include "isola/tlv.h"

#include <json-c/json.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct guest_process_args {
	uint64_t number;            /* GF_PROCESS */
	json_object *process;       /* borrowed */
	json_object *seccomp;       /* linux.seccomp of the container, or NULL; borrowed */
	int cache_fd;               /* as of seccomp_filter_load() */
	const bool *streams;        /* of three; ignored with a terminal */
	bool make_cwd;              /* the first process makes its folder, an exec does not */
	bool reaper;                /* --init, of the first one */
	unsigned int rows, columns; /* of the terminal; 0: as the process says */
};

/* Puts the process into @w. Of the seccomp filter the guest's kernel is the judge; that it
 * compiles is the host's. */
int guest_process_put(struct tlv_writer *w, const struct guest_process_args *args, struct err *err);

/* SPDX-License-Identifier: Apache-2.0 */
/* request - a message of the keeper, checked (isola/vmm.h). isola-vmm. */
#pragma once

#include "isola/err.h"

#include <json-c/json.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum request_op {
	REQUEST_RUN,
	REQUEST_PAUSE,
	REQUEST_RESUME,
	REQUEST_POWERDOWN,
	REQUEST_NMI,
	REQUEST_STATS,
	REQUEST_BALLOON,
	REQUEST_DISK,
	REQUEST_NET,
	REQUEST_PLUG,
	REQUEST_UNPLUG,
	REQUEST_PIN,
	REQUEST_CONSOLE,
	REQUEST_QUIT,
	REQUEST_ANSWER, /* to something we asked */
};

/* In which a VM's life a request is in place. */
enum request_phase {
	PHASE_BUILT = 1, /* before "run" */
	PHASE_RUNNING = 2,
	PHASE_PAUSED = 4,
};

struct request {
	enum request_op op;
	const char *name;
	int64_t seq;            /* of the request; of our question, if an answer */
	unsigned int phases;    /* enum request_phase bits */
	const char *device_key; /* it goes to a device of this kind, or NULL */
	const char *id;         /* of the device; borrowed from the message; NULL: the only one */
	/* pin */
	unsigned int vcpu;
	json_object *cpus; /* borrowed; checked numbers */
	/* answer */
	int code; /* errno; 0: fine */
};

/* @msg is borrowed, and by @ret, too. -EINVAL names the field; @ret->seq is set then if
 * there is one, else -1. */
int request_parse(json_object *msg, struct request *ret, struct err *err);

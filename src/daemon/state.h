/* SPDX-License-Identifier: Apache-2.0 */
/* state - what may happen to an instance in which state, as a table. Pure. */
#pragma once

#include "isola/instance.h"

enum instance_event {
	/* Changes. */
	EVENT_START,        /* a user wants it to run */
	EVENT_START_AGAIN,  /* the restart policy does */
	EVENT_STARTED,      /* the payload's exec happened */
	EVENT_FAILED_FIRST, /* the start failed, and it never ran before */
	EVENT_FAILED,       /* the start failed */
	EVENT_ENDED,        /* the payload ended for good */
	EVENT_ENDED_AGAIN,  /* the payload ended, the restart policy takes over */
	EVENT_PAUSED,
	EVENT_UNPAUSED,
	EVENT_GIVEN_UP, /* a user stopped it while the back-off ran */
	EVENT_REMOVE,
	EVENT_REMOVE_FORCE,
	EVENT_REMOVE_FAILED,
	/* Questions: the state stays. */
	EVENT_PAUSE,
	EVENT_UNPAUSE,
	EVENT_STOP,
	EVENT_KILL,
	EVENT_RESTART,
	EVENT_RENAME,
	EVENT_UPDATE,
	EVENT_RESIZE,
	EVENT_ATTACH,
	EVENT_EXEC,
	EVENT_PRESS, /* a button of a VM */
	EVENT_TOP,
};

/* The state behind @event, or -errno with Docker's words: EALREADY when there is
 * nothing to do, EBUSY when the state forbids it. */
int state_next(const struct instance *inst, enum instance_event event, struct err *err);

/* state_next(), and takes the new state. Returns 0 or -errno. */
int state_apply(struct instance *inst, enum instance_event event, struct err *err);

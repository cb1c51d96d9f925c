/* SPDX-License-Identifier: Apache-2.0 */
/* state - see state.h. isolad, loop thread.
 *
 *               start            STARTED
 *   CREATED ------------> STARTING ------------> RUNNING <------> PAUSED
 *      |  ^ FAILED_FIRST  |  ^  ^                  |  PAUSED/UNPAUSED |
 *      |  +---------------+  |  |                  |                  |
 *      |                     |  | start    ENDED   |                  |
 *      |       FAILED        |  +------ EXITED <---+------------------+
 *      |       (-> EXITED)   |            ^  |     |                  |
 *      |                     |   GIVEN_UP |  |     | ENDED_AGAIN      |
 *      |                     |            |  |     v                  |
 *      |                     +---------- RESTARTING <-----------------+
 *      | remove               START_AGAIN    |
 *      v                                     | remove (EXITED; any by force)
 *   REMOVING <-------------------------------+
 *      |  ^ remove
 *      v  |   REMOVE_FAILED
 *     gone DEAD
 */
#include "state.h"

#include "health.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define CREATED    (1u << INSTANCE_CREATED)
#define STARTING   (1u << INSTANCE_STARTING)
#define RUNNING    (1u << INSTANCE_RUNNING)
#define PAUSED     (1u << INSTANCE_PAUSED)
#define RESTARTING (1u << INSTANCE_RESTARTING)
#define EXITED     (1u << INSTANCE_EXITED)
#define REMOVING   (1u << INSTANCE_REMOVING)
#define DEAD       (1u << INSTANCE_DEAD)
#define ANY        (~0u)

#define STAY (-1) /* in column next */

struct row {
	enum instance_event event;
	unsigned int states;
	int next;  /* a state or STAY, unless error */
	int error; /* 0 or errno, and the text around the id: */
	const char *head, *tail;
};

#define NOT_RUNNING .error = EBUSY, .head = "container ", .tail = " is not running"

/* The first row that fits counts. */
static const struct row rows[] = {
	{ EVENT_START, CREATED | EXITED, INSTANCE_STARTING },
	{ EVENT_START, RUNNING | RESTARTING | STARTING, .error = EALREADY, .head = "container ",
	  .tail = " is already running" },
	{ EVENT_START, PAUSED, .error = EBUSY, .head = "cannot start a paused container (",
	  .tail = "), try unpause instead" },
	{ EVENT_START, REMOVING | DEAD, .error = EBUSY, .head = "container ",
	  .tail = " is marked for removal and cannot be started" },
	{ EVENT_START_AGAIN, RESTARTING, INSTANCE_STARTING },
	{ EVENT_START_AGAIN, ANY, .error = ECANCELED, .head = "container ",
	  .tail = " does not wait for a restart any more" },
	{ EVENT_STARTED, STARTING | RUNNING, INSTANCE_RUNNING },
	{ EVENT_FAILED_FIRST, STARTING, INSTANCE_CREATED },
	{ EVENT_FAILED, STARTING, INSTANCE_EXITED },
	{ EVENT_ENDED, STARTING | RUNNING | PAUSED, INSTANCE_EXITED },
	{ EVENT_ENDED, REMOVING, STAY },
	{ EVENT_ENDED_AGAIN, STARTING | RUNNING | PAUSED | EXITED, INSTANCE_RESTARTING },
	{ EVENT_PAUSED, RUNNING, INSTANCE_PAUSED },
	{ EVENT_UNPAUSED, PAUSED, INSTANCE_RUNNING },
	{ EVENT_GIVEN_UP, RESTARTING, INSTANCE_EXITED },

	{ EVENT_REMOVE, CREATED | EXITED | DEAD, INSTANCE_REMOVING },
	{ EVENT_REMOVE, RUNNING | STARTING, .error = EBUSY, .head = "cannot remove container ",
	  .tail = ": container is running: stop the container before removing or force remove" },
	{ EVENT_REMOVE, PAUSED, .error = EBUSY, .head = "cannot remove container ",
	  .tail = ": container is paused and must be unpaused first" },
	{ EVENT_REMOVE, RESTARTING, .error = EBUSY, .head = "cannot remove container ",
	  .tail = ": container is restarting: stop the container before removing or force "
		  "remove" },
	{ EVENT_REMOVE, REMOVING, .error = EBUSY, .head = "removal of container ",
	  .tail = " is already in progress" },
	{ EVENT_REMOVE_FORCE, REMOVING, .error = EBUSY, .head = "removal of container ",
	  .tail = " is already in progress" },
	{ EVENT_REMOVE_FORCE, ANY, INSTANCE_REMOVING },
	{ EVENT_REMOVE_FAILED, REMOVING, INSTANCE_DEAD },

	{ EVENT_PAUSE, RUNNING, STAY },
	{ EVENT_PAUSE, PAUSED, .error = EBUSY, .head = "container ", .tail = " is already paused" },
	{ EVENT_PAUSE, RESTARTING, .error = EBUSY, .head = "container ",
	  .tail = " is restarting, wait until the container is running" },
	{ EVENT_PAUSE, ANY, NOT_RUNNING },
	{ EVENT_UNPAUSE, PAUSED, STAY },
	{ EVENT_UNPAUSE, ANY, .error = EBUSY, .head = "container ", .tail = " is not paused" },
	{ EVENT_STOP, RUNNING | PAUSED | RESTARTING, STAY },
	{ EVENT_STOP, ANY, .error = EALREADY, .head = "container ", .tail = " is already stopped" },
	{ EVENT_KILL, RUNNING | PAUSED | RESTARTING, STAY },
	{ EVENT_KILL, ANY, NOT_RUNNING },
	{ EVENT_RESTART, CREATED | EXITED | RUNNING | PAUSED | RESTARTING, STAY },
	{ EVENT_RESTART, ANY, .error = EBUSY, .head = "container ",
	  .tail = " is marked for removal and cannot be started" },
	{ EVENT_RENAME, REMOVING | DEAD, .error = EBUSY, .head = "container ",
	  .tail = " is marked for removal and cannot be renamed" },
	{ EVENT_RENAME, ANY, STAY },
	{ EVENT_UPDATE, REMOVING | DEAD, .error = EBUSY, .head = "container ",
	  .tail = " is marked for removal and cannot be \"update\"" },
	{ EVENT_UPDATE, ANY, STAY },
	{ EVENT_RESIZE, RUNNING | PAUSED, STAY },
	{ EVENT_RESIZE, ANY, NOT_RUNNING },
	{ EVENT_ATTACH, PAUSED, .error = EBUSY, .head = "container ",
	  .tail = " is paused, unpause the container before attach" },
	{ EVENT_ATTACH, RESTARTING, .error = EBUSY, .head = "container ",
	  .tail = " is restarting, wait until the container is running" },
	{ EVENT_ATTACH, REMOVING | DEAD, .error = EBUSY, .head = "container ",
	  .tail = " is marked for removal" },
	{ EVENT_ATTACH, ANY, STAY },
	{ EVENT_EXEC, RUNNING, STAY },
	{ EVENT_EXEC, PAUSED, .error = EBUSY, .head = "container ",
	  .tail = " is paused, unpause the container before exec" },
	{ EVENT_EXEC, RESTARTING, .error = EBUSY, .head = "container ",
	  .tail = " is restarting, wait until the container is running" },
	{ EVENT_EXEC, ANY, NOT_RUNNING },
	{ EVENT_PRESS, RUNNING, STAY },
	{ EVENT_PRESS, PAUSED, .error = EBUSY, .head = "container ",
	  .tail = " is paused, resume it first" },
	{ EVENT_PRESS, RESTARTING, .error = EBUSY, .head = "container ",
	  .tail = " is restarting, wait until the container is running" },
	{ EVENT_PRESS, ANY, NOT_RUNNING },
	{ EVENT_TOP, RUNNING | PAUSED, STAY },
	{ EVENT_TOP, RESTARTING, .error = EBUSY, .head = "container ",
	  .tail = " is restarting, wait until the container is running" },
	{ EVENT_TOP, ANY, NOT_RUNNING },
};

static const struct row *find(enum instance_state state, enum instance_event event)
{
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		if (rows[i].event == event && (rows[i].states & (1u << state)))
			return &rows[i];
	return NULL;
}

/* The rows speak of containers. */
static void words_for(enum instance_kind kind, const char *text, char *ret, size_t size)
{
	static const char word[] = "container";
	const size_t len = sizeof(word) - 1;
	size_t n = 0;
	const char *noun = instance_noun(kind), *at;
	for (; (at = strstr(text, word)) && n < size; text = at + len)
		n += (size_t)snprintf(ret + n, size - n, "%.*s%s", (int)(at - text), text, noun);
	if (n < size)
		(void)snprintf(ret + n, size - n, "%s", text);
}

int state_next(const struct instance *inst, enum instance_event event, struct err *err)
{
	const struct row *row = find(inst->state, event);
	if (!row)
		return err_set(err, EBUSY, "%s %s: this cannot happen while it is %s",
			       instance_noun(inst->kind), inst->id, instance_state_name(inst));
	if (row->error) {
		char head[128], tail[128];
		words_for(inst->kind, row->head, head, sizeof(head));
		words_for(inst->kind, row->tail, tail, sizeof(tail));
		return err_set(err, row->error, "%s%s%s", head, inst->id, tail);
	}
	return row->next == STAY ? (int)inst->state : row->next;
}

int state_apply(struct instance *inst, enum instance_event event, struct err *err)
{
	int next = state_next(inst, event, err);
	if (next < 0)
		return next;
	inst->state = (enum instance_state)next;
	health_follow(inst);
	return 0;
}

const char *instance_state_name(const struct instance *inst)
{
	static const char *const names[] = {
		[INSTANCE_CREATED] = "created",       [INSTANCE_STARTING] = "created",
		[INSTANCE_RUNNING] = "running",       [INSTANCE_PAUSED] = "paused",
		[INSTANCE_RESTARTING] = "restarting", [INSTANCE_EXITED] = "exited",
		[INSTANCE_REMOVING] = "removing",     [INSTANCE_DEAD] = "dead",
	};
	if (inst->state == INSTANCE_STARTING && inst->started_ns)
		return inst->restart_backoff_ms ? "restarting" : "exited";
	return names[inst->state];
}

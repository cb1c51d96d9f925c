/* SPDX-License-Identifier: Apache-2.0 */
/* state - what may happen to an instance in which state. */
#include "desk.h"

#include "daemon/state.h"

#include <errno.h>
#include <string.h>

static const struct {
	enum instance_state from;
	enum instance_event event;
	int result; /* a state or -errno */
	const char *says;
} rows[] = {
	{ INSTANCE_CREATED, EVENT_START, INSTANCE_STARTING },
	{ INSTANCE_EXITED, EVENT_START, INSTANCE_STARTING },
	{ INSTANCE_RUNNING, EVENT_START, -EALREADY, "already running" },
	{ INSTANCE_RESTARTING, EVENT_START, -EALREADY, "already running" },
	{ INSTANCE_PAUSED, EVENT_START, -EBUSY, "try unpause instead" },
	{ INSTANCE_REMOVING, EVENT_START, -EBUSY, "marked for removal" },
	{ INSTANCE_RESTARTING, EVENT_START_AGAIN, INSTANCE_STARTING },
	{ INSTANCE_EXITED, EVENT_START_AGAIN, -ECANCELED, "does not wait" },
	{ INSTANCE_STARTING, EVENT_STARTED, INSTANCE_RUNNING },
	{ INSTANCE_STARTING, EVENT_FAILED_FIRST, INSTANCE_CREATED },
	{ INSTANCE_STARTING, EVENT_FAILED, INSTANCE_EXITED },
	{ INSTANCE_RUNNING, EVENT_ENDED, INSTANCE_EXITED },
	{ INSTANCE_PAUSED, EVENT_ENDED, INSTANCE_EXITED },
	{ INSTANCE_RUNNING, EVENT_ENDED_AGAIN, INSTANCE_RESTARTING },
	{ INSTANCE_REMOVING, EVENT_ENDED, INSTANCE_REMOVING },
	{ INSTANCE_RUNNING, EVENT_PAUSED, INSTANCE_PAUSED },
	{ INSTANCE_PAUSED, EVENT_UNPAUSED, INSTANCE_RUNNING },
	{ INSTANCE_EXITED, EVENT_PAUSED, -EBUSY, "exited" },
	{ INSTANCE_RESTARTING, EVENT_GIVEN_UP, INSTANCE_EXITED },
	{ INSTANCE_CREATED, EVENT_REMOVE, INSTANCE_REMOVING },
	{ INSTANCE_EXITED, EVENT_REMOVE, INSTANCE_REMOVING },
	{ INSTANCE_DEAD, EVENT_REMOVE, INSTANCE_REMOVING },
	{ INSTANCE_RUNNING, EVENT_REMOVE, -EBUSY, "stop the container before removing" },
	{ INSTANCE_PAUSED, EVENT_REMOVE, -EBUSY, "must be unpaused first" },
	{ INSTANCE_RESTARTING, EVENT_REMOVE, -EBUSY, "is restarting" },
	{ INSTANCE_REMOVING, EVENT_REMOVE, -EBUSY, "already in progress" },
	{ INSTANCE_RUNNING, EVENT_REMOVE_FORCE, INSTANCE_REMOVING },
	{ INSTANCE_REMOVING, EVENT_REMOVE_FORCE, -EBUSY, "already in progress" },
	{ INSTANCE_REMOVING, EVENT_REMOVE_FAILED, INSTANCE_DEAD },
	{ INSTANCE_PAUSED, EVENT_PAUSE, -EBUSY, "already paused" },
	{ INSTANCE_CREATED, EVENT_PAUSE, -EBUSY, "is not running" },
	{ INSTANCE_RUNNING, EVENT_UNPAUSE, -EBUSY, "is not paused" },
	{ INSTANCE_EXITED, EVENT_STOP, -EALREADY, "already stopped" },
	{ INSTANCE_RESTARTING, EVENT_STOP, INSTANCE_RESTARTING },
	{ INSTANCE_EXITED, EVENT_KILL, -EBUSY, "is not running" },
	{ INSTANCE_PAUSED, EVENT_KILL, INSTANCE_PAUSED },
	{ INSTANCE_PAUSED, EVENT_EXEC, -EBUSY, "unpause the container before exec" },
	{ INSTANCE_EXITED, EVENT_EXEC, -EBUSY, "is not running" },
	{ INSTANCE_RESTARTING, EVENT_EXEC, -EBUSY, "wait until the container is running" },
	{ INSTANCE_CREATED, EVENT_ATTACH, INSTANCE_CREATED },
	{ INSTANCE_PAUSED, EVENT_ATTACH, -EBUSY, "before attach" },
	{ INSTANCE_EXITED, EVENT_RESIZE, -EBUSY, "is not running" },
	{ INSTANCE_DEAD, EVENT_UPDATE, -EBUSY, "marked for removal" },
	{ INSTANCE_DEAD, EVENT_RENAME, -EBUSY, "marked for removal" },
	{ INSTANCE_CREATED, EVENT_TOP, -EBUSY, "is not running" },
};

static void state_next__follows_the_table(void **state)
{
	struct instance *inst = desk_instance(*state, "a", NULL);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct err e = ERR_INIT;
		inst->state = rows[i].from;
		int got = state_next(inst, rows[i].event, &e);
		if (got != rows[i].result || (rows[i].says && !strstr(e.text, rows[i].says)))
			fail_msg("row %zu: %d, \"%s\"", i, got, e.text);
		if (got < 0)
			assert_non_null(strstr(e.text, inst->id));
	}
}

static void state_apply__changes_nothing_when_refused(void **state)
{
	struct instance *inst = desk_instance(*state, "a", NULL);
	inst->state = INSTANCE_RUNNING;
	assert_int_equal(state_apply(inst, EVENT_REMOVE, NULL), -EBUSY);
	assert_int_equal(inst->state, INSTANCE_RUNNING);
	assert_int_equal(state_apply(inst, EVENT_PAUSED, NULL), 0);
	assert_int_equal(inst->state, INSTANCE_PAUSED);
}

static void instance_state_name__has_docker_names_only(void **state)
{
	struct instance *inst = desk_instance(*state, "a", NULL);
	inst->state = INSTANCE_STARTING;
	assert_string_equal(instance_state_name(inst), "created");
	inst->started_ns = 1;
	assert_string_equal(instance_state_name(inst), "exited");
	inst->restart_backoff_ms = 100;
	assert_string_equal(instance_state_name(inst), "restarting");
	inst->state = INSTANCE_DEAD;
	assert_string_equal(instance_state_name(inst), "dead");
}

#define CASE(f) cmocka_unit_test_setup_teardown(f, desk_setup, desk_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(state_next__follows_the_table),
		CASE(state_apply__changes_nothing_when_refused),
		CASE(instance_state_name__has_docker_names_only),
	};
	return cmocka_run_group_tests_name("state", tests, NULL, NULL);
}

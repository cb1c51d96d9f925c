/* SPDX-License-Identifier: Apache-2.0 */
/* exec - how many of a container are remembered, and which go first. */
#include "desk.h"

#include "isola/json.h"
#include "daemon/exec.h"

#include <errno.h>
#include <string.h>

#define PER_INSTANCE 1024

static int create(struct instance *inst, char id[ID_SIZE], struct err *err)
{
	json_object *body = desk_json("{'Cmd':['true']}");
	int rc = exec_create(inst, body, id, err);
	json_object_put(body);
	return rc;
}

static void exec_create__forgets_the_oldest_that_ended(void **state)
{
	static char ids[PER_INSTANCE][ID_SIZE];
	struct isolad *d = *state;
	struct instance *inst = desk_instance(d, "box", NULL);
	struct err err = ERR_INIT;
	char id[ID_SIZE];
	inst->state = INSTANCE_RUNNING;
	for (size_t i = 0; i < PER_INSTANCE; i++)
		assert_int_equal(create(inst, ids[i], &err), 0);
	assert_int_equal(create(inst, id, &err), -EBUSY);
	assert_non_null(strstr(err.text, "has 1024 exec instances already"));
	exec_ended(inst, ids[7], 0, NULL);
	exec_ended(inst, ids[3], 5, NULL);
	assert_int_equal(create(inst, id, &err), 0);
	assert_null(exec_find(d, ids[3], NULL));
	assert_non_null(exec_find(d, ids[7], NULL));
	assert_non_null(exec_find(d, ids[0], NULL));
	assert_int_equal(create(inst, id, &err), 0);
	assert_null(exec_find(d, ids[7], NULL));
	assert_int_equal(create(inst, id, &err), -EBUSY);
	inst->state = INSTANCE_EXITED;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(exec_create__forgets_the_oldest_that_ended,
						desk_setup, desk_teardown),
	};
	return cmocka_run_group_tests_name("exec", tests, NULL, NULL);
}

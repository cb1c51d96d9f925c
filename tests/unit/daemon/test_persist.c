/* SPDX-License-Identifier: Apache-2.0 */
/* persist - records reach the disk, in order, the last state winning. */
#include "desk.h"

#include "daemon/config.h"
#include "daemon/life.h"
#include "daemon/persist.h"
#include "daemon/record.h"
#include "isola/fd.h"
#include "isola/json.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

struct box {
	struct isolad *d;
	char dir[64];
};

static int setup(void **state)
{
	void *d = NULL;
	struct box *box = calloc(1, sizeof(*box));
	if (!box || desk_setup(&d) < 0)
		return -1;
	box->d = d;
	(void)snprintf(box->dir, sizeof(box->dir), "/tmp/isola-persist-XXXXXX");
	if (!mkdtemp(box->dir))
		return -1;
	struct config config = { .state = box->dir, .run = box->dir };
	*state = box;
	/* One folder for both: it can be locked only once. */
	char run[80];
	(void)snprintf(run, sizeof(run), "%s/run", box->dir);
	config.run = run;
	return roots_open(&box->d->roots, &config, NULL);
}

static int teardown(void **state)
{
	struct box *box = *state;
	void *d = box->d;
	roots_close(&box->d->roots);
	int rc = desk_teardown(&d);
	(void)fd_remove_tree(AT_FDCWD, box->dir, NULL);
	free(box);
	return rc;
}

struct told {
	unsigned int n;
	int code;
};

static void on_done(void *arg, const struct err *err)
{
	struct told *t = arg;
	t->n++;
	t->code = err ? err->code : 0;
}

/* The record on disk, owned; NULL when there is none. */
static json_object *on_disk(int dir_fd, const char *id)
{
	char name[ID_SIZE + 16];
	json_object *doc = NULL;
	(void)snprintf(name, sizeof(name), "%s/instance.json", id);
	(void)json_read_file(dir_fd, name, RECORD_BYTES_MAX, &doc, NULL);
	return doc;
}

static void wait_for(struct isolad *d, const struct told *t, unsigned int n)
{
	while (t->n < n)
		(void)uv_run(&d->loop, UV_RUN_ONCE);
}

static void persist_create__makes_folders_and_record(void **state)
{
	struct box *box = *state;
	struct instance *inst = desk_instance(box->d, "web", NULL);
	struct told t = { 0 };
	struct stat st;
	char path[ID_SIZE + 16];
	persist_create(inst, on_done, &t);
	assert_int_equal(t.n, 0);
	wait_for(box->d, &t, 1);
	assert_int_equal(t.code, 0);
	json_object *doc = on_disk(box->d->roots.instances_fd, inst->id);
	assert_string_equal(json_str_or(doc, "name", ""), "web");
	json_object_put(doc);
	assert_int_equal(fstatat(box->d->roots.instances_fd, inst->id, &st, 0), 0);
	assert_int_equal(st.st_mode & 07777, 0700);
	(void)snprintf(path, sizeof(path), "%s/upper", inst->id);
	assert_int_equal(fstatat(box->d->roots.instances_fd, path, &st, 0), 0);
	assert_int_equal(st.st_mode & 07777, 0755);
}

static void persist_create__leaves_nothing_when_it_fails(void **state)
{
	struct box *box = *state;
	struct instance *inst = desk_instance(box->d, "web", NULL);
	struct told t = { 0 };
	/* Somebody is in the way. */
	assert_int_equal(mkdirat(box->d->roots.instances_fd, inst->id, 0700), 0);
	persist_create(inst, on_done, &t);
	wait_for(box->d, &t, 1);
	assert_int_equal(t.code, EEXIST);
	assert_null(on_disk(box->d->roots.instances_fd, inst->id));
}

static void persist_save__keeps_the_last_state(void **state)
{
	struct box *box = *state;
	struct instance *inst = desk_instance(box->d, "web", NULL);
	struct told t = { 0 };
	persist_create(inst, on_done, &t);
	for (int i = 1; i <= 50; i++) {
		inst->exit_code = i;
		persist_save(inst, on_done, &t);
	}
	/* While the first write is under way the others become one. */
	wait_for(box->d, &t, 51);
	assert_int_equal(t.code, 0);
	json_object *doc = on_disk(box->d->roots.instances_fd, inst->id);
	assert_int_equal(json_i64_or(doc, "exit_code", 0), 50);
	json_object_put(doc);
	assert_null(life_of(inst)->save);
}

static void persist_save__survives_its_instance(void **state)
{
	struct box *box = *state;
	struct instance *inst = desk_instance(box->d, "web", NULL);
	struct told t = { 0 };
	persist_create(inst, on_done, &t);
	persist_save(inst, on_done, &t);
	registry_remove(inst);
	instance_free(inst);
	wait_for(box->d, &t, 2);
	/* The second could not be made any more. */
	assert_int_equal(t.code, ECANCELED);
}

static void persist_stop__waits_and_then_refuses(void **state)
{
	struct box *box = *state;
	struct instance *inst = desk_instance(box->d, "web", NULL);
	struct told created = { 0 }, quiet = { 0 }, late = { 0 };
	persist_create(inst, on_done, &created);
	persist_stop(inst, on_done, &quiet);
	persist_save(inst, on_done, &late);
	wait_for(box->d, &quiet, 1);
	assert_int_equal(created.n, 1);
	wait_for(box->d, &late, 1);
	assert_int_equal(late.code, ECANCELED);
	persist_resume(inst);
	persist_save(inst, on_done, &late);
	wait_for(box->d, &late, 2);
	assert_int_equal(late.code, 0);
}

static void persist_rm__writes_only_to_the_run_folder(void **state)
{
	struct box *box = *state;
	struct instance *inst = desk_instance(box->d, "web", "{'AutoRemove':true}");
	struct told t = { 0 };
	persist_create(inst, on_done, &t);
	json_object *doc = on_disk(box->d->roots.run_fd, inst->id);
	assert_string_equal(json_str_or(doc, "name", ""), "web");
	json_object_put(doc);
	assert_null(on_disk(box->d->roots.instances_fd, inst->id));
	assert_int_equal(t.n, 0);
	desk_turn(box->d);
	assert_int_equal(t.n, 1);
	assert_int_equal(t.code, 0);
}

static void roots_open__refuses_a_second_isolad(void **state)
{
	struct box *box = *state;
	struct config config = { .state = box->d->roots.state, .run = box->d->roots.run };
	struct roots second;
	struct err e = ERR_INIT;
	roots_init(&second);
	assert_int_equal(roots_open(&second, &config, &e), -EBUSY);
	assert_non_null(strstr(e.text, "another isolad (pid "));
	assert_non_null(strstr(e.text, "--state"));
	roots_close(&second);
}

#define CASE(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(persist_create__makes_folders_and_record),
		CASE(persist_create__leaves_nothing_when_it_fails),
		CASE(persist_save__keeps_the_last_state),
		CASE(persist_save__survives_its_instance),
		CASE(persist_stop__waits_and_then_refuses),
		CASE(persist_rm__writes_only_to_the_run_folder),
		CASE(roots_open__refuses_a_second_isolad),
	};
	return cmocka_run_group_tests_name("persist", tests, NULL, NULL);
}

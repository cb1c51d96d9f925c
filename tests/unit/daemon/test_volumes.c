/* SPDX-License-Identifier: Apache-2.0 */
/* volumes - made, found again by the next isolad, removed; what is half done goes. */
#include "desk.h"

#include "daemon/volumes.h"
#include "isola/fd.h"
#include "isola/json.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static int setup(void **state)
{
	if (desk_setup(state) < 0)
		return -1;
	struct isolad *d = *state;
	char path[] = "/tmp/isola-volumes-XXXXXX";
	struct err err = ERR_INIT;
	volumes_init(&d->volumes);
	free(d->roots.state);
	d->roots.state = mkdtemp(path) ? strdup(path) : NULL;
	d->roots.state_fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return d->roots.state ? volumes_open(d, &err) : -1;
}

static int teardown(void **state)
{
	struct isolad *d = *state;
	(void)fd_remove_tree(AT_FDCWD, d->roots.state, NULL);
	volumes_close(&d->volumes);
	fd_close(&d->roots.state_fd);
	free(take_ptr(d->roots.state));
	return desk_teardown(state);
}

/* As the next isolad finds them. */
static void open_again(struct isolad *d)
{
	struct err err = ERR_INIT;
	volumes_close(&d->volumes);
	volumes_init(&d->volumes);
	if (volumes_open(d, &err) < 0)
		fail_msg("%s", err.text);
}

struct answer {
	int n;
	struct err err;
	json_object *result;
};

static void on_done(void *arg, const struct err *err, json_object *result)
{
	struct answer *a = arg;
	a->n++;
	a->err = err ? *err : (struct err)ERR_INIT;
	json_object_put(a->result);
	a->result = json_object_get(result);
}

static void wait_for(struct isolad *d, const struct answer *a, int n)
{
	for (int i = 0; i < 2000 && a->n < n; i++) {
		desk_turn(d);
		(void)usleep(1000);
	}
	assert_int_equal(a->n, n);
}

static void make(struct isolad *d, const char *body)
{
	struct answer a = { 0 };
	cleanup_json json_object *o = desk_json(body);
	volume_create(d, o, on_done, &a);
	wait_for(d, &a, 1);
	if (a.err.code)
		fail_msg("%s", a.err.text);
	json_object_put(a.result);
}

static int remove_one(struct isolad *d, const char *name, char *ret_text, size_t size)
{
	struct answer a = { 0 };
	volume_remove(d, name, false, on_done, &a);
	assert_int_equal(a.n, 0);
	wait_for(d, &a, 1);
	(void)snprintf(ret_text, size, "%s", a.err.text);
	json_object_put(a.result);
	return a.err.code;
}

static bool is_there(const struct isolad *d, const char *name)
{
	char path[128];
	(void)snprintf(path, sizeof(path), VOLUMES_DIR "/%s", name);
	return faccessat(d->roots.state_fd, path, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
}

static void volumes__are_found_again(void **state)
{
	struct isolad *d = *state;
	make(d, "{'Name':'data','Labels':{'a':'b'}}");
	make(d, "{}");
	open_again(d);
	struct volume *v = volume_find(d, "data", NULL);
	assert_non_null(v);
	assert_string_equal(json_str_or(v->labels, "a", ""), "b");
	assert_false(volume_is_anonymous(v));
	cleanup_json json_object *all = volume_list(d, NULL, NULL);
	json_object *list = json_get(all, "Volumes");
	assert_int_equal(json_len(list), 2);
	/* The oldest first. */
	assert_string_equal(json_str_or(json_object_array_get_idx(list, 0), "Name", ""), "data");
	json_object *second = json_object_array_get_idx(list, 1);
	assert_int_equal(strlen(json_str_or(second, "Name", "")), 64);
	assert_non_null(json_get(json_get(second, "Labels"), VOLUME_ANONYMOUS));
}

static void volumes__of_one_name_are_one(void **state)
{
	struct isolad *d = *state;
	struct answer a = { 0 };
	cleanup_json json_object *first = desk_json("{'Name':'same','Labels':{'n':'1'}}");
	cleanup_json json_object *second = desk_json("{'Name':'same','Labels':{'n':'2'}}");
	volume_create(d, first, on_done, &a);
	volume_create(d, second, on_done, &a);
	wait_for(d, &a, 2);
	assert_int_equal(a.err.code, 0);
	assert_string_equal(json_str_or(json_get(a.result, "Labels"), "n", ""), "1");
	json_object_put(a.result);
}

static void volumes__in_use_stay(void **state)
{
	struct isolad *d = *state;
	char text[512];
	make(d, "{'Name':'data'}");
	struct instance *inst = desk_instance(d, "user", "{\"Binds\":[\"data:/x\"]}");
	assert_int_equal(remove_one(d, "data", text, sizeof(text)), EBUSY);
	assert_non_null(strstr(text, "remove data: volume is in use - ["));
	assert_non_null(strstr(text, inst->id));
	assert_true(is_there(d, "data"));
	assert_int_equal(remove_one(d, "other", text, sizeof(text)), ENOENT);
	assert_string_equal(text, "get other: no such volume");
}

static void volumes__leave_their_name_at_once(void **state)
{
	struct isolad *d = *state;
	struct answer a = { 0 };
	make(d, "{'Name':'data'}");
	volume_remove(d, "data", false, on_done, &a);
	assert_false(is_there(d, "data"));
	assert_null(volume_find(d, "data", NULL));
	make(d, "{'Name':'data'}");
	wait_for(d, &a, 1);
	assert_true(is_there(d, "data"));
	json_object_put(a.result);
}

static void leftovers__are_cleared_away(void **state)
{
	struct isolad *d = *state;
	int dir = d->volumes.dir_fd;
	make(d, "{'Name':'data'}");
	assert_int_equal(mkdirat(dir, ".new-1", 0700), 0);
	assert_int_equal(mkdirat(dir, ".gone-1", 0700), 0);
	assert_int_equal(mkdirat(dir, "data/" VOLUME_FILL, 0700), 0);
	assert_int_equal(mkdirat(dir, "stranger", 0700), 0);
	open_again(d);
	for (int i = 0; i < 2000 && d->loop.active_reqs.count; i++) {
		desk_turn(d);
		(void)usleep(1000);
	}
	assert_false(is_there(d, ".new-1") || is_there(d, ".gone-1"));
	assert_false(is_there(d, "data/" VOLUME_FILL));
	assert_true(volume_find(d, "data", NULL)->unfilled);
	/* Whose it is, nobody knows. */
	assert_true(is_there(d, "stranger"));
	assert_null(volume_find(d, "stranger", NULL));
	struct answer a = { 0 };
	cleanup_json json_object *o = desk_json("{'Name':'stranger'}");
	volume_create(d, o, on_done, &a);
	wait_for(d, &a, 1);
	assert_int_equal(a.err.code, EEXIST);
}

static void create__names_what_is_wrong(void **state)
{
	struct isolad *d = *state;
	static const struct {
		const char *body;
		int code;
		const char *text;
	} rows[] = {
		{ "{'Name':'a/b'}", EINVAL, "Name: \"a/b\" includes invalid characters" },
		{ "{'Name':'.x'}", EINVAL, "Name: \".x\" includes invalid characters" },
		{ "{'Driver':'nfs'}", ENOENT,
		  "Driver (--driver): error looking up volume plugin nfs" },
		{ "{'DriverOpts':{'size':'1k'}}", EINVAL,
		  "DriverOpts (--opt): size: '1k' is no size of at least 65536 bytes" },
		{ "{'Labels':{'a':1}}", EINVAL, "Labels (--label) must be" },
		{ "{'Bogus':1}", EINVAL, "Bogus is not a known field" },
	};
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct answer a = { 0 };
		cleanup_json json_object *o = desk_json(rows[i].body);
		volume_create(d, o, on_done, &a);
		wait_for(d, &a, 1);
		assert_int_equal(a.err.code, rows[i].code);
		if (strncmp(a.err.text, rows[i].text, strlen(rows[i].text)) != 0)
			fail_msg("got: %s", a.err.text);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(volumes__are_found_again, setup, teardown),
		cmocka_unit_test_setup_teardown(volumes__of_one_name_are_one, setup, teardown),
		cmocka_unit_test_setup_teardown(volumes__in_use_stay, setup, teardown),
		cmocka_unit_test_setup_teardown(volumes__leave_their_name_at_once, setup, teardown),
		cmocka_unit_test_setup_teardown(leftovers__are_cleared_away, setup, teardown),
		cmocka_unit_test_setup_teardown(create__names_what_is_wrong, setup, teardown),
	};
	return cmocka_run_group_tests_name("volumes", tests, NULL, NULL);
}

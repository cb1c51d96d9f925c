/* SPDX-License-Identifier: Apache-2.0 */
/* images - the table from a store on disk, look-ups, lists, and jobs with this
 * program itself in the place of isola-image. */
#include "desk.h"
#include "fixture.h"

#include "daemon/images_priv.h"
#include "isola/fd.h"
#include "isola/json.h"
#include "isola/log.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define HEX(c)                                                                                     \
	c c c c c c c c c c c c c c c c c c c c c c c c c c c c c c c c c c c c c c c c c c c c c  \
		c c c c c c c c c c c c c c c c c c c
#define ID_A   "sha256:" HEX("a")
#define ID_B   "sha256:" HEX("b")
#define MAN_A  "sha256:" HEX("1")
#define MAN_B  "sha256:" HEX("2")
#define LAYER0 HEX("c")
#define LAYER1 HEX("d")

static char state_dir[64];

static void put(const char *name, const char *text)
{
	char path[256];
	struct err err = ERR_INIT;
	(void)snprintf(path, sizeof(path), "%s/%s", state_dir, name);
	char *base = strrchr(path, '/');
	*base = '\0';
	cleanup_fd int dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_true(dir >= 0);
	/* By rename, as isola-image does: the stamp changes. */
	assert_int_equal(fd_write_atomic(dir, base + 1, text, strlen(text), 0644, FD_SYNC_NO, &err),
			 0);
}

static void put_json(const char *name, const char *text)
{
	cleanup_json json_object *o = js(text);
	put(name, json_object_to_json_string_ext(o, JSON_C_TO_STRING_PLAIN));
}

static void put_record(const char *id, const char *manifest, const char *created,
		       const char *layers, const char *config)
{
	char name[128], text[2048];
	(void)snprintf(name, sizeof(name), "records/%s.json", id + 7);
	(void)snprintf(
		text, sizeof(text),
		"{'version':1,'id':'%s','manifest':'%s','created_ns':%s000000000,'size':1000,"
		"'architecture':'amd64','os':'linux','layers':%s,'diff_ids':['%s'],"
		"'config':%s}",
		id, manifest, created, layers, ID_A, config);
	put_json(name, text);
}

#define ENTRY(manifest, name)                                                                      \
	"{'digest':'" manifest "','annotations':{'org.opencontainers.image.ref.name':'" name "'}}"

static void put_two(void)
{
	put_record(ID_A, MAN_A, "1700000000", "['" LAYER0 "']", "{'Labels':{'k':'v'}}");
	put_record(ID_B, MAN_B, "1700000100", "['" LAYER0 "','" LAYER1 "']",
		   "{'Cmd':['sh'],'Env':['A=b']}");
	put_json(
		"images/index.json",
		"{'schemaVersion':2,'manifests':[" ENTRY(MAN_A, "docker.io/library/box:latest") "," ENTRY(MAN_A, "docker.io/library/box:1") "," ENTRY(
			MAN_A,
			"reg.example:5000/x/y:z") ","
						  "{'digest':'" MAN_B
						  "'}," ENTRY("sha256:nothing", "docker.io/library/ghost:1") "," ENTRY(
							  MAN_B, "not a name") ",17]}");
}

static int setup(void **state)
{
	static const char *const folders[] = { "images", "records", "layers", "tmp", "instances" };
	if (desk_setup(state) < 0)
		return -1;
	struct isolad *d = *state;
	(void)strcpy(state_dir, "/tmp/test_images.XXXXXX");
	if (!mkdtemp(state_dir))
		return -1;
	d->roots.state = strdup(state_dir);
	d->roots.state_fd = open(state_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	for (size_t i = 0; i < sizeof(folders) / sizeof(folders[0]); i++)
		(void)mkdirat(d->roots.state_fd, folders[i], 0755);
	d->programs.fds[PROGRAM_IMAGE] = open("/proc/self/exe", O_PATH | O_CLOEXEC);
	d->null_fd = open("/dev/null", O_RDWR | O_CLOEXEC);
	(void)getrlimit(RLIMIT_NOFILE, &d->nofile);
	return 0;
}

static int teardown(void **state)
{
	struct isolad *d = *state;
	images_close(d->images);
	(void)fd_remove_tree(AT_FDCWD, state_dir, NULL);
	fd_close(&d->roots.state_fd);
	fd_close(&d->programs.fds[PROGRAM_IMAGE]);
	fd_close(&d->null_fd);
	free(d->roots.state);
	return desk_teardown(state);
}

static struct isolad *open_store(void **state)
{
	struct isolad *d = *state;
	struct images *images = NULL;
	struct err err = ERR_INIT;
	if (images_open(d, &images, &err) < 0)
		fail_msg("%s", err.text);
	assert_ptr_equal(images, d->images);
	return d;
}

/* ---- table ---- */

static void images__read_an_empty_store(void **state)
{
	struct isolad *d = open_store(state);
	struct err err = ERR_INIT;
	assert_int_equal(d->images->n, 0);
	assert_null(image_find(d, "box", &err));
	assert_int_equal(err.code, ENOENT);
	assert_string_equal(err.text, "No such image: box:latest");
}

static void images__find_by_every_name(void **state)
{
	put_two();
	struct isolad *d = open_store(state);
	static const struct {
		const char *ref, *id;
	} rows[] = {
		{ "box", ID_A },
		{ "box:1", ID_A },
		{ "docker.io/library/box:latest", ID_A },
		{ "reg.example:5000/x/y:z", ID_A },
		{ ID_A, ID_A },
		{ HEX("b"), ID_B },
		{ "bbbbbbbbbbbb", ID_B },
		{ "sha256:bb", ID_B },
		{ "a", ID_A },
		{ "box@" MAN_A, ID_A },
	};
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct err err = ERR_INIT;
		json_object *record = image_find(d, rows[i].ref, &err);
		if (!record)
			fail_msg("%s: %s", rows[i].ref, err.text);
		assert_string_equal(json_str_or(record, "id", ""), rows[i].id);
	}
	static const struct {
		const char *ref;
		int code;
		const char *error;
	} bad[] = {
		{ "box:2", ENOENT, "No such image: box:2" },
		{ "ghost:1", ENOENT, "No such image: ghost:1" },
		{ "box@" MAN_B, ENOENT, "No such image: box@" MAN_B },
		{ "sha256:cc", ENOENT, "No such image: sha256:cc" },
		{ HEX("e"), ENOENT, "No such image: " HEX("e") },
	};
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct err err = ERR_INIT;
		assert_null(image_find(d, bad[i].ref, &err));
		assert_int_equal(err.code, bad[i].code);
		assert_string_equal(err.text, bad[i].error);
	}
	struct err err = ERR_INIT;
	assert_null(image_find(d, "BAD NAME", &err));
	assert_int_equal(err.code, EINVAL);
	assert_null(image_find(d, "", &err));
}

static void images__leave_out_bad_records(void **state)
{
	put_two();
	static const char *const bad[] = {
		"{'version':2,'id':'sha256:" HEX("e") "'}",
		"{'version':1,'id':'" ID_A "'}",
		"{'version':1,'id':'sha256:" HEX("e") "','manifest':'x'}",
		"{'version':1,'id':'sha256:" HEX("e") "','manifest':'" MAN_A "'}",
		"{'version':1,'id':'sha256:" HEX("e") "','manifest':'" MAN_A
						      "','layers':['../../etc']}",
		"{'version':1,'id':'sha256:" HEX("e") "','manifest':'" MAN_A "','layers':[],"
						      "'config':{'Env':[1]}}",
		"{'version':1,'id':'sha256:" HEX("e") "','manifest':'" MAN_A "','layers':[],"
						      "'config':{'Labels':[]}}",
		"[]",
	};
	struct isolad *d = open_store(state);
	struct err err = ERR_INIT;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		put_json("records/" HEX("e") ".json", bad[i]);
		assert_int_equal(images_reload(d->images, &err), 0);
		assert_int_equal(d->images->n, 2);
	}
	put("records/" HEX("e") ".json", "{");
	put("records/readme", "x");
	put("records/" HEX("E") ".json", "{}");
	assert_int_equal(images_reload(d->images, &err), 0);
	assert_int_equal(d->images->n, 2);
}

static void images__follow_the_disk(void **state)
{
	put_two();
	struct isolad *d = open_store(state);
	struct err err = ERR_INIT;
	json_object *before = image_find(d, "box", NULL);
	assert_int_equal(images_reload(d->images, &err), 0);
	/* Unchanged records are not read again. */
	assert_ptr_equal(image_find(d, "box", NULL), before);
	put_json("images/index.json",
		 "{'manifests':[" ENTRY(MAN_B, "docker.io/library/box:latest") "]}");
	assert_int_equal(images_reload(d->images, &err), 0);
	assert_string_equal(json_str_or(image_find(d, "box", NULL), "id", ""), ID_B);
	assert_int_equal(unlinkat(d->roots.state_fd, "records/" HEX("b") ".json", 0), 0);
	assert_int_equal(images_reload(d->images, &err), 0);
	assert_null(image_find(d, "box", NULL));
	assert_int_equal(d->images->n, 1);
	put("images/index.json", "{'manifests': [");
	assert_true(images_reload(d->images, &err) < 0);
	assert_int_equal(d->images->n, 1);
}

/* ---- views ---- */

static void image_list__filters(void **state)
{
	put_two();
	struct isolad *d = open_store(state);
	static const struct {
		const char *filters, *want;
	} rows[] = {
		{ "{}", "b a" },
		{ "{'dangling':['true']}", "b" },
		{ "{'dangling':['false']}", "a" },
		{ "{'label':['k']}", "a" },
		{ "{'label':['k=w']}", "" },
		{ "{'before':['bb']}", "a" },
		{ "{'since':['box']}", "b" },
		{ "{'reference':['box']}", "a" },
		{ "{'reference':['b*:1']}", "a" },
		{ "{'reference':['nothing']}", "" },
		{ "{'until':['1700000050']}", "a" },
	};
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		cleanup_json json_object *filters = js(rows[i].filters);
		struct err err = ERR_INIT;
		char got[64] = "";
		cleanup_json json_object *list = image_list(d, false, filters, &err);
		if (!list)
			fail_msg("%s", err.text);
		for (size_t k = 0; k < json_len(list); k++)
			(void)snprintf(
				got + strlen(got), sizeof(got) - strlen(got), "%s%c", k ? " " : "",
				json_str_or(json_object_array_get_idx(list, k), "Id", "")[7]);
		assert_string_equal(got, rows[i].want);
	}
	cleanup_json json_object *filters = js("{'reference':['box:1']}");
	cleanup_json json_object *list = image_list(d, false, filters, NULL);
	assert_json(json_get(json_object_array_get_idx(list, 0), "RepoTags"), "['box:1']");
	static const char *const bad[] = { "{'colour':['x']}", "{'dangling':['maybe']}",
					   "{'before':['nobody']}", "{'until':['x']}" };
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		cleanup_json json_object *f = js(bad[i]);
		struct err err = ERR_INIT;
		assert_null(image_list(d, false, f, &err));
		assert_true(err.code != 0);
	}
}

static void image_views__have_docker_s_shape(void **state)
{
	put_two();
	struct isolad *d = open_store(state);
	cleanup_json json_object *list = image_list(d, false, NULL, NULL);
	assert_json(json_object_array_get_idx(list, 1),
		    "{'Containers':-1,'Created':1700000000,'Id':'" ID_A "','Labels':{'k':'v'},"
		    "'ParentId':'','RepoDigests':[],'RepoTags':['box:1','box:latest',"
		    "'reg.example:5000/x/y:z'],'SharedSize':-1,'Size':1000}");
	cleanup_json json_object *o = image_inspect(d, "bb", NULL);
	assert_string_equal(json_str_or(o, "Id", ""), ID_B);
	assert_json(json_get(o, "RepoTags"), "[]");
	assert_json(json_get(o, "RootFS"), "{'Type':'layers','Layers':['" ID_A "']}");
	assert_json(json_get(o, "Config"),
		    "{'Hostname':'','Domainname':'','User':'','AttachStdin':false,"
		    "'AttachStdout':false,'AttachStderr':false,'Tty':false,'OpenStdin':false,"
		    "'StdinOnce':false,'Env':['A=b'],'Cmd':['sh'],'Image':'','Volumes':null,"
		    "'WorkingDir':'','Entrypoint':null,'OnBuild':null,'Labels':null}");
}

/* ---- jobs ---- */

struct outcome {
	bool done;
	struct err err;
	char result[2048], progress[256];
	unsigned int lines;
};

static void on_done(void *arg, const struct err *err, json_object *result)
{
	struct outcome *o = arg;
	assert_false(o->done);
	o->done = true;
	if (err)
		o->err = *err;
	(void)snprintf(o->result, sizeof(o->result), "%s", result ? text_of(result) : "-");
}

static void on_progress(void *arg, const char *line, size_t size)
{
	struct outcome *o = arg;
	assert_false(o->done);
	o->lines++;
	(void)snprintf(o->progress, sizeof(o->progress), "%.*s", (int)size, line);
}

static void wait_done(struct isolad *d, struct outcome *o)
{
	while (!o->done && uv_run(&d->loop, UV_RUN_ONCE))
		;
	assert_true(o->done);
}

/* What the stand-in does is the reference it is to import. */
static void import(struct isolad *d, const char *ref, struct outcome *o, bool cancel)
{
	const struct image_import args = { .ref = ref };
	struct image_job *job;
	struct err err = ERR_INIT;
	int fd = -1;
	*o = (struct outcome){ .done = false };
	if (image_job_start(d, &args, on_progress, on_done, o, &job, &fd, &err) < 0)
		fail_msg("%s", err.text);
	assert_false(o->done);
	assert_true(write(fd, "archive", 7) == 7);
	fd_close(&fd);
	if (cancel)
		image_job_cancel(job);
	wait_done(d, o);
}

static void image_job__reports_what_the_helper_says(void **state)
{
	put_two();
	struct isolad *d = open_store(state);
	struct outcome o;
	import(d, "good", &o, false);
	assert_string_equal(o.err.text, "");
	assert_string_equal(o.result, "{'ID':'" ID_B "','Refs':['docker.io/library/good:latest']}");
	assert_int_equal(o.lines, 3);
	assert_string_equal(o.progress, "{\"stream\":\"7 bytes\"}");
	import(d, "bad", &o, false);
	assert_string_equal(o.err.text, "it is not an archive");
	assert_int_equal(o.err.code, EINVAL);
	import(d, "silent", &o, false);
	assert_string_equal(o.err.text, "isola-image ended with status 0 and no result");
	import(d, "crash", &o, false);
	assert_string_equal(o.err.text, "isola-image was killed by signal 6");
	import(d, "hang", &o, true);
	assert_string_equal(o.err.text, "the image job was cancelled");
	assert_int_equal(o.err.code, ECANCELED);
	import(d, "flood", &o, false);
	assert_string_equal(o.err.text, "isola-image was killed by signal 9");
	assert_true(list_is_empty(&d->images->jobs));
}

static void image_job__refuses_a_bad_name_at_once(void **state)
{
	struct isolad *d = open_store(state);
	const struct image_import args = { .ref = "Bad Name" };
	struct image_job *job;
	struct err err = ERR_INIT;
	int fd = -1;
	assert_true(image_job_start(d, &args, NULL, on_done, NULL, &job, &fd, &err) < 0);
	assert_int_equal(err.code, EINVAL);
	assert_int_equal(fd, -1);
}

static void images_stop__answers_who_waits(void **state)
{
	struct isolad *d = open_store(state);
	const struct image_import args = { .ref = "hang" };
	struct outcome o = { .done = false };
	struct image_job *job;
	int fd = -1;
	assert_int_equal(image_job_start(d, &args, on_progress, on_done, &o, &job, &fd, NULL), 0);
	images_stop(d->images);
	wait_done(d, &o);
	assert_int_equal(o.err.code, ECANCELED);
	fd_close(&fd);
	children_close(d);
}

/* ---- remove, tag, prune ---- */

static struct instance *use_image(struct isolad *d, const char *ref, enum instance_state state)
{
	struct instance *inst = desk_instance(d, "user", NULL);
	json_object_put(inst->image);
	inst->image = json_object_get(image_find(d, ref, NULL));
	(void)memset(inst->id, 'f', 64);
	inst->state = state;
	return inst;
}

static void removal(struct isolad *d, const char *ref, bool force, struct outcome *o)
{
	*o = (struct outcome){ .done = false };
	image_remove(d, ref, force, true, on_done, o);
	assert_false(o->done);
	wait_done(d, o);
}

/* The stand-in changes nothing on disk, so each row sees the same store. */
static void image_remove__follows_docker_s_rules(void **state)
{
	put_two();
	struct isolad *d = open_store(state);
	static const struct {
		const char *ref;
		bool force;
		int user; /* state of a container, -1 = none */
		const char *of, *want;
	} rows[] = {
		{ "box:1", false, -1, NULL, "[{'Untagged':'box:1'}]" },
		{ "box:1", false, INSTANCE_RUNNING, "box", "[{'Untagged':'box:1'}]" },
		{ "aaaa", false, -1, NULL,
		  "conflict: unable to delete aaaaaaaaaaaa (must be forced) - image is referenced "
		  "in multiple repositories" },
		{ "aaaa", true, -1, NULL,
		  "[{'Untagged':'box:1'},{'Untagged':'box:latest'},"
		  "{'Untagged':'reg.example:5000/x/y:z'},{'Deleted':'" ID_A "'}]" },
		{ "aaaa", true, INSTANCE_RUNNING, "box",
		  "conflict: unable to delete aaaaaaaaaaaa (cannot be forced) - image is being "
		  "used by running container ffffffffffff" },
		/* What a stopped container needs stays on the disk, without a name. */
		{ "aaaa", true, INSTANCE_EXITED, "box",
		  "[{'Untagged':'box:1'},{'Untagged':'box:latest'},"
		  "{'Untagged':'reg.example:5000/x/y:z'}]" },
		{ "bb", false, -1, NULL,
		  "[{'Deleted':'" ID_B "'},{'Deleted':'sha256:" LAYER1 "'}]" },
		{ "bb", false, INSTANCE_EXITED, "bb",
		  "conflict: unable to delete bbbbbbbbbbbb (cannot be forced) - image is being "
		  "used by stopped container ffffffffffff" },
		{ "nothing", false, -1, NULL, "No such image: nothing:latest" },
	};
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct outcome o;
		struct instance *inst =
			rows[i].user < 0
				? NULL
				: use_image(d, rows[i].of, (enum instance_state)rows[i].user);
		removal(d, rows[i].ref, rows[i].force, &o);
		assert_string_equal(o.err.code ? o.err.text : o.result, rows[i].want);
		if (!inst)
			continue;
		inst->state = INSTANCE_EXITED;
		registry_remove(inst);
		instance_free(inst);
	}
}

static void image_remove__of_the_last_name_takes_the_image(void **state)
{
	put_two();
	put_json("images/index.json",
		 "{'manifests':[" ENTRY(MAN_A, "docker.io/library/box:1") "]}");
	struct isolad *d = open_store(state);
	struct outcome o;
	removal(d, "box:1", false, &o);
	assert_string_equal(o.result, "[{'Untagged':'box:1'},{'Deleted':'" ID_A "'}]");
	struct instance *inst = use_image(d, "box:1", INSTANCE_EXITED);
	removal(d, "box:1", false, &o);
	assert_string_equal(o.err.text,
			    "conflict: unable to remove repository reference \"box:1\" (must "
			    "force) - container ffffffffffff is using its referenced image "
			    "aaaaaaaaaaaa");
	assert_int_equal(o.err.code, EBUSY);
	removal(d, "box:1", true, &o);
	assert_string_equal(o.result, "[{'Untagged':'box:1'}]");
	(void)inst;
}

/* Nobody may make a container of an image that is about to go. */
static void image_remove__hides_the_image_at_once(void **state)
{
	put_two();
	struct isolad *d = open_store(state);
	struct outcome o = { .done = false };
	image_remove(d, "bb", false, true, on_done, &o);
	assert_null(image_find(d, "bb", NULL));
	wait_done(d, &o);
	/* The stand-in deleted nothing: it is there again. */
	assert_non_null(image_find(d, "bb", NULL));
}

static void image_tag__checks_the_name(void **state)
{
	put_two();
	struct isolad *d = open_store(state);
	static const struct {
		const char *ref, *name, *error;
	} rows[] = {
		{ "bb", "new/name:2", "" },
		{ "nothing", "x", "No such image: nothing:latest" },
		{ "bb", "x@" MAN_A, "refusing to create a tag with a digest reference: x@" MAN_A },
	};
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct outcome o = { .done = false };
		image_tag(d, rows[i].ref, rows[i].name, on_done, &o);
		wait_done(d, &o);
		assert_string_equal(o.err.text, rows[i].error);
	}
	const char *event = d->events.ring[0];
	assert_non_null(event);
	assert_non_null(strstr(event, "\"Action\":\"tag\""));
	assert_non_null(strstr(event, "\"name\":\"new/name:2\""));
}

static void image_prune__takes_what_nobody_needs(void **state)
{
	put_two();
	struct isolad *d = open_store(state);
	static const struct {
		const char *filters, *want;
	} rows[] = {
		{ "{}", "{'ImagesDeleted':[{'Deleted':'" ID_B "'},{'Deleted':'sha256:" LAYER1
			"'}],'SpaceReclaimed':500}" },
		{ "{'until':['1700000050']}", "{'ImagesDeleted':[],'SpaceReclaimed':0}" },
		{ "{'label!':['k']}", "{'ImagesDeleted':[{'Deleted':'" ID_B
				      "'},{'Deleted':'sha256:" LAYER1 "'}],'SpaceReclaimed':500}" },
		{ "{'label':['k']}", "{'ImagesDeleted':[],'SpaceReclaimed':0}" },
		{ "{'label':['k'],'dangling':['false']}",
		  "{'ImagesDeleted':[{'Untagged':'box:1'},{'Untagged':'box:latest'},"
		  "{'Untagged':'reg.example:5000/x/y:z'},{'Deleted':'" ID_A
		  "'}],'SpaceReclaimed':0}" },
		{ "{'dangling':['x']}", "invalid filter 'dangling=x'" },
		{ "{'colour':['x']}", "invalid filter 'colour'" },
	};
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		cleanup_json json_object *filters = js(rows[i].filters);
		struct outcome o = { .done = false };
		image_prune(d, filters, on_done, &o);
		wait_done(d, &o);
		assert_string_equal(o.err.code ? o.err.text : o.result, rows[i].want);
	}
}

/* ---- the stand-in for isola-image ---- */

static int stand_in(int argc, char **argv)
{
	const char *ref = "";
	char bytes[64];
	for (int i = 1; i + 1 < argc; i++)
		ref = strcmp(argv[i], "--ref") ? ref : argv[i + 1];
	/* It gets full names. */
	char short_ref[64] = "";
	if (!strncmp(ref, "docker.io/library/", 18))
		(void)snprintf(short_ref, sizeof(short_ref), "%.*s", (int)strcspn(ref + 18, ":"),
			       ref + 18);
	ref = short_ref;
	if (strcmp(argv[1], "import") != 0) {
		/* only the second image has bytes of its own */
		bool frees = !strcmp(argv[1], "delete") && !strcmp(argv[argc - 1], ID_B);
		(void)printf("{\"aux\":{\"ID\":\"%s\",\"Freed\":%d}}\n", argv[argc - 1],
			     frees ? 500 : 0);
		return 0;
	}
	ssize_t n = read(0, bytes, sizeof(bytes));
	if (!strcmp(ref, "good")) {
		(void)printf("{\"status\":\"Loading layer\"}\n"
			     "{\"progressDetail\":{},\"aux\":{\"Tag\":\"the client's\"}}\n"
			     "{\"stream\":\"%zd bytes\"}\nnoise\n"
			     "{\"aux\":{\"ID\":\"" ID_B "\",\"Refs\":"
			     "[\"docker.io/library/good:latest\"]}}",
			     n);
	} else if (!strcmp(ref, "bad")) {
		(void)printf("{\"error\":\"it is not an archive\"}\n");
		return 1;
	} else if (!strcmp(ref, "crash")) {
		abort();
	} else if (!strcmp(ref, "hang")) {
		(void)pause();
	} else if (!strcmp(ref, "flood")) {
		for (;;)
			(void)write(1, bytes, sizeof(bytes));
	}
	return 0;
}

int main(int argc, char **argv)
{
	if (!strcmp(argv[0], "isola-image"))
		return stand_in(argc, argv);
	log_init("test_images", LOG_LEVEL_ERR);
	const struct CMUnitTest tests[] = {
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
		T(images__read_an_empty_store),
		T(images__find_by_every_name),
		T(images__leave_out_bad_records),
		T(images__follow_the_disk),
		T(image_list__filters),
		T(image_views__have_docker_s_shape),
		T(image_job__reports_what_the_helper_says),
		T(image_job__refuses_a_bad_name_at_once),
		T(images_stop__answers_who_waits),
		T(image_remove__follows_docker_s_rules),
		T(image_remove__of_the_last_name_takes_the_image),
		T(image_remove__hides_the_image_at_once),
		T(image_tag__checks_the_name),
		T(image_prune__takes_what_nobody_needs),
#undef T
	};
	return cmocka_run_group_tests_name("images", tests, NULL, NULL);
}

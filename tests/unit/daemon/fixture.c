/* SPDX-License-Identifier: Apache-2.0 */
/* fixture - see fixture.h. */
#include "fixture.h"

#include "daemon/images_priv.h"
#include "isola/fd.h"
#include "isola/json.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

json_object *js(const char *text)
{
	cleanup_free char *copy = strdup(text);
	json_object *o = NULL;
	struct err err = ERR_INIT;
	for (char *p = copy; *p; p++)
		*p = *p == '\'' ? '"' : *p;
	if (json_parse(copy, strlen(copy), "test", &o, &err) < 0)
		fail_msg("%s in %s", err.text, text);
	return o;
}

const char *text_of(json_object *o)
{
	static char bufs[4][32768];
	static unsigned int next;
	char *buf = bufs[next++ % 4];
	(void)snprintf(buf, sizeof(bufs[0]), "%s",
		       json_object_to_json_string_ext(o, JSON_C_TO_STRING_PLAIN |
								 JSON_C_TO_STRING_NOSLASHESCAPE));
	for (char *p = buf; *p; p++)
		*p = *p == '"' ? '\'' : *p;
	return buf;
}

void assert_json(json_object *o, const char *text)
{
	cleanup_json json_object *want = js(text);
	if (!json_object_equal(o, want))
		fail_msg("got  %s\nwant %s", text_of(o), text_of(want));
}

static const struct config defaults = {
	.default_log_driver = (char *)(uintptr_t) "json-file",
	.default_log_max_size = 10485760,
	.default_log_max_file = 3,
	.default_stop_timeout = 10,
	.default_shm_size = 67108864,
	.default_isolation = (char *)(uintptr_t) "container",
	.default_userns = (char *)(uintptr_t) "private",
};

struct isolad *fixture_isolad(void)
{
	struct isolad *d = calloc(1, sizeof(*d));
	assert_non_null(d);
	d->config = defaults;
	d->roots = (struct roots){ .state = (char *)(uintptr_t) "/state",
				   .run = (char *)(uintptr_t) "/run/isola",
				   .state_fd = -1,
				   .run_fd = -1,
				   .instances_fd = -1 };
	d->place = (struct place){ .parent = (char *)(uintptr_t) "/isola",
				   .controllers = (char *)(uintptr_t)ALL_CONTROLLERS };
	d->images = calloc(1, sizeof(*d->images));
	assert_non_null(d->images);
	d->images->d = d;
	list_init(&d->images->jobs);
	registry_init(&d->registry);
	events_init(&d->events);
	list_init(&d->children);
	list_init(&d->wrecks);
	list_init(&d->taps);
	list_init(&d->execs);
	assert_int_equal(uidrange_init(&d->uidrange, 1048576, 16, NULL), 0);
	return d;
}

void fixture_isolad_free(struct isolad *d)
{
	while (!list_is_empty(&d->registry.instances)) {
		struct instance *inst =
			container_of(d->registry.instances.next, struct instance, node);
		registry_remove(inst);
		instance_free(inst);
	}
	images_close(d->images);
	events_fini(&d->events);
	uidrange_fini(&d->uidrange);
	free(d);
}

static unsigned int two_cpus(void)
{
	return 2;
}

static struct instance donor = {
	.id = FIXTURE_DONOR,
	.userns_base = 2097152,
	.pid = 4242,
	.state = INSTANCE_RUNNING,
};

static int find(void *arg, const char *ref, struct instance **ret, struct err *err)
{
	(void)arg;
	if (strcmp(ref, "donor") != 0 && strcmp(ref, FIXTURE_DONOR) != 0)
		return err_set(err, ENOENT, "No such container: %s", ref);
	*ret = &donor;
	return 0;
}

static const char image[] =
	"{'version': 1,"
	" 'id': 'sha256:1111111111111111111111111111111111111111111111111111111111111111',"
	" 'manifest': 'sha256:2222222222222222222222222222222222222222222222222222222222222222',"
	" 'created_ns': 1700000000000000000, 'size': 1000, 'architecture': 'amd64', 'os': 'linux',"
	" 'layers': ['aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa',"
	"            'bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb'],"
	" 'config': {'Env': ['PATH=/bin', 'LANG=C'], 'Cmd': ['sh'], 'WorkingDir': '/srv',"
	"            'Labels': {'from': 'image'}, 'User': 'www', 'StopSignal': 'SIGQUIT'}}";

void fixture_env(struct create_env *env, struct isolad *d, const char *controllers)
{
	*env = (struct create_env){
		.id = FIXTURE_ID,
		.controllers = controllers,
		.cpus = two_cpus,
		.config = &d->config,
		.image = js(image),
		.find = find,
		.no_guests = "there is no /dev/kvm",
	};
}

void fixture_env_fini(struct create_env *env)
{
	json_object_put(env->image);
}

struct instance *fixture_instance(struct isolad *d, const char *name, const char *body)
{
	struct create_env env;
	struct err err = ERR_INIT;
	fixture_env(&env, d, ALL_CONTROLLERS);
	cleanup_json json_object *request = js(body), *warnings = json_object_new_array();
	struct instance *inst = instance_new(d, &err);
	assert_non_null(inst);
	if (create_normalise(&env, request, warnings, &inst->config, &inst->host_config,
			     &inst->networking, &err) < 0)
		fail_msg("%s", err.text);
	inst->image = env.image;
	inst->image_ref = strdup(json_str_or(request, "Image", "img"));
	inst->name = strdup(name);
	inst->created_ns = 1700000000000000000;
	if (strcmp(json_str_or(inst->host_config, "UsernsMode", ""), "host") != 0)
		assert_int_equal(uidrange_take(&d->uidrange, &inst->userns_base, NULL), 0);
	assert_int_equal(instance_apply_host_config(inst, &err), 0);
	assert_int_equal(registry_add(d, inst, &err), 0);
	return inst;
}

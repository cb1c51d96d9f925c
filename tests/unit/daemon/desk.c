/* SPDX-License-Identifier: Apache-2.0 */
/* desk - see desk.h. */
#include "desk.h"

#include "isola/json.h"
#include "isola/wire.h"
#include "daemon/life.h"

#include <stdlib.h>
#include <string.h>

int desk_setup(void **state)
{
	struct isolad *d = calloc(1, sizeof(*d));
	if (!d || uv_loop_init(&d->loop) < 0)
		return -1;
	registry_init(&d->registry);
	events_init(&d->events);
	roots_init(&d->roots);
	programs_init(&d->programs);
	list_init(&d->taps);
	list_init(&d->execs);
	list_init(&d->children);
	list_init(&d->wrecks);
	d->notify.fd = d->null_fd = d->listen_fd = -1;
	d->config.default_stop_timeout = 10;
	(void)uidrange_init(&d->uidrange, 65536, 16, NULL);
	(void)later_init(&d->later, &d->loop);
	*state = d;
	return 0;
}

int desk_teardown(void **state)
{
	struct isolad *d = *state;
	while (!list_is_empty(&d->registry.instances)) {
		struct instance *inst =
			container_of(d->registry.instances.next, struct instance, node);
		registry_remove(inst);
		instance_free(inst);
	}
	later_fini(&d->later);
	(void)uv_run(&d->loop, UV_RUN_DEFAULT);
	int rc = uv_loop_close(&d->loop);
	events_fini(&d->events);
	uidrange_fini(&d->uidrange);
	free(d);
	return rc;
}

void desk_turn(struct isolad *d)
{
	for (int i = 0; i < 4; i++)
		(void)uv_run(&d->loop, UV_RUN_NOWAIT);
}

int desk_link(struct isolad *d, const struct link_handler *handler, void *arg, struct link **link,
	      int *ret_peer)
{
	int socks[2];
	int rc = wire_pair(socks, NULL);
	if (rc < 0)
		return rc;
	*ret_peer = socks[1];
	return link_new(d, socks[0], handler, arg, link, NULL);
}

json_object *desk_json(const char *text)
{
	char *copy = strdup(text);
	for (char *p = copy; *p; p++)
		if (*p == '\'')
			*p = '"';
	json_object *o = NULL;
	assert_int_equal(json_parse(copy, strlen(copy), "test", &o, NULL), 0);
	free(copy);
	return o;
}

void desk_say(struct isolad *d, int peer, const char *text)
{
	json_object *o = desk_json(text);
	assert_int_equal(wire_send(peer, o, NULL, 0, NULL), 0);
	json_object_put(o);
	desk_turn(d);
}

struct instance *desk_instance(struct isolad *d, const char *name, const char *host_config)
{
	struct instance *inst = instance_new(d, NULL);
	assert_non_null(inst);
	inst->name = strdup(name);
	inst->image_ref = strdup("box:latest");
	inst->config = desk_json("{'Labels':{'tier':'web'}}");
	inst->host_config = desk_json(host_config ? host_config : "{}");
	inst->image = desk_json("{'id':'sha256:00'}");
	assert_int_equal(instance_apply_host_config(inst, NULL), 0);
	assert_int_equal(registry_add(d, inst, NULL), 0);
	return inst;
}

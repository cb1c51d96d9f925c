/* SPDX-License-Identifier: Apache-2.0 */
/* fuzz_create_vm - a client's VmConfig, or {"config": VmConfig, "update": VmUpdate}.
 * What was accepted must be accepted again in the form inspect shows, unchanged, and
 * the machine file made of it must be one that isola-vmm takes. */
#include "create_env.h"
#include "daemon/vm.h"
#include "isola/fd.h"
#include "vmm/machine.h"

#include <stdio.h>
#include <stdlib.h>

/* {"path"} and the like become {"fd"}, as the keeper does it. */
static json_object *give_fds(json_object *o, int *next)
{
	if (json_object_is_type(o, json_type_array)) {
		for (size_t i = 0; i < json_object_array_length(o); i++)
			(void)json_object_array_put_idx(
				o, i,
				give_fds(json_object_get(json_object_array_get_idx(o, i)), next));
		return o;
	}
	if (!json_object_is_type(o, json_type_object))
		return o;
	static const char *const kinds[] = { "path", "data", "name", "folder", "pty" };
	for (size_t i = 0; i < 5; i++) {
		if (!json_get(o, kinds[i]))
			continue;
		json_object_put(o);
		o = json_object_new_object();
		json_add_i64(o, "fd", (*next)++);
		return o;
	}
	json_object_object_foreach (o, key, v) {
		/* A template is the user's own. */
		if (strcmp(key, "template") != 0)
			json_add(o, key, give_fds(json_object_get(v), next));
	}
	return o;
}

/* A tap with several queues is one descriptor each. */
static void spread_taps(json_object *machine, int *next)
{
	json_object *nets = json_get(machine, "nets");
	for (size_t i = 0; i < json_len(nets); i++) {
		json_object *net = json_object_array_get_idx(nets, i);
		int64_t n = json_i64_or(net, "queues", 1);
		if (!json_get(net, "tap") || n < 2)
			continue;
		json_object *list = json_object_new_array();
		for (int64_t k = 0; k < n; k++) {
			json_object *fd = json_object_new_object();
			json_add_i64(fd, "fd", (*next)++);
			(void)json_object_array_add(list, fd);
		}
		json_add(net, "tap", list);
	}
}

static void check_machine(json_object *config)
{
	struct instance inst = { .id = "0123456789abcdef", .userns_base = 65536 };
	struct isolad *none = NULL;
	json_object *machine = NULL;
	struct machine parsed;
	struct err err = ERR_INIT;
	int next = 5;
	inst.isolad = none;
	list_init(&inst.endpoints);
	inst.config = config;
	json_object *vsock = json_get(config, "Vsock");
	/* Without a path of its own it lies in isolad's run folder. */
	if (vsock && !*json_str_or(vsock, "Path", ""))
		json_add_str(vsock, "Path", "/run/v.sock");
	if (vm_machine(&inst, &machine, &err) < 0)
		abort();
	/* What is in a template, the worker judges. */
	json_add_str(json_get(machine, "cpus"), "template", "host");
	machine = give_fds(machine, &next);
	spread_taps(machine, &next);
	if (machine_parse(machine, false, &parsed, &err) < 0) {
		(void)fprintf(stderr, "%s\n", err.text);
		abort();
	}
	machine_fini(&parsed);
}

static json_object *normalise(const struct create_env *env, json_object *body)
{
	cleanup_json json_object *warnings = json_object_new_array();
	json_object *config = NULL, *again = NULL;
	struct err err = ERR_INIT;
	if (create_vm_normalise(env, body, warnings, &config, &err) < 0) {
		if (!err.code || !*err.text)
			abort();
		return NULL;
	}
	if (create_vm_normalise(env, config, warnings, &again, &err) < 0 ||
	    !json_object_equal(config, again)) {
		(void)fprintf(stderr, "again: %s\n", err.text);
		abort();
	}
	json_object_put(again);
	return config;
}

static void try_update(const struct create_env *env, json_object *config, json_object *body)
{
	cleanup_json json_object *next = NULL, *calls = NULL;
	struct err err = ERR_INIT;
	if (create_vm_update(env, config, body, &next, &calls, &err) < 0) {
		if (!err.code || !*err.text)
			abort();
		return;
	}
	cleanup_json json_object *again = normalise(env, next);
	if (!again)
		abort();
	check_machine(again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	cleanup_json json_object *body = NULL;
	struct create_env env;
	if (json_parse((const char *)data, size, "body", &body, NULL) < 0)
		return 0;
	fuzz_env(&env);
	json_object *inner = json_get(body, "config");
	cleanup_json json_object *config = normalise(&env, inner ? inner : body);
	if (!config)
		return 0;
	if (inner)
		try_update(&env, config, json_get(body, "update"));
	check_machine(config);
	return 0;
}

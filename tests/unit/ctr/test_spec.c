/* SPDX-License-Identifier: Apache-2.0 */
/* spec - the document as a whole, hooks, and contradictions between sections. */
#include "spec_doc.h"

#include "ctr/spec.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static void spec__takes_the_least(void **state)
{
	(void)state;
	struct ctr_spec *s = good_spec("{}");
	assert_string_equal(s->root_path, "rootfs");
	assert_false(s->root_readonly);
	assert_null(s->hostname);
	assert_null(s->seccomp);
	assert_null(s->resources);
	assert_non_null(s->masked_paths);
	assert_null(s->masked_paths[0]);
	assert_int_equal(ctr_spec_clone_flags(s),
			 CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWIPC | CLONE_NEWUTS | CLONE_NEWNET);
	assert_ptr_equal(ctr_spec_process(s), s->process);
	assert_false(ctr_process_terminal(s->process));
	ctr_spec_free(s);
	ctr_spec_free(NULL);
}

static void spec__ignores_unknown_properties(void **state)
{
	(void)state;
	ctr_spec_free(good_spec("{\"zos\":{\"x\":1},\"process\":{\"frob\":[1]},"
				"\"linux\":{\"frob\":{},\"intelRdt\":{},\"netDevices\":{}},"
				"\"hooks\":{\"frob\":[1]},\"annotations\":{\"a.b\":\"\"}}"));
}

static void spec__takes_a_container_without_process(void **state)
{
	(void)state;
	struct ctr_spec *s = good_spec("{\"process\":null}");
	assert_null(s->process);
	ctr_spec_free(s);
}

static void spec__takes_its_own_default(void **state)
{
	(void)state;
	for (int rootless = 0; rootless < 2; rootless++) {
		json_object *doc = ctr_spec_default(rootless);
		struct ctr_spec *s = NULL;
		struct err err = ERR_INIT;
		assert_non_null(doc);
		if (ctr_spec_parse(doc, &s, &err) < 0)
			fail_msg("%s", err.text);
		assert_non_null(s->seccomp);
		assert_int_equal(s->ns[CTR_NS_USER].mode, rootless ? CTR_NS_NEW : CTR_NS_HOST);
		assert_int_equal(s->resources != NULL, !rootless);
		ctr_spec_free(s);
		json_object_put(doc);
	}
}

static void spec__names_what_is_wrong(void **state)
{
	(void)state;
	static const struct bad_row rows[] = {
		{ "{\"ociVersion\":null}", "ociVersion: is missing" },
		{ "{\"ociVersion\":\"2.0.0\"}",
		  "ociVersion: \"2.0.0\" is not supported, 1.x.y is" },
		{ "{\"ociVersion\":\"1.2\"}", "ociVersion: \"1.2\" is not supported, 1.x.y is" },
		{ "{\"ociVersion\":\"1\"}", "ociVersion: \"1\" is not supported, 1.x.y is" },
		{ "{\"ociVersion\":\"10.0.0\"}",
		  "ociVersion: \"10.0.0\" is not supported, 1.x.y is" },
		{ "{\"ociVersion\":1}", "ociVersion: must be a string" },
		{ "{\"root\":null}", "root: is missing" },
		{ "{\"root\":{}}", "root.path: is missing" },
		{ "{\"root\":{\"path\":\"a\\u0000b\"}}", "root.path: must not hold a NUL byte" },
		{ "{\"root\":{\"path\":\"r\",\"readonly\":1}}",
		  "root.readonly: must be true or false" },
		{ "{\"linux\":null}", "linux: is missing" },
		{ "{\"linux\":[]}", "linux: must be an object" },
		{ "{\"process\":7}", "process: must be an object" },
		{ "{\"hostname\":\"0123456789012345678901234567890123456789012345678901234567890123x\"}",
		  "hostname: is longer than 64 bytes" },
		{ "{\"annotations\":{\"a\":1}}", "annotations.a: must be a string" },
		{ "{\"annotations\":{\"\":\"x\"}}", "annotations: has an empty key" },
		{ "{\"hooks\":{\"poststop\":[{\"path\":\"/a\"},{\"path\":\"x\"}]}}",
		  "hooks.poststop[1].path: must be an absolute path, not \"x\"" },
		{ "{\"hooks\":{\"prestart\":[{}]}}", "hooks.prestart[0].path: is missing" },
		{ "{\"hooks\":{\"prestart\":[{\"path\":\"/a\",\"timeout\":0}]}}",
		  "hooks.prestart[0].timeout: must be 1 to 86400" },
		{ "{\"hooks\":{\"prestart\":[{\"path\":\"/a\",\"args\":[1]}]}}",
		  "hooks.prestart[0].args[0]: must be a string" },
		{ "{\"hooks\":[]}", "hooks: must be an object" },
		{ "{\"hooks\":{\"prestart\":{}}}", "hooks.prestart: must be an array" },
	};
	CHECK_BAD(rows);
}

static void spec__compares_sections(void **state)
{
	(void)state;
	static const struct bad_row rows[] = {
		{ "{\"linux\":{\"namespaces\":[]},\"root\":{\"path\":\"r\",\"readonly\":true}}",
		  "linux.namespaces: mounts, linux.devices, linux.maskedPaths, "
		  "linux.readonlyPaths, linux.rootfsPropagation and root.readonly need a new "
		  "mount namespace" },
		{ "{\"linux\":{\"namespaces\":[{\"type\":\"mount\",\"path\":\"/proc/1/ns/mnt\"}]},"
		  "\"mounts\":[{\"destination\":\"/x\",\"type\":\"tmpfs\"}]}",
		  "linux.namespaces: mounts, linux.devices, linux.maskedPaths, "
		  "linux.readonlyPaths, linux.rootfsPropagation and root.readonly need a new "
		  "mount namespace" },
		{ "{\"hostname\":\"x\",\"linux\":{\"namespaces\":[{\"type\":\"mount\"}]}}",
		  "hostname: needs a uts namespace in linux.namespaces" },
		{ "{\"domainname\":\"x\",\"linux\":{\"namespaces\":[{\"type\":\"mount\"}]}}",
		  "domainname: needs a uts namespace in linux.namespaces" },
		{ "{\"linux\":{\"timeOffsets\":{\"boottime\":{\"secs\":1}}}}",
		  "linux.timeOffsets: needs a new time namespace in linux.namespaces" },
		{ "{\"linux\":{\"uidMappings\":[{\"containerID\":0,\"hostID\":1,\"size\":1}]}}",
		  "linux.uidMappings: needs a user namespace in linux.namespaces" },
		{ "{\"linux\":{\"namespaces\":[{\"type\":\"mount\"},{\"type\":\"user\"}],"
		  "\"gidMappings\":[{\"containerID\":0,\"hostID\":1,\"size\":1}]}}",
		  "linux.uidMappings: is missing: a new user namespace needs it" },
		{ "{\"linux\":{\"namespaces\":[{\"type\":\"mount\"},{\"type\":\"user\","
		  "\"path\":\"/proc/1/ns/user\"}],\"gidMappings\":[{\"containerID\":0,"
		  "\"hostID\":1,\"size\":1}]}}",
		  "linux.gidMappings: the user namespace to be joined has its own" },
		{ "{\"process\":{\"user\":{\"uid\":10}},\"linux\":{\"namespaces\":["
		  "{\"type\":\"mount\"},{\"type\":\"user\"}],"
		  "\"uidMappings\":[{\"containerID\":0,\"hostID\":1000,\"size\":10}],"
		  "\"gidMappings\":[{\"containerID\":0,\"hostID\":1000,\"size\":10}]}}",
		  "process.user.uid: 10 is not in linux.uidMappings" },
		{ "{\"process\":{\"user\":{\"additionalGids\":[9,10]}},\"linux\":{\"namespaces\":["
		  "{\"type\":\"mount\"},{\"type\":\"user\"}],"
		  "\"uidMappings\":[{\"containerID\":0,\"hostID\":1000,\"size\":10}],"
		  "\"gidMappings\":[{\"containerID\":0,\"hostID\":1000,\"size\":10}]}}",
		  "process.user.additionalGids: 10 is not in linux.gidMappings" },
		{ "{\"mounts\":[{\"destination\":\"/x\",\"source\":\"/\",\"options\":"
		  "[\"bind\",\"idmap\"]}]}",
		  "mounts[0].options: idmap needs uidMappings or a user namespace" },
		{ "{\"linux\":{\"sysctl\":{\"kernel.panic\":\"1\"}}}",
		  "linux.sysctl.kernel.panic: belongs to no namespace: it would change the host" },
		{ "{\"linux\":{\"sysctl\":{\"kernel.hostname\":\"x\"}}}",
		  "linux.sysctl.kernel.hostname: use hostname instead" },
		{ "{\"linux\":{\"sysctl\":{\"user.max_net_namespaces\":\"1\"}}}",
		  "linux.sysctl.user.max_net_namespaces: needs a user namespace of its own" },
		{ "{\"linux\":{\"namespaces\":[{\"type\":\"mount\"}],"
		  "\"sysctl\":{\"net/ipv4/ip_forward\":\"1\"}}}",
		  "linux.sysctl.net/ipv4/ip_forward: needs a network namespace of its own" },
		{ "{\"linux\":{\"namespaces\":[{\"type\":\"mount\"},{\"type\":\"ipc\","
		  "\"path\":\"/proc/self/ns/ipc\"}],\"sysctl\":{\"kernel.sem\":\"1\"}}}",
		  "linux.sysctl.kernel.sem: needs a ipc namespace of its own" },
	};
	CHECK_BAD(rows);
}

static void spec__needs_an_object(void **state)
{
	(void)state;
	struct ctr_spec *spec = NULL;
	struct err err = ERR_INIT;
	json_object *doc = parse_json("[]");
	assert_int_equal(ctr_spec_parse(doc, &spec, &err), -EINVAL);
	assert_int_equal(ctr_spec_parse(NULL, &spec, &err), -EINVAL);
	assert_int_equal(ctr_spec_parse(doc, &spec, NULL), -EINVAL);
	json_object_put(doc);
}

static void spec_hooks__fill_in_argv(void **state)
{
	(void)state;
	struct ctr_spec *s =
		good_spec("{\"hooks\":{\"createRuntime\":[{\"path\":\"/bin/a\",\"timeout\":5,"
			  "\"env\":[\"A=b\"]},{\"path\":\"/bin/b\",\"args\":[\"x\",\"y\"]}]}}");
	const struct ctr_hooks *h = &s->hooks[CTR_HOOK_CREATE_RUNTIME];
	assert_int_equal(h->n, 2);
	assert_string_equal(h->items[0].args[0], "/bin/a");
	assert_null(h->items[0].args[1]);
	assert_string_equal(h->items[0].env[0], "A=b");
	assert_int_equal(h->items[0].timeout_s, 5);
	assert_string_equal(h->items[1].args[1], "y");
	assert_null(h->items[1].env[0]);
	assert_int_equal(h->items[1].timeout_s, 0);
	assert_int_equal(s->hooks[CTR_HOOK_POSTSTOP].n, 0);
	ctr_spec_free(s);
}

/* A bounded document with a great many parts: the arena grows. */
static void spec__takes_a_large_one(void **state)
{
	(void)state;
	json_object *doc = spec_doc("{}"), *env = json_object_new_array();
	for (int i = 0; i < 20000; i++) {
		char text[32];
		(void)snprintf(text, sizeof(text), "V%d=%d", i, i);
		json_object_array_add(env, json_object_new_string(text));
	}
	json_object_object_add(json_get(doc, "process"), "env", env);
	struct ctr_spec *s = NULL;
	struct err err = ERR_INIT;
	assert_int_equal(ctr_spec_parse(doc, &s, &err), 0);
	json_object_put(doc);
	assert_int_equal(s->process->n_env, 20000);
	assert_string_equal(s->process->env[19999], "V19999=19999");
	assert_null(s->process->env[20000]);
	ctr_spec_free(s);
}

static void features__name_what_we_take(void **state)
{
	(void)state;
	json_object *f = ctr_features();
	assert_string_equal(json_str_or(f, "ociVersionMax", ""), "1.2.0");
	assert_int_equal(json_len(json_get(f, "hooks")), 6);
	json_object *part = json_get(f, "linux");
	assert_int_equal(json_len(json_get(part, "namespaces")), 8);
	assert_true(json_len(json_get(part, "capabilities")) > 40);
	json_object *seccomp = json_get(part, "seccomp");
	assert_int_equal(json_len(json_get(seccomp, "actions")), 9);
	assert_int_equal(json_len(json_get(seccomp, "operators")), 7);
	/* Whatever is promised is taken. */
	json_object *options = json_get(f, "mountOptions");
	assert_true(json_len(options) > 50);
	json_object_put(f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(spec__takes_the_least),
		cmocka_unit_test(spec__ignores_unknown_properties),
		cmocka_unit_test(spec__takes_a_container_without_process),
		cmocka_unit_test(spec__takes_its_own_default),
		cmocka_unit_test(spec__names_what_is_wrong),
		cmocka_unit_test(spec__compares_sections),
		cmocka_unit_test(spec__needs_an_object),
		cmocka_unit_test(spec__takes_a_large_one),
		cmocka_unit_test(spec_hooks__fill_in_argv),
		cmocka_unit_test(features__name_what_we_take),
	};
	return cmocka_run_group_tests_name("spec", tests, NULL, NULL);
}

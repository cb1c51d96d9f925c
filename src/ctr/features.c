/* SPDX-License-Identifier: Apache-2.0 */
/* features - what the container library recognises (runtime-spec features.md,
 * features-linux.md), for `isola-oci features`. Says what was compiled in, not
 * what the host has, but for supportedFlags. */
#include "isola/caps.h"
#include "isola/ctr.h"
#include "isola/json.h"
#include "isola/seccomp.h"

#include "spec_parts.h"

#include <linux/capability.h>

static void push(json_object *list, const char *word)
{
	json_object *item = json_object_new_string(word);
	if (json_object_array_add(list, item) < 0)
		json_object_put(item);
}

/* Adds an empty object as @key and returns it, borrowed. */
static json_object *section(json_object *o, const char *key)
{
	json_add(o, key, json_object_new_object());
	return json_get(o, key);
}

static void add_enabled(json_object *o, const char *key, bool enabled)
{
	json_add_bool(section(o, key), "enabled", enabled);
}

static json_object *hooks(void)
{
	json_object *list = json_object_new_array();
	for (int i = 0; i < CTR_HOOK_KINDS; i++)
		push(list, ctr_hook_names[i]);
	return list;
}

static json_object *mount_options(void)
{
	json_object *list = json_object_new_array();
	for (const char *const *w = spec_mount_options(); *w; w++)
		push(list, *w);
	return list;
}

static json_object *namespaces(void)
{
	json_object *list = json_object_new_array();
	for (int i = 0; i < CTR_NS_COUNT; i++)
		push(list, ctr_ns_types[i].name);
	return list;
}

static json_object *capabilities(void)
{
	json_object *list = json_object_new_array();
	for (int cap = 0; cap <= CAP_LAST_CAP; cap++) {
		char name[40];
		push(list, caps_name(cap, name, sizeof(name)));
	}
	return list;
}

static json_object *words(enum seccomp_kind kind, bool only_supported)
{
	const char *names[64];
	size_t n = seccomp_words(kind, names, 64);
	json_object *list = json_object_new_array();
	for (size_t i = 0; i < n; i++)
		if (!only_supported || seccomp_has_flag(names[i]))
			push(list, names[i]);
	return list;
}

static void add_seccomp(json_object *o)
{
	json_object *s = section(o, "seccomp");
	json_add_bool(s, "enabled", true);
	json_add(s, "actions", words(SECCOMP_ACTIONS, false));
	json_add(s, "operators", words(SECCOMP_OPERATORS, false));
	json_add(s, "archs", words(SECCOMP_ARCHES, false));
	json_add(s, "knownFlags", words(SECCOMP_FLAGS, false));
	json_add(s, "supportedFlags", words(SECCOMP_FLAGS, true));
}

static void add_cgroup(json_object *o)
{
	json_object *c = section(o, "cgroup");
	json_add_bool(c, "v1", false);
	json_add_bool(c, "v2", true);
	json_add_bool(c, "systemd", false);
	json_add_bool(c, "systemdUser", false);
	json_add_bool(c, "rdma", true);
}

json_object *ctr_features(void)
{
	json_object *doc = json_object_new_object();
	json_add_str(doc, "ociVersionMin", "1.0.0");
	json_add_str(doc, "ociVersionMax", "1.2.0");
	json_add(doc, "hooks", hooks());
	json_add(doc, "mountOptions", mount_options());
	json_object *part = section(doc, "linux");
	json_add(part, "namespaces", namespaces());
	json_add(part, "capabilities", capabilities());
	add_cgroup(part);
	add_seccomp(part);
	add_enabled(part, "apparmor", true);
	add_enabled(part, "selinux", true);
	add_enabled(part, "intelRdt", false);
	add_enabled(section(part, "mountExtensions"), "idmap", true);
	json_add_str(section(doc, "annotations"), "org.isola.version", ISOLA_VERSION);
	return doc;
}

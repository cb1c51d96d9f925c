/* SPDX-License-Identifier: Apache-2.0 */
/* capset - see capset.h; capabilities(7). Pure, in isolad. */
#include "capset.h"

#include "isola/caps.h"
#include "isola/json.h"

#include <ctype.h>
#include <errno.h>
#include <linux/capability.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

static const unsigned char defaults[] = {
	CAP_AUDIT_WRITE, CAP_CHOWN,   CAP_DAC_OVERRIDE,     CAP_FOWNER,
	CAP_FSETID,      CAP_KILL,    CAP_NET_BIND_SERVICE, CAP_SETFCAP,
	CAP_SETGID,      CAP_SETPCAP, CAP_SETUID,           CAP_SYS_CHROOT,
};

static uint64_t bit(int cap)
{
	return (uint64_t)1 << cap;
}

uint64_t capset_default(void)
{
	uint64_t set = 0;
	for (size_t i = 0; i < sizeof(defaults); i++)
		set |= bit(defaults[i]);
	return set;
}

uint64_t capset_all(void)
{
	return caps_all();
}

int capset_normalise(const char *text, char ret[40], struct err *err)
{
	if (!strcasecmp(text, "ALL")) {
		(void)snprintf(ret, 40, "ALL");
		return 0;
	}
	char name[40];
	(void)snprintf(name, sizeof(name), "%s%s", strncasecmp(text, "CAP_", 4) ? "CAP_" : "",
		       text);
	for (char *p = name; *p; p++)
		*p = (char)toupper((unsigned char)*p);
	if (caps_parse(name) < 0)
		return err_set(err, EINVAL, "unknown capability: '%.40s'", text);
	(void)snprintf(ret, 40, "%s", name);
	return 0;
}

static uint64_t parse_set(json_object *names, bool *ret_all)
{
	uint64_t set = 0;
	*ret_all = false;
	for (size_t i = 0; i < json_len(names); i++) {
		const char *name = json_item_str(names, i);
		int cap = caps_parse(name);
		if (!strcmp(name, "ALL"))
			*ret_all = true;
		else if (cap >= 0)
			set |= bit(cap);
	}
	return set;
}

/* Docker's order: what is dropped by name stays dropped under --cap-add ALL,
 * what is added by name survives --cap-drop ALL. */
uint64_t capset_of(json_object *host_config)
{
	bool add_all, drop_all;
	uint64_t add = parse_set(json_get(host_config, "CapAdd"), &add_all);
	uint64_t drop = parse_set(json_get(host_config, "CapDrop"), &drop_all);
	if (json_bool_or(host_config, "Privileged", false))
		return caps_all();
	if (add_all)
		return caps_all() & ~drop;
	if (drop_all)
		return add;
	return ((capset_default() & ~drop) | add) & caps_all();
}

json_object *capset_names(uint64_t set)
{
	json_object *names = json_object_new_array();
	for (int cap = 0; names && cap < 64; cap++) {
		char name[40];
		if (set & bit(cap))
			(void)json_object_array_add(
				names, json_object_new_string(caps_name(cap, name, sizeof(name))));
	}
	return names;
}

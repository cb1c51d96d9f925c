/* SPDX-License-Identifier: Apache-2.0 */
/* spec_sysctl - linux.sysctl: names to files below /proc/sys, and to the
 * namespace that must hold them (config-linux.md "Sysctl"; sysctl.d(5);
 * namespaces(7)). */
#include "spec_parts.h"

#include <errno.h>
#include <string.h>

/* Prefixes end with "/". What is not here is the host's, whatever namespaces
 * there are. */
static const struct {
	const char *path;
	enum ctr_ns ns;
} owners[] = {
	{ "fs/mqueue/", CTR_NS_IPC },
	{ "kernel/msg_next_id", CTR_NS_IPC },
	{ "kernel/msgmax", CTR_NS_IPC },
	{ "kernel/msgmnb", CTR_NS_IPC },
	{ "kernel/msgmni", CTR_NS_IPC },
	{ "kernel/sem", CTR_NS_IPC },
	{ "kernel/sem_next_id", CTR_NS_IPC },
	{ "kernel/shm_next_id", CTR_NS_IPC },
	{ "kernel/shm_rmid_forced", CTR_NS_IPC },
	{ "kernel/shmall", CTR_NS_IPC },
	{ "kernel/shmmax", CTR_NS_IPC },
	{ "kernel/shmmni", CTR_NS_IPC },
	{ "kernel/domainname", CTR_NS_UTS },
	{ "net/", CTR_NS_NET },
	{ "user/", CTR_NS_USER },
};

enum ctr_ns spec_sysctl_ns(const char *path)
{
	for (size_t i = 0; i < SPEC_N(owners); i++) {
		size_t n = strlen(owners[i].path);
		bool prefix = owners[i].path[n - 1] == '/';
		if (prefix ? !strncmp(owners[i].path, path, n) : !strcmp(owners[i].path, path))
			return owners[i].ns;
	}
	return CTR_NS_COUNT;
}

/* Whichever of "." and "/" comes first separates; the other one then stands for
 * itself in a name: "net.ipv4.conf.eth0/1.mtu" and "net/ipv4/conf/eth0.1/mtu"
 * are the same. */
static void to_path(const char *key, char *ret)
{
	size_t first = strcspn(key, "./");
	bool dots = key[first] == '.';
	for (; *key; key++)
		*ret++ = !dots ? *key : *key == '.' ? '/' : *key == '/' ? '.' : *key;
	*ret = '\0';
}

static bool is_clean(const char *path)
{
	for (const char *p = path;; p++) {
		size_t n = strcspn(p, "/");
		if (n == 0 || (n == 1 && *p == '.') || (n == 2 && !strncmp(p, "..", 2)))
			return false;
		p += n;
		if (!*p)
			return true;
	}
}

static int read_sysctl(struct spec_cx *cx, const struct at *at, const char *key, json_object *value,
		       struct ctr_sysctl *ret)
{
	size_t n = strlen(key);
	if (!json_object_is_type(value, json_type_string))
		return spec_fail(cx, at, NULL, "must be a string");
	if (strlen(json_object_get_string(value)) != (size_t)json_object_get_string_len(value))
		return spec_fail(cx, at, NULL, "must not hold a NUL byte");
	if (n > 255)
		return spec_fail(cx, at, NULL, "is no name of a sysctl");
	char *path = spec_new(cx, n + 1, 1);
	if (!path)
		return -ENOMEM;
	to_path(key, path);
	if (!is_clean(path))
		return spec_fail(cx, at, NULL, "is no name of a sysctl");
	*ret = (struct ctr_sysctl){ key, path, json_object_get_string(value) };
	return 0;
}

int spec_parse_sysctl(struct spec_cx *cx, const struct at *at, json_object *o,
		      struct ctr_spec *spec)
{
	json_object *map = NULL;
	int rc = spec_obj(cx, at, o, "sysctl", &map);
	if (rc <= 0)
		return rc;
	size_t n = 0;
	struct ctr_sysctl *items =
		spec_new(cx, (size_t)json_object_object_length(map), sizeof(*items));
	if (!items)
		return -ENOMEM;
	const struct at list = { .up = at, .name = "sysctl" };
	json_object_object_foreach (map, key, value) {
		const struct at place = { .up = &list, .name = key };
		rc = read_sysctl(cx, &place, key, value, &items[n++]);
		if (rc < 0)
			return rc;
	}
	spec->sysctls = items;
	spec->n_sysctls = n;
	return 0;
}

/* SPDX-License-Identifier: Apache-2.0 */
/* spec_check - contradictions between sections of config.json, found before
 * anything is made. Only reads; the one look at the host is whether a namespace
 * to be joined is the caller's own. */
#include "spec_parts.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

static const struct at at_linux = { .name = "linux" };

/* Whether writes to the namespace's sysctls would be writes to the caller's. */
static bool is_own_ns(const struct ctr_spec *spec, enum ctr_ns type)
{
	const struct ctr_namespace *ns = &spec->ns[type];
	if (ns->mode != CTR_NS_JOIN)
		return ns->mode == CTR_NS_HOST;
	char own[40];
	struct stat a, b;
	(void)snprintf(own, sizeof(own), "/proc/self/ns/%s", ctr_ns_types[type].proc);
	return stat(own, &a) == 0 && stat(ns->path, &b) == 0 && a.st_dev == b.st_dev &&
	       a.st_ino == b.st_ino;
}

static int check_sysctls(struct spec_cx *cx, const struct ctr_spec *spec)
{
	const struct at list = { .up = &at_linux, .name = "sysctl" };
	bool own[CTR_NS_COUNT], asked[CTR_NS_COUNT] = { false };
	for (size_t i = 0; i < spec->n_sysctls; i++) {
		const struct ctr_sysctl *s = &spec->sysctls[i];
		const struct at place = { .up = &list, .name = s->key };
		enum ctr_ns ns = spec_sysctl_ns(s->path);
		if (!strcmp(s->path, "kernel/hostname"))
			return spec_fail(cx, &place, NULL, "use hostname instead");
		if (ns == CTR_NS_COUNT)
			return spec_fail(cx, &place, NULL,
					 "belongs to no namespace: it would change the host");
		if (!asked[ns])
			own[ns] = is_own_ns(spec, ns);
		asked[ns] = true;
		if (own[ns])
			return spec_fail(cx, &place, NULL, "needs a %s namespace of its own",
					 ctr_ns_types[ns].name);
	}
	return 0;
}

static bool is_mapped(const struct ctr_idmaps *maps, uint32_t id)
{
	for (size_t i = 0; i < maps->n; i++)
		if (id >= maps->items[i].container_id &&
		    id - maps->items[i].container_id < maps->items[i].size)
			return true;
	return false;
}

static int check_user(struct spec_cx *cx, const struct ctr_spec *spec)
{
	static const struct at process = { .name = "process" };
	static const struct at user = { .up = &process, .name = "user" };
	const struct ctr_process *p = spec->process;
	if (!p || spec->ns[CTR_NS_USER].mode != CTR_NS_NEW)
		return 0;
	if (!p->user && !is_mapped(&spec->uid_maps, p->uid))
		return spec_fail(cx, &user, "uid", "%u is not in linux.uidMappings", p->uid);
	if (!p->user && !is_mapped(&spec->gid_maps, p->gid))
		return spec_fail(cx, &user, "gid", "%u is not in linux.gidMappings", p->gid);
	for (size_t i = 0; i < p->n_groups; i++)
		if (!is_mapped(&spec->gid_maps, p->groups[i]))
			return spec_fail(cx, &user, "additionalGids",
					 "%u is not in linux.gidMappings", p->groups[i]);
	return 0;
}

static int check_mappings(struct spec_cx *cx, const struct ctr_spec *spec)
{
	bool uids = spec->uid_maps.n, gids = spec->gid_maps.n;
	switch (spec->ns[CTR_NS_USER].mode) {
	case CTR_NS_HOST:
		if (uids || gids)
			return spec_fail(cx, &at_linux, uids ? "uidMappings" : "gidMappings",
					 "needs a user namespace in linux.namespaces");
		return 0;
	case CTR_NS_JOIN:
		if (uids || gids)
			return spec_fail(cx, &at_linux, uids ? "uidMappings" : "gidMappings",
					 "the user namespace to be joined has its own");
		return 0;
	case CTR_NS_NEW:
		if (!uids || !gids)
			return spec_fail(cx, &at_linux, uids ? "gidMappings" : "uidMappings",
					 "is missing: a new user namespace needs it");
		return check_user(cx, spec);
	}
	return 0;
}

static int check_mounts(struct spec_cx *cx, const struct ctr_spec *spec)
{
	const struct at list = { .name = "mounts" };
	for (size_t i = 0; i < spec->n_mounts; i++) {
		const struct at place = { .up = &list, .index = i };
		const struct ctr_mount *m = &spec->mounts[i];
		if (m->idmap != CTR_IDMAP_NO && !m->uid_maps.n &&
		    spec->ns[CTR_NS_USER].mode == CTR_NS_HOST)
			return spec_fail(cx, &place, "options",
					 "idmap needs uidMappings or a user namespace");
	}
	return 0;
}

static bool makes_mounts(const struct ctr_spec *spec)
{
	return spec->n_mounts || spec->n_devices || spec->n_masked_paths ||
	       spec->n_readonly_paths || spec->rootfs_propagation || spec->root_readonly;
}

int spec_check(struct spec_cx *cx, const struct ctr_spec *spec)
{
	/* Without a new one our mounts would be the host's, or somebody else's:
	 * then the container is but a change of root. */
	if (spec->ns[CTR_NS_MOUNT].mode != CTR_NS_NEW && makes_mounts(spec))
		return spec_fail(cx, &at_linux, "namespaces",
				 "mounts, linux.devices, linux.maskedPaths, linux.readonlyPaths, "
				 "linux.rootfsPropagation and root.readonly need a new mount "
				 "namespace");
	if (spec->hostname && spec->ns[CTR_NS_UTS].mode == CTR_NS_HOST)
		return spec_fail(cx, NULL, "hostname", "needs a uts namespace in linux.namespaces");
	if (spec->domainname && spec->ns[CTR_NS_UTS].mode == CTR_NS_HOST)
		return spec_fail(cx, NULL, "domainname",
				 "needs a uts namespace in linux.namespaces");
	if (spec->n_time_offsets && spec->ns[CTR_NS_TIME].mode != CTR_NS_NEW)
		return spec_fail(cx, &at_linux, "timeOffsets",
				 "needs a new time namespace in linux.namespaces");
	int rc = check_mappings(cx, spec);
	if (rc < 0 || (rc = check_mounts(cx, spec)) < 0)
		return rc;
	return check_sysctls(cx, spec);
}

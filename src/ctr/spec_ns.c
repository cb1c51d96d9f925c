/* SPDX-License-Identifier: Apache-2.0 */
/* spec_ns - namespaces, id mappings and clock offsets (config-linux.md
 * "Namespaces", "User namespace mappings", "Offset for Time Namespace"). */
#include "spec_parts.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#define IDMAPS_MAX 340 /* user_namespaces(7): UID_GID_MAP_MAX_EXTENTS */

const struct ctr_ns_type ctr_ns_types[CTR_NS_COUNT] = {
	[CTR_NS_USER] = { "user", "user", CLONE_NEWUSER },
	[CTR_NS_PID] = { "pid", "pid", CLONE_NEWPID },
	[CTR_NS_NET] = { "network", "net", CLONE_NEWNET },
	[CTR_NS_IPC] = { "ipc", "ipc", CLONE_NEWIPC },
	[CTR_NS_UTS] = { "uts", "uts", CLONE_NEWUTS },
	[CTR_NS_CGROUP] = { "cgroup", "cgroup", CLONE_NEWCGROUP },
	[CTR_NS_TIME] = { "time", "time", 0x80 /* CLONE_NEWTIME */ },
	[CTR_NS_MOUNT] = { "mount", "mnt", CLONE_NEWNS },
};

struct ns_item {
	enum ctr_ns type;
	const char *path;
};

static int read_namespace(struct spec_cx *cx, const struct at *at, json_object *o, void *ret)
{
	struct ns_item *item = ret;
	const char *type = NULL;
	int rc = spec_need_str(cx, at, o, "type", &type);
	if (rc < 0 || (rc = spec_text(cx, at, o, "path", &item->path)) < 0)
		return rc;
	if (item->path && (rc = spec_check_path(cx, at, "path", item->path)) < 0)
		return rc;
	for (int i = 0; i < CTR_NS_COUNT; i++) {
		if (!strcmp(ctr_ns_types[i].name, type)) {
			item->type = (enum ctr_ns)i;
			return 0;
		}
	}
	return spec_fail(cx, at, "type", "unknown namespace \"%.100s\"", type);
}

static int parse_namespaces(struct spec_cx *cx, const struct at *at, json_object *o,
			    struct ctr_spec *spec)
{
	struct ns_item *items = NULL;
	size_t n = 0;
	int rc = spec_items(cx, at, o, "namespaces", 2 * CTR_NS_COUNT, sizeof(*items),
			    read_namespace, &items, &n);
	const struct at list = { .up = at, .name = "namespaces" };
	for (size_t i = 0; rc > 0 && i < n; i++) {
		const struct at place = { .up = &list, .index = i };
		struct ctr_namespace *ns = &spec->ns[items[i].type];
		if (ns->mode != CTR_NS_HOST)
			return spec_fail(cx, &place, "type", "\"%s\" is listed twice",
					 ctr_ns_types[items[i].type].name);
		ns->mode = items[i].path ? CTR_NS_JOIN : CTR_NS_NEW;
		ns->path = items[i].path;
	}
	return rc < 0 ? rc : 0;
}

static int read_idmap(struct spec_cx *cx, const struct at *at, json_object *o, void *ret)
{
	int64_t container = 0, host = 0, size = 0;
	int rc = spec_need_int(cx, at, o, "containerID", 0, UINT32_MAX - 1, &container);
	if (rc < 0 || (rc = spec_need_int(cx, at, o, "hostID", 0, UINT32_MAX - 1, &host)) < 0 ||
	    (rc = spec_need_int(cx, at, o, "size", 1, UINT32_MAX, &size)) < 0)
		return rc;
	if (container + size > UINT32_MAX || host + size > UINT32_MAX)
		return spec_fail(cx, at, "size", "reaches beyond the last id");
	*(struct ctr_idmap *)ret = (struct ctr_idmap){ .container_id = (uint32_t)container,
						       .host_id = (uint32_t)host,
						       .size = (uint32_t)size };
	return 0;
}

static bool do_overlap(uint64_t a, uint64_t a_size, uint64_t b, uint64_t b_size)
{
	return a < b + b_size && b < a + a_size;
}

/* The kernel refuses overlaps too, but cannot say which. */
static int check_idmaps(struct spec_cx *cx, const struct at *at, const char *key,
			const struct ctr_idmaps *maps)
{
	for (size_t i = 1; i < maps->n; i++) {
		const struct ctr_idmap *a = &maps->items[i];
		for (size_t k = 0; k < i; k++) {
			const struct ctr_idmap *b = &maps->items[k];
			if (do_overlap(a->container_id, a->size, b->container_id, b->size) ||
			    do_overlap(a->host_id, a->size, b->host_id, b->size))
				return spec_fail(cx, at, key, "items %zu and %zu overlap", k, i);
		}
	}
	return 0;
}

int spec_parse_idmaps(struct spec_cx *cx, const struct at *at, json_object *o, const char *key,
		      struct ctr_idmaps *ret)
{
	int rc = spec_items(cx, at, o, key, IDMAPS_MAX, sizeof(struct ctr_idmap), read_idmap,
			    &ret->items, &ret->n);
	return rc <= 0 ? rc : check_idmaps(cx, at, key, ret);
}

static int parse_time_offsets(struct spec_cx *cx, const struct at *at, json_object *o,
			      struct ctr_spec *spec)
{
	json_object *clocks = NULL;
	int rc = spec_obj(cx, at, o, "timeOffsets", &clocks);
	if (rc <= 0)
		return rc;
	struct ctr_time_offset *items =
		spec_new(cx, (size_t)json_object_object_length(clocks), sizeof(*items));
	if (!items)
		return -ENOMEM;
	size_t n = 0;
	const struct at list = { .up = at, .name = "timeOffsets" };
	json_object_object_foreach (clocks, clock, value) {
		const struct at place = { .up = &list, .name = clock };
		if (strcmp(clock, "monotonic") && strcmp(clock, "boottime"))
			return spec_fail(cx, &place, NULL,
					 "unknown clock: it must be monotonic or boottime");
		if (!json_object_is_type(value, json_type_object))
			return spec_fail(cx, &place, NULL, "must be an object");
		int64_t secs = 0, nanosecs = 0;
		if (spec_int(cx, &place, value, "secs", -INT64_MAX, INT64_MAX, &secs) < 0 ||
		    spec_int(cx, &place, value, "nanosecs", 0, 999999999, &nanosecs) < 0)
			return -EINVAL;
		items[n++] = (struct ctr_time_offset){ clock, secs, (uint32_t)nanosecs };
	}
	spec->time_offsets = items;
	spec->n_time_offsets = n;
	return 0;
}

/* An ordinary user who gives no mappings gets the one that needs no rights: to be
 * root inside, as with crun. */
static int default_idmaps(struct spec_cx *cx, struct ctr_spec *spec)
{
	if (spec->ns[CTR_NS_USER].mode != CTR_NS_NEW || spec->uid_maps.n || spec->gid_maps.n ||
	    geteuid() == 0)
		return 0;
	struct ctr_idmap *maps = spec_new(cx, 2, sizeof(*maps));
	if (!maps)
		return -ENOMEM;
	maps[0] = (struct ctr_idmap){ 0, geteuid(), 1 };
	maps[1] = (struct ctr_idmap){ 0, getegid(), 1 };
	spec->uid_maps = (struct ctr_idmaps){ &maps[0], 1 };
	spec->gid_maps = (struct ctr_idmaps){ &maps[1], 1 };
	return 0;
}

int spec_parse_ns(struct spec_cx *cx, const struct at *at, json_object *o, struct ctr_spec *spec)
{
	int rc = parse_namespaces(cx, at, o, spec);
	if (rc < 0 || (rc = spec_parse_idmaps(cx, at, o, "uidMappings", &spec->uid_maps)) < 0 ||
	    (rc = spec_parse_idmaps(cx, at, o, "gidMappings", &spec->gid_maps)) < 0 ||
	    (rc = default_idmaps(cx, spec)) < 0)
		return rc;
	return parse_time_offsets(cx, at, o, spec);
}

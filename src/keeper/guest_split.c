/* SPDX-License-Identifier: Apache-2.0 */
/* guest_split - see guest_split.h. */
#include "guest_split.h"

#include "isola/fd.h"
#include "isola/json.h"
#include "isola/path.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

/* Where the guest has file systems of its own: nothing of the host's could be seen there. */
static const char *const guests[] = { "/proc", "/sys", "/dev" };

static bool is_at_or_below(const char *path, const char *folder)
{
	size_t n = strlen(folder);
	return !strncmp(path, folder, n) && (path[n] == '\0' || path[n] == '/');
}

static bool has_option(json_object *mount, const char *option)
{
	json_object *list = json_get(mount, "options");
	for (size_t i = 0; i < json_len(list); i++)
		if (!strcmp(json_item_str(list, i), option))
			return true;
	return false;
}

bool guest_split_is_bind(json_object *mount)
{
	return !strcmp(json_str_or(mount, "type", ""), "bind") || has_option(mount, "bind") ||
	       has_option(mount, "rbind");
}

static bool is_tmpfs(json_object *mount)
{
	return !guest_split_is_bind(mount) && !strcmp(json_str_or(mount, "type", ""), "tmpfs");
}

/* Which of the guest's own file systems @destination is in, or NULL. */
static int find_guests(const char *destination, const char **ret, struct err *err)
{
	char path[PATH_MAX];
	if (path_clean(destination, path, sizeof(path)) < 0)
		return err_set(err, EINVAL, "\"%.128s\" is no place for a mount", destination);
	*ret = NULL;
	for (size_t i = 0; i < sizeof(guests) / sizeof(guests[0]); i++)
		if (is_at_or_below(path, guests[i]))
			*ret = guests[i];
	return 0;
}

int guest_split_may_bind(const char *destination, struct err *err)
{
	const char *own = NULL;
	int rc = find_guests(destination, &own, err);
	if (rc < 0 || !own)
		return rc;
	return err_set(err, EOPNOTSUPP,
		       "nothing of the host can be mounted at %s with --isolation vm: %s is the "
		       "guest's own",
		       destination, own);
}

const char *guest_split_place(size_t i, char ret[GUEST_SPLIT_PLACE])
{
	(void)snprintf(ret, GUEST_SPLIT_PLACE, "mounts/%zu", i);
	return ret;
}

const char *guest_split_later(size_t i, char ret[GUEST_SPLIT_PLACE])
{
	(void)snprintf(ret, GUEST_SPLIT_PLACE, "mounts/later%zu", i);
	return ret;
}

/* The same mount, where the guest takes it from. */
static json_object *moved(json_object *mount, size_t i)
{
	char place[GUEST_SPLIT_PLACE], target[GUEST_SPLIT_PLACE + 1];
	json_object *o = json_copy(mount);
	(void)snprintf(target, sizeof(target), "/%s", guest_split_place(i, place));
	if (o)
		json_add_str(o, "destination", target);
	return o;
}

/* A tmpfs stays as a place for the guest's own: made where the image lacks it, also below
 * a root that is read-only later. */
static int split_mount(json_object *mount, size_t index, bool served, json_object *out,
		       struct err *err)
{
	const char *destination = json_str_or(mount, "destination", ""), *own = NULL;
	int rc = find_guests(destination, &own, err);
	if (rc < 0)
		return rc;
	if (own)
		return guest_split_is_bind(mount) ? guest_split_may_bind(destination, err) : 0;
	if (served && guest_split_is_bind(mount))
		(void)json_object_array_add(out, moved(mount, index));
	else if (!served && (guest_split_is_bind(mount) || is_tmpfs(mount)))
		(void)json_object_array_add(out, json_object_get(mount));
	return 0;
}

static int split_mounts(json_object *mounts, bool served, json_object *out, struct err *err)
{
	int rc = 0;
	for (size_t i = 0; rc == 0 && i < json_len(mounts); i++) {
		rc = split_mount(json_object_array_get_idx(mounts, i), i, served, out, err);
		if (rc < 0)
			(void)err_prefix(err, "mounts[%zu]", i);
	}
	return rc;
}

/* All it may not share with the host; of the user's, it has the ids. */
static json_object *make_namespaces(json_object *lin)
{
	static const char *const types[] = { "mount", "pid", "network", "ipc", "uts", "cgroup" };
	json_object *list = json_object_new_array();
	for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
		json_object *o = json_object_new_object();
		json_add_str(o, "type", types[i]);
		(void)json_object_array_add(list, o);
	}
	json_object *old = json_get(lin, "namespaces");
	for (size_t i = 0; i < json_len(old); i++) {
		json_object *o = json_object_array_get_idx(old, i);
		if (!strcmp(json_str_or(o, "type", ""), "user"))
			(void)json_object_array_add(list, json_object_get(o));
	}
	return list;
}

static void copy(json_object *out, json_object *in, const char *key)
{
	if (json_get(in, key))
		json_add(out, key, json_object_get(json_get(in, key)));
}

static json_object *make_linux(json_object *lin, json_object *resources)
{
	json_object *o = json_object_new_object();
	json_add(o, "namespaces", make_namespaces(lin));
	copy(o, lin, "uidMappings");
	copy(o, lin, "gidMappings");
	copy(o, lin, "rootfsPropagation");
	copy(o, lin, "mountLabel");
	if (resources)
		json_add(o, "resources", json_object_get(resources));
	return o;
}

/* Who it is, where it begins and what it runs decides what the library looks for in the
 * root. It has no right to anything. */
static json_object *make_process(json_object *process, bool served)
{
	json_object *o = json_object_new_object(), *root;
	if (served) {
		root = json_object_new_object();
		json_add_i64(root, "uid", 0);
		json_add_i64(root, "gid", 0);
		json_add(o, "user", root);
		json_add_str(o, "cwd", "/");
	} else {
		copy(o, process, "user");
		copy(o, process, "cwd");
		copy(o, process, "env");
	}
	copy(o, process, "args");
	json_add_bool(o, "noNewPrivileges", true);
	return o;
}

static bool has_user_namespace(json_object *lin)
{
	return json_len(json_get(lin, "uidMappings")) > 0;
}

/* Its files have the image's own ids on the disk, as those of any writable layer. */
static void add_served(json_object *o, json_object *mounts, const char *layer, bool mapped)
{
	json_object *root = json_object_new_object(), *mount = json_object_new_object();
	json_object *options = json_object_new_array();
	json_add_str(root, "path", GUEST_SPLIT_SERVED);
	json_add_bool(root, "readonly", true);
	json_add(o, "root", root);
	json_add_str(mount, "destination", "/layer");
	json_add_str(mount, "type", "bind");
	json_add_str(mount, "source", layer);
	(void)json_object_array_add(options, json_object_new_string("bind"));
	(void)json_object_array_add(options, json_object_new_string("rprivate"));
	if (mapped)
		(void)json_object_array_add(options, json_object_new_string("idmap"));
	json_add(mount, "options", options);
	(void)json_object_array_add(mounts, mount);
}

int guest_split_host(json_object *config, json_object *resources, const char *layer,
		     json_object **ret, struct err *err)
{
	json_object *lin = json_get(config, "linux");
	cleanup_json json_object *o = json_object_new_object();
	json_object *mounts = json_object_new_array();
	if (!o || !mounts) {
		json_object_put(mounts);
		return err_set(err, ENOMEM, "out of memory");
	}
	json_add(o, "mounts", mounts);
	copy(o, config, "ociVersion");
	if (layer)
		add_served(o, mounts, layer, has_user_namespace(lin));
	else
		copy(o, config, "root");
	json_add(o, "process", make_process(json_get(config, "process"), layer));
	json_add(o, "linux", make_linux(lin, resources));
	int rc = split_mounts(json_get(config, "mounts"), layer, mounts, err);
	if (rc < 0)
		return err_prefix(err, "config.json");
	*ret = take_ptr(o);
	return 0;
}

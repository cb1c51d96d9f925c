/* SPDX-License-Identifier: Apache-2.0 */
/* bundle_devices - host devices of a container: nodes, and the rules that let
 * it open them (runtime-spec config-linux.md, "Devices"). In isolad; looks at
 * nodes in /dev. What every container may open (null, zero, ptys...) is known to
 * the container library. */
#include "bundle_priv.h"

#include "create_priv.h"

#include "isola/fd.h"
#include "isola/json.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sysmacros.h>

#define DEVICES_MAX 4096
#define DEPTH_MAX   6

struct devices {
	const struct bundle_env *env;
	json_object *nodes, *rules;
};

static void add_rule(json_object *rules, bool allow, char type, int64_t major_no, int64_t minor_no,
		     const char *access)
{
	json_object *o = json_object_new_object();
	char name[2] = { type, '\0' };
	json_add_bool(o, "allow", allow);
	if (type)
		json_add_str(o, "type", name);
	if (major_no >= 0)
		json_add_i64(o, "major", major_no);
	if (minor_no >= 0)
		json_add_i64(o, "minor", minor_no);
	json_add_str(o, "access", access);
	(void)json_object_array_add(rules, o);
}

static void add_node(struct devices *d, const char *path, const struct stat *st)
{
	json_object *o = json_object_new_object();
	json_add_str(o, "path", path);
	json_add_str(o, "type", S_ISBLK(st->st_mode) ? "b" : "c");
	json_add_i64(o, "major", major(st->st_rdev));
	json_add_i64(o, "minor", minor(st->st_rdev));
	json_add_i64(o, "fileMode", st->st_mode & 07777);
	json_add_i64(o, "uid", st->st_uid);
	json_add_i64(o, "gid", st->st_gid);
	(void)json_object_array_add(d->nodes, o);
}

static void add_device(struct devices *d, const char *inside, const char *access,
		       const struct stat *st)
{
	add_node(d, inside, st);
	add_rule(d->rules, true, S_ISBLK(st->st_mode) ? 'b' : 'c', major(st->st_rdev),
		 minor(st->st_rdev), access);
}

static bool is_device(const struct stat *st)
{
	return S_ISCHR(st->st_mode) || S_ISBLK(st->st_mode);
}

/* These are the container's own. */
static bool is_skipped(const char *name, int depth)
{
	static const char *const names[] = { "pts", "shm", "mqueue", "console", "ptmx", "fd" };
	if (name[0] == '.')
		return true;
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]) && depth == 0; i++) {
		if (!strcmp(names[i], name))
			return true;
	}
	return false;
}

/* All nodes below @host, for --privileged and --device FOLDER. */
static int add_folder(struct devices *d, const char *host, const char *inside, const char *access,
		      int depth, struct err *err)
{
	DIR *dir = opendir(host);
	if (!dir)
		return err_sys(err, "cannot read the folder %s", host);
	int rc = 0;
	struct dirent *e;
	while (rc >= 0 && (e = readdir(dir))) {
		char from[PATH_MAX], to[PATH_MAX];
		struct stat st;
		bool top = !strcmp(host, "/dev");
		if (is_skipped(e->d_name, top ? 0 : 1) || depth > DEPTH_MAX ||
		    snprintf(from, sizeof(from), "%s/%s", host, e->d_name) >= (int)sizeof(from) ||
		    snprintf(to, sizeof(to), "%s/%s", inside, e->d_name) >= (int)sizeof(to) ||
		    lstat(from, &st) < 0)
			continue;
		if (S_ISDIR(st.st_mode))
			rc = add_folder(d, from, to, access, depth + 1, err);
		else if (is_device(&st))
			add_device(d, to, access, &st);
		if (json_len(d->rules) > DEVICES_MAX)
			rc = err_set(err, E2BIG, "%s holds more than %d devices", host,
				     DEVICES_MAX);
	}
	(void)closedir(dir);
	return rc;
}

static int add_mapping(struct devices *d, json_object *item, struct err *err)
{
	const char *host = json_str_or(item, "PathOnHost", "");
	const char *inside = json_str_or(item, "PathInContainer", "");
	const char *access = json_str_or(item, "CgroupPermissions", "");
	struct stat st;
	if (!*inside)
		inside = host;
	if (!*access)
		access = "rwm";
	int rc = d->env->stat_device(host, &st);
	if (rc < 0)
		return err_rc(err, rc, "HostConfig.Devices (--device): cannot look at %s", host);
	if (S_ISDIR(st.st_mode))
		return add_folder(d, host, inside, access, 0, err);
	if (!is_device(&st))
		return err_set(err, EINVAL,
			       "HostConfig.Devices (--device): %s is not a device node", host);
	add_device(d, inside, access, &st);
	return 0;
}

static int add_mappings(struct devices *d, json_object *items, struct err *err)
{
	for (size_t i = 0; i < json_len(items); i++) {
		int rc = add_mapping(d, json_object_array_get_idx(items, i), err);
		if (rc < 0)
			return rc;
	}
	return 0;
}

static void add_plain_rules(json_object *rules, json_object *texts)
{
	for (size_t i = 0; i < json_len(texts); i++) {
		struct device_rule r;
		if (create_parse_device_rule(json_item_str(texts, i), &r) == 0)
			add_rule(rules, true, r.type, r.major, r.minor, r.access);
	}
}

int bundle_devices(const struct instance *inst, const struct bundle_env *env,
		   json_object **ret_devices, json_object **ret_rules, struct err *err)
{
	json_object *host = inst->host_config;
	bool privileged = json_bool_or(host, "Privileged", false);
	cleanup_json json_object *nodes = json_object_new_array(), *rules = json_object_new_array();
	struct devices d = {
		.env = env,
		.nodes = nodes,
		.rules = rules,
	};
	if (!nodes || !rules)
		return err_set(err, ENOMEM, "out of memory");
	add_rule(rules, privileged, '\0', -1, -1, "rwm");
	int rc = privileged ? add_folder(&d, "/dev", "/dev", "rwm", 0, err) : 0;
	if (rc >= 0)
		rc = add_mappings(&d, json_get(host, "Devices"), err);
	if (rc < 0)
		return rc;
	add_plain_rules(rules, json_get(host, "DeviceCgroupRules"));
	*ret_devices = json_len(nodes) ? take_ptr(nodes) : NULL;
	*ret_rules = take_ptr(rules);
	return 0;
}
